/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/hnsw_scratch.h"
#include "tests/lib/hnsw_fixture.h"

#define PARAMS                                              \
	{                                                   \
		.M = 16, .ef_construction = 100, .seed = 42 \
	}

/* Recall */

static void assert_recall_in_all_spaces(struct hnsw_fixture_spec spec, uint32_t k, uint32_t ef,
                                        double least)
{
	for (spec.space = 0; spec.space < HNSW_FIXTURE_N_SPACES; spec.space++)
		hnsw_fixture_assert_recall(&spec, k, ef, least);
}

static void recall_is_high_under_every_metric(void **state)
{
	(void)state;
	for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++) {
		for (enum hnsw_data data = HNSW_DATA_UNIFORM; data <= HNSW_DATA_CLUSTERED; data++) {
			struct hnsw_fixture_spec spec = {
			        .data = data,
			        .metric = metric,
			        .dim = 24,
			        .n_rows = 400,
			        .n_queries = 40,
			        .params = {.M = 10, .ef_construction = 64, .seed = 42},
			};
			assert_recall_in_all_spaces(spec, 10, 64,
			                            metric == METRIC_IP ? 0.97 : 0.99);
		}
	}
}

/* Where there are upper levels to go down. */
static void recall_is_high_in_a_large_graph(void **state)
{
	static const enum hnsw_fixture_space spaces[] = {HNSW_FIXTURE_ROWS, HNSW_FIXTURE_SQ8};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct hnsw_fixture_spec spec = {
		        .space = spaces[i],
		        .dim = 24,
		        .n_rows = 3000,
		        .n_queries = 50,
		        .params = PARAMS,
		};
		hnsw_fixture_assert_recall(&spec, 10, 64, 0.99);
	}
}

static void every_dimension_works(void **state)
{
	static const uint32_t dims[] = {1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 1536, 4096};

	(void)state;
	for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
		struct hnsw_fixture_spec spec = {
		        .metric = (enum metric)(i % 3),
		        .dim = dims[i],
		        .n_rows = dims[i] > 1000 ? 40 : 150,
		        .n_queries = 15,
		        .params = {.M = i % 2 ? 5 : 8, .ef_construction = 64},
		};
		assert_recall_in_all_spaces(spec, 10, 128, 0.97);
	}
}

/* All are found, those that the walk comes to last too. */
static void graphs_of_few_nodes_are_exact(void **state)
{
	(void)state;
	for (uint32_t M = 2; M <= 16; M += 7) {
		const uint32_t sizes[] = {0, 1, 2, M, M + 1, 2 * M + 1};
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct hnsw_fixture_spec spec = {
			        .dim = 7,
			        .n_rows = sizes[i],
			        .n_queries = 10,
			        .params = {.M = M, .ef_construction = 1},
			};
			assert_recall_in_all_spaces(spec, 40, 1, 1);
		}
	}
}

static void equal_vectors_are_all_found(void **state)
{
	struct hnsw_fixture_spec spec = {
	        .data = HNSW_DATA_EQUAL,
	        .dim = 16,
	        .n_rows = 400,
	        .n_queries = 1,
	        .params = PARAMS,
	};
	struct hit hits[400];

	(void)state;
	for (spec.space = 0; spec.space < HNSW_FIXTURE_N_SPACES; spec.space++) {
		struct hnsw_fixture fixture;

		hnsw_fixture_open(&fixture, &spec);
		hnsw_fixture_fill(&fixture, 1);
		hnsw_fixture_assert_sound(&fixture);
		assert_int_equal(hnsw_fixture_search(&fixture, 0, 400, 1, hits), 400);
		for (uint32_t i = 0; i < 400; i++)
			assert_int_equal(hits[i].row_idx, i);
		hnsw_fixture_close(&fixture);
	}
}

static void heavy_duplicates_do_not_make_islands(void **state)
{
	struct hnsw_fixture_spec spec = {
	        .data = HNSW_DATA_DUPLICATES,
	        .dim = 24,
	        .n_rows = 800,
	        .n_queries = 50,
	        .params = {.M = 12, .ef_construction = 80, .seed = 42},
	};

	(void)state;
	assert_recall_in_all_spaces(spec, 10, 128, 0.99);
	spec.n_rows = 4000;
	spec.space = HNSW_FIXTURE_SQ8;
	hnsw_fixture_assert_recall(&spec, 200, 256, 0.95);
}

