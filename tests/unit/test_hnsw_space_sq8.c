/* SPDX-License-Identifier: Apache-2.0 */

/* Graphs that know vectors by codes, of all rows or of some, and are as good as others. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/hnsw_fixture.h"

#define PARAMS                                             \
	{                                                  \
		.M = 12, .ef_construction = 80, .seed = 42 \
	}

/* With codes of all rows, and of some. */
static void assert_recall(struct hnsw_fixture_spec spec, uint32_t k, uint32_t ef, double least)
{
	for (spec.space = HNSW_FIXTURE_SQ8; spec.space <= HNSW_FIXTURE_PARTLY; spec.space++)
		hnsw_fixture_assert_recall(&spec, k, ef, least);
}

/* Recall */

/* Squares of their distances, squared, are beyond f32 on either side. */
static void the_scale_of_vectors_does_not_matter(void **state)
{
	static const float scales[] = {3e9f, 1e15f, 1e-15f};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (enum metric metric = METRIC_L2; metric <= METRIC_IP; metric++) {
			struct hnsw_fixture_spec spec = {
			        .metric = metric,
			        .scale = scales[i],
			        .dim = 24,
			        .n_rows = 300,
			        .n_queries = 40,
			        .params = PARAMS,
			};
			assert_recall(spec, 10, 48, 0.97);
		}
	}
}

/* Of all but one element a code keeps two or three bits, and its first plane little but signs. */
static void outliers_do_not_hide_their_neighbours(void **state)
{
	struct hnsw_fixture_spec spec = {
	        .data = HNSW_DATA_OUTLIERS,
	        .dim = 128,
	        .n_rows = 800,
	        .n_queries = 60,
	        .params = PARAMS,
	};

	(void)state;
	assert_recall(spec, 10, 16, 0.96);
}

/* Churn */

enum {
	CHURN_ROWS = 500,
	CHURN_STEP = CHURN_ROWS / 5,
	CHURN_ROUNDS = 10,
};

/* A fifth of the vectors at random are deleted and come back as other nodes, ten times over. */
static void churn(struct hnsw_fixture *fixture)
{
	uint32_t nodes[CHURN_ROWS]; /* of each vector, now */

	for (uint32_t i = 0; i < CHURN_ROWS; i++)
		nodes[i] = i;
	hnsw_fixture_append(fixture, 0, CHURN_ROWS);
	hnsw_fixture_build(fixture, 1);
	for (uint32_t round = 0; round < CHURN_ROUNDS; round++) {
		uint32_t next = CHURN_ROWS + round * CHURN_STEP;
		for (uint32_t i = 0; i < CHURN_STEP; i++) {
			uint32_t vector;
			do
				vector = (uint32_t)lrand48() % CHURN_ROWS;
			while (nodes[vector] >= next);
			hnsw_fixture_copy_row(fixture, nodes[vector], next + i);
			hnsw_retire(fixture->hnsw, nodes[vector]);
			nodes[vector] = next + i;
		}
		hnsw_fixture_append(fixture, next, CHURN_STEP);
		hnsw_fixture_build(fixture, 1);
	}
	assert_int_equal(hnsw_fixture_n_dead(fixture), CHURN_ROUNDS * CHURN_STEP);
	hnsw_fixture_assert_sound(fixture);
}

static void recall_holds_under_churn(void **state)
{
	struct hnsw_fixture_spec spec = {
	        .dim = 32,
	        .n_rows = CHURN_ROWS + CHURN_ROUNDS * CHURN_STEP,
	        .n_queries = 100,
	        .params = PARAMS,
	};

	(void)state;
	for (spec.space = 0; spec.space < HNSW_FIXTURE_N_SPACES; spec.space++) {
		struct hnsw_fixture churned, fresh;

		/* The same rows and queries, of which the fresh one has the first alone. */
		hnsw_fixture_open(&churned, &spec);
		hnsw_fixture_open(&fresh, &spec);
		churn(&churned);
		hnsw_fixture_append(&fresh, 0, CHURN_ROWS);
		hnsw_fixture_build(&fresh, 1);
		double recall = hnsw_fixture_recall(&churned, 10, 48);
		double fresh_recall = hnsw_fixture_recall(&fresh, 10, 48);
		if (recall < fresh_recall - 0.005)
			fail_msg("space %d: recall %.4f, and of a fresh build %.4f",
			         (int)spec.space, recall, fresh_recall);
		hnsw_fixture_close(&churned);
		hnsw_fixture_close(&fresh);
	}
}

static void many_workers_build_and_nobody_is_lost(void **state)
{
	struct hnsw_fixture_spec spec = {
	        .dim = 32, .n_rows = 600, .n_queries = 30, .params = PARAMS};

	(void)state;
	for (spec.space = HNSW_FIXTURE_SQ8; spec.space < HNSW_FIXTURE_N_SPACES; spec.space++) {
		struct hnsw_fixture fixture;

		hnsw_fixture_open(&fixture, &spec);
		hnsw_fixture_fill(&fixture, 4);
		hnsw_fixture_assert_sound(&fixture);
		assert_true(hnsw_fixture_recall(&fixture, 10, 64) > 0.98);
		hnsw_fixture_close(&fixture);
	}
}

/* The space itself */

static void open_space(struct hnsw_fixture *fixture, enum hnsw_fixture_space space,
                       enum metric metric, void **ret_buf)
{
	struct hnsw_fixture_spec spec = {
	        .space = space,
	        .metric = metric,
	        .dim = 100,
	        .n_rows = 200,
	        .n_queries = 20,
	        .params = PARAMS,
	};

