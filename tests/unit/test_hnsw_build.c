/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/hnsw_graph.h"
#include "tests/lib/hnsw_fixture.h"

#define PARAMS                                            \
	{                                                 \
		.M = 8, .ef_construction = 64, .seed = 42 \
	}

/* Levels and memory */

static void levels_follow_from_seed_and_node(void **state)
{
	struct hnsw_params params = PARAMS, other = {.M = 8, .seed = 43};
	uint32_t n_at[HNSW_LEVEL_MAX + 1] = {0};
	uint32_t n_differ = 0;

	(void)state;
	for (uint32_t node = 0; node < 100000; node++) {
		uint32_t level = hnsw_draw_level(&params, node);
		assert_true(level <= HNSW_LEVEL_MAX);
		assert_int_equal(level, hnsw_draw_level(&params, node));
		n_differ += level != hnsw_draw_level(&other, node);
		n_at[level]++;
	}
	assert_in_range(n_at[0], 87000, 88000); /* 7 in 8 */
	assert_in_range(n_at[1], 10600, 11300); /* 7 in 64 */
	assert_true(n_differ > 10000);
	/* Part of the file format: these may never change. */
	static const uint8_t drawn[] = {0, 2, 1, 1, 4, 0, 2, 0, 1, 0, 2, 1,
	                                0, 0, 0, 2, 3, 1, 3, 0, 0, 3, 0, 0};
	params.M = 2;
	for (uint32_t node = 0; node < sizeof(drawn); node++)
		assert_int_equal(hnsw_draw_level(&params, node), drawn[node]);
}

static void bad_parameters_are_refused(void **state)
{
	static const struct hnsw_params bad[] = {
	        {.M = HNSW_M_MIN - 1, .ef_construction = 1},
	        {.M = HNSW_M_MAX + 1, .ef_construction = 1},
	        {.M = 16, .ef_construction = 0},
	        {.M = 16, .ef_construction = HNSW_EF_MAX + 1},
	};
	struct hnsw *hnsw = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(hnsw_new(&bad[i], NULL, &hnsw), -EINVAL);
	assert_null(hnsw);
	assert_null(hnsw_free(NULL));
}

static void appending_needs_room_and_ascending_slots(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {.dim = 4, .n_rows = 4, .params = PARAMS};
	const uint64_t slots[] = {5, 9, 9};
	const uint64_t lower[] = {9};
	const uint32_t rows[] = {0, 1, 2};
	uint32_t node = 77;

	(void)state;
	hnsw_fixture_open(&fixture, &spec);
	assert_int_equal(hnsw_append(fixture.hnsw, 2, slots, rows), -ENOSPC);
	assert_int_equal(hnsw_reserve(fixture.hnsw, 4, false), 0);
	assert_int_equal(hnsw_append(fixture.hnsw, 3, slots, rows), -EINVAL);
	assert_int_equal(hnsw_n_nodes(fixture.hnsw), 0);
	assert_int_equal(hnsw_append(fixture.hnsw, 2, slots, rows), 0);
	assert_int_equal(hnsw_append(fixture.hnsw, 1, lower, rows), -EINVAL);
	assert_int_equal(hnsw_n_nodes(fixture.hnsw), 2);
	assert_int_equal(hnsw_covered(fixture.hnsw), 0);
	assert_int_equal(hnsw_find(fixture.hnsw, 9, &node), 0);
	assert_int_equal(node, 1);
	assert_int_equal(hnsw_find(fixture.hnsw, 6, &node), HNSW_NO_NODE);
	assert_int_equal(hnsw_find(fixture.hnsw, 10, &node), HNSW_NO_NODE);
	assert_int_equal(hnsw_row(fixture.hnsw, 1), 1);
	assert_int_equal(hnsw_reserve(fixture.hnsw, HNSW_NODES_MAX - 1, false), -ENOSPC);
	hnsw_fixture_close(&fixture);
}