/* Many differ by less than codes tell: only their distances themselves put them in order. */
static void near_duplicates_of_notes_are_found(void **state)
{
	(void)state;
	for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++) {
		struct hnsw_fixture_spec spec = {
		        .data = HNSW_DATA_NEAR,
		        .space = HNSW_FIXTURE_SQ8,
		        .metric = metric,
		        .dim = 48,
		        .n_rows = 3000,
		        .n_queries = 200,
		        .params = PARAMS,
		};
		hnsw_fixture_assert_recall(&spec, 10, 64, 0.99);
		if (metric == METRIC_L2) {
			spec.space = HNSW_FIXTURE_ROWS;
			hnsw_fixture_assert_recall(&spec, 10, 64, 0.99);
		}
	}
}

static void a_node_without_row_is_infinitely_far(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {
	        .dim = 8, .n_rows = 300, .n_queries = 10, .params = PARAMS};
	struct hit hits[10];

	(void)state;
	for (spec.space = 0; spec.space < HNSW_FIXTURE_N_SPACES; spec.space++) {
		hnsw_fixture_open(&fixture, &spec);
		hnsw_fixture_append(&fixture, 0, 300);
		for (uint32_t node = 0; node < 300; node += 10) {
			hnsw_set_row(fixture.hnsw, node, HNSW_NO_ROW);
			hnsw_retire(fixture.hnsw, node);
		}
		hnsw_fixture_build(&fixture, 1);
		hnsw_fixture_assert_sound(&fixture);
		for (uint32_t q = 0; q < 10; q++) {
			assert_int_equal(hnsw_fixture_search(&fixture, q, 10, 50, hits), 10);
			for (uint32_t i = 0; i < 10; i++)
				assert_true(hits[i].distance < 1e30f);
		}
		hnsw_fixture_close(&fixture);
	}
}

/* Who is returned: in each space a graph that is built once */

enum {
	ROWS = 1200,
	QUERIES = 20,
};

static struct hnsw_fixture built[HNSW_FIXTURE_N_SPACES];

static int build_graphs(void **state)
{
	struct hnsw_fixture_spec spec = {
	        .dim = 16, .n_rows = ROWS, .n_queries = QUERIES, .params = PARAMS};

	(void)state;
	for (spec.space = 0; spec.space < HNSW_FIXTURE_N_SPACES; spec.space++) {
		struct hnsw_fixture *fixture = &built[spec.space];

		hnsw_fixture_open(fixture, &spec);
		hnsw_fixture_fill(fixture, 1);
		assert_int_equal(
		        hnsw_scratch_reserve(&fixture->scratch, fixture->hnsw, fixture->space, 32),
		        0);
	}
	return 0;
}

static int drop_graphs(void **state)
{
	(void)state;
	for (size_t space = 0; space < HNSW_FIXTURE_N_SPACES; space++)
		hnsw_fixture_close(&built[space]);
	return 0;
}

struct every {
	uint32_t step;
	uint32_t n_asked;
	uint32_t below;
};

static uint64_t every_nth_is_visible(void *ctx, const uint32_t *rows, uint32_t n)
{
	struct every *every = ctx;
	uint64_t mask = 0;

	assert_true(n > 0 && n <= HNSW_BATCH);
	every->n_asked += n;
	for (uint32_t i = 0; i < n; i++) {
		assert_true(rows[i] < every->below);
		mask |= (uint64_t)(rows[i] % every->step == 0) << i;
	}
	return mask;
}

static struct hnsw_search filtered(const struct hnsw_fixture *fixture, uint32_t q,
                                   struct every *every)
{
	return (struct hnsw_search){
	        .space = fixture->space,
	        .query = hnsw_fixture_query(fixture, q),
	        .k = 10,
	        .ef = 32,
	        .below = every->below,
	        .visible = every_nth_is_visible,
	        .visible_ctx = every,
	};
}

