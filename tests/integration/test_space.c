/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is of no use any more leaves the disk, while the daemon runs: free pages of the database in
 * a pause, retired rows as fast as they come, and the length of the write-ahead log when the disk
 * is full. Dead rows of the vector file are test_renewal.c's.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/index.h"
#include "daemon/upkeep.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/scale.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define NOTES "notes"
#define MAIL "mail"
#define MANY 13000u
#define REPLACED 6000u
#define ROUNDS SCALED(8u)
#define FEW 200u
#define PAGE_BYTES 4096u

/* Of write-ahead log: more than is reserved for a test's deletes, and too little for a checkpoint.
 */
#define LONG_WAL_BYTES (4u << 20)
/* Every other record that is deleted in one request. */
#define SCATTERED 4000u

struct stage {
	struct store_twin *twin; /* what the disk is */
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	char path[DAEMON_PROCESS_PATH_SIZE + 16]; /* of the database */
	uint64_t bound;                           /* of its file, in bytes */
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	fake_clock_init(&stage->clock, 0);
	stage->twin = store_twin_new(store_io_posix());
	stage->daemon = daemon_thread_new_with(store_twin_io(stage->twin), &stage->clock.clock, 32);
	stage->conn = connect_to(stage->daemon);
	make_collection(stage->conn, NOTES, KITH_METRIC_L2);
	strcat(collection_path(stage->conn, NOTES, daemon_thread_data_dir(stage->daemon),
	                       stage->path),
	       "/records.db");
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	kith_close(stage->conn);
	daemon_thread_free(stage->daemon);
	store_twin_free(stage->twin);
	free(stage);
	return 0;
}

/* Of the file of that name, as kith du tells. */
static struct kith_file file_of(struct stage *stage, const char *name)
{
	struct kith_disk_usage_result *usage;
	struct kith_file found = {0};

	DONE(stage->conn, kith_disk_usage(stage->conn, &usage));
	for (uint32_t i = 0; i < usage->files.n; i++) {
		const struct kith_file *file = &usage->files.v[i];
		const char *end = file->path.data + file->path.n;

		if (file->path.n > strlen(name) &&
		    memcmp(end - strlen(name), name, strlen(name)) == 0)
			found = *file;
	}
	kith_free(usage);
	found.path.data = found.collection.data = NULL;
	return found;
}

/* Looked at from outside: kith du reads the database, and the WAL cannot begin anew meanwhile. */
static uint64_t size_of(const struct stage *stage)
{
	return scratch_file_size(stage->path);
}

static bool is_small(void *ctx)
{
	struct stage *stage = ctx;

	fake_clock_advance_ms(&stage->clock, UPKEEP_PAUSE_MS);
	return size_of(stage) <= stage->bound;
}

static void what_was_deleted_leaves_the_disk_in_a_pause(void **state)
{
	struct stage *stage = *state;
	struct kith_checkpoint_params checkpoint = {.collection = kith_text(NOTES)};
	struct kith_file before;

	put_records(stage->conn, NOTES, 0, MANY, 1);
	put_records(stage->conn, NOTES, MANY, FEW, 1);
	DONE(stage->conn, kith_checkpoint(stage->conn, &checkpoint, NULL));
	before = file_of(stage, "/records.db");
	assert_true(before.size_bytes > 2 * UPKEEP_IDLE_FREE_BYTES);

	delete_records(stage->conn, NOTES, 0, MANY);
	/* The log of what was deleted stays, for what is derived: a share of what there was. */
	stage->bound = before.size_bytes / 4 + UPKEEP_IDLE_FREE_BYTES + PAGE_BYTES;
	await(is_small, stage, "the database's file follows what was deleted");
	assert_true(file_of(stage, "/records.db").live_bytes <= stage->bound);
	expect_records(stage->conn, NOTES, MANY, FEW, 1);

	daemon_thread_restart(stage->daemon);
	kith_close(stage->conn);
	stage->conn = connect_to(stage->daemon);
	expect_records(stage->conn, NOTES, MANY, FEW, 1);
	expect_no_records(stage->conn, NOTES, 0, 10, 1);
	assert_true(file_of(stage, "/records.db").size_bytes <= stage->bound);
}

/* Puts the records; returns what they take. */
static uint64_t put_once(struct stage *stage)
{
	struct kith_checkpoint_params checkpoint = {.collection = kith_text(NOTES)};

	put_records(stage->conn, NOTES, 0, REPLACED, 1);
	DONE(stage->conn, kith_checkpoint(stage->conn, &checkpoint, NULL));
	return size_of(stage);
}

/* The clock stands: there is no pause. What the reaper leaves is what one request or two replaced,
 * and the pages of what went are used for what comes. */
