/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Dead rows leave the vector file and the record table of a collection that is open. The clock
 * stands but where a test moves it: a renewal begins in a pause, or when there are too many.
 */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/renewal.h"
#include "daemon/upkeep.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/saved_index.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/wide_records.h"

struct stage {
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	char path[DAEMON_PROCESS_PATH_SIZE + 16]; /* of the vector file */
	uint64_t bound;                           /* of it, in bytes */
	struct gate *renewals;                    /* each comes by here */
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	fake_clock_init(&stage->clock, 0);
	stage->daemon = daemon_thread_new_stopped(store_io_posix(), &stage->clock.clock, 32);
	daemon_thread_set_background(stage->daemon, 2);
	daemon_thread_start(stage->daemon);
	stage->renewals = daemon_thread_gate(stage->daemon, "renew", "start");
	gate_open(stage->renewals);
	stage->conn = connect_to(stage->daemon);
	make_wide(stage->conn);
	strcat(collection_path(stage->conn, WIDE, daemon_thread_cache_dir(stage->daemon),
	                       stage->path),
	       "/vectors");
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

static void restart(struct stage *stage)
{
	daemon_thread_restart(stage->daemon);
	kith_close(stage->conn);
	stage->conn = connect_to(stage->daemon);
}

static void put_rounds(struct stage *stage, uint32_t from, uint32_t to)
{
	for (uint32_t round = from; round <= to; round++)
		put_wide(stage->conn, round);
}

static uint64_t size_of(const struct stage *stage)
{
	return scratch_file_size(stage->path);
}

/* The clock stands. */
static bool is_bounded(void *ctx)
{
	struct stage *stage = ctx;

	return size_of(stage) <= stage->bound;
}

static bool is_renewed(void *ctx)
{
	struct stage *stage = ctx;
	struct kith_usage usage;

	fake_clock_advance_ms(&stage->clock, UPKEEP_PAUSE_MS);
	usage = usage_of(stage->conn, WIDE);
	return usage.rows == WIDE_RECORDS && usage.mapped_rows == WIDE_RECORDS;
}

/* In a pause; then only the live ones are left. */
static void await_renewed(struct stage *stage)
{
	stage->bound = wide_file_bytes(WIDE_RECORDS);
	assert_true(size_of(stage) > stage->bound);
	await(is_renewed, stage, "the dead rows leave the vector file");
	assert_true(is_bounded(stage));
}

static void dead_rows_leave_without_a_pause(void **state)
{
	struct stage *stage = *state;
	uint32_t rounds = 16;

	put_rounds(stage, 1, 1);
	ensure(stage->conn, (struct ask){.collection = WIDE, .wait = true});
	stage->bound = wide_file_bytes(3 * WIDE_RECORDS + RENEWAL_DEAD_BYTES / WIDE_BYTES);
	assert_true(wide_file_bytes(rounds * WIDE_RECORDS) > 2 * stage->bound);
	for (uint32_t round = 2; round <= rounds; round++) {
		put_wide(stage->conn, round);
		expect_wide(stage->conn, round);
		/* A flight that is under way ends first. */
		await(is_bounded, stage, "the vector file is within its bound");
	}
	restart(stage);
	expect_wide(stage->conn, rounds);
}

/* Graphs -------------------------------------------------------------------------------------- */

static bool is_found_by_the_graph(void *ctx)
{
	struct stage *stage = ctx;
	enum kith_mode mode;

	assert_true(is_wide_found(stage->conn, 7, WIDE_ROUNDS_IDLE, &mode));
	return mode == KITH_MODE_HNSW;
}

static void a_graph_stays_when_dead_rows_leave_in_a_pause(void **state)
{
	struct stage *stage = *state;
	struct kith_optimize_result optimized;
	uint64_t generation;

	put_rounds(stage, 1, WIDE_ROUNDS_IDLE);
	ensure(stage->conn, (struct ask){.collection = WIDE, .wait = true});
	await_settled(stage->conn, WIDE, NULL);
	generation = index_of(stage->conn, WIDE, NULL).at.generation;
	await_renewed(stage);
	await(is_found_by_the_graph, stage, "the graph answers again");
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
	assert_int_equal(index_of(stage->conn, WIDE, NULL).at.generation, generation);

	put_wide(stage->conn, WIDE_ROUNDS_IDLE + 1);
	optimized = optimize(stage->conn, WIDE, NULL);
	assert_int_equal(optimized.inserted, WIDE_RECORDS);
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE + 1);
}

