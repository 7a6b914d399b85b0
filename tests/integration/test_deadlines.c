/* SPDX-License-Identifier: Apache-2.0 */

/* A request whose deadline passes is answered then, its own work is dropped, and nobody else
 * notices. The workers are held at gates while the clock is turned. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/daemon_thread.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"

#define DEADLINE_MS 5000
#define NOTES "notes"

struct stage {
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *hurried, *patient;
};

struct place {
	struct stage *stage;
	char path[DAEMON_PROCESS_PATH_SIZE + 16];
};

static struct kith_conn *client_of(const struct daemon_thread *daemon)
{
	const struct kith_options options = {.socket_path = daemon_thread_socket(daemon)};
	struct kith_conn *conn;

	assert_int_equal(kith_connect(&options, &conn), 0);
	return conn;
}

static int stage_setup(void **state)
{
	static struct stage stage;

	fake_clock_init(&stage.clock, 1700000000000);
	stage.daemon = daemon_thread_new_with(store_io_posix(), &stage.clock.clock, 16);
	stage.hurried = client_of(stage.daemon);
	stage.patient = client_of(stage.daemon);
	make_collection(stage.patient, NOTES, KITH_METRIC_L2);
	put_records(stage.patient, NOTES, 0, 50, 1);
	kith_set_deadline(stage.hurried, DEADLINE_MS);
	*state = &stage;
	return 0;
}

static int stage_teardown(void **state)
{
	struct stage *stage = *state;

	kith_close(stage->hurried);
	kith_close(stage->patient);
	daemon_thread_free(stage->daemon);
	return 0;
}

static void submit_put(struct kith_conn *conn, uint64_t number, uint64_t *ret)
{
	const struct kith_id id = kith_id_number(number);
	float vector[RECORD_DIM];
	struct kith_upsert_params params = {
	        .collection = kith_text(NOTES),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(number, 1, vector), RECORD_DIM),
	};

	DONE(conn, kith_submit_upsert(conn, &params, ret));
	DONE(conn, kith_flush(conn));
}

static void submit_search(struct kith_conn *conn, uint64_t *ret)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(NOTES),
	        .vectors = kith_vectors(record_vector(1, 1, vector), RECORD_DIM),
	        .k = 3,
	};

	DONE(conn, kith_submit_search(conn, &params, ret));
	DONE(conn, kith_flush(conn));
}

static void a_search_is_answered_at_its_deadline_and_cancelled(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "search", "start");
	struct kith_search_result *found;
	uint64_t late, patient;

	submit_search(stage->hurried, &late);
	gate_await(gate);
	submit_search(stage->patient, &patient);
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS);
	REFUSED(stage->hurried, KITH_ERROR_TOO_LATE, NULL,
	        kith_collect_search(stage->hurried, late, KITH_USUAL, &found));
	/* The connection is as good as before, while the worker still stands there. */
	DONE(stage->hurried, kith_ping(stage->hurried));
	gate_open(gate);
	DONE(stage->patient, kith_collect_search(stage->patient, patient, KITH_USUAL, &found));
	assert_int_equal(found->ids.n, 3);
	kith_free(found);
	expect_records(stage->hurried, NOTES, 0, 5, 1);
}

static void a_request_just_before_its_deadline_is_not_late(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "search", "start");
	uint64_t ticket;

	submit_search(stage->hurried, &ticket);
	gate_await(gate);
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS - 1);
	DONE(stage->patient, kith_ping(stage->patient));
	gate_open(gate);
	DONE(stage->hurried, kith_collect_search(stage->hurried, ticket, KITH_USUAL, NULL));
}

static void a_write_that_waits_past_its_deadline_is_not_carried_out(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "write", "start");
	uint64_t begun, late;

	submit_put(stage->patient, 100, &begun);
	gate_await(gate);
	submit_put(stage->hurried, 200, &late);
	/* It is in the queue when what came behind it is answered. */
	DONE(stage->hurried, kith_ping(stage->hurried));
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS);
	REFUSED(stage->hurried, KITH_ERROR_TOO_LATE, NULL,
	        kith_collect_upsert(stage->hurried, late, KITH_USUAL, NULL));
	gate_open(gate);
	DONE(stage->patient, kith_collect_upsert(stage->patient, begun, KITH_USUAL, NULL));
	expect_count(stage->hurried, NOTES, 51);
	expect_no_records(stage->patient, NOTES, 200, 1, 1);
}

static void a_write_that_began_is_answered_once_and_kept_wholly(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "write", "start");
	uint64_t late;

	submit_put(stage->hurried, 200, &late);
	gate_await(gate);
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS);
	REFUSED(stage->hurried, KITH_ERROR_TOO_LATE, NULL,
	        kith_collect_upsert(stage->hurried, late, KITH_USUAL, NULL));
	gate_open(gate);
	/* A read of its own connection still comes behind it. */
	expect_count(stage->hurried, NOTES, 51);
}