static void a_selective_predicate_still_fills_the_answer(void **state)
{
	static const uint32_t steps[] = {2, 10, 100, 120};
	struct hnsw_search_stats stats;
	struct hit hits[10];

	(void)state;
	for (size_t space = 0; space < HNSW_FIXTURE_N_SPACES; space++)
		for (size_t s = 0; s < 4; s++) {
			struct every every = {.step = steps[s], .below = ROWS};
			for (uint32_t q = 0; q < QUERIES; q++) {
				struct hnsw_fixture *fixture = &built[space];
				struct hnsw_search search = filtered(fixture, q, &every);
				assert_int_equal(hnsw_search(fixture->hnsw, &search,
				                             &fixture->scratch, hits, &stats),
				                 10);
				for (uint32_t i = 0; i < 10; i++) {
					assert_int_equal(hits[i].row_idx % steps[s], 0);
					for (uint32_t j = 0; j < i; j++)
						assert_int_not_equal(hits[j].row_idx,
						                     hits[i].row_idx);
				}
			}
			assert_true(every.n_asked > 0);
		}
}

static void a_bound_on_comparisons_cuts_a_search_and_says_so(void **state)
{
	struct hnsw_search_stats stats;
	struct hit hits[10];

	(void)state;
	for (size_t space = 0; space < HNSW_FIXTURE_N_SPACES; space++) {
		struct every every = {.step = ROWS + 1, .below = ROWS}; /* row 0 only */
		struct hnsw_fixture *fixture = &built[space];
		struct hnsw_search search = filtered(fixture, 0, &every);

		assert_int_equal(
		        hnsw_search(fixture->hnsw, &search, &fixture->scratch, hits, &stats), 1);
		assert_int_equal(hits[0].row_idx, 0);
		assert_false(stats.is_cut);
		/* Every node, once. */
		assert_in_range(stats.comparisons, ROWS, ROWS + 100);
		search.max_comparisons = 500;
		assert_true(hnsw_search(fixture->hnsw, &search, &fixture->scratch, hits, &stats) <=
		            1);
		assert_true(stats.is_cut);
		assert_true(stats.comparisons >= 500 && stats.comparisons < 500 + 2 * HNSW_BATCH);
	}
}

static void a_search_returns_nothing_from_its_bound_on(void **state)
{
	struct hnsw_search_stats stats;
	struct hit hits[10];

	(void)state;
	for (size_t space = 0; space < HNSW_FIXTURE_N_SPACES; space++)
		for (uint32_t below = 0; below <= ROWS; below += ROWS / 4) {
			struct every every = {.step = 1, .below = below};
			for (uint32_t q = 0; q < QUERIES; q++) {
				struct hnsw_fixture *fixture = &built[space];
				struct hnsw_search search = filtered(fixture, q, &every);
				uint32_t n = hnsw_search(fixture->hnsw, &search, &fixture->scratch,
				                         hits, &stats);
				assert_int_equal(n, below ? 10 : 0);
				for (uint32_t i = 0; i < n; i++)
					assert_true(hits[i].row_idx < below);
			}
		}
}

/* What a search for query idx finds with a queue of so many candidates; false: it says that it may
 * not be all. */
static bool search_with_queue(struct hnsw_fixture *fixture, uint32_t idx, struct every *every,
                              uint32_t n_candidates, struct hit hits[10], uint32_t *ret_n)
{
	struct hnsw_search search = filtered(fixture, idx, every);
	struct hnsw_search_stats stats;
	uint32_t n_there = fixture->scratch.n_candidates;

	fixture->scratch.n_candidates = n_candidates;
	*ret_n = hnsw_search(fixture->hnsw, &search, &fixture->scratch, hits, &stats);
	fixture->scratch.n_candidates = n_there;
	return !stats.is_cut;
}

