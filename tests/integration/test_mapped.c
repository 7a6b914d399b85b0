/* SPDX-License-Identifier: Apache-2.0 */

/* What is served from mapped files, for want of a budget, and what becomes of it when they are cut
 * short while they are read. */

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/cache_backend.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/saved_index.h"
#include "tests/lib/store_twin.h"

#define RECORDS 1000u

static struct daemon_thread *begin(struct kith_conn **ret)
{
	struct daemon_thread *daemon = daemon_thread_new_with(store_io_posix(), NULL, 0);

	*ret = connect_to(daemon);
	make_collection(*ret, "notes", KITH_METRIC_L2);
	put_records(*ret, "notes", 0, RECORDS, 1);
	await_mapped(*ret, "notes");
	return daemon;
}

static void end(struct daemon_thread *daemon, struct kith_conn *conn)
{
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void cut_vectors(const struct daemon_thread *daemon, struct kith_conn *conn)
{
	char dir[DAEMON_PROCESS_PATH_SIZE], path[DAEMON_PROCESS_PATH_SIZE + 16];

	collection_path(conn, "notes", daemon_thread_cache_dir(daemon), dir);
	snprintf(path, sizeof(path), "%s/vectors", dir);
	assert_int_equal(truncate(path, 70000), 0);
}

static void expect_nearest(struct kith_conn *conn, uint64_t number, bool exact,
                           enum kith_source source)
{
	struct kith_search_result *found = search_near(conn, "notes", number, 1, 3, exact);

	assert_int_equal(found->ids.v[0].number, number);
	assert_true(found->distances.v[0] == 0.0f);
	assert_int_equal(found->served_from, source);
	assert_false(found->cached);
	kith_free(found);
}

static void vectors_that_are_cut_short_while_mapped_come_from_the_truth(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);

	(void)state;
	expect_nearest(conn, 950, true, KITH_SOURCE_MAPPED);
	for (int round = 0; round < 2; round++) {
		cut_vectors(daemon, conn);
		/* The search that meets it, and those behind it, which need not any more. */
		expect_nearest(conn, 950, true, KITH_SOURCE_TRUTH);
		expect_journaled(conn, "the vector file cannot be used from row ");
		expect_records(conn, "notes", 0, RECORDS, 1);
		await_mapped(conn, "notes");
		expect_nearest(conn, 951, true, KITH_SOURCE_MAPPED);
		put_records(conn, "notes", 7, 3, 1);
		expect_records(conn, "notes", 0, RECORDS, 1);
	}
	end(daemon, conn);
}

static void a_graph_over_vectors_that_are_cut_short_gives_way_to_the_truth(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_search_result *found;

	(void)state;
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	await_settled(conn, "notes", NULL);
	expect_nearest(conn, 950, false, KITH_SOURCE_MAPPED);
	cut_vectors(daemon, conn);
	found = search_near(conn, "notes", 950, 1, 3, false);
	assert_int_equal(found->ids.v[0].number, 950);
	assert_int_equal(found->mode, KITH_MODE_EXACT);
	assert_int_equal(found->served_from, KITH_SOURCE_TRUTH);
	kith_free(found);
	await_mapped(conn, "notes");
	found = search_near(conn, "notes", 950, 1, 3, false);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	kith_free(found);
	expect_records(conn, "notes", 0, RECORDS, 1);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	end(daemon, conn);
}

static void a_build_over_vectors_that_are_cut_short_fails_and_is_tried_again(void **state)
{
	struct kith_conn *conn, *other;
	struct daemon_thread *daemon = begin(&conn);
	struct gate *gate = daemon_thread_gate(daemon, "build", "start");
	uint64_t ticket;

	(void)state;
	other = connect_to(daemon);
	ticket = submit_ensure(other, (struct ask){.collection = "notes", .wait = true});
	gate_await(gate);
	cut_vectors(daemon, conn);
	gate_open(gate);
	collect_ensure_refused(other, ticket, KITH_ERROR_BUILD_FAILED);
	await_settled(conn, "notes", NULL);
	expect_records(conn, "notes", 0, RECORDS, 1);
	kith_close(other);
	end(daemon, conn);
}

/* Graphs --------------------------------------------------------------------------------------- */

static void expect_graph(struct kith_conn *conn, const char *collection, bool mapped)
{
	struct kith_search_result *found = search_near(conn, collection, 77, 1, 3, false);

	assert_int_equal(found->ids.v[0].number, 77);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	if (mapped)
		assert_int_equal(found->served_from, KITH_SOURCE_MAPPED);
	kith_free(found);
	assert_int_equal(index_of(conn, collection, NULL).at.mapped, mapped);
}