static void replace_often(struct stage *stage, uint64_t once)
{
	struct kith_checkpoint_params checkpoint = {.collection = kith_text(NOTES)};

	for (uint32_t round = 2; round < 2 + ROUNDS; round++)
		put_records(stage->conn, NOTES, 0, REPLACED, round);
	DONE(stage->conn, kith_checkpoint(stage->conn, &checkpoint, NULL));
	/* Live once, retired twice, and the log of all that was replaced. */
	assert_true(size_of(stage) <= 4 * once);
	expect_records(stage->conn, NOTES, 0, FEW, 1 + ROUNDS);
	expect_count(stage->conn, NOTES, REPLACED);
}

static void records_that_are_replaced_without_a_pause_do_not_pile_up(void **state)
{
	struct stage *stage = *state;

	replace_often(stage, put_once(stage));
}

static void restart_with_background(struct stage *stage, uint32_t n_threads)
{
	kith_close(stage->conn);
	daemon_thread_stop(stage->daemon);
	daemon_thread_set_background(stage->daemon, n_threads);
	daemon_thread_start(stage->daemon);
	stage->conn = connect_to(stage->daemon);
}

/* Stands where it reads rows, when it has looked the records through. */
static void begin_verify(struct raw_client *raw, struct gate *gate)
{
	raw_say(raw, "[0, 1, 'verify', {'collection': '" NOTES "'}]");
	gate_await(gate);
	gate_pass(gate);
	gate_await(gate);
}

static void expect_verified(struct raw_client *raw)
{
	struct verify_result result;

	raw_expect_result(raw, 1, WIRE_METHOD_verify, &result);
	assert_int_equal(result.findings.n, 0);
}

/* They take vectors and numbers of rows, and a build leaves out at its end what was replaced. */
static void records_do_not_pile_up_beside_a_build_and_a_verify(void **state)
{
	struct stage *stage = *state;
	struct gate *collecting, *verifying;
	struct raw_client looker;
	struct kith_conn *asker;
	uint64_t ticket, once;

	restart_with_background(stage, 2);
	asker = connect_to(stage->daemon);
	raw_greet_at(daemon_thread_socket(stage->daemon), &looker);
	collecting = daemon_thread_gate(stage->daemon, "collect", "start");
	verifying = daemon_thread_gate(stage->daemon, "verify", "start");
	once = put_once(stage);
	begin_verify(&looker, verifying);
	ticket = submit_ensure(asker, (struct ask){.collection = NOTES, .wait = true});
	gate_await(collecting);
	replace_often(stage, once);
	gate_open(verifying);
	expect_verified(&looker);
	gate_open(collecting);
	assert_int_equal(collect_ensure(asker, ticket).outcome, KITH_ENSURED_BUILT);
	await_settled(stage->conn, NOTES, NULL);
	expect_records(stage->conn, NOTES, 0, FEW, 1 + ROUNDS);
	raw_close(&looker);
	kith_close(asker);
}

/* The end ------------------------------------------------------------------------------------- */

enum clearing {
	REAP,
	COMPACT,
	RESTART,
	RESTORE,
	SYNC,
	RENEW,
	N_CLEARING
};

struct clearing_up {
	struct stage *stage;
	struct gate *gates[N_CLEARING];
	uint32_t n_came[N_CLEARING]; /* when last looked at */
	uint32_t n_quiet;            /* looks since there was anything to do */
};

/* The end of a count looks at what there is to do. */
static bool is_cleared_up(void *ctx)
{
	struct clearing_up *clearing = ctx;
	struct stage *stage = clearing->stage;
	struct kith_usage usage;

	fake_clock_advance_ms(&stage->clock, UPKEEP_PAUSE_MS);
	expect_count(stage->conn, NOTES, FEW);
	clearing->n_quiet++;
	for (int i = 0; i < N_CLEARING; i++) {
		uint32_t n_came = gate_n_came(clearing->gates[i]);

		if (n_came != clearing->n_came[i])
			clearing->n_quiet = 0;
		clearing->n_came[i] = n_came;
	}
	usage = usage_of(stage->conn, NOTES);
	return usage.rows == FEW && usage.mapped_rows == FEW && size_of(stage) <= stage->bound &&
	       usage.wal_bytes < UPKEEP_WAL_IDLE_BYTES && clearing->n_quiet >= 50;
}

