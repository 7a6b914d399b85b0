/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How searches were answered, as `stats` counts it: each search is one more in exactly the row that
 * tells what was done for it.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

/* So many that a graph of them may be cut short, and too few to be built anew when they die. */
#define MANY 4000u

/* What makes a row of its own. */
struct way {
	const char *index; /* "": none */
	enum kith_mode mode;
	bool fell_back, pending;
};

/* The rows of the collection that were answered that way, from wherever, together. */
static struct kith_tally tally_of(struct kith_conn *conn, struct way way)
{
	struct kith_tally sum = {0};
	struct kith_stats_result *stats;

	DONE(conn, kith_stats(conn, &stats));
	for (uint32_t i = 0; i < stats->searches.n; i++) {
		const struct kith_tally *row = &stats->searches.v[i];

		assert_true(row->searches > 0);
		if (!is_text(row->collection, "notes") || !is_text(row->index, way.index) ||
		    row->mode != (uint32_t)way.mode || row->fell_back != way.fell_back ||
		    row->pending != way.pending)
			continue;
		sum.searches += row->searches;
		sum.comparisons += row->comparisons;
		sum.scanned += row->scanned;
	}
	kith_free(stats);
	return sum;
}

/* Over all rows of the collection. */
static uint64_t n_searches(struct kith_conn *conn, bool mapped_only)
{
	struct kith_stats_result *stats;
	uint64_t n = 0;

	DONE(conn, kith_stats(conn, &stats));
	for (uint32_t i = 0; i < stats->searches.n; i++)
		if (!mapped_only || stats->searches.v[i].served_from == KITH_SOURCE_MAPPED)
			n += stats->searches.v[i].searches;
	kith_free(stats);
	return n;
}

/* One search goes into that row and no other, with what its answer says. */
static void expect_counted(struct kith_conn *conn, struct way way, bool exact)
{
	struct kith_tally before = tally_of(conn, way), after;
	uint64_t n_before = n_searches(conn, false), n_mapped = n_searches(conn, true);
	struct kith_search_result *found = search_near(conn, "notes", 7, 1, 5, exact);

	assert_int_equal(found->mode, way.mode);
	after = tally_of(conn, way);
	assert_int_equal(after.searches, before.searches + 1);
	assert_int_equal(after.comparisons, before.comparisons + found->comparisons);
	assert_int_equal(after.scanned, before.scanned + found->scanned);
	assert_int_equal(n_searches(conn, false), n_before + 1);
	assert_int_equal(n_searches(conn, true),
	                 n_mapped + (found->served_from == KITH_SOURCE_MAPPED));
	assert_int_equal(found->comparisons > 0, way.mode == KITH_MODE_HNSW);
	assert_int_equal(found->scanned > 0, way.mode == KITH_MODE_EXACT || way.pending);
	assert_int_equal(usage_of(conn, "notes").searches, n_before + 1);
	kith_free(found);
}

static void each_search_counts_as_what_was_done_for_it(void **state)
{
	const struct way scan = {.index = "", .mode = KITH_MODE_EXACT};
	const struct way graph = {.index = "vector", .mode = KITH_MODE_HNSW};
	const struct way graph_and_pending = {
	        .index = "vector", .mode = KITH_MODE_HNSW, .pending = true};
	const struct way fell_back = {
	        .index = "vector", .mode = KITH_MODE_EXACT, .fell_back = true};
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct gate *gate, *rebuild;

	(void)state;
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, MANY, 1);
	assert_int_equal(n_searches(conn, false), 0);
	expect_counted(conn, scan, false);
	expect_counted(conn, scan, true);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	expect_counted(conn, graph, false);
	expect_counted(conn, graph, false);
	expect_counted(conn, scan, true);
	gate = daemon_thread_gate(daemon, "collect", "start");
	put_records(conn, "notes", MANY, 3, 1);
	expect_counted(conn, graph_and_pending, false);
	gate_open(gate);
	optimize(conn, "notes", NULL);
	/* Nearly all that the graph leads through is gone: until there is another, it is given up
	 * and all are compared. */
	rebuild = daemon_thread_gate(daemon, "build", "start");
	delete_records(conn, "notes", 0, MANY - 20);
	expect_counted(conn, fell_back, false);
	expect_counted(conn, scan, true);
	gate_open(rebuild);
	/* What the index says of itself are those that it answered. */
	assert_int_equal(index_of(conn, "notes", NULL).at.searches, 3);
	assert_int_equal(index_of(conn, "notes", NULL).at.comparisons,
	                 tally_of(conn, graph).comparisons +
	                         tally_of(conn, graph_and_pending).comparisons);
	/* A dropped index takes its rows along. */
	assert_int_equal(drop_index(conn, "notes", NULL), 0);
	assert_int_equal(n_searches(conn, false), tally_of(conn, scan).searches);
	kith_close(conn);
	daemon_thread_free(daemon);
}

/* Queries are counted, not their bytes. */
static void many_queries_of_f16_are_as_many_searches(void **state)
{
	static const uint16_t zeros[3 * RECORD_DIM];
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct kith_search_params params = {
	        .collection = kith_text("notes"),
	        .vectors = kith_vectors_f16(zeros, 3 * RECORD_DIM),
	        .dtype = KITH_DTYPE_F16,
	        .k = 2,
	};

	(void)state;
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 10, 1);
	DONE(conn, kith_search(conn, &params, NULL));
	assert_int_equal(n_searches(conn, false), 3);
	assert_int_equal(usage_of(conn, "notes").searches, 3);
	kith_close(conn);
	daemon_thread_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_search_counts_as_what_was_done_for_it),
	        cmocka_unit_test(many_queries_of_f16_are_as_many_searches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