/* A saved index, evicted. */
static void build_and_evict(struct kith_conn *conn, const char *collection)
{
	ensure(conn, (struct ask){.collection = collection, .wait = true});
	await_settled(conn, collection, NULL);
	assert_true(evict(conn, collection, NULL).was_cached);
}

static void a_graph_that_has_no_room_is_served_from_its_snapshot_and_can_grow(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_stats_result *stats;

	(void)state;
	build_and_evict(conn, "notes");
	expect_graph(conn, "notes", true);
	expect_records(conn, "notes", 0, RECORDS, 1);
	DONE(conn, kith_stats(conn, &stats));
	assert_int_equal(stats->budget.used_bytes, 0);
	assert_int_equal(stats->budget.peak_bytes, 0);
	kith_free(stats);
	/* It is loaded to where it can be written to, and mapped again when it comes back. */
	put_records(conn, "notes", RECORDS, 300, 1);
	put_records(conn, "notes", 5, 5, 2);
	delete_records(conn, "notes", 700, 10);
	optimize(conn, "notes", NULL);
	assert_false(index_of(conn, "notes", NULL).at.mapped);
	assert_int_equal(index_of(conn, "notes", NULL).at.nodes, RECORDS + 305);
	evict(conn, "notes", NULL);
	expect_graph(conn, "notes", true);
	expect_records(conn, "notes", 0, 5, 1);
	expect_records(conn, "notes", 5, 5, 2);
	expect_no_records(conn, "notes", 700, 10, 1);
	expect_records(conn, "notes", 710, RECORDS - 710 + 300, 1);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	expect_records(conn, "notes", 710, RECORDS - 710 + 300, 1);
	await_settled(conn, "notes", NULL);
	expect_graph(conn, "notes", true);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	end(daemon, conn);
}

static void snapshot_path(const struct daemon_thread *daemon, struct kith_conn *conn,
                          char path[static DAEMON_PROCESS_PATH_SIZE + 32])
{
	char dir[DAEMON_PROCESS_PATH_SIZE];
	const struct dirent *entry;
	DIR *entries;

	collection_path(conn, "notes", daemon_thread_cache_dir(daemon), dir);
	entries = opendir(dir);
	assert_non_null(entries);
	while ((entry = readdir(entries)) && strncmp(entry->d_name, "hnsw-", 5) != 0) {
	}
	assert_non_null(entry);
	snprintf(path, DAEMON_PROCESS_PATH_SIZE + 32, "%s/%.30s", dir, entry->d_name);
	closedir(entries);
}

static void a_snapshot_that_is_cut_short_while_mapped_gives_way_to_a_new_build(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	char path[DAEMON_PROCESS_PATH_SIZE + 32];
	struct kith_search_result *found;

	(void)state;
	build_and_evict(conn, "notes");
	expect_graph(conn, "notes", true);
	snapshot_path(daemon, conn, path);
	assert_int_equal(truncate(path, 4096), 0);
	found = search_near(conn, "notes", 77, 1, 3, false);
	assert_int_equal(found->ids.v[0].number, 77);
	assert_int_equal(found->mode, KITH_MODE_EXACT);
	kith_free(found);
	expect_journaled(conn, "the snapshot cannot be read any more");
	await_settled(conn, "notes", NULL);
	expect_graph(conn, "notes", false);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 2);
	expect_records(conn, "notes", 0, RECORDS, 1);
	end(daemon, conn);
}

static void a_mapped_graph_comes_back_without_reading_its_links(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	struct gate *synced;

	(void)state;
	/* It stands: the vector file is synced once, with the snapshot, and no pause comes in which
	 * the collection is cared for. */
	fake_clock_init(&clock, 0);
	daemon = daemon_thread_new_with(store_twin_io(twin), &clock.clock, 0);
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	synced = daemon_thread_gate(daemon, "sync", "end");
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	await_settled(conn, "notes", NULL);
	gate_await(synced);
	gate_open(synced);
	evict(conn, "notes", NULL);
	expect_graph(conn, "notes", true); /* checks its chunks */
	evict(conn, "notes", NULL);
	store_twin_forget(twin);
	expect_graph(conn, "notes", true);
	/* Nor its name, header or table: two chunks of slots are all. */
	assert_int_equal(store_twin_n_ops(twin), 2);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_READ, "hnsw-"), 2);
	end(daemon, conn);
	store_twin_free(twin);
}

static bool is_placed(void *ctx)
{
	struct index_view view;

	return find_index(ctx, "notes", NULL, &view) && view.at.mapped &&
	       view.at.state == KITH_INDEX_STATE_SERVING;
}