/* Each step of what is cleared up makes place for the next; none brings another back for ever. */
static void what_clears_up_comes_to_an_end(void **state)
{
	static const char *const names[N_CLEARING] = {"reap",    "compact", "restart",
	                                              "restore", "sync",    "renew"};
	struct stage *stage = *state;
	struct kith_checkpoint_params checkpoint = {.collection = kith_text(NOTES)};
	struct clearing_up clearing = {.stage = stage};
	uint32_t n_restarts;

	for (int i = 0; i < N_CLEARING; i++) {
		clearing.gates[i] = daemon_thread_gate(stage->daemon, names[i], "start");
		gate_open(clearing.gates[i]);
	}
	put_records(stage->conn, NOTES, 0, MANY, 1);
	put_records(stage->conn, NOTES, MANY, FEW, 1);
	DONE(stage->conn, kith_checkpoint(stage->conn, &checkpoint, NULL));
	stage->bound = size_of(stage) / 4 + UPKEEP_IDLE_FREE_BYTES + PAGE_BYTES;
	n_restarts = gate_n_came(clearing.gates[RESTART]);
	delete_records(stage->conn, NOTES, 0, MANY);
	await(is_cleared_up, &clearing, "there is nothing to do any more");
	/* Rows and pages leave in turns, and one restart cuts all of them off. */
	assert_true(clearing.n_came[REAP] > 1);
	assert_true(clearing.n_came[COMPACT] > 0);
	assert_int_equal(clearing.n_came[RESTART] - n_restarts, 1);
	assert_int_equal(clearing.n_came[RENEW], 1);
	expect_records(stage->conn, NOTES, MANY, FEW, 1);
}

/* A full disk --------------------------------------------------------------------------------- */

static bool can_add_to(const struct stage *stage, const char *name)
{
	int r = try_put_records(stage->conn, name, MANY, FEW, 2, NULL);

	if (r != 0)
		assert_int_equal(r, KITH_ERROR_STORAGE_FULL);
	return r == 0;
}

static bool can_add(void *ctx)
{
	return can_add_to(ctx, NOTES);
}

static bool can_add_mail(void *ctx)
{
	return can_add_to(ctx, MAIL);
}

/* Fills the log. Returns how many records that took. */
static uint32_t put_for_long(struct stage *stage)
{
	uint32_t n = 0;

	for (; usage_of(stage->conn, NOTES).wal_bytes < LONG_WAL_BYTES; n += FEW) {
		assert_true(n < MANY);
		put_records(stage->conn, NOTES, n, FEW, 1);
	}
	return n;
}

/* A delete takes what was reserved. Nothing else leaves the disk but what the log is too long. */
static void what_the_log_is_too_long_is_room_again_on_a_full_disk(void **state)
{
	struct stage *stage = *state;
	uint32_t n = put_for_long(stage);

	store_twin_fill(stage->twin, 1);
	assert_false(can_add(stage));
	delete_records(stage->conn, NOTES, 0, FEW);
	await(can_add, stage, "there is room again");
	expect_count(stage->conn, NOTES, n);
	expect_records(stage->conn, NOTES, MANY, FEW, 2);
	store_twin_heal(stage->twin);
}

/* Nobody's file, so that nobody wonders where the room went. */
static void what_is_reserved_is_listed_as_the_daemons_own(void **state)
{
	struct stage *stage = *state;
	struct kith_file reserve = file_of(stage, "/reserve");

	assert_true(reserve.size_bytes > 0);
	assert_int_equal(reserve.live_bytes, reserve.size_bytes);
	assert_int_equal(reserve.collection.n, 0);
	assert_true(file_of(stage, "/catalog.db").live_bytes > 0);
	assert_int_equal(file_of(stage, "/catalog.db").collection.n, 0);
	assert_int_equal(file_of(stage, "/catalog.db-shm").live_bytes, 0);
	assert_true(file_of(stage, "/records.db").collection.n > 0);
	/* Given up. */
	put_records(stage->conn, NOTES, 0, FEW, 1);
	store_twin_fill(stage->twin, 1);
	delete_records(stage->conn, NOTES, 0, FEW);
	assert_int_equal(file_of(stage, "/reserve").size_bytes, 0);
	store_twin_heal(stage->twin);
}

/* It began anew before anybody missed its room, and nobody writes to it any more. */
static void a_log_that_is_long_and_empty_is_room_too(void **state)
{
	struct stage *stage = *state;
	struct kith_checkpoint_params checkpoint = {.collection = kith_text(NOTES)};
	uint32_t n = put_for_long(stage);

	DONE(stage->conn, kith_checkpoint(stage->conn, &checkpoint, NULL));
	make_collection(stage->conn, MAIL, KITH_METRIC_L2);
	put_records(stage->conn, MAIL, 0, FEW, 1);
	store_twin_fill(stage->twin, 1);
	delete_records(stage->conn, MAIL, 0, FEW);
	await(can_add, stage, "there is room again");
	expect_count(stage->conn, NOTES, n + FEW);
	expect_count(stage->conn, MAIL, 0);
	store_twin_heal(stage->twin);
}