static void an_evicted_graph_comes_back_after_it(void **state)
{
	struct stage *stage = *state;
	struct index_view index;
	uint64_t generation;

	put_rounds(stage, 1, WIDE_ROUNDS_IDLE);
	ensure(stage->conn, (struct ask){.collection = WIDE, .wait = true});
	await_settled(stage->conn, WIDE, NULL);
	generation = index_of(stage->conn, WIDE, NULL).at.generation;
	evict(stage->conn, WIDE, NULL);
	await_renewed(stage);
	index = index_of(stage->conn, WIDE, NULL);
	assert_int_equal(index.at.state, KITH_INDEX_STATE_EVICTED);
	assert_int_equal(index.at.pending, 0);
	assert_true(is_found_by_the_graph(stage));
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
	index = index_of(stage->conn, WIDE, NULL);
	assert_int_equal(index.at.generation, generation);
	assert_int_equal(index.at.builds, 1);
}

/* Whoever evicted it did so before all its records were replaced. */
static void an_evicted_graph_that_leads_nowhere_any_more_is_no_failure(void **state)
{
	struct stage *stage = *state;
	struct kith_errors_result *errors;

	put_rounds(stage, 1, 1);
	ensure(stage->conn, (struct ask){.collection = WIDE, .wait = true});
	await_settled(stage->conn, WIDE, NULL);
	evict(stage->conn, WIDE, NULL);
	put_rounds(stage, 2, WIDE_ROUNDS_IDLE);
	await_renewed(stage);
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
	await(is_found_by_the_graph, stage, "the graph is built again");
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
	assert_int_equal(index_of(stage->conn, WIDE, NULL).at.builds, 2);
	DONE(stage->conn, kith_errors(stage->conn, &errors));
	assert_int_equal(errors->failures.n, 0);
	kith_free(errors);
}

/* Ids ----------------------------------------------------------------------------------------- */

static void ids_of_both_kinds_are_known_after_it(void **state)
{
	struct stage *stage = *state;
	char texts[WIDE_RECORDS][WIDE_ID_SIZE];
	struct kith_id ids[WIDE_RECORDS];
	struct kith_get_params get = {.collection = kith_text(WIDE), .ids = {ids, WIDE_RECORDS}};
	struct kith_delete_params delete = {.collection = kith_text(WIDE), .ids = {ids, 50}};
	struct kith_get_result *got;
	struct kith_delete_result *deleted;

	for (uint32_t i = 0; i < WIDE_RECORDS; i++)
		ids[i] = wide_id(i, texts[i]);
	put_rounds(stage, 1, WIDE_ROUNDS_IDLE);
	await_renewed(stage);
	DONE(stage->conn, kith_get(stage->conn, &get, &got));
	assert_int_equal(got->positions.n, WIDE_RECORDS);
	kith_free(got);
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
	DONE(stage->conn, kith_delete(stage->conn, &delete, &deleted));
	assert_int_equal(deleted->deleted, 50);
	kith_free(deleted);
	expect_count(stage->conn, WIDE, WIDE_RECORDS - 50);
	put_rounds(stage, WIDE_ROUNDS_IDLE + 1, 2 * WIDE_ROUNDS_IDLE);
	await_renewed(stage);
	expect_wide(stage->conn, 2 * WIDE_ROUNDS_IDLE);
	restart(stage);
	expect_wide(stage->conn, 2 * WIDE_ROUNDS_IDLE);
}

/* Who comes meanwhile ------------------------------------------------------------------------- */

/* A renewal stands at its beginning. */
static void hold_renewal(struct stage *stage)
{
	put_rounds(stage, 1, WIDE_ROUNDS_IDLE);
	gate_close(stage->renewals);
	fake_clock_advance_ms(&stage->clock, UPKEEP_PAUSE_MS);
	gate_await(stage->renewals);
}

