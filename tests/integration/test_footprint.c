/* SPDX-License-Identifier: Apache-2.0 */

/* What the daemon tells about its memory: of each index, of each kind of request, of the process.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"

#define RECORDS 300u

static bool is_called(struct kith_str name, const char *text)
{
	return name.n == strlen(text) && memcmp(name.data, text, name.n) == 0;
}

/* Zeros when there was no request of that method. */
static struct kith_operation operation_of(const struct kith_stats_result *stats, const char *method)
{
	for (uint32_t i = 0; i < stats->operations.n; i++)
		if (is_called(stats->operations.v[i].method, method))
			return stats->operations.v[i];
	return (struct kith_operation){0};
}

static void each_index_is_told_with_what_it_holds_and_how_it_was_found(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct kith_stats_result *stats;
	const struct kith_holding *holding;
	struct kith_operation evicting, searching;

	(void)state;
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	await_settled(conn, "notes", NULL);
	for (uint64_t i = 0; i < 3; i++)
		kith_free(search_near(conn, "notes", i, 1, 3, false));
	evict(conn, "notes", NULL);
	DONE(conn, kith_stats(conn, &stats));
	assert_int_equal(stats->indexes.n, 1);
	assert_int_equal(stats->indexes.v[0].state, KITH_INDEX_STATE_EVICTED);
	assert_int_equal(stats->indexes.v[0].size_bytes, 0);
	assert_int_equal(stats->indexes.v[0].nodes, RECORDS);
	evicting = operation_of(stats, "evict");
	assert_int_equal(evicting.requests, 1);
	assert_true(evicting.shrunk_bytes > 0);
	assert_int_equal(evicting.grown_bytes, 0);
	searching = operation_of(stats, "search");
	assert_int_equal(searching.requests, 3);
	kith_free(stats);
	kith_free(search_near(conn, "notes", 7, 1, 3, false));
	DONE(conn, kith_stats(conn, &stats));
	holding = &stats->indexes.v[0];
	assert_true(is_called(holding->collection, "notes"));
	assert_true(is_called(holding->index, "vector"));
	assert_int_equal(holding->dim, RECORD_DIM);
	assert_int_equal(holding->nodes, RECORDS);
	assert_int_equal(holding->pending, 0);
	/* The one that found it gone found it when it had been loaded. */
	assert_int_equal(holding->hits, 4);
	assert_int_equal(holding->misses, 1);
	assert_int_equal(holding->loads, 1);
	assert_int_equal(holding->evictions, 1);
	assert_true(holding->comparisons > 0);
	assert_true(holding->size_bytes > 0);
	assert_false(holding->mapped);
	/* It came back from its file for a search. */
	assert_true(operation_of(stats, "search").grown_bytes > searching.grown_bytes);
	assert_true(operation_of(stats, "search").most_bytes > 0);
	kith_free(stats);
	kith_close(conn);
	daemon_thread_free(daemon);
}

/* The tick gives back what connections keep, once the clock says that nobody came for a while. */
static bool holds_less(void *ctx)
{
	return sqlite3_memory_used() < *(const sqlite3_int64 *)ctx;
}

static void databases_keep_to_their_cache_and_give_it_back_when_nobody_comes(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	sqlite3_int64 before;

	(void)state;
	fake_clock_init(&clock, 1700000000000);
	daemon = daemon_thread_new_with(store_io_posix(), &clock.clock, 32);
	/* What daemon_thread configures. */
	assert_int_equal(sqlite3_soft_heap_limit64(-1), 16 << 20);
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 10 * RECORDS, 1);
	await_mapped(conn, "notes");
	expect_records(conn, "notes", 0, 10 * RECORDS, 1);
	/* A page cache of at least what was just read. */
	before = sqlite3_memory_used() - (256 << 10);
	assert_true(before > 0);
	assert_false(holds_less(&before));
	fake_clock_advance_ms(&clock, 10000);
	await(holds_less, &before, "the databases give their caches back");
	expect_records(conn, "notes", 0, 10 * RECORDS, 1);
	assert_true(sqlite3_memory_highwater(0) < 16 << 20);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static bool has_seen_its_share(void *ctx)
{
	struct kith_stats_result *stats;
	bool has;

	DONE(ctx, kith_stats(ctx, &stats));
	has = stats->memory.pss_bytes > 0;
	kith_free(stats);
	return has;
}

static void the_process_is_told_with_its_share(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct kith_stats_result *stats;

	(void)state;
	await(has_seen_its_share, conn, "the proportional share was looked at");
	DONE(conn, kith_stats(conn, &stats));
	assert_true(stats->memory.rss_anon_bytes > 0);
	assert_true(stats->memory.pss_bytes > 0);
	kith_free(stats);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void the_cache_is_logged_when_asked_for(void **state)
{
	struct daemon_process *daemon;

	(void)state;
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_option(daemon, "--log-cache-stats", "1"), 0);
	assert_int_equal(daemon_process_start(daemon), 0);
	await_said(daemon, "cache: 0 entries of 0 bytes, 0 hits, 0 misses, 0 loads, 0 evictions; "
	                   "budget: 0 of 268435456 bytes, 0 at most; memory: ");
	assert_int_equal(daemon_process_stop(daemon), 0);
	daemon_process_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_index_is_told_with_what_it_holds_and_how_it_was_found),
	        cmocka_unit_test(databases_keep_to_their_cache_and_give_it_back_when_nobody_comes),
	        cmocka_unit_test(the_process_is_told_with_its_share),
	        cmocka_unit_test(the_cache_is_logged_when_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