/* Returns of how many queries it says that it may not. */
static uint32_t search_with_short_queues(struct hnsw_fixture *fixture, uint32_t step)
{
	struct every every = {.step = step, .below = ROWS};
	struct hit all[10], hits[10];
	uint32_t n_all, n, n_cut = 0;

	for (uint32_t q = 0; q < QUERIES; q++) {
		assert_true(search_with_queue(fixture, q, &every, fixture->scratch.n_candidates,
		                              all, &n_all));
		if (!search_with_queue(fixture, q, &every, 256, hits, &n)) {
			n_cut++;
			continue;
		}
		assert_int_equal(n, n_all);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(hits[i].row_idx, all[i].row_idx);
			assert_true(hits[i].distance == all[i].distance);
		}
	}
	return n_cut;
}

static void a_short_queue_finds_the_same_or_says_that_it_may_not(void **state)
{
	(void)state;
	for (size_t space = 0; space < HNSW_FIXTURE_N_SPACES; space++) {
		/* Where all may be returned, what is let go of leads nowhere. */
		assert_int_equal(search_with_short_queues(&built[space], 1), 0);
		assert_true(search_with_short_queues(&built[space], 10) +
		                    search_with_short_queues(&built[space], 120) >
		            0);
	}
}

/* The nearest alive of a query that are among n hits, by the exact scan. */
static uint32_t count_nearest(const struct hnsw_fixture *fixture, uint32_t q,
                              const struct hit *hits, uint32_t n)
{
	struct hit exact[10];
	uint32_t n_found = 0;

	assert_int_equal(hnsw_fixture_exact(fixture, q, ROWS, 10, exact), 10);
	for (uint32_t i = 0; i < 10; i++)
		for (uint32_t j = 0; j < n; j++)
			n_found += hits[j].row_idx == exact[i].row_idx;
	return n_found;
}

/* Last of those that share the graphs. */
static void dead_nodes_are_navigated_and_never_returned(void **state)
{
	struct hit hits[10], exact[20];

	(void)state;
	for (size_t space = 0; space < HNSW_FIXTURE_N_SPACES; space++) {
		struct hnsw_fixture *fixture = &built[space];
		uint32_t n_found = 0;

		/* The nearest of every query die. */
		for (uint32_t q = 0; q < QUERIES; q++) {
			hnsw_fixture_exact(fixture, q, ROWS, 20, exact);
			for (uint32_t i = 0; i < 20; i++)
				hnsw_retire(fixture->hnsw, (uint32_t)exact[i].row_idx);
		}
		assert_int_equal(hnsw_fixture_n_dead(fixture), QUERIES * 20);
		for (uint32_t q = 0; q < QUERIES; q++) {
			assert_int_equal(hnsw_fixture_search(fixture, q, 10, 64, hits), 10);
			for (uint32_t i = 0; i < 10; i++)
				assert_false(
				        hnsw_is_dead(fixture->hnsw, (uint32_t)hits[i].row_idx));
			n_found += count_nearest(fixture, q, hits, 10);
		}
		assert_true(n_found >= QUERIES * 10 * 99 / 100);
	}
}

/* Looking ahead */

/* A space that keeps account of what it was asked for. */
struct spy {
	struct hnsw_space space;
	const struct hnsw_space *whole;
	bool was_asked[ROWS];
	bool has_asked;
	uint32_t n_waiting; /* asked for and not measured yet */
	uint32_t n_asks, n_ahead;
};

static struct spy *spy_of(const struct hnsw_space *space)
{
	return (struct spy *)(uintptr_t)space;
}

static const void *spy_query(const struct hnsw_space *space, const float *vector, void *buf)
{
	return spy_of(space)->whole->query(spy_of(space)->whole, vector, buf);
}

static void spy_ask(const struct hnsw_space *space, const uint32_t *rows, uint32_t n)
{
	struct spy *spy = spy_of(space);

	assert_true(n <= HNSW_BATCH);
	for (uint32_t i = 0; i < n; i++) {
		assert_false(spy->was_asked[rows[i]]);
		spy->was_asked[rows[i]] = true;
	}
	spy->has_asked = true;
	spy->n_asks += n > 0;
	spy->n_ahead += n > 0 && spy->n_waiting > 0;
	spy->n_waiting += n;
}

