/* SPDX-License-Identifier: Apache-2.0 */

/* What goes wrong is in the journal: each failure once, with where and how often. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/store_twin.h"

#define CACHE_MB 8

struct bench {
	struct store_twin *twin;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
};

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	bench->twin = store_twin_new(store_io_posix());
	bench->daemon = daemon_thread_new_with(store_twin_io(bench->twin), NULL, CACHE_MB);
	bench->conn = connect_to(bench->daemon);
	make_collection(bench->conn, "notes", KITH_METRIC_L2);
	put_records(bench->conn, "notes", 0, 10, 1);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	kith_close(bench->conn);
	daemon_thread_free(bench->daemon);
	store_twin_free(bench->twin);
	free(bench);
	return 0;
}

static void restart(struct bench *bench)
{
	kith_close(bench->conn);
	daemon_thread_restart(bench->daemon);
	bench->conn = connect_to(bench->daemon);
}

/* The journal has n failures, and the last is this one. */
static void expect_last(struct bench *bench, uint32_t n, const char *where, const char *what,
                        uint64_t count)
{
	struct kith_errors_result *result;
	const struct kith_failure *last;

	DONE(bench->conn, kith_errors(bench->conn, &result));
	assert_int_equal(result->failures.n, n);
	last = &result->failures.v[n - 1];
	if (!is_text(last->where, where) || !is_text(last->what, what) || last->count != count)
		fail_msg("the last failure is %llu times '%.*s' in '%.*s'",
		         (unsigned long long)last->count, (int)last->what.n, last->what.data,
		         (int)last->where.n, last->where.data);
	assert_true(last->first_ms > 0 && last->first_ms <= last->last_ms);
	kith_free(result);
}

static void nothing_is_in_it_when_nothing_went_wrong(void **state)
{
	struct bench *bench = *state;
	struct kith_errors_result *result;

	DONE(bench->conn, kith_errors(bench->conn, &result));
	assert_int_equal(result->failures.n, 0);
	kith_free(result);
}

static void failed_writes_are_in_it_once_also_after_a_restart(void **state)
{
	struct bench *bench = *state;
	static const char what[] = "a group of 1 writes failed: No space left on device";

	store_twin_fail(bench->twin, (struct store_twin_fault){.kind = STORE_TWIN_WRITE,
	                                                       .path_part = "records.db-wal",
	                                                       .nth = 1,
	                                                       .err = ENOSPC,
	                                                       .lasting = true});
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(try_put_records(bench->conn, "notes", 20, 5, 1, NULL),
		                 KITH_ERROR_STORAGE_FULL);
	expect_last(bench, 1, "collection 'notes'", what, 3);
	store_twin_heal(bench->twin);
	restart(bench);
	expect_last(bench, 1, "collection 'notes'", what, 3);
	put_records(bench->conn, "notes", 20, 5, 1);
}

static void failed_reads_are_in_it(void **state)
{
	struct bench *bench = *state;
	struct kith_id id = kith_id_number(1);
	struct kith_get_params params = {
	        .collection = kith_text("notes"), .ids = {&id, 1}, .include = KITH_INCLUDE_VECTORS};

	restart(bench);
	expect_count(bench->conn, "notes", 10); /* it is open */
	store_twin_fail(bench->twin, (struct store_twin_fault){.kind = STORE_TWIN_ANY,
	                                                       .path_part = "records.db",
	                                                       .nth = 1,
	                                                       .err = EIO,
	                                                       .lasting = true});
	assert_int_equal(kith_get(bench->conn, &params, NULL), KITH_ERROR_STORAGE_FAILED);
	assert_int_equal(kith_get(bench->conn, &params, NULL), KITH_ERROR_STORAGE_FAILED);
	expect_last(bench, 1, "collection 'notes'", "getting records: Input/output error", 2);
	store_twin_heal(bench->twin);
	DONE(bench->conn, kith_get(bench->conn, &params, NULL));
}

