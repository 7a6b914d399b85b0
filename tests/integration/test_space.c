/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is of no use any more leaves the disk, while the daemon runs: free pages of the database in
 * a pause, retired rows as fast as they come, dead rows of the vector file when they are many.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "daemon/renewal.h"
#include "daemon/upkeep.h"
#include "storage/vector_page.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/scale.h"

#define NOTES "notes"
#define MANY 13000u
#define REPLACED 6000u
#define ROUNDS SCALED(8u)
#define FEW 200u
#define PAGE_BYTES 4096u
/* Of records that fill a vector file soon. */
#define WIDE "wide"
#define WIDE_DIM 1024u
#define WIDE_BYTES (WIDE_DIM * sizeof(float))
#define WIDE_RECORDS 200u
/* More dead rows than a pause leaves, and fewer than are too many without one. */
#define WIDE_ROUNDS_IDLE 4u

struct stage {
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
	stage->daemon = daemon_thread_new_with(store_io_posix(), &stage->clock.clock, 32);
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
	found.path = found.collection = (struct kith_str){0};
	return found;
}

/* Looked at from outside: kith du reads the database, and the WAL cannot begin anew meanwhile. */
static uint64_t size_of(const struct stage *stage)
{
	struct stat about;

	assert_int_equal(stat(stage->path, &about), 0);
	return (uint64_t)about.st_size;
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

/* The clock stands: there is no pause. What the reaper leaves is what one request or two replaced,
 * and the pages of what went are used for what comes. */
static void records_that_are_replaced_without_a_pause_do_not_pile_up(void **state)
{
	struct stage *stage = *state;
	struct kith_checkpoint_params checkpoint = {.collection = kith_text(NOTES)};
	uint64_t once;

	put_records(stage->conn, NOTES, 0, REPLACED, 1);
	DONE(stage->conn, kith_checkpoint(stage->conn, &checkpoint, NULL));
	once = size_of(stage);
	for (uint32_t round = 2; round < 2 + ROUNDS; round++)
		put_records(stage->conn, NOTES, 0, REPLACED, round);
	DONE(stage->conn, kith_checkpoint(stage->conn, &checkpoint, NULL));
	/* Live once, retired twice, and the log of all that was replaced. */
	assert_true(size_of(stage) <= 4 * once);
	expect_records(stage->conn, NOTES, 0, FEW, 1 + ROUNDS);
	expect_count(stage->conn, NOTES, REPLACED);
}

/* Dead rows ----------------------------------------------------------------------------------- */

static void make_wide(struct stage *stage)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(WIDE), .dim = WIDE_DIM, .metric = KITH_METRIC_L2};

	DONE(stage->conn, kith_create_collection(stage->conn, &params, NULL));
	strcat(collection_path(stage->conn, WIDE, daemon_thread_cache_dir(stage->daemon),
	                       stage->path),
	       "/vectors");
}

static const float *wide_vector(uint64_t number, uint32_t round, float *ret)
{
	draw_vector(number * 1000 + round, WIDE_DIM, ret);
	return ret;
}

static void put_wide(struct stage *stage, uint32_t round)
{
	struct kith_id ids[WIDE_RECORDS] = {0};
	float *vectors = malloc(WIDE_RECORDS * WIDE_BYTES);
	struct kith_upsert_params params = {
	        .collection = kith_text(WIDE),
	        .ids = {ids, WIDE_RECORDS},
	        .vectors = kith_vectors(vectors, (size_t)WIDE_RECORDS * WIDE_DIM),
	};

	assert_non_null(vectors);
	for (uint32_t i = 0; i < WIDE_RECORDS; i++) {
		ids[i].number = i;
		wide_vector(i, round, vectors + (size_t)i * WIDE_DIM);
	}
	DONE(stage->conn, kith_upsert(stage->conn, &params, NULL));
	free(vectors);
}

static struct kith_search_params near_wide(const float *vector)
{
	return (struct kith_search_params){
	        .collection = kith_text(WIDE), .vectors = kith_vectors(vector, WIDE_DIM), .k = 1};
}

/* The record nearest to that version of one, and whether it is that very one. */
static bool is_found(struct stage *stage, uint64_t number, uint32_t round, enum kith_mode *ret_mode)
{
	float vector[WIDE_DIM];
	struct kith_search_params params = near_wide(wide_vector(number, round, vector));
	struct kith_search_result *result;
	bool is_it;

	DONE(stage->conn, kith_search(stage->conn, &params, &result));
	expect_honest(result);
	assert_int_equal(result->ids.n, 1);
	is_it = result->ids.v[0].number == number && result->distances.v[0] == 0.0f;
	*ret_mode = (enum kith_mode)result->mode;
	kith_free(result);
	return is_it;
}

/* Each record is there as that round wrote it, and not as the one before did. */
static void expect_wide(struct stage *stage, uint32_t round)
{
	enum kith_mode mode;

	for (uint64_t number = round % 7; number < WIDE_RECORDS; number += 29) {
		assert_true(is_found(stage, number, round, &mode));
		assert_false(is_found(stage, number, round - 1, &mode));
	}
}

/* Of the vector file when it has so many rows: it grows by whole extents. */
static uint64_t file_bytes(uint64_t n_rows)
{
	struct vector_layout layout = vector_layout_for(WIDE_BYTES);

	return vector_layout_extent_at(&layout, vector_layout_extents(&layout, n_rows));
}

/* The clock stands. */
static bool is_bounded(void *ctx)
{
	struct stage *stage = ctx;

	return size_of(stage) <= stage->bound;
}