static void a_refused_reserve_leaves_what_is_there(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {
	        .dim = 8,
	        .n_rows = 9000,
	        .n_queries = 20,
	        .params = {.M = 32, .ef_construction = 40},
	        .limit_bytes = SLAB_BYTES,
	};
	uint64_t granted, spilled;
	int r = 0;

	(void)state;
	hnsw_fixture_open(&fixture, &spec);
	for (uint32_t n = 0; n < 9000; n += 1000) {
		r = hnsw_reserve(fixture.hnsw, 1000, false);
		if (r != 0)
			break;
		hnsw_fixture_append(&fixture, n, 1000);
		hnsw_fixture_build(&fixture, 1);
	}
	assert_int_equal(r, BUDGET_FULL);
	assert_true(hnsw_covered(fixture.hnsw) >= 6000);
	hnsw_fixture_assert_sound(&fixture);
	assert_true(hnsw_fixture_recall(&fixture, 10, 64) > 0.98);
	hnsw_bytes(fixture.hnsw, &granted, &spilled);
	assert_true(granted > SLAB_BYTES / 2 && granted <= SLAB_BYTES);
	assert_int_equal(spilled, 0);
	hnsw_fixture_close(&fixture);
}

/* For every M what was reserved is enough, append asserts that: in one go and piece by piece. */
static void reserved_memory_is_exactly_enough(void **state)
{
	static const uint32_t Ms[] = {2, 3, 5, 12, 16, 20, 24, 31, 48, 64};

	(void)state;
	for (size_t i = 0; i < sizeof(Ms) / sizeof(Ms[0]); i++) {
		struct hnsw_fixture fixture;
		struct hnsw_fixture_spec spec = {
		        .dim = 1, .n_rows = 3000, .params = {.M = Ms[i], .ef_construction = 4}};
		uint64_t granted, spilled;
		hnsw_fixture_open(&fixture, &spec);
		hnsw_fixture_append(&fixture, 0, 1500);
		for (uint32_t n = 1500; n < 3000; n += 100)
			hnsw_fixture_append(&fixture, n, 100);
		hnsw_bytes(fixture.hnsw, &granted, &spilled);
		/* 2 M links, and M for each upper level, 1 / (M - 1) of them a node, and 18
		 * bytes; what is at the ends is less than a run for each of three and 10 %. */
		uint64_t node_bytes = 8 * Ms[i] + 4 * Ms[i] / (Ms[i] - 1) + 22;
		assert_true(granted <= 3000 * node_bytes * 11 / 10 + 5 * RUN_BYTES);
		hnsw_fixture_close(&fixture);
	}
}

/* Builds */

static bool graphs_are_equal(const struct hnsw *a, const struct hnsw *b)
{
	if (hnsw_covered(a) != hnsw_covered(b) || atomic_load(&a->entry) != atomic_load(&b->entry))
		return false;
	for (uint32_t node = 0; node < hnsw_covered(a); node++) {
		for (uint32_t level = 0; level <= hnsw_level(a, node); level++) {
			if (memcmp((const void *)hnsw_list(a, node, level),
			           (const void *)hnsw_list(b, node, level),
			           hnsw_capacity(a, level) * sizeof(uint32_t)) != 0)
				return false;
		}
	}
	return true;
}

static void one_worker_builds_the_same_graph_each_time(void **state)
{
	struct hnsw_fixture a, b;
	struct hnsw_fixture_spec spec = {
	        .data = HNSW_DATA_CLUSTERED, .dim = 12, .n_rows = 2000, .params = PARAMS};

	(void)state;
	hnsw_fixture_open(&a, &spec);
	hnsw_fixture_open(&b, &spec);
	hnsw_fixture_fill(&a, 1);
	/* In pieces, too. */
	for (uint32_t n = 0; n < 2000; n += 400) {
		hnsw_fixture_append(&b, n, 400);
		hnsw_fixture_build(&b, 1);
	}
	assert_true(graphs_are_equal(a.hnsw, b.hnsw));
	hnsw_fixture_close(&a);
	hnsw_fixture_close(&b);
}

static void many_workers_build_a_sound_graph(void **state)
{
	(void)state;
	for (enum hnsw_data data = HNSW_DATA_UNIFORM; data <= HNSW_DATA_DUPLICATES; data++) {
		struct hnsw_fixture fixture;
		struct hnsw_fixture_spec spec = {
		        .data = data, .dim = 16, .n_rows = 3000, .n_queries = 40, .params = PARAMS};
		hnsw_fixture_open(&fixture, &spec);
		hnsw_fixture_fill(&fixture, 4);
		hnsw_fixture_assert_sound(&fixture);
		assert_true(hnsw_fixture_recall(&fixture, 10, 128) >= 0.93);
		hnsw_fixture_close(&fixture);
	}
}