static void spy_distances(const struct hnsw_space *space, const void *query, const uint32_t *rows,
                          uint32_t n, float bound, float *ret)
{
	struct spy *spy = spy_of(space);

	/* The way down to the beam goes without. */
	for (uint32_t i = 0; i < n && spy->has_asked; i++)
		assert_true(spy->was_asked[rows[i]]);
	if (spy->has_asked)
		spy->n_waiting -= n;
	spy->whole->distances(spy->whole, query, rows, n, bound, ret);
}

static void what_a_beam_measures_was_asked_for_a_hop_before(void **state)
{
	struct hnsw_fixture *fixture = &built[HNSW_FIXTURE_ROWS];
	struct hnsw_search_stats stats;
	struct hit hits[10], expected[10];
	uint32_t n_same = 0;

	(void)state;
	for (uint32_t q = 0; q < QUERIES; q++) {
		struct spy spy = {
		        .space = {.distances = spy_distances, .ask = spy_ask, .query = spy_query},
		        .whole = fixture->space};
		struct hnsw_search search = {
		        .space = &spy.space,
		        .query = hnsw_fixture_query(fixture, q),
		        .k = 10,
		        .ef = 32,
		        .below = ROWS,
		};
		assert_int_equal(
		        hnsw_search(fixture->hnsw, &search, &fixture->scratch, hits, &stats), 10);
		/* All that was asked for, and for most of it while something else was due. */
		assert_int_equal(spy.n_waiting, 0);
		assert_true(spy.n_ahead > 0 && spy.n_ahead >= spy.n_asks / 2);
		assert_int_equal(hnsw_fixture_search(fixture, q, 10, 32, expected), 10);
		for (uint32_t i = 0; i < 10; i++)
			n_same += hits[i].row_idx == expected[i].row_idx;
	}
	assert_true(n_same >= QUERIES * 10 * 97 / 100);
}

/* Scratch */

static void a_scratch_serves_graphs_of_any_size_in_turn(void **state)
{
	struct hnsw_fixture small, large;
	struct hnsw_fixture_spec spec = {
	        .dim = 8, .n_rows = 100, .n_queries = 400, .params = PARAMS};

	(void)state;
	hnsw_fixture_open(&small, &spec);
	hnsw_fixture_fill(&small, 1);
	spec.n_rows = 5000;
	spec.params.ef_construction = 16;
	hnsw_fixture_open(&large, &spec);
	hnsw_fixture_fill(&large, 1);
	struct hnsw_scratch own = large.scratch;
	/* More searches than there are epochs of the marks. */
	large.scratch = small.scratch;
	assert_true(hnsw_fixture_recall(&large, 1, 64) > 0.95);
	small.scratch = large.scratch;
	assert_true(hnsw_fixture_recall(&small, 10, 64) > 0.99);
	large.scratch = own;
	hnsw_fixture_close(&small);
	hnsw_fixture_close(&large);
}

static void a_full_queue_keeps_the_nearest_and_tells_the_nearest_that_went(void **state)
{
	uint64_t queue[1000], keys[1000];
	uint32_t n = 0, n_within = 0;

	(void)state;
	srand48(5);
	for (uint32_t i = 0; i < 1000; i++) {
		/* Many at the same distance, as duplicates are. */
		keys[i] = hnsw_key((float)(lrand48() % 7), i);
		hnsw_queue_push(queue, &n, keys[i]);
	}
	uint64_t gone = hnsw_queue_shorten(queue, &n);
	assert_true(n >= 250 && n <= 500);
	for (uint32_t i = 0; i < 1000; i++)
		n_within += keys[i] < gone;
	assert_int_equal(n_within, n);
	for (uint64_t before = 0; n > 0;) {
		uint64_t key = hnsw_queue_pop(queue, &n);
		assert_true(key > before && key < gone);
		before = key;
	}
}

/* Marks ---------------------------------------------------------------------------------------- */

static uint64_t marks_bytes(const struct hnsw_fixture *fixture)
{
	struct budget_figures figures;

	budget_figures(fixture->budget, &figures);
	return figures.used_by_kind[BUDGET_MARKS];
}