static void dead_rows_leave_the_vector_file_without_a_pause(void **state)
{
	struct stage *stage = *state;
	uint32_t rounds = 20;

	make_wide(stage);
	put_wide(stage, 1);
	ensure(stage->conn, (struct ask){.collection = WIDE, .wait = true});
	stage->bound = file_bytes(3 * WIDE_RECORDS + RENEWAL_DEAD_BYTES / WIDE_BYTES);
	assert_true(file_bytes(rounds * WIDE_RECORDS) > 2 * stage->bound);
	for (uint32_t round = 2; round <= rounds; round++) {
		put_wide(stage, round);
		expect_wide(stage, round);
		/* A flight that is under way ends first. */
		await(is_bounded, stage, "the vector file is within its bound");
	}
	expect_count(stage->conn, WIDE, WIDE_RECORDS);
	daemon_thread_restart(stage->daemon);
	kith_close(stage->conn);
	stage->conn = connect_to(stage->daemon);
	expect_wide(stage, rounds);
	expect_count(stage->conn, WIDE, WIDE_RECORDS);
}

static bool is_found_by_the_graph(void *ctx)
{
	enum kith_mode mode;

	assert_true(is_found(ctx, 7, WIDE_ROUNDS_IDLE, &mode));
	return mode == KITH_MODE_HNSW;
}

static void a_graph_stays_when_dead_rows_leave_in_a_pause(void **state)
{
	struct stage *stage = *state;
	struct kith_optimize_result optimized;
	uint64_t generation;

	make_wide(stage);
	for (uint32_t round = 1; round <= WIDE_ROUNDS_IDLE; round++)
		put_wide(stage, round);
	ensure(stage->conn, (struct ask){.collection = WIDE, .wait = true});
	await_settled(stage->conn, WIDE, NULL);
	generation = index_of(stage->conn, WIDE, NULL).at.generation;
	stage->bound = file_bytes(WIDE_RECORDS);
	assert_true(size_of(stage) > stage->bound);
	await(is_small, stage, "the dead rows leave the vector file");
	await_mapped(stage->conn, WIDE);
	await(is_found_by_the_graph, stage, "the graph answers again");
	expect_wide(stage, WIDE_ROUNDS_IDLE);
	assert_int_equal(index_of(stage->conn, WIDE, NULL).at.generation, generation);

	put_wide(stage, WIDE_ROUNDS_IDLE + 1);
	optimized = optimize(stage->conn, WIDE, NULL);
	assert_int_equal(optimized.inserted, WIDE_RECORDS);
	expect_wide(stage, WIDE_ROUNDS_IDLE + 1);
}

static void who_comes_while_dead_rows_leave_is_answered(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "renew", "start");
	struct kith_conn *other = connect_to(stage->daemon);
	float vector[WIDE_DIM], written[WIDE_DIM];
	struct kith_search_params search = near_wide(wide_vector(3, WIDE_ROUNDS_IDLE, vector));
	struct kith_id id = {.number = 3};
	struct kith_upsert_params upsert = {
	        .collection = kith_text(WIDE),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(wide_vector(3, 99, written), WIDE_DIM),
	};
	struct kith_search_result *found;
	uint64_t read, write, asked;
	enum kith_mode mode;

	make_wide(stage);
	for (uint32_t round = 1; round <= WIDE_ROUNDS_IDLE; round++)
		put_wide(stage, round);
	fake_clock_advance_ms(&stage->clock, UPKEEP_PAUSE_MS);
	gate_await(gate);
	DONE(stage->conn, kith_submit_search(stage->conn, &search, &read));
	DONE(stage->conn, kith_flush(stage->conn));
	DONE(other, kith_submit_upsert(other, &upsert, &write));
	asked = submit_ensure(other, (struct ask){.collection = WIDE, .wait = true});
	gate_open(gate);
	DONE(stage->conn, kith_collect_search(stage->conn, read, KITH_USUAL, &found));
	assert_int_equal(found->ids.n, 1);
	kith_free(found);
	DONE(other, kith_collect_upsert(other, write, KITH_USUAL, NULL));
	assert_int_equal(collect_ensure(other, asked).outcome, KITH_ENSURED_BUILT);
	assert_true(is_found(stage, 3, 99, &mode));
	assert_false(is_found(stage, 3, WIDE_ROUNDS_IDLE, &mode));
	expect_count(stage->conn, WIDE, WIDE_RECORDS);
	kith_close(other);
}

static void a_daemon_that_stops_while_dead_rows_leave_loses_nothing(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "renew", "start");

	make_wide(stage);
	for (uint32_t round = 1; round <= WIDE_ROUNDS_IDLE; round++)
		put_wide(stage, round);
	fake_clock_advance_ms(&stage->clock, UPKEEP_PAUSE_MS);
	gate_await(gate);
	daemon_thread_stop_soon(stage->daemon);
	gate_open(gate);
	daemon_thread_stop(stage->daemon);
	daemon_thread_start(stage->daemon);
	kith_close(stage->conn);
	stage->conn = connect_to(stage->daemon);
	expect_wide(stage, WIDE_ROUNDS_IDLE);
	expect_count(stage->conn, WIDE, WIDE_RECORDS);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(what_was_deleted_leaves_the_disk_in_a_pause),
	        TEST(records_that_are_replaced_without_a_pause_do_not_pile_up),
	        TEST(dead_rows_leave_the_vector_file_without_a_pause),
	        TEST(a_graph_stays_when_dead_rows_leave_in_a_pause),
	        TEST(who_comes_while_dead_rows_leave_is_answered),
	        TEST(a_daemon_that_stops_while_dead_rows_leave_loses_nothing),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