static void the_mmap_backend_serves_everything_mapped(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_stats_result *stats;
	struct kith_conn *conn;

	(void)state;
	daemon_thread_stop(daemon);
	daemon_thread_set_cache(daemon, cache_backend_mmap);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	/* When it is saved, it moves. */
	await(is_placed, conn, "the index is mapped");
	expect_graph(conn, "notes", true);
	expect_records(conn, "notes", 0, RECORDS, 1);
	DONE(conn, kith_stats(conn, &stats));
	assert_true(is_text(stats->cache.backend, "mmap"));
	kith_free(stats);
	end(daemon, conn);
}

/* However much room there is. */
static void a_collection_keeps_to_its_share(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn;

	(void)state;
	daemon_thread_stop(daemon);
	daemon_thread_set_share(daemon, "notes", 0);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	for (int i = 0; i < 2; i++) {
		const char *name = i == 0 ? "notes" : "mails";

		make_collection(conn, name, KITH_METRIC_L2);
		put_records(conn, name, 0, RECORDS, 1);
		ensure(conn, (struct ask){.collection = name, .wait = true});
	}
	await(is_placed, conn, "the index is mapped");
	await_settled(conn, "mails", NULL);
	assert_false(index_of(conn, "mails", NULL).at.mapped);
	evict(conn, "notes", NULL);
	evict(conn, "mails", NULL);
	expect_graph(conn, "notes", true);
	expect_graph(conn, "mails", false);
	end(daemon, conn);
}

#define N_COLLECTIONS 8

static uint32_t n_mapped(struct kith_conn *conn)
{
	uint32_t n = 0;

	for (int i = 0; i < N_COLLECTIONS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "notes%d", i);
		n += index_of(conn, name, NULL).at.mapped;
	}
	return n;
}

struct searched {
	struct kith_conn *conn;
	struct fake_clock *clock;
};

/* What came too early is tried again later. */
static bool first_is_in_memory(void *ctx)
{
	struct searched *searched = ctx;

	kith_free(search_near(searched->conn, "notes0", 77, 1, 3, false));
	fake_clock_advance_ms(searched->clock, 1000);
	return !index_of(searched->conn, "notes0", NULL).at.mapped;
}

/* Each takes some six runs of the 32 that there are. */
static void what_is_searched_gets_the_room_of_what_is_not(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	struct kith_stats_result *stats;
	char name[32];

	(void)state;
	fake_clock_init(&clock, 1700000000000);
	daemon = daemon_thread_new_with(store_io_posix(), &clock.clock, 2);
	conn = connect_to(daemon);
	for (int i = 0; i < N_COLLECTIONS; i++) {
		snprintf(name, sizeof(name), "notes%d", i);
		make_collection(conn, name, KITH_METRIC_L2);
		put_records(conn, name, 0, RECORDS, 1);
		build_and_evict(conn, name);
	}
	/* All are used at the same time: who comes last is mapped, nobody is pushed out. */
	for (int i = N_COLLECTIONS; i-- > 0;) {
		snprintf(name, sizeof(name), "notes%d", i);
		assert_false(warm(conn, name, NULL).was_cached);
	}
	assert_true(n_mapped(conn) > 0);
	assert_true(n_mapped(conn) < N_COLLECTIONS);
	expect_graph(conn, "notes0", true);
	for (int i = 0; i < N_COLLECTIONS; i++) {
		snprintf(name, sizeof(name), "notes%d", i);
		assert_true(warm(conn, name, NULL).was_cached);
	}
	/* The others are cold by now. */
	fake_clock_advance_ms(&clock, 60000);
	await(first_is_in_memory, &(struct searched){conn, &clock}, "the index is in memory");
	expect_graph(conn, "notes0", false);
	DONE(conn, kith_stats(conn, &stats));
	assert_true(stats->budget.peak_bytes <= stats->budget.limit_bytes);
	kith_free(stats);
	end(daemon, conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_graph_that_has_no_room_is_served_from_its_snapshot_and_can_grow),
	        cmocka_unit_test(
	                a_snapshot_that_is_cut_short_while_mapped_gives_way_to_a_new_build),
	        cmocka_unit_test(a_mapped_graph_comes_back_without_reading_its_links),
	        cmocka_unit_test(the_mmap_backend_serves_everything_mapped),
	        cmocka_unit_test(a_collection_keeps_to_its_share),
	        cmocka_unit_test(what_is_searched_gets_the_room_of_what_is_not),
	        cmocka_unit_test(vectors_that_are_cut_short_while_mapped_come_from_the_truth),
	        cmocka_unit_test(a_graph_over_vectors_that_are_cut_short_gives_way_to_the_truth),
	        cmocka_unit_test(a_build_over_vectors_that_are_cut_short_fails_and_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