/* A space that stops at its n-th call until it is let go. */
struct gated_space {
	struct hnsw_space space;
	const struct hnsw_space *inner;
	_Atomic uint32_t calls_left;
	sem_t reached, go_on;
};

static void gated_distances(const struct hnsw_space *space, const void *query, const uint32_t *rows,
                            uint32_t n, float bound, float *ret)
{
	/* The gate is the one thing of a space that changes. */
	struct gated_space *gated = (struct gated_space *)(uintptr_t)space;

	if (atomic_fetch_sub(&gated->calls_left, 1) == 1) {
		sem_post(&gated->reached);
		sem_wait(&gated->go_on);
	}
	gated->inner->distances(gated->inner, query, rows, n, bound, ret);
}

static const void *gated_query_of(const struct hnsw_space *space, uint32_t row, void *buf)
{
	const struct gated_space *gated = (const struct gated_space *)space;
	return gated->inner->query_of(gated->inner, row, buf);
}

static const void *gated_query(const struct hnsw_space *space, const float *vector, void *buf)
{
	const struct gated_space *gated = (const struct gated_space *)space;
	return gated->inner->query(gated->inner, vector, buf);
}

static void gated_open(struct gated_space *gated, const struct hnsw_space *inner, uint32_t calls)
{
	*gated = (struct gated_space){
	        .space = {.distances = gated_distances,
	                  .query = gated_query,
	                  .query_of = gated_query_of},
	        .inner = inner,
	        .calls_left = calls,
	};
	sem_init(&gated->reached, 0, 0);
	sem_init(&gated->go_on, 0, 0);
}

static void gated_close(struct gated_space *gated)
{
	sem_destroy(&gated->reached);
	sem_destroy(&gated->go_on);
}

static void *run_build(void *ctx)
{
	struct hnsw_scratch scratch = {0};

	assert_int_equal(hnsw_build_run(ctx, &scratch), 0);
	hnsw_scratch_release(&scratch);
	return NULL;
}

static void a_cancelled_build_keeps_what_is_inserted_and_is_taken_up_again(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {
	        .dim = 8, .n_rows = 2000, .n_queries = 20, .params = PARAMS};
	struct gated_space gated;
	struct hnsw_build build;
	pthread_t worker;
	uint32_t n_done, n_total;

	(void)state;
	hnsw_fixture_open(&fixture, &spec);
	hnsw_fixture_append(&fixture, 0, 2000);
	gated_open(&gated, fixture.space, 50000);
	hnsw_build_init(&build, fixture.hnsw, &gated.space);
	assert_int_equal(pthread_create(&worker, NULL, run_build, &build), 0);
	sem_wait(&gated.reached);
	hnsw_build_progress(&build, &n_done, &n_total);
	hnsw_build_cancel(&build);
	sem_post(&gated.go_on);
	pthread_join(worker, NULL);
	assert_int_equal(n_total, 2000);
	assert_true(n_done > 0 && n_done < 2000);
	/* The node at hand was finished, and no other begun. */
	assert_int_equal(hnsw_build_end(&build), n_done + 1);
	hnsw_fixture_assert_sound(&fixture);
	assert_true(hnsw_fixture_recall(&fixture, 10, 64) > 0.95);

	hnsw_fixture_build(&fixture, 2);
	assert_int_equal(hnsw_covered(fixture.hnsw), 2000);
	hnsw_fixture_assert_sound(&fixture);
	assert_true(hnsw_fixture_recall(&fixture, 10, 64) > 0.95);
	gated_close(&gated);
	hnsw_fixture_close(&fixture);
}

static void a_node_is_found_whole_or_not_at_all(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {
	        .dim = 8, .n_rows = 700, .n_queries = 20, .params = PARAMS};
	uint32_t n_nodes = 300;

	(void)state;
	hnsw_fixture_open(&fixture, &spec);
	hnsw_fixture_append(&fixture, 0, n_nodes);
	hnsw_fixture_build(&fixture, 1);
	/* Stops an insertion after more distances each time, and searches meanwhile. */
	for (uint32_t calls = 1; calls < 400; calls += 5) {
		struct gated_space gated;
		struct hnsw_build build;
		pthread_t worker;
		hnsw_fixture_append(&fixture, n_nodes, 5);
		gated_open(&gated, fixture.space, calls);
		hnsw_build_init(&build, fixture.hnsw, &gated.space);
		assert_int_equal(pthread_create(&worker, NULL, run_build, &build), 0);
		sem_wait(&gated.reached);
		assert_true(hnsw_fixture_recall(&fixture, 10, 64) > 0.98);
		sem_post(&gated.go_on);
		pthread_join(worker, NULL);
		n_nodes += 5;
		assert_int_equal(hnsw_build_end(&build), n_nodes);
		gated_close(&gated);
	}
	hnsw_fixture_close(&fixture);
}