static void who_comes_while_dead_rows_leave_is_answered(void **state)
{
	struct stage *stage = *state;
	struct kith_conn *other = connect_to(stage->daemon);
	char text[WIDE_ID_SIZE];
	float vector[WIDE_DIM], written[WIDE_DIM];
	struct kith_search_params search = near_wide(wide_vector(3, WIDE_ROUNDS_IDLE, vector));
	struct kith_id id = wide_id(3, text);
	struct kith_upsert_params upsert = {
	        .collection = kith_text(WIDE),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(wide_vector(3, 99, written), WIDE_DIM),
	};
	struct kith_search_result *found;
	uint64_t read, write, asked;
	enum kith_mode mode;

	hold_renewal(stage);
	DONE(stage->conn, kith_submit_search(stage->conn, &search, &read));
	DONE(stage->conn, kith_flush(stage->conn));
	DONE(other, kith_submit_upsert(other, &upsert, &write));
	asked = submit_ensure(other, (struct ask){.collection = WIDE, .wait = true});
	/* It is open all the same. */
	assert_true(usage_of(other, WIDE).open);
	gate_open(stage->renewals);
	DONE(stage->conn, kith_collect_search(stage->conn, read, KITH_USUAL, &found));
	assert_int_equal(found->ids.n, 1);
	kith_free(found);
	DONE(other, kith_collect_upsert(other, write, KITH_USUAL, NULL));
	assert_int_equal(collect_ensure(other, asked).outcome, KITH_ENSURED_BUILT);
	assert_true(is_wide_found(stage->conn, 3, 99, &mode));
	assert_false(is_wide_found(stage->conn, 3, WIDE_ROUNDS_IDLE, &mode));
	expect_count(stage->conn, WIDE, WIDE_RECORDS);
	kith_close(other);
}

static void a_daemon_that_stops_while_dead_rows_leave_loses_nothing(void **state)
{
	struct stage *stage = *state;

	hold_renewal(stage);
	daemon_thread_stop_soon(stage->daemon);
	gate_open(stage->renewals);
	restart(stage);
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
}

static void *drop(void *arg)
{
	struct kith_drop_collection_params params = {.collection = kith_text(WIDE)};
	struct kith_conn *conn = connect_to(arg);
	int r = kith_drop_collection(conn, &params, NULL);

	kith_close(conn);
	return (void *)(intptr_t)r;
}

static bool has_a_request_that_waits(void *ctx)
{
	struct stage *stage = ctx;

	return inflight_bytes(stage->conn) > stage->bound;
}

static void a_drop_waits_until_it_has_ended(void **state)
{
	struct stage *stage = *state;
	struct kith_describe_collection_params params = {kith_text(WIDE)};
	pthread_t thread;
	void *r;

	hold_renewal(stage);
	stage->bound = inflight_bytes(stage->conn);
	assert_int_equal(pthread_create(&thread, NULL, drop, stage->daemon), 0);
	await(has_a_request_that_waits, stage, "the drop has come");
	assert_true(usage_of(stage->conn, WIDE).open);
	gate_open(stage->renewals);
	assert_int_equal(pthread_join(thread, &r), 0);
	assert_null(r);
	REFUSED(stage->conn, KITH_ERROR_NO_COLLECTION, "collection",
	        kith_describe_collection(stage->conn, &params, NULL));
	/* Its namesake has nothing of it. */
	make_wide(stage->conn);
	expect_count(stage->conn, WIDE, 0);
	put_rounds(stage, 1, 2);
	expect_wide(stage->conn, 2);
}

/* Giving up ----------------------------------------------------------------------------------- */

#define STEP_MS 500u

static bool has_given_up_three_times(void *ctx)
{
	struct stage *stage = ctx;

	if (gate_n_came(stage->renewals) >= 3)
		return true;
	fake_clock_advance_ms(&stage->clock, STEP_MS);
	return false;
}

/* A search goes on for long, and while it does no renewal can begin. Each that gives up has held
 * all others for UPKEEP_RENEW_MS: the pauses between them are longer each time. */
