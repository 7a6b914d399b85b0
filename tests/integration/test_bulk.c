/* SPDX-License-Identifier: Apache-2.0 */

/* Bulk writing: indexes and caches wait until all is stored. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

#define N_COLLECTIONS 8
#define N_BATCHES 97
/* More than begin an insert. */
#define BATCH 260u
#define RECORDS 64u

static bool set_bulk(struct kith_conn *conn, const char *collection, bool bulk)
{
	struct kith_set_bulk_params params = {kith_text(collection), bulk};
	struct kith_set_bulk_result *result;
	bool changed;

	DONE(conn, kith_set_bulk(conn, &params, &result));
	changed = result->changed;
	kith_free(result);
	return changed;
}

static bool is_bulk(struct kith_conn *conn, const char *collection)
{
	struct kith_describe_collection_params params = {kith_text(collection)};
	struct kith_describe_collection_result *result;
	bool bulk;

	DONE(conn, kith_describe_collection(conn, &params, &result));
	bulk = result->collection.bulk;
	kith_free(result);
	return bulk;
}

static void fill(struct kith_conn *conn, const char *collection)
{
	make_collection(conn, collection, KITH_METRIC_L2);
	put_records(conn, collection, 0, RECORDS, 1);
	ensure(conn, (struct ask){.collection = collection, .wait = true});
	await_settled(conn, collection, NULL);
}

/* The record is found, by the graph or without it. */
static void expect_found(struct kith_conn *conn, const char *collection, uint64_t number, bool bulk)
{
	struct kith_search_result *found = search_near(conn, collection, number, 1, 5, false);

	expect_honest(found);
	assert_true(holds_record(found, number, 1));
	assert_int_equal(found->bulk, bulk);
	assert_int_equal(found->mode, bulk ? KITH_MODE_EXACT : KITH_MODE_HNSW);
	kith_free(found);
}

static uint64_t n_loads(struct kith_conn *conn)
{
	struct kith_stats_result *stats;
	uint64_t n;

	DONE(conn, kith_stats(conn, &stats));
	n = stats->cache.loads;
	kith_free(stats);
	return n;
}

static const char *name_of(int i, char name[static 16])
{
	snprintf(name, 16, "c%d", i);
	return name;
}

/* What came of the index since the view was taken. */
static void expect_untouched(struct kith_conn *conn, const char *collection,
                             const struct index_view *before)
{
	struct index_view now = index_of(conn, collection, NULL);

	assert_int_equal(now.at.builds, before->at.builds);
	assert_int_equal(now.at.loads, before->at.loads);
	assert_int_equal(now.at.nodes, before->at.nodes);
	assert_int_equal(now.at.size_bytes, 0);
	assert_int_equal(now.at.state, KITH_INDEX_STATE_EVICTED);
	assert_int_equal(usage_of(conn, collection).resident_rows, 0);
}

static void many_batches_load_nothing_and_end_in_one_job_an_index(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct index_view before[N_COLLECTIONS];
	uint64_t loads_before, n_rows[N_COLLECTIONS];
	char name[16];

	(void)state;
	for (int i = 0; i < N_COLLECTIONS; i++) {
		fill(conn, name_of(i, name));
		n_rows[i] = RECORDS;
		before[i] = index_of(conn, name, NULL);
		assert_true(set_bulk(conn, name, true));
		assert_false(set_bulk(conn, name, true));
		assert_true(is_bulk(conn, name));
	}
	loads_before = n_loads(conn);
	for (int batch = 0; batch < N_BATCHES; batch++) {
		int i = batch % N_COLLECTIONS;
		/* One is so large that an insert would begin. */
		uint32_t n = batch == 1 ? BATCH : 4;

		put_records(conn, name_of(i, name), n_rows[i], n, 1);
		n_rows[i] += n;
		if (batch % 10 == 0)
			expect_found(conn, name, n_rows[i] - 1, true);
	}
	assert_int_equal(n_loads(conn), loads_before);
	for (int i = 0; i < N_COLLECTIONS; i++)
		expect_untouched(conn, name_of(i, name), &before[i]);

	for (int i = 0; i < N_COLLECTIONS; i++) {
		assert_true(set_bulk(conn, name_of(i, name), false));
		optimize(conn, name, NULL);
		assert_int_equal(index_of(conn, name, NULL).at.pending, 0);
		assert_int_equal(index_of(conn, name, NULL).at.loads, before[i].at.loads + 1);
		expect_found(conn, name, n_rows[i] - 1, false);
	}
	kith_close(conn);
	daemon_thread_free(daemon);
}

