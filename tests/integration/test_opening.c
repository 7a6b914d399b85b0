/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A collection that is being opened for a search: its vector file is checked by one worker while
 * another loads the record table. Whichever is done first, and whatever is found, the search is
 * answered right, and nothing uses the files longer than they are open. A vector file that lacks a
 * slot of the truth, or cannot be read, is of use up to there.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "index/vector.h"
#include "storage/vector_file.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/store_twin.h"
#include "tests/lib/vector_fixture.h"

#define N_RECORDS 100u
#define WANTED 42u
/* A row that the vector file loses. */
#define LOST 30u

struct opening {
	struct store_twin *twin;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	struct gate *table; /* every turn of the job that opens stops before it */
	struct gate *check; /* so does the one that checks */
	char cache_dir[DAEMON_PROCESS_PATH_SIZE];
};

/* A daemon that has not opened its collection yet. */
static int setup(void **state)
{
	struct opening *opening = calloc(1, sizeof(*opening));

	*state = opening;
	opening->twin = store_twin_new(store_io_posix());
	opening->daemon = daemon_thread_new_with(store_twin_io(opening->twin), NULL, 0);
	opening->conn = connect_to(opening->daemon);
	make_collection(opening->conn, "notes", KITH_METRIC_L2);
	put_records(opening->conn, "notes", 0, N_RECORDS, 1);
	collection_path(opening->conn, "notes", daemon_thread_cache_dir(opening->daemon),
	                opening->cache_dir);
	kith_close(opening->conn);
	daemon_thread_stop(opening->daemon);
	return 0;
}

static void start(struct opening *opening)
{
	daemon_thread_start(opening->daemon);
	opening->table = daemon_thread_gate(opening->daemon, "open", "start");
	opening->check = daemon_thread_gate(opening->daemon, "check", "start");
	opening->conn = connect_to(opening->daemon);
}

static int teardown(void **state)
{
	struct opening *opening = *state;

	kith_close(opening->conn);
	daemon_thread_free(opening->daemon);
	store_twin_free(opening->twin);
	free(opening);
	return 0;
}

static uint64_t submit_search(struct opening *opening)
{
	float query[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text("notes"), .k = 3, .include = KITH_INCLUDE_TEXTS};
	uint64_t ticket;

	record_vector(WANTED, 1, query);
	params.vectors = kith_vectors(query, RECORD_DIM);
	DONE(opening->conn, kith_submit_search(opening->conn, &params, &ticket));
	DONE(opening->conn, kith_flush(opening->conn));
	return ticket;
}

static void expect_found(struct opening *opening, uint64_t ticket)
{
	struct kith_search_result *found;

	DONE(opening->conn, kith_collect_search(opening->conn, ticket, KITH_USUAL, &found));
	assert_int_equal(found->ids.n, 3);
	assert_int_equal(found->ids.v[0].number, WANTED);
	assert_true(holds_record(found, WANTED, 1));
	kith_free(found);
}

/* Until the table is about to be loaded and the check has begun. */
static uint64_t search_until_both_are_held(struct opening *opening)
{
	uint64_t ticket = submit_search(opening);

	gate_await(opening->table);
	gate_pass(opening->table);
	gate_await(opening->table);
	gate_await(opening->check);
	return ticket;
}

/* Lets the job that is held go on, to its end. */
static void let_end(struct opening *opening, const char *what, struct gate *held)
{
	struct gate *end = daemon_thread_gate(opening->daemon, what, "end");

	gate_open(held);
	gate_await(end);
	gate_open(end);
}

static void the_check_may_end_before_the_table_is_loaded(void **state)
{
	struct opening *opening = *state;
	uint64_t ticket;

	start(opening);
	ticket = search_until_both_are_held(opening);
	let_end(opening, "check", opening->check);
	gate_open(opening->table);
	expect_found(opening, ticket);
}

static void the_table_may_be_loaded_before_the_check_begins(void **state)
{
	struct opening *opening = *state;
	uint64_t ticket;

	start(opening);
	ticket = search_until_both_are_held(opening);
	let_end(opening, "open", opening->table);
	gate_open(opening->check);
	expect_found(opening, ticket);
}

static void damage_that_the_check_finds_changes_no_answer(void **state)
{
	struct opening *opening = *state;

	spoil_vectors(opening->cache_dir, WANTED);
	the_check_may_end_before_the_table_is_loaded(state);
}

