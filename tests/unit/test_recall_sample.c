/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "index/hnsw_space_without.h"
#include "index/recall_sample.h"
#include "tests/lib/hnsw_fixture.h"

/* The curve of a graph from n of its rows. */
static struct recall_curve measure(struct hnsw_fixture *fixture, uint32_t n,
                                   uint64_t max_comparisons)
{
	struct recall_sample sample;
	struct recall_curve curve;
	struct recall_graph graph = {.hnsw = fixture->hnsw,
	                             .space = fixture->space,
	                             .below = hnsw_covered(fixture->hnsw),
	                             .max_comparisons = max_comparisons};
	struct exact_scan *scan;
	int r;

	assert_int_equal(recall_sample_init(&sample, n, fixture->metric, fixture->dim, DTYPE_F32),
	                 0);
	for (uint32_t i = 0; i < n; i++)
		recall_sample_add(&sample, i * (fixture->n_rows / n),
		                  hnsw_fixture_row(fixture, i * (fixture->n_rows / n)));
	scan = recall_sample_scan(&sample);
	for (uint32_t row = 0; row < fixture->n_rows; row++)
		exact_scan_rows(scan, &(struct exact_rows){.rows = hnsw_fixture_row(fixture, row),
		                                           .first = row,
		                                           .n = 1,
		                                           .mask = &(uint64_t){1}});
	recall_sample_know(&sample);
	while ((r = recall_sample_search(&sample, &graph, &fixture->scratch)) == RECALL_SAMPLE_MORE)
		;
	assert_int_equal(r, 0);
	recall_sample_curve(&sample, &curve);
	recall_sample_release(&sample);
	recall_sample_release(&sample);
	return curve;
}

static void open_data(struct hnsw_fixture *fixture, enum hnsw_data data, uint32_t n_rows)
{
	struct hnsw_fixture_spec spec = {
	        .data = data,
	        .dim = 24,
	        .n_rows = n_rows,
	        .n_queries = 200,
	        .params = {.M = 6, .ef_construction = 40, .seed = 5},
	};

	hnsw_fixture_open(fixture, &spec);
	hnsw_fixture_fill(fixture, 1);
}

/* Twice the deviation of a share of the neighbours of so many queries. */
static double errs_by(double share, uint32_t n_queries)
{
	return 2 * sqrt(share * (1 - share) / (n_queries * RECALL_CURVE_K));
}

/* To each side: it is a sample, and a node that is left out leaves a hole. */
static void a_curve_tells_what_other_queries_find(void **state)
{
	struct hnsw_fixture fixture;
	struct recall_curve curve;

	(void)state;
	open_data(&fixture, HNSW_DATA_UNIFORM, 4000);
	curve = measure(&fixture, RECALL_SAMPLE_MAX, UINT64_MAX);
	assert_true(curve.n > 4);
	assert_int_equal(curve.n_nodes, 4000);
	assert_true(curve.points[curve.n - 1].recall >= RECALL_ENOUGH);
	for (uint32_t i = 0; i < curve.n; i++) {
		double measured = curve.points[i].recall / (double)RECALL_ONE;
		double found = hnsw_fixture_recall(&fixture, 10, curve.points[i].ef);

		assert_int_equal(curve.points[i].ef, recall_curve_step(i));
		assert_true(measured <= found + 0.02);
		assert_true(measured >= found - 0.15);
	}
	for (double target = 0.7; target < 0.999; target += 0.05)
		assert_true(
		        hnsw_fixture_recall(&fixture, 10, recall_curve_ef(&curve, target, 10)) >=
		        target - errs_by(target, RECALL_SAMPLE_MAX));
	hnsw_fixture_close(&fixture);
}

static void measuring_ends_where_it_may_compare_no_more(void **state)
{
	struct hnsw_fixture fixture;
	struct recall_curve whole, cut;

	(void)state;
	open_data(&fixture, HNSW_DATA_UNIFORM, 2000);
	whole = measure(&fixture, 100, UINT64_MAX);
	cut = measure(&fixture, 100, 100000);
	assert_true(cut.n > 0 && cut.n < whole.n);
	for (uint32_t i = 0; i < cut.n; i++)
		assert_int_equal(cut.points[i].recall, whole.points[i].recall);
	assert_int_equal(measure(&fixture, 100, 1).n, 0);
	hnsw_fixture_close(&fixture);
}

/* Every answer is as near as the truth, and none counts itself. */
static void equal_vectors_are_found_at_once(void **state)
{
	struct hnsw_fixture fixture;
	struct recall_curve curve;

	(void)state;
	open_data(&fixture, HNSW_DATA_EQUAL, 500);
	curve = measure(&fixture, 50, UINT64_MAX);
	assert_int_equal(curve.n, 1);
	assert_int_equal(curve.points[0].recall, RECALL_ONE);
	hnsw_fixture_close(&fixture);
}

static void few_vectors_have_few_neighbours_and_one_has_none(void **state)
{
	static const uint32_t sizes[] = {1, 2, 5, 10, 11};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct hnsw_fixture fixture;
		struct recall_curve curve;

		open_data(&fixture, HNSW_DATA_UNIFORM, sizes[i]);
		curve = measure(&fixture, sizes[i], UINT64_MAX);
		assert_int_equal(curve.n, sizes[i] > 1 ? 1 : 0);
		if (curve.n)
			assert_int_equal(curve.points[0].recall, RECALL_ONE);
		hnsw_fixture_close(&fixture);
	}
}

static void a_sample_is_a_share_within_bounds(void **state)
{
	(void)state;
	assert_int_equal(recall_sample_wanted(0), 0);
	assert_int_equal(recall_sample_wanted(1), 1);
	assert_int_equal(recall_sample_wanted(64), 64);
	assert_int_equal(recall_sample_wanted(1000), 64);
	assert_int_equal(recall_sample_wanted(4000), 100);
	assert_int_equal(recall_sample_wanted(8000), RECALL_SAMPLE_MAX);
	assert_int_equal(recall_sample_wanted(UINT64_C(1) << 40), RECALL_SAMPLE_MAX);
}

static void a_row_that_is_left_out_is_nowhere(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_space_without space;
	const uint32_t rows[] = {3, 4, 3};
	float distances[3], whole[3];
	const void *query;

	(void)state;
	open_data(&fixture, HNSW_DATA_UNIFORM, 20);
	hnsw_space_without_init(&space, fixture.space, 3);
	query = space.space.query(&space.space, hnsw_fixture_query(&fixture, 0), NULL);
	fixture.space->distances(fixture.space, query, rows, 3, INFINITY, whole);
	space.space.distances(&space.space, query, rows, 3, INFINITY, distances);
	assert_true(isinf(distances[0]) && isinf(distances[2]));
	assert_true(distances[1] == whole[1]);
	assert_null(space.space.refine);
	hnsw_fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_curve_tells_what_other_queries_find),
	        cmocka_unit_test(measuring_ends_where_it_may_compare_no_more),
	        cmocka_unit_test(equal_vectors_are_found_at_once),
	        cmocka_unit_test(few_vectors_have_few_neighbours_and_one_has_none),
	        cmocka_unit_test(a_sample_is_a_share_within_bounds),
	        cmocka_unit_test(a_row_that_is_left_out_is_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