static void a_build_goes_on_for_who_has_time(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "build", "start");
	struct kith_ensure_index_params params = {.collection = kith_text(NOTES), .wait = true};
	struct kith_ensure_index_result *built;
	uint64_t late, patient;

	DONE(stage->hurried, kith_submit_ensure_index(stage->hurried, &params, &late));
	DONE(stage->hurried, kith_flush(stage->hurried));
	gate_await(gate);
	DONE(stage->patient, kith_submit_ensure_index(stage->patient, &params, &patient));
	DONE(stage->patient, kith_flush(stage->patient));
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS);
	REFUSED(stage->hurried, KITH_ERROR_TOO_LATE, NULL,
	        kith_collect_ensure_index(stage->hurried, late, KITH_USUAL, NULL));
	gate_open(gate);
	DONE(stage->patient,
	     kith_collect_ensure_index(stage->patient, patient, KITH_USUAL, &built));
	assert_true(built->coverage == 1.0);
	kith_free(built);
}

static bool can_back_up(void *ctx)
{
	struct stage *stage = ((struct place *)ctx)->stage;
	struct kith_backup_params params = {.directory = kith_text(((struct place *)ctx)->path)};

	return kith_backup(stage->patient, &params, NULL) == 0;
}

/* Its steps are short, and look at no clock: the one under way ends, and no other follows. */
static void a_backup_that_is_late_leaves_its_place_to_the_next(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "backup", "start");
	struct gate *behind = daemon_thread_gate(stage->daemon, "search", "start");
	struct place place = {.stage = stage};
	struct kith_backup_params params = {0};
	uint64_t late;

	snprintf(place.path, sizeof(place.path), "%s/backup", daemon_thread_root(stage->daemon));
	params.directory = kith_text(place.path);
	DONE(stage->hurried, kith_set_timeout(stage->hurried, 1));
	assert_int_equal(kith_backup(stage->hurried, &params, NULL), -ETIMEDOUT);
	gate_await(gate);
	DONE(stage->hurried, kith_set_timeout(stage->hurried, 0));
	submit_search(stage->hurried, &late);
	gate_await(behind);
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS);
	/* What came behind it is late, and so is the backup. */
	REFUSED(stage->hurried, KITH_ERROR_TOO_LATE, NULL,
	        kith_collect_search(stage->hurried, late, KITH_USUAL, NULL));
	gate_open(behind);
	gate_open(gate);
	/* Were it carried out, the place would be taken. */
	await(can_back_up, &place, "another makes a backup there");
}

static void many_late_requests_are_answered_once_each(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "search", "start");
	uint64_t tickets[40];

	for (int i = 0; i < 40; i++)
		submit_search(stage->hurried, &tickets[i]);
	gate_await(gate);
	/* The daemon has all of them when what came behind them is answered. */
	DONE(stage->hurried, kith_ping(stage->hurried));
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS);
	for (int i = 0; i < 40; i++)
		REFUSED(stage->hurried, KITH_ERROR_TOO_LATE, NULL,
		        kith_collect_search(stage->hurried, tickets[i], KITH_USUAL, NULL));
	/* Leaving does not answer them again. */
	kith_close(stage->hurried);
	stage->hurried = client_of(stage->daemon);
	gate_open(gate);
	expect_records(stage->hurried, NOTES, 0, 5, 1);
}

/* The earlier one came last: neither the order of coming nor who is late already hides the next. */
static void each_request_is_late_at_its_own_deadline(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "search", "start");
	uint64_t later, sooner, patient;

	kith_set_deadline(stage->hurried, 2 * DEADLINE_MS);
	submit_search(stage->hurried, &later);
	gate_await(gate);
	kith_set_deadline(stage->hurried, 10 * DEADLINE_MS);
	submit_search(stage->hurried, &patient);
	kith_set_deadline(stage->hurried, DEADLINE_MS);
	submit_search(stage->hurried, &sooner);
	DONE(stage->hurried, kith_ping(stage->hurried));
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS);
	REFUSED(stage->hurried, KITH_ERROR_TOO_LATE, NULL,
	        kith_collect_search(stage->hurried, sooner, KITH_USUAL, NULL));
	fake_clock_advance_ms(&stage->clock, DEADLINE_MS);
	REFUSED(stage->hurried, KITH_ERROR_TOO_LATE, NULL,
	        kith_collect_search(stage->hurried, later, KITH_USUAL, NULL));
	gate_open(gate);
	DONE(stage->hurried, kith_collect_search(stage->hurried, patient, KITH_USUAL, NULL));
}

int main(void)
{
#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)
	const struct CMUnitTest tests[] = {
	        ON_STAGE(a_search_is_answered_at_its_deadline_and_cancelled),
	        ON_STAGE(a_request_just_before_its_deadline_is_not_late),
	        ON_STAGE(a_write_that_waits_past_its_deadline_is_not_carried_out),
	        ON_STAGE(a_write_that_began_is_answered_once_and_kept_wholly),
	        ON_STAGE(a_build_goes_on_for_who_has_time),
	        ON_STAGE(a_backup_that_is_late_leaves_its_place_to_the_next),
	        ON_STAGE(many_late_requests_are_answered_once_each),
	        ON_STAGE(each_request_is_late_at_its_own_deadline),
	};

	return cmocka_run_group_tests_name("deadlines", tests, NULL, NULL);
}