static uint32_t n_collections(struct kith_conn *conn)
{
	struct kith_list_collections_result *all;
	uint32_t n;

	DONE(conn, kith_list_collections(conn, &all));
	n = all->collections.n;
	kith_free(all);
	return n;
}

/* The daemon has two interactive workers, and one is held: what the other was given is done, on the
 * loop too, when it has read something else. And the catalog is changed by one at a time. */
static void await_what_is_under_way(struct opening *opening)
{
	make_collection(opening->conn, "other", KITH_METRIC_L2);
	put_records(opening->conn, "other", 0, 1, 1);
	expect_records(opening->conn, "other", 0, 1, 1);
	make_collection(opening->conn, "another", KITH_METRIC_L2);
}

static void a_drop_waits_for_the_check(void **state)
{
	struct opening *opening = *state;
	struct drop_collection_result dropped;
	struct ping_result pong;
	struct raw_client raw;
	uint64_t ticket;

	start(opening);
	ticket = search_until_both_are_held(opening);
	raw_greet_at(daemon_thread_socket(opening->daemon), &raw);
	raw_say(&raw, "[0, 1, 'drop_collection', {'collection': 'notes'}]");
	raw_say(&raw, "[0, 2, 'ping', {}]");
	raw_expect_result(&raw, 2, WIRE_METHOD_ping, &pong);
	let_end(opening, "open", opening->table);
	await_what_is_under_way(opening);
	assert_int_equal(n_collections(opening->conn), 3);
	gate_open(opening->check);
	/* It came first. */
	expect_found(opening, ticket);
	raw_expect_result(&raw, 1, WIRE_METHOD_drop_collection, &dropped);
	assert_true(dropped.dropped);
	raw_close(&raw);
}

/* A slot that is missing ----------------------------------------------------------------------- */

/* Writes the vector file anew, sound but for that it lacks a slot in its middle. */
static void lose_a_slot(const struct opening *opening)
{
	struct vector_file_spec spec = {
	        .dim = RECORD_DIM,
	        .metric = METRIC_L2,
	        .dtype = DTYPE_F32,
	        .stride_bytes = vector_stride_bytes(RECORD_DIM, DTYPE_F32),
	};
	char path[DAEMON_PROCESS_PATH_SIZE + 16];
	uint64_t slots[N_RECORDS];
	const void *extent;
	struct vector_file *file;
	struct uuid epoch;
	const char *why = NULL;
	uint8_t *rows = malloc(N_RECORDS * spec.stride_bytes);

	assert_non_null(rows);
	assert_true(uuid_parse(strrchr(opening->cache_dir, '/') + 1, &spec.uuid));
	snprintf(path, sizeof(path), "%s/vectors", opening->cache_dir);
	assert_int_equal(vector_file_open(store_io_posix(), path, &spec, &file, &why), 0);
	assert_int_equal(vector_file_n_rows(file), N_RECORDS);
	epoch = *vector_file_epoch(file);
	assert_int_equal(vector_file_slots(file, 0, N_RECORDS, slots), 0);
	assert_int_equal(vector_file_extent(file, 0, &extent), 0);
	memcpy(rows, extent, N_RECORDS * spec.stride_bytes);
	assert_int_equal(vector_file_reset(file, LOST), 0);
	assert_int_equal(vector_file_append(file, N_RECORDS - LOST - 1, slots + LOST + 1,
	                                    rows + (LOST + 1) * spec.stride_bytes),
	                 0);
	assert_int_equal(vector_file_sync(file, &epoch), 0);
	vector_file_free(file);
	free(rows);
}

/* All is found now, and in the next life, which has the whole file again. */
static void expect_all(struct opening *opening)
{
	expect_records(opening->conn, "notes", 0, N_RECORDS, 1);
	store_twin_heal(opening->twin);
	await_mapped(opening->conn, "notes");
	expect_records(opening->conn, "notes", 0, N_RECORDS, 1);
	kith_close(opening->conn);
	daemon_thread_restart(opening->daemon);
	opening->conn = connect_to(opening->daemon);
	expect_records(opening->conn, "notes", 0, N_RECORDS, 1);
}

static void from_a_missing_slot_on_the_file_is_written_again(void **state)
{
	struct opening *opening = *state;

	lose_a_slot(opening);
	daemon_thread_start(opening->daemon);
	opening->conn = connect_to(opening->daemon);
	expect_count(opening->conn, "notes", N_RECORDS);
	expect_all(opening);
}

