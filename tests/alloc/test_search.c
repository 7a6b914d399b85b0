/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Searches in index/ take no memory: through a graph, in every space, once its scratch is sized,
 * and by exact scans, over rows and by way of codes.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/exact_codes.h"
#include "tests/alloc/failing_alloc.h"
#include "tests/lib/hnsw_fixture.h"

enum {
	ROWS = 320,
	QUERIES = 9,
	K = 10,
	EF = 50,
};

static void open_fixture(struct hnsw_fixture *fixture, enum hnsw_fixture_space space)
{
	struct hnsw_fixture_spec spec = {
	        .space = space,
	        .dim = 24,
	        .n_rows = ROWS,
	        .n_queries = QUERIES,
	        .params = {.M = 8, .ef_construction = 40, .seed = 42},
	};

	hnsw_fixture_open(fixture, &spec);
	hnsw_fixture_fill(fixture, 1);
}

/* What does take memory is seen. */
static void sizing_a_scratch_takes_memory_and_is_counted(void **state)
{
	struct hnsw_fixture fixture;

	(void)state;
	open_fixture(&fixture, HNSW_FIXTURE_SQ8);
	hnsw_scratch_release(&fixture.scratch);
	failing_alloc_arm(0);
	int r = hnsw_scratch_reserve(&fixture.scratch, fixture.hnsw, fixture.space, EF);
	uint64_t n_allocs = failing_alloc_disarm();
	assert_int_equal(r, 0);
	assert_true(n_allocs >= 3);
	/* Once. */
	failing_alloc_arm(0);
	r = hnsw_scratch_reserve(&fixture.scratch, fixture.hnsw, fixture.space, EF);
	n_allocs = failing_alloc_disarm();
	assert_int_equal(r, 0);
	assert_int_equal(n_allocs, 0);
	hnsw_fixture_close(&fixture);
}

static void a_search_through_a_graph_takes_no_memory(void **state)
{
	(void)state;
	for (enum hnsw_fixture_space space = 0; space < HNSW_FIXTURE_N_SPACES; space++) {
		struct hnsw_fixture fixture;
		struct hnsw_search_stats stats;
		struct hit hits[K];
		uint32_t n = 0;

		open_fixture(&fixture, space);
		struct hnsw_search search = {
		        .space = fixture.space, .k = K, .ef = EF, .below = ROWS};
		assert_int_equal(
		        hnsw_scratch_reserve(&fixture.scratch, fixture.hnsw, fixture.space, EF), 0);
		failing_alloc_arm(0);
		for (uint32_t q = 0; q < QUERIES; q++) {
			search.query = hnsw_fixture_query(&fixture, q);
			n += hnsw_search(fixture.hnsw, &search, &fixture.scratch, hits, &stats);
		}
		uint64_t n_allocs = failing_alloc_disarm();
		assert_int_equal(n_allocs, 0);
		assert_int_equal(n, QUERIES * K);
		hnsw_fixture_close(&fixture);
	}
}

static const void *row_of(void *ctx, uint64_t row)
{
	return hnsw_fixture_row(ctx, (uint32_t)row);
}

static void an_exact_scan_takes_no_memory(void **state)
{
	struct hnsw_fixture fixture;
	struct hit hits[QUERIES][K];
	struct topk best[QUERIES];
	uint64_t mask[ROWS / 64];

	(void)state;
	open_fixture(&fixture, HNSW_FIXTURE_SQ8);
	memset(mask, 0xff, sizeof(mask));
	struct exact_scan scan = {
	        .kernels = kernels_best(DTYPE_F32),
	        .metric = fixture.metric,
	        .dim = fixture.dim,
	        .n_queries = QUERIES,
	        .queries = fixture.queries,
	        .best = best,
	};
	struct exact_rows rows = {.rows = fixture.rows, .n = ROWS, .mask = mask};
	struct exact_codes by_codes = {
	        .scan = &scan,
	        .codes = &fixture.codes,
	        .queries = aligned_alloc(64, exact_codes_bytes(&fixture.codes, QUERIES)),
	        .row_of = row_of,
	        .ctx = &fixture,
	};
	assert_non_null(by_codes.queries);
	failing_alloc_arm(0);
	for (uint32_t q = 0; q < QUERIES; q++)
		topk_init(&best[q], hits[q], K);
	exact_scan_rows(&scan, &rows);
	for (uint32_t q = 0; q < QUERIES; q++)
		topk_init(&best[q], hits[q], K);
	exact_codes_prepare(&by_codes);
	int r = exact_codes_scan(&by_codes, 0, ROWS, mask);
	for (uint32_t q = 0; q < QUERIES; q++)
		topk_sort(&best[q]);
	uint64_t n_allocs = failing_alloc_disarm();
	assert_int_equal(n_allocs, 0);
	assert_int_equal(r, 0);
	for (uint32_t q = 0; q < QUERIES; q++)
		assert_int_equal(best[q].n, K);
	free(by_codes.queries);
	hnsw_fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(sizing_a_scratch_takes_memory_and_is_counted),
	        cmocka_unit_test(a_search_through_a_graph_takes_no_memory),
	        cmocka_unit_test(an_exact_scan_takes_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