/* With one worker an insert is, unless the index holds nothing; with two a build is, when half of
 * the records are pending. */
static void its_end_builds_or_inserts_whichever_is_sooner_done(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct kith_create_collection_params empty = {.name = kith_text("empty"),
	                                              .dim = RECORD_DIM,
	                                              .metric = KITH_METRIC_L2,
	                                              .bulk = true};

	(void)state;
	fill(conn, "full");
	set_bulk(conn, "full", true);
	put_records(conn, "full", RECORDS, 20, 1);
	set_bulk(conn, "full", false);
	optimize(conn, "full", NULL);
	assert_int_equal(index_of(conn, "full", NULL).at.builds, 1);
	assert_int_equal(index_of(conn, "full", NULL).at.pending, 0);

	/* One background thread is left for what else there is. */
	kith_close(conn);
	daemon_thread_set_background(daemon, 3);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	set_bulk(conn, "full", true);
	put_records(conn, "full", 2 * RECORDS, 2 * RECORDS, 1);
	set_bulk(conn, "full", false);
	optimize(conn, "full", NULL);
	assert_int_equal(index_of(conn, "full", NULL).at.builds, 1);
	assert_int_equal(index_of(conn, "full", NULL).at.pending, 0);

	DONE(conn, kith_create_collection(conn, &empty, NULL));
	/* What is asked for is done: an index of nothing. */
	ensure(conn, (struct ask){.collection = "empty", .wait = true});
	put_records(conn, "empty", 0, RECORDS, 1);
	assert_int_equal(index_of(conn, "empty", NULL).at.pending, RECORDS);
	set_bulk(conn, "empty", false);
	optimize(conn, "empty", NULL);
	assert_int_equal(index_of(conn, "empty", NULL).at.builds, 2);
	assert_int_equal(index_of(conn, "empty", NULL).at.pending, 0);
	expect_found(conn, "empty", 7, false);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void it_outlives_a_restart_and_what_is_asked_for_is_done(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);

	(void)state;
	fill(conn, "notes");
	set_bulk(conn, "notes", true);
	put_records(conn, "notes", RECORDS, BATCH, 1);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	assert_true(is_bulk(conn, "notes"));
	expect_found(conn, "notes", RECORDS + 3, true);
	/* Nobody needs the snapshot, so it is not looked for. */
	assert_int_equal(index_of(conn, "notes", NULL).at.state, KITH_INDEX_STATE_DECLARED);
	assert_int_equal(index_of(conn, "notes", NULL).at.loads, 0);
	warm(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.pending, BATCH);
	assert_int_equal(optimize(conn, "notes", NULL).inserted, BATCH);
	expect_found(conn, "notes", RECORDS + 3, true);
	set_bulk(conn, "notes", false);
	expect_found(conn, "notes", RECORDS + 3, false);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void one_that_is_not_there_is_refused(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct kith_set_bulk_params params = {kith_text("notes"), true};

	(void)state;
	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_set_bulk(conn, &params, NULL));
	kith_close(conn);
	daemon_thread_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(many_batches_load_nothing_and_end_in_one_job_an_index),
	        cmocka_unit_test(its_end_builds_or_inserts_whichever_is_sooner_done),
	        cmocka_unit_test(it_outlives_a_restart_and_what_is_asked_for_is_done),
	        cmocka_unit_test(one_that_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