/* Going back to the missing slot would keep rows that are damaged. */
static void damage_before_a_missing_slot_costs_the_file_only(void **state)
{
	struct opening *opening = *state;

	lose_a_slot(opening);
	spoil_vectors(opening->cache_dir, LOST / 2);
	daemon_thread_start(opening->daemon);
	opening->conn = connect_to(opening->daemon);
	expect_all(opening);
}

/* Nor can it go back where nothing can be written. */
static void a_full_disk_beside_a_missing_slot_costs_the_file_only(void **state)
{
	const struct store_twin_fault full = {.kind = STORE_TWIN_WRITE,
	                                      .path_part = "/vectors",
	                                      .nth = 1,
	                                      .err = ENOSPC,
	                                      .lasting = true};
	struct opening *opening = *state;

	lose_a_slot(opening);
	store_twin_fail(opening->twin, full);
	daemon_thread_start(opening->daemon);
	opening->conn = connect_to(opening->daemon);
	expect_count(opening->conn, "notes", N_RECORDS);
	assert_true(store_twin_n_failed(opening->twin) > 0);
	expect_all(opening);
}

/* A file that cannot be read any more -----------------------------------------------------------
 */

/* Its rows were counted, and their slots are to be read. */
static void slots_that_cannot_be_read_cost_the_file_only(void **state)
{
	const struct store_twin_fault fault = {.kind = STORE_TWIN_READ,
	                                       .path_part = "/vectors",
	                                       .nth = 1,
	                                       .err = EIO,
	                                       .lasting = true};
	struct opening *opening = *state;
	uint64_t ticket;

	start(opening);
	ticket = search_until_both_are_held(opening);
	store_twin_fail(opening->twin, fault);
	gate_open(opening->check);
	gate_open(opening->table);
	expect_found(opening, ticket);
	assert_true(store_twin_n_failed(opening->twin) > 0);
	expect_all(opening);
}

static void cut_vectors(const struct opening *opening)
{
	char path[DAEMON_PROCESS_PATH_SIZE + 16];

	snprintf(path, sizeof(path), "%s/vectors", opening->cache_dir);
	assert_int_equal(truncate(path, FIXTURE_EXTENTS_AT), 0);
}

static void a_file_cut_short_before_the_table_is_loaded_is_written_again(void **state)
{
	struct opening *opening = *state;
	uint64_t ticket;

	start(opening);
	ticket = search_until_both_are_held(opening);
	cut_vectors(opening);
	let_end(opening, "open", opening->table);
	gate_open(opening->check);
	expect_found(opening, ticket);
	expect_all(opening);
}

/* The check finds the pages gone. The table has fewer rows than the file had: those that were
 * deleted do not come back. */
static void a_file_cut_short_before_the_check_is_written_again(void **state)
{
	struct opening *opening = *state;
	uint64_t ticket;

	daemon_thread_start(opening->daemon);
	opening->conn = connect_to(opening->daemon);
	put_records(opening->conn, "notes", N_RECORDS, 1, 1);
	delete_records(opening->conn, "notes", N_RECORDS, 1);
	kith_close(opening->conn);
	daemon_thread_stop(opening->daemon);
	start(opening);
	ticket = search_until_both_are_held(opening);
	cut_vectors(opening);
	let_end(opening, "check", opening->check);
	gate_open(opening->table);
	expect_found(opening, ticket);
	expect_all(opening);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(the_check_may_end_before_the_table_is_loaded, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(the_table_may_be_loaded_before_the_check_begins,
	                                        setup, teardown),
	        cmocka_unit_test_setup_teardown(damage_that_the_check_finds_changes_no_answer,
	                                        setup, teardown),
	        cmocka_unit_test_setup_teardown(a_drop_waits_for_the_check, setup, teardown),
	        cmocka_unit_test_setup_teardown(from_a_missing_slot_on_the_file_is_written_again,
	                                        setup, teardown),
	        cmocka_unit_test_setup_teardown(damage_before_a_missing_slot_costs_the_file_only,
	                                        setup, teardown),
	        cmocka_unit_test_setup_teardown(
	                a_full_disk_beside_a_missing_slot_costs_the_file_only, setup, teardown),
	        cmocka_unit_test_setup_teardown(slots_that_cannot_be_read_cost_the_file_only, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(
	                a_file_cut_short_before_the_table_is_loaded_is_written_again, setup,
	                teardown),
	        cmocka_unit_test_setup_teardown(a_file_cut_short_before_the_check_is_written_again,
	                                        setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