/* Searches until it is told to stop, each time from what the loop last covered. */
struct searcher {
	struct hnsw_fixture *fixture;
	_Atomic uint32_t *covered;
	_Atomic bool *is_over;
	uint32_t n_searches;
};

static void *run_searches(void *ctx)
{
	struct searcher *searcher = ctx;
	struct hnsw_fixture *fixture = searcher->fixture;
	struct hnsw_scratch scratch = {0};

	for (bool last = false; !last; searcher->n_searches++) {
		struct hnsw_search search = {
		        .space = fixture->space,
		        .query = hnsw_fixture_query(fixture,
		                                    searcher->n_searches % fixture->n_queries),
		        .k = 10,
		        .ef = 40,
		};
		struct hnsw_search_stats stats;
		struct hit hits[10];
		last = atomic_load(searcher->is_over);
		search.below = atomic_load(searcher->covered);
		assert_int_equal(hnsw_scratch_reserve(&scratch, fixture->hnsw, fixture->space, 40),
		                 0);
		uint32_t n = hnsw_search(fixture->hnsw, &search, &scratch, hits, &stats);
		assert_int_equal(n, 10);
		for (uint32_t i = 0; i < n; i++) {
			assert_true(hits[i].row_idx < search.below);
			assert_true(hits[i].row_idx % 50 != 7);
			for (uint32_t j = 0; j < i; j++)
				assert_true(hits[i].row_idx != hits[j].row_idx);
		}
	}
	hnsw_scratch_release(&scratch);
	return NULL;
}

static void searches_go_on_while_workers_insert(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {
	        .dim = 16, .n_rows = 2500, .n_queries = 40, .params = PARAMS};
	struct searcher searchers[2];
	pthread_t threads[2];
	_Atomic uint32_t covered = 100;
	_Atomic bool is_over = false;

	(void)state;
	hnsw_fixture_open(&fixture, &spec);
	hnsw_fixture_append(&fixture, 0, 100);
	for (uint32_t node = 7; node < 100; node += 50)
		hnsw_retire(fixture.hnsw, node);
	hnsw_fixture_build(&fixture, 1);
	for (uint32_t i = 0; i < 2; i++) {
		searchers[i] = (struct searcher){&fixture, &covered, &is_over, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, run_searches, &searchers[i]), 0);
	}
	for (uint32_t n = 100; n < 2500; n += 300) {
		hnsw_fixture_append(&fixture, n, 300);
		for (uint32_t node = n; node < n + 300; node++) {
			if (node % 50 == 7)
				hnsw_retire(fixture.hnsw, node);
		}
		hnsw_fixture_build(&fixture, 2);
		atomic_store(&covered, n + 300);
	}
	atomic_store(&is_over, true);
	for (uint32_t i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_true(searchers[i].n_searches > 0);
	}
	hnsw_fixture_assert_sound(&fixture);
	assert_int_equal(hnsw_fixture_n_dead(&fixture), 50);
	hnsw_fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(levels_follow_from_seed_and_node),
	        cmocka_unit_test(bad_parameters_are_refused),
	        cmocka_unit_test(appending_needs_room_and_ascending_slots),
	        cmocka_unit_test(a_refused_reserve_leaves_what_is_there),
	        cmocka_unit_test(reserved_memory_is_exactly_enough),
	        cmocka_unit_test(one_worker_builds_the_same_graph_each_time),
	        cmocka_unit_test(many_workers_build_a_sound_graph),
	        cmocka_unit_test(a_cancelled_build_keeps_what_is_inserted_and_is_taken_up_again),
	        cmocka_unit_test(a_node_is_found_whole_or_not_at_all),
	        cmocka_unit_test(searches_go_on_while_workers_insert),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