/* What is reserved for deletes is still there: a refused add alone says that room is missed. */
static void an_add_that_is_refused_has_the_log_cut_too(void **state)
{
	struct stage *stage = *state;
	struct kith_checkpoint_params checkpoint = {.collection = kith_text(NOTES)};
	uint64_t reserved = file_of(stage, "/reserve").size_bytes;

	put_for_long(stage);
	DONE(stage->conn, kith_checkpoint(stage->conn, &checkpoint, NULL));
	make_collection(stage->conn, MAIL, KITH_METRIC_L2);
	put_records(stage->conn, MAIL, 0, FEW, 1);
	store_twin_fill(stage->twin, 1);
	assert_false(can_add_mail(stage));
	await(can_add_mail, stage, "there is room again");
	expect_records(stage->conn, MAIL, MANY, FEW, 2);
	assert_int_equal(file_of(stage, "/reserve").size_bytes, reserved);
	assert_int_equal(store_twin_count(stage->twin, STORE_TWIN_TRUNCATE, "/reserve"), 0);
	store_twin_heal(stage->twin);
}

static bool is_saved(void *ctx)
{
	struct stage *stage = ctx;
	struct index_view index = index_of(stage->conn, NOTES, NULL);

	fake_clock_advance_ms(&stage->clock, INDEX_SAVE_AGE_MS);
	return is_settled(&index);
}

/* There would be room for it in what the delete has left of the reserve. */
static void a_save_leaves_what_was_reserved_to_deletes(void **state)
{
	struct stage *stage = *state;
	struct gate *begun = daemon_thread_gate(stage->daemon, "save", "begun");
	struct gate *end = daemon_thread_gate(stage->daemon, "save", "end");

	put_records(stage->conn, NOTES, 0, FEW, 1);
	ensure(stage->conn, (struct ask){.collection = NOTES, .wait = true});
	gate_await(begun);
	store_twin_fill(stage->twin, 1);
	delete_records(stage->conn, NOTES, 0, 20);
	assert_false(can_add(stage));
	gate_open(begun);
	gate_await(end);
	assert_int_equal(store_twin_count(stage->twin, STORE_TWIN_RENAME, "/hnsw-"), 0);
	assert_true(store_twin_count(stage->twin, STORE_TWIN_UNLINK, "/hnsw-") > 0);
	gate_open(end);
	delete_records(stage->conn, NOTES, 20, 20);
	store_twin_heal(stage->twin);
	assert_true(can_add(stage));
	await(is_saved, stage, "the snapshot is saved");
	expect_count(stage->conn, NOTES, 2 * FEW - 40);
}

struct reaping {
	struct stage *stage;
	struct gate *gate;
};

static bool has_reaped_all(void *ctx)
{
	const struct reaping *reaping = ctx;

	/* One that finds no room is tried again. */
	fake_clock_advance_ms(&reaping->stage->clock, UPKEEP_RETRY_MS);
	/* Those of the other collection in one step. */
	return gate_n_came(reaping->gate) >= SCATTERED / UPKEEP_REAP_ROWS + 1 + 1;
}

/* Fewer than are reaped without a pause, which elsewhere leave half of them at a time. A delete in
 * another collection takes what was reserved. */
static void rows_leave_a_full_disk_in_small_steps(void **state)
{
	struct stage *stage = *state;
	static struct kith_id ids[SCATTERED];
	struct kith_delete_params params = {.collection = kith_text(NOTES),
	                                    .ids = {ids, SCATTERED}};
	struct reaping reaping = {.stage = stage};

	for (uint32_t n = 0; n < 2 * SCATTERED; n += FEW)
		put_records(stage->conn, NOTES, n, FEW, 1);
	for (uint32_t i = 0; i < SCATTERED; i++)
		ids[i] = kith_id_number(2 * (uint64_t)i);
	DONE(stage->conn, kith_delete(stage->conn, &params, NULL));
	make_collection(stage->conn, MAIL, KITH_METRIC_L2);
	put_records(stage->conn, MAIL, 0, FEW, 1);
	reaping.gate = daemon_thread_gate(stage->daemon, "reap", "end");
	gate_open(reaping.gate);
	store_twin_fill(stage->twin, 1);
	delete_records(stage->conn, MAIL, 0, FEW);
	await(has_reaped_all, &reaping, "all that was deleted is reaped");
	store_twin_heal(stage->twin);
	expect_count(stage->conn, NOTES, SCATTERED);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(what_was_deleted_leaves_the_disk_in_a_pause),
	        TEST(records_that_are_replaced_without_a_pause_do_not_pile_up),
	        TEST(records_do_not_pile_up_beside_a_build_and_a_verify),
	        TEST(what_clears_up_comes_to_an_end),
	        TEST(what_the_log_is_too_long_is_room_again_on_a_full_disk),
	        TEST(what_is_reserved_is_listed_as_the_daemons_own),
	        TEST(a_log_that_is_long_and_empty_is_room_too),
	        TEST(an_add_that_is_refused_has_the_log_cut_too),
	        TEST(a_save_leaves_what_was_reserved_to_deletes),
	        TEST(rows_leave_a_full_disk_in_small_steps),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