static void one_that_cannot_begin_leaves_longer_and_longer_pauses(void **state)
{
	struct stage *stage = *state;
	struct kith_conn *other = connect_to(stage->daemon);
	struct gate *searches = daemon_thread_gate(stage->daemon, "search", "start");
	float vector[WIDE_DIM];
	struct kith_search_params search = near_wide(wide_vector(3, WIDE_ROUNDS_IDLE, vector));
	struct kith_errors_result *errors;
	uint64_t read;

	put_rounds(stage, 1, WIDE_ROUNDS_IDLE);
	DONE(other, kith_submit_search(other, &search, &read));
	DONE(other, kith_flush(other));
	gate_await(searches);
	await(has_given_up_three_times, stage, "it gives up");
	/* A count waits for its end; the third pause is of four times UPKEEP_RETRY_MS, of which
	 * STEP_MS may have passed. Each count's end looks at what there is to do. */
	expect_count(stage->conn, WIDE, WIDE_RECORDS);
	fake_clock_advance_ms(&stage->clock, 4 * UPKEEP_RETRY_MS - STEP_MS - 1);
	DONE(stage->conn, kith_set_timeout(stage->conn, 5000));
	for (int i = 0; i < 5; i++)
		expect_count(stage->conn, WIDE, WIDE_RECORDS);
	assert_int_equal(gate_n_came(stage->renewals), 3);
	DONE(stage->conn, kith_errors(stage->conn, &errors));
	assert_int_equal(errors->failures.n, 0);
	kith_free(errors);
	gate_open(searches);
	DONE(other, kith_collect_search(other, read, KITH_USUAL, NULL));
	await_renewed(stage);
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
	kith_close(other);
}

static void *verify(void *arg)
{
	struct kith_verify_params params = {.collection = kith_text(WIDE)};
	struct kith_conn *conn = connect_to(arg);
	int r = kith_verify(conn, &params, NULL);

	kith_close(conn);
	return (void *)(intptr_t)r;
}

/* It knows how long it will take. */
static void none_begins_while_the_rows_are_looked_through(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "verify", "start");
	pthread_t thread;
	void *r;

	put_rounds(stage, 1, WIDE_ROUNDS_IDLE);
	assert_int_equal(pthread_create(&thread, NULL, verify, stage->daemon), 0);
	gate_await(gate);
	gate_pass(gate); /* the truth; then the rows */
	gate_await(gate);
	DONE(stage->conn, kith_set_timeout(stage->conn, 5000));
	for (int i = 0; i < 5; i++) {
		fake_clock_advance_ms(&stage->clock, UPKEEP_PAUSE_MS);
		expect_count(stage->conn, WIDE, WIDE_RECORDS);
	}
	assert_int_equal(gate_n_came(stage->renewals), 0);
	gate_open(gate);
	assert_int_equal(pthread_join(thread, &r), 0);
	assert_null(r);
	await_renewed(stage);
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
}

static bool has_inserted(void *ctx)
{
	struct stage *stage = ctx;

	fake_clock_advance_ms(&stage->clock, STEP_MS);
	return index_of(stage->conn, WIDE, "first").at.pending == 0;
}

/* A build goes on for long, and another index has more and more to take in. */
static void one_that_waits_for_a_flight_does_not_hold_other_indexes_for_ever(void **state)
{
	struct stage *stage = *state;
	struct gate *builds;
	uint64_t built;

	put_rounds(stage, 1, 1);
	ensure(stage->conn, (struct ask){.collection = WIDE, .index = "first", .wait = true});
	await_settled(stage->conn, WIDE, "first");
	builds = daemon_thread_gate(stage->daemon, "build", "start");
	built = submit_ensure(stage->conn,
	                      (struct ask){.collection = WIDE, .index = "second", .wait = true});
	gate_await(builds);
	put_rounds(stage, 2, WIDE_ROUNDS_IDLE);
	await(has_inserted, stage, "the first one has taken in all records");
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
	assert_int_equal(gate_n_came(stage->renewals), 0);
	gate_open(builds);
	assert_int_equal(collect_ensure(stage->conn, built).outcome, KITH_ENSURED_BUILT);
	expect_wide(stage->conn, WIDE_ROUNDS_IDLE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(dead_rows_leave_without_a_pause),
	        TEST(a_graph_stays_when_dead_rows_leave_in_a_pause),
	        TEST(an_evicted_graph_comes_back_after_it),
	        TEST(an_evicted_graph_that_leads_nowhere_any_more_is_no_failure),
	        TEST(ids_of_both_kinds_are_known_after_it),
	        TEST(who_comes_while_dead_rows_leave_is_answered),
	        TEST(a_daemon_that_stops_while_dead_rows_leave_loses_nothing),
	        TEST(a_drop_waits_until_it_has_ended),
	        TEST(one_that_cannot_begin_leaves_longer_and_longer_pauses),
	        TEST(none_begins_while_the_rows_are_looked_through),
	        TEST(one_that_waits_for_a_flight_does_not_hold_other_indexes_for_ever),
	};

	return cmocka_run_group_tests_name("renewal", tests, NULL, NULL);
}