static void marks_are_lent_out_of_the_budget_and_taken_back(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {
	        .dim = 8, .n_rows = 500, .n_queries = 300, .params = PARAMS};

	(void)state;
	hnsw_fixture_open(&fixture, &spec);
	hnsw_fixture_fill(&fixture, 1);
	hnsw_scratch_init(&fixture.scratch, fixture.budget);
	assert_int_equal(marks_bytes(&fixture), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(hnsw_scratch_lend(&fixture.scratch, 500), 0);
		assert_int_equal(marks_bytes(&fixture), RUN_BYTES);
		/* More searches than there are epochs. */
		assert_true(hnsw_fixture_recall(&fixture, 10, 64) > 0.99);
		assert_int_equal(hnsw_scratch_lend(&fixture.scratch, RUN_BYTES), 0);
		assert_int_equal(marks_bytes(&fixture), RUN_BYTES);
		assert_int_equal(hnsw_scratch_lend(&fixture.scratch, RUN_BYTES + 1), 0);
		assert_int_equal(marks_bytes(&fixture), 2 * RUN_BYTES);
		hnsw_scratch_rest(&fixture.scratch);
		assert_true(hnsw_fixture_recall(&fixture, 10, 64) > 0.99);
		hnsw_scratch_take_back(&fixture.scratch);
		assert_int_equal(marks_bytes(&fixture), 0);
	}
	assert_int_equal(hnsw_scratch_lend(&fixture.scratch, HNSW_NODES_MAX), 0);
	assert_int_equal(marks_bytes(&fixture), HNSW_NODES_MAX);
	hnsw_scratch_release(&fixture.scratch);
	assert_int_equal(marks_bytes(&fixture), 0);
	hnsw_fixture_close(&fixture);
}

static void a_full_budget_lends_none_and_takes_nothing(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {
	        .dim = 8, .n_rows = 1, .n_queries = 1, .params = PARAMS, .limit_bytes = SLAB_BYTES};

	(void)state;
	hnsw_fixture_open(&fixture, &spec);
	hnsw_scratch_init(&fixture.scratch, fixture.budget);
	assert_int_equal(hnsw_scratch_lend(&fixture.scratch, SLAB_BYTES + 1), BUDGET_FULL);
	assert_int_equal(marks_bytes(&fixture), 0);
	assert_int_equal(hnsw_scratch_lend(&fixture.scratch, SLAB_BYTES), 0);
	assert_int_equal(hnsw_scratch_lend(&fixture.scratch, SLAB_BYTES + 1), BUDGET_FULL);
	assert_int_equal(marks_bytes(&fixture), SLAB_BYTES);
	hnsw_scratch_release(&fixture.scratch);
	hnsw_fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(recall_is_high_under_every_metric),
	        cmocka_unit_test(recall_is_high_in_a_large_graph),
	        cmocka_unit_test(every_dimension_works),
	        cmocka_unit_test(graphs_of_few_nodes_are_exact),
	        cmocka_unit_test(equal_vectors_are_all_found),
	        cmocka_unit_test(heavy_duplicates_do_not_make_islands),
	        cmocka_unit_test(near_duplicates_of_notes_are_found),
	        cmocka_unit_test(a_node_without_row_is_infinitely_far),
	        cmocka_unit_test(a_scratch_serves_graphs_of_any_size_in_turn),
	        cmocka_unit_test(a_full_queue_keeps_the_nearest_and_tells_the_nearest_that_went),
	        cmocka_unit_test(marks_are_lent_out_of_the_budget_and_taken_back),
	        cmocka_unit_test(a_full_budget_lends_none_and_takes_nothing),
	};
	const struct CMUnitTest tests_of_built[] = {
	        cmocka_unit_test(a_selective_predicate_still_fills_the_answer),
	        cmocka_unit_test(a_bound_on_comparisons_cuts_a_search_and_says_so),
	        cmocka_unit_test(a_search_returns_nothing_from_its_bound_on),
	        cmocka_unit_test(a_short_queue_finds_the_same_or_says_that_it_may_not),
	        cmocka_unit_test(what_a_beam_measures_was_asked_for_a_hop_before),
	        cmocka_unit_test(dead_nodes_are_navigated_and_never_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) +
	       cmocka_run_group_tests(tests_of_built, build_graphs, drop_graphs);
}