/* A snapshot of no index, as a crash leaves it. */
static void what_cannot_be_tidied_is_in_it(void **state)
{
	struct bench *bench = *state;
	char path[DAEMON_PROCESS_PATH_SIZE + 16];
	FILE *stray;

	collection_path(bench->conn, "notes", daemon_thread_cache_dir(bench->daemon), path);
	strcat(path, "/hnsw-stray");
	stray = fopen(path, "w");
	assert_non_null(stray);
	assert_int_equal(fclose(stray), 0);
	store_twin_fail(bench->twin, (struct store_twin_fault){.kind = STORE_TWIN_UNLINK,
	                                                       .path_part = "hnsw-stray",
	                                                       .nth = 1,
	                                                       .err = EIO,
	                                                       .lasting = true});
	restart(bench);
	expect_count(bench->conn, "notes", 10); /* it is open */
	expect_last(bench, 1, "collection 'notes'",
	            "cannot tidy its cache directory: Input/output error; the next opening tries "
	            "again",
	            1);
	store_twin_heal(bench->twin);
	restart(bench);
	expect_count(bench->conn, "notes", 10);
	assert_int_equal(access(path, F_OK), -1);
}

static void what_a_client_does_wrong_is_not_in_it(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(drop_index(bench->conn, "notes", "none"), KITH_ERROR_NO_INDEX);
	assert_int_equal(try_put_records(bench->conn, "nobody", 0, 1, 1, NULL),
	                 KITH_ERROR_NO_COLLECTION);
	nothing_is_in_it_when_nothing_went_wrong(state);
}

/* Somebody makes a collection of the name while another one's change to it is under way. */
static void create_beside_rename(struct gate *rename, struct raw_client *raw, const char *from,
                                 const char *to, bool exist_ok)
{
	struct rename_collection_result renamed;
	struct ping_result pong;

	raw_say(raw, "[0, 1, 'rename_collection', {'collection': '%s', 'name': '%s'}]", from, to);
	gate_await(rename);
	raw_say(raw,
	        "[0, 2, 'create_collection', {'name': '%s', 'dim': %u, 'metric': 'l2',"
	        " 'exist_ok': %s}]",
	        to, RECORD_DIM, exist_ok ? "true" : "false");
	raw_say(raw, "[0, 3, 'ping', {}]");
	raw_expect_result(raw, 3, WIRE_METHOD_ping, &pong);
	gate_open(rename);
	raw_expect_result(raw, 1, WIRE_METHOD_rename_collection, &renamed);
}

static void a_name_that_is_taken_meanwhile_is_no_failure(void **state)
{
	struct bench *bench = *state;
	struct gate *rename = daemon_thread_gate(bench->daemon, "catalog", "start");
	struct create_collection_result made;
	struct raw_client raw;

	raw_greet_at(daemon_thread_socket(bench->daemon), &raw);
	create_beside_rename(rename, &raw, "notes", "mails", false);
	raw_expect_error(&raw, 2, WIRE_ERROR_COLLECTION_EXISTS, "name");
	gate_close(rename);
	create_beside_rename(rename, &raw, "mails", "notes", true);
	raw_expect_result(&raw, 2, WIRE_METHOD_create_collection, &made);
	assert_false(made.created);
	raw_close(&raw);
	expect_records(bench->conn, "notes", 0, 10, 1);
	nothing_is_in_it_when_nothing_went_wrong(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(nothing_is_in_it_when_nothing_went_wrong),
	        TEST(failed_writes_are_in_it_once_also_after_a_restart),
	        TEST(failed_reads_are_in_it),
	        TEST(what_cannot_be_tidied_is_in_it),
	        TEST(what_a_client_does_wrong_is_not_in_it),
	        TEST(a_name_that_is_taken_meanwhile_is_no_failure),
#undef TEST
	};

	return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