	hnsw_fixture_open(fixture, &spec);
	*ret_buf = aligned_alloc(64, (fixture->space->query_bytes + 63) & ~(size_t)63);
	assert_non_null(*ret_buf);
}

static void take_rows(const struct hnsw_fixture *fixture, const void *query, uint32_t first,
                      float bound, float ret[HNSW_BATCH])
{
	uint32_t rows[HNSW_BATCH];

	for (uint32_t i = 0; i < HNSW_BATCH; i++)
		rows[i] = first + i;
	fixture->space->distances(fixture->space, query, rows, HNSW_BATCH, bound, ret);
}

static void what_is_told_roughly_is_beyond_the_bound(void **state)
{
	struct hnsw_fixture fixture;
	uint32_t n_rough = 0;
	void *buf;

	(void)state;
	for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++) {
		open_space(&fixture, HNSW_FIXTURE_SQ8, metric, &buf);
		for (uint32_t q = 0; q < 20; q++) {
			const struct hnsw_space *space = fixture.space;
			const void *query =
			        space->query(space, hnsw_fixture_query(&fixture, q), buf);
			float fine[HNSW_BATCH], told[HNSW_BATCH];

			take_rows(&fixture, query, 3 * q, INFINITY, fine);
			take_rows(&fixture, query, 3 * q, fine[5], told);
			for (uint32_t i = 0; i < HNSW_BATCH; i++) {
				bool is_rough = told[i] != fine[i];
				assert_true(!is_rough || told[i] > fine[5]);
				n_rough += is_rough;
			}
		}
		free(buf);
		hnsw_fixture_close(&fixture);
	}
	assert_true(n_rough > 0);
}

static void rows_without_code_are_measured_themselves(void **state)
{
	struct hnsw_fixture fixture;
	float told[HNSW_BATCH], exact[HNSW_BATCH], refined[HNSW_BATCH];
	uint32_t rows[HNSW_BATCH];
	void *buf;

	(void)state;
	open_space(&fixture, HNSW_FIXTURE_PARTLY, METRIC_L2, &buf);
	for (uint32_t i = 0; i < HNSW_BATCH; i++)
		rows[i] = 70 + i; /* the first thirty have codes */
	for (uint32_t q = 0; q < 20; q++) {
		const struct hnsw_space *space = fixture.space, *own = &fixture.exact.space;
		const float *vector = hnsw_fixture_query(&fixture, q);
		const void *query = space->query(space, vector, buf);

		space->distances(space, query, rows, HNSW_BATCH, INFINITY, told);
		space->refine(space, query, rows, HNSW_BATCH, refined);
		own->distances(own, vector, rows, HNSW_BATCH, INFINITY, exact);
		assert_memory_equal(refined, exact, sizeof(exact));
		assert_memory_equal(told + 30, exact + 30, 34 * sizeof(float));
		for (uint32_t i = 0; i < HNSW_BATCH; i++) {
			float spread = space->spread(space, query, rows[i], told[i]);
			assert_true(i < 30 ? spread > 0 : spread == 0);
			assert_true(fabsf(told[i] - exact[i]) <= 2 * spread);
		}
		/* A row's own query, with a code or without. */
		query = space->query_of(space, q < 10 ? q : 150 + q, buf);
		space->distances(space, query, rows, HNSW_BATCH, INFINITY, told);
		own->distances(own, hnsw_fixture_row(&fixture, q < 10 ? q : 150 + q), rows,
		               HNSW_BATCH, INFINITY, exact);
		for (uint32_t i = 0; i < HNSW_BATCH; i++)
			assert_true(fabsf(told[i] - exact[i]) <= 0.02f * exact[i] + 0.01f);
	}
	free(buf);
	hnsw_fixture_close(&fixture);
}

static void no_row_is_infinitely_far_from_everything(void **state)
{
	const uint32_t rows[] = {3, HNSW_NO_ROW, 190};
	struct hnsw_fixture fixture;
	float told[3];
	void *buf;

	(void)state;
	for (enum hnsw_fixture_space space = 0; space < HNSW_FIXTURE_N_SPACES; space++) {
		open_space(&fixture, space, METRIC_L2, &buf);
		const struct hnsw_space *own = fixture.space;
		const void *query = own->query(own, hnsw_fixture_query(&fixture, 0), buf);
		own->distances(own, query, rows, 3, INFINITY, told);
		assert_true(isfinite(told[0]) && isinf(told[1]) && isfinite(told[2]));
		query = own->query_of(own, HNSW_NO_ROW, buf);
		own->distances(own, query, rows, 3, INFINITY, told);
		assert_true(isinf(told[0]) && isinf(told[1]) && isinf(told[2]));
		query = own->query_of(own, 5, buf);
		own->distances(own, query, rows, 3, INFINITY, told);
		assert_true(isfinite(told[0]) && isinf(told[1]) && isfinite(told[2]));
		free(buf);
		hnsw_fixture_close(&fixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_scale_of_vectors_does_not_matter),
	        cmocka_unit_test(outliers_do_not_hide_their_neighbours),
	        cmocka_unit_test(recall_holds_under_churn),
	        cmocka_unit_test(many_workers_build_and_nobody_is_lost),
	        cmocka_unit_test(what_is_told_roughly_is_beyond_the_bound),
	        cmocka_unit_test(rows_without_code_are_measured_themselves),
	        cmocka_unit_test(no_row_is_infinitely_far_from_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
