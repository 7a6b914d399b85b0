/* SPDX-License-Identifier: Apache-2.0 */

/* Flights beside each other and their ends: jobs, progress, cancelling, stopping, trying again. */

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/store_twin.h"

#define RECORDS 300u

static const struct ask usual = {.collection = "notes", .wait = true};

static void fill(struct kith_conn *conn, const char *collection)
{
	make_collection(conn, collection, KITH_METRIC_L2);
	put_records(conn, collection, 0, RECORDS, 1);
}

static struct daemon_thread *begin(struct kith_conn **ret)
{
	struct daemon_thread *daemon = daemon_thread_new();

	*ret = connect_to(daemon);
	fill(*ret, "notes");
	return daemon;
}

static void end(struct daemon_thread *daemon, struct kith_conn *conn)
{
	kith_close(conn);
	daemon_thread_free(daemon);
}

/* Beside each other ---------------------------------------------------------------------------- */

/* The first build is held at work; the other one comes to its end. */
static void one_held_build_leaves_another_alone(struct ask held, struct ask free_one)
{
	struct kith_conn *conn, *other, *searcher;
	struct daemon_thread *daemon = begin(&conn);
	struct gate *gate;
	uint64_t ticket;

	fill(conn, "mails");
	kith_close(conn);
	daemon_thread_stop(daemon);
	daemon_thread_set_background(daemon, 2);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	other = connect_to(daemon);
	searcher = connect_to(daemon);
	gate = daemon_thread_gate_one(daemon, "build", "start");
	ticket = submit_ensure(conn, held);
	gate_await(gate);
	assert_int_equal(ensure(other, free_one).outcome, KITH_ENSURED_BUILT);
	await_settled(other, free_one.collection, free_one.index);
	expect_ensure_waits(conn, ticket);
	expect_records(searcher, "notes", 0, RECORDS, 1);
	expect_records(searcher, "mails", 0, RECORDS, 1);
	gate_open(gate);
	assert_int_equal(collect_ensure(conn, ticket).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(index_of(conn, held.collection, held.index).at.builds, 1);
	assert_int_equal(index_of(conn, free_one.collection, free_one.index).at.builds, 1);
	kith_close(other);
	kith_close(searcher);
	end(daemon, conn);
}

static void a_build_does_not_hold_up_that_of_another_collection(void **state)
{
	(void)state;
	one_held_build_leaves_another_alone(usual,
	                                    (struct ask){.collection = "mails", .wait = true});
}

static void a_build_does_not_hold_up_that_of_another_index(void **state)
{
	(void)state;
	one_held_build_leaves_another_alone(usual,
	                                    (struct ask){"notes", "wide", .m = 32, .wait = true});
}

#define BUILDS 4u
/* Several turns. */
#define BUILD_RECORDS 400u

struct build_seen {
	bool is_begun, is_ended;
};

struct build_waiting {
	struct kith_conn *conn;
	const char *name;
};

/* How far the builds are of which one is held, before its turn. */
static void look_at_builds(struct kith_conn *conn, struct build_seen seen[static BUILDS])
{
	char name[8], phase[32];
	struct kith_work job;

	for (uint32_t i = 0; i < BUILDS; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		if (find_job(conn, name, NULL, &job, phase)) {
			seen[i].is_begun = strcmp(phase, "graph") == 0 && job.done > 0;
			seen[i].is_ended = strcmp(phase, "save") == 0;
			/* The worker stands still: the figures are of one moment. */
			assert_true(isfinite(job.eta_s));
			assert_int_equal(job.eta_s > 0.0, job.done > 0 && job.done < job.total);
		} else {
			seen[i].is_ended = index_of(conn, name, NULL).at.generation > 0;
		}
	}
}

static bool stands_in_line(void *ctx)
{
	const struct build_waiting *build = ctx;
	struct kith_work job;
	char phase[32];

	return find_job(build->conn, build->name, NULL, &job, phase) &&
	       strcmp(phase, "collect") == 0;
}

/* With one worker for all of them they take turns: each has got on before any of them ends. They
 * make no codes, which they would wait for before they stand in line. */
static void many_builds_get_on_with_one_worker(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct build_seen seen[BUILDS] = {0};
	uint32_t n_begun = 0;
	struct gate *gate;
	char name[8];

	(void)state;
	for (uint32_t i = 0; i < BUILDS; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		make_collection(conn, name, KITH_METRIC_L2);
		put_records(conn, name, 0, BUILD_RECORDS, 1);
		await_mapped(conn, name);
	}
	gate = daemon_thread_gate(daemon, "build", "start");
	ensure(conn, (struct ask){.collection = "c0", .quantization = KITH_QUANTIZATION_NONE});
	gate_await(gate);
	for (uint32_t i = 1; i < BUILDS; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		ensure(conn,
		       (struct ask){.collection = name, .quantization = KITH_QUANTIZATION_NONE});
		await(stands_in_line, &(struct build_waiting){conn, name},
		      "the build stands in line");
	}
	while (n_begun < BUILDS) {
		gate_pass(gate);
		gate_await(gate);
		look_at_builds(conn, seen);
		n_begun = 0;
		for (uint32_t i = 0; i < BUILDS; i++) {
			assert_false(seen[i].is_ended);
			n_begun += seen[i].is_begun;
		}
	}
	gate_open(gate);
	for (uint32_t i = 0; i < BUILDS; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		await_settled(conn, name, NULL);
		assert_int_equal(index_of(conn, name, NULL).at.builds, 1);
		expect_records(conn, name, 0, BUILD_RECORDS, 1);
	}
	end(daemon, conn);
}

static void two_indexes_of_one_collection_go_their_own_ways(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct ask wide = {"notes", "wide", .m = 32, .wait = true};

	(void)state;
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(ensure(conn, wide).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_EXISTING);
	put_records(conn, "notes", 3, 2, 2);
	optimize(conn, "notes", "wide");
	optimize(conn, "notes", NULL);
	DONE(conn, drop_index(conn, "notes", NULL));
	expect_no_index(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", "wide").at.m, 32);
	expect_records(conn, "notes", 3, 2, 2);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	await_settled(conn, "notes", "wide");
	expect_no_index(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", "wide").at.builds, 0);
	end(daemon, conn);
}

/* One more than a collection may have. */
static void a_collection_has_so_many_indexes_and_no_more(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_limits_result *limits;
	char name[32];

	(void)state;
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 20, 1);
	DONE(conn, kith_limits(conn, &limits));
	for (uint64_t i = 0; i < limits->indexes; i++) {
		snprintf(name, sizeof(name), "i%llu", (unsigned long long)i);
		ensure(conn, (struct ask){"notes", name, .m = 4, .wait = true});
	}
	ensure_refused(conn, (struct ask){"notes", "more", .m = 4, .wait = true},
	               KITH_ERROR_OVER_LIMIT);
	assert_int_equal(ensure(conn, (struct ask){"notes", "i0", .m = 4, .wait = true}).outcome,
	                 KITH_ENSURED_EXISTING);
	DONE(conn, drop_index(conn, "notes", "i1"));
	ensure(conn, (struct ask){"notes", "more", .m = 4, .wait = true});
	kith_free(limits);
	end(daemon, conn);
}

/* Jobs ----------------------------------------------------------------------------------------- */

static void jobs_tell_the_phase_and_who_waits(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *other = connect_to(daemon), *third = connect_to(daemon);
	struct gate *collects, *builds, *saves, *inserts;
	struct kith_work job;
	uint64_t ticket;
	char phase[32];

	(void)state;
	assert_false(find_job(conn, "notes", NULL, &job, phase));
	collects = daemon_thread_gate(daemon, "collect", "start");
	builds = daemon_thread_gate(daemon, "build", "end");
	saves = daemon_thread_gate(daemon, "save", "start");
	inserts = daemon_thread_gate(daemon, "insert", "start");
	ticket = submit_ensure(other, usual);
	gate_await(collects);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	assert_string_equal(phase, "collect");
	assert_int_equal(job.waiting, 1);
	submit_ensure(third, usual);
	gate_open(collects);
	/* The end of a turn may be one in favour of another job. */
	for (;;) {
		gate_await(builds);
		assert_true(find_job(conn, "notes", NULL, &job, phase));
		assert_string_equal(phase, "graph");
		assert_int_equal(job.waiting, 2);
		assert_int_equal(job.total, RECORDS);
		if (job.done == RECORDS)
			break;
		gate_pass(builds);
	}
	gate_open(builds);
	collect_ensure(other, ticket);
	gate_await(saves);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	assert_string_equal(phase, "save");
	assert_int_equal(job.waiting, 0);
	assert_int_equal(job.total, RECORDS);
	gate_open(saves);
	put_records(conn, "notes", RECORDS, 256, 1);
	gate_await(inserts);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	assert_string_equal(phase, "insert");
	assert_int_equal(job.total, 256);
	gate_open(inserts);
	await_settled(conn, "notes", NULL);
	await_no_jobs(conn);
	kith_close(other);
	kith_close(third);
	end(daemon, conn);
}

static void subscribers_see_a_job_come_and_go(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *watcher = connect_to(daemon);
	uint64_t number = ensure(conn, usual).job;
	bool was_graph = false, was_done = false;

	(void)state;
	DONE(conn, drop_index(conn, "notes", NULL));
	DONE(watcher, kith_subscribe(watcher, KITH_TOPIC_JOBS));
	number = ensure(conn, usual).job;
	while (!was_done) {
		struct kith_event *event;

		DONE(watcher, kith_next_event(watcher, KITH_USUAL, &event));
		assert_int_equal(event->type, KITH_EVENT_JOB);
		if (event->job.job == number) {
			assert_true(is_text(event->job.collection, "notes"));
			assert_true(is_text(event->job.index, "vector"));
			assert_true(isfinite(event->job.eta_s) && event->job.eta_s >= 0.0);
			was_graph = was_graph || is_text(event->job.phase, "graph");
			was_done = is_text(event->job.phase, "done");
		}
		kith_free(event);
	}
	assert_true(was_graph);
	kith_close(watcher);
	end(daemon, conn);
}

static void a_cancelled_build_tells_its_callers(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *first = connect_to(daemon), *second = connect_to(daemon);
	uint64_t first_ticket, second_ticket;
	struct kith_work job;
	struct gate *gate;
	char phase[32];

	(void)state;
	gate = daemon_thread_gate(daemon, "build", "start");
	first_ticket = submit_ensure(first, usual);
	second_ticket = submit_ensure(second, usual);
	gate_await(gate);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	REFUSED(conn, KITH_ERROR_NO_JOB, "job", cancel_job(conn, job.job + 1));
	DONE(conn, cancel_job(conn, job.job));
	DONE(conn, cancel_job(conn, job.job));
	gate_open(gate);
	collect_ensure_refused(first, first_ticket, KITH_ERROR_CANCELLED);
	collect_ensure_refused(second, second_ticket, KITH_ERROR_CANCELLED);
	REFUSED(conn, KITH_ERROR_NO_JOB, "job", cancel_job(conn, job.job));
	expect_records(conn, "notes", 0, RECORDS, 1);
	assert_int_equal(ensure(first, usual).outcome, KITH_ENSURED_BUILT);
	kith_close(first);
	kith_close(second);
	end(daemon, conn);
}

/* The truth is being told of the replacement: too late, and nobody is told otherwise. */
static void a_replacement_that_is_committed_is_not_cancelled(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *other = connect_to(daemon);
	struct kith_cancel_job_result *result;
	struct kith_work job;
	struct gate *gate;
	uint64_t ticket;
	char phase[32];

	(void)state;
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	gate = daemon_thread_gate(daemon, "declare", "end");
	ticket = submit_ensure(other, (struct ask){"notes", .m = 8, .wait = true, .replace = true});
	gate_await(gate);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	assert_string_equal(phase, "declare");
	DONE(conn,
	     kith_cancel_job(conn, &(struct kith_cancel_job_params){.job = job.job}, &result));
	assert_false(result->cancelled);
	gate_open(gate);
	assert_int_equal(collect_ensure(other, ticket).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(index_of(conn, "notes", NULL).at.m, 8);
	kith_free(result);
	kith_close(other);
	end(daemon, conn);
}

static void a_caller_who_leaves_takes_nothing_with_it(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *first = connect_to(daemon), *second = connect_to(daemon);
	struct kith_conn *successor = connect_to(daemon);
	struct gate *gate;
	uint64_t ticket;

	(void)state;
	gate = daemon_thread_gate(daemon, "build", "start");
	submit_ensure(first, usual);
	ticket = submit_ensure(second, usual);
	submit_ensure(successor, (struct ask){"notes", .m = 8, .wait = true, .replace = true});
	gate_await(gate);
	kith_close(first);
	kith_close(successor);
	gate_open(gate);
	assert_int_equal(collect_ensure(second, ticket).outcome, KITH_ENSURED_JOINED);
	await_settled(conn, "notes", NULL);
	await_no_jobs(conn);
	assert_int_equal(index_of(conn, "notes", NULL).at.m, 8);
	kith_close(second);
	end(daemon, conn);
}

/* Stopping ------------------------------------------------------------------------------------- */

/* With the job `what` held, and a successor and an optimize that wait. */
static void stop_while(const char *what)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *first = connect_to(daemon), *second = connect_to(daemon);
	uint64_t first_ticket, second_ticket;
	struct gate *gate;

	gate = daemon_thread_gate(daemon, what, "start");
	first_ticket = submit_ensure(first, usual);
	second_ticket =
	        submit_ensure(second, (struct ask){"notes", .m = 8, .wait = true, .replace = true});
	gate_await(gate);
	daemon_thread_stop_soon(daemon);
	collect_ensure_refused(first, first_ticket, KITH_ERROR_STOPPING);
	collect_ensure_refused(second, second_ticket, KITH_ERROR_STOPPING);
	gate_open(gate);
	kith_close(first);
	kith_close(second);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	expect_records(conn, "notes", 0, RECORDS, 1);
	ensure(conn, usual);
	assert_int_equal(index_of(conn, "notes", NULL).at.m, 16);
	end(daemon, conn);
}

static void a_stop_while_a_build_is_declared(void **state)
{
	(void)state;
	stop_while("declare");
}

static void a_stop_while_records_are_collected(void **state)
{
	(void)state;
	stop_while("collect");
}

static void a_stop_while_a_build_is_held(void **state)
{
	(void)state;
	stop_while("build");
}

/* The first request after a start: it waits for the snapshot instead of building over it. */
static void an_ensure_right_after_a_start_builds_nothing(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);

	(void)state;
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_EXISTING);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	assert_int_equal(optimize(conn, "notes", NULL).inserted, 0);
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_EXISTING);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	end(daemon, conn);
}

static void a_cancelled_load_is_loaded_again(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_work job;
	struct gate *gate;
	uint64_t ticket;
	char phase[32];

	(void)state;
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	gate = daemon_thread_gate(daemon, "open-index", "start");
	ticket = submit_ensure(conn, usual);
	gate_await(gate);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	DONE(conn, cancel_job(conn, job.job));
	gate_open(gate);
	assert_int_equal(collect_ensure(conn, ticket).outcome, KITH_ENSURED_EXISTING);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	expect_records(conn, "notes", 0, RECORDS, 1);
	end(daemon, conn);
}

/* By itself, and when it fails ------------------------------------------------------------------
 */

static void pending_records_are_folded_in_by_count_and_by_age(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	struct index_view index;

	(void)state;
	fake_clock_init(&clock, INT64_C(1700000000000));
	daemon = daemon_thread_new_with(store_io_posix(), &clock.clock, 32);
	conn = connect_to(daemon);
	fill(conn, "notes");
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	put_records(conn, "notes", RECORDS, 255, 1);
	await_no_jobs(conn);
	assert_int_equal(index_of(conn, "notes", NULL).at.pending, 255);
	put_records(conn, "notes", RECORDS + 255, 1, 1);
	await_settled(conn, "notes", NULL);
	put_records(conn, "notes", RECORDS + 256, 1, 1);
	await_no_jobs(conn);
	assert_int_equal(index_of(conn, "notes", NULL).at.pending, 1);
	/* Some second later the one record is in the graph; a snapshot for one alone waits longer.
	 * The daemon looks now and then, and counts from the first time that it does. */
	while (index_of(conn, "notes", NULL).at.pending > 0)
		fake_clock_advance_ms(&clock, 1);
	index = index_of(conn, "notes", NULL);
	assert_int_equal(index.at.nodes, RECORDS + 257);
	await_no_jobs(conn);
	assert_int_equal(index_of(conn, "notes", NULL).at.saved_nodes, RECORDS + 256);
	while (index_of(conn, "notes", NULL).at.saved_nodes < RECORDS + 257)
		fake_clock_advance_ms(&clock, 100);
	await_settled(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	expect_records(conn, "notes", 0, RECORDS + 257, 1);
	end(daemon, conn);
}

static void expect_pending(struct kith_conn *conn, uint64_t n)
{
	struct kith_search_result *found = search_near(conn, "notes", 7, 1, 5, false);
	struct index_view index = index_of(conn, "notes", NULL);
	double n_live = (double)usage_of(conn, "notes").records;

	assert_int_equal(index.at.pending, n);
	assert_true(index.at.coverage == 1.0 - (double)n / n_live);
	/* What the search found for itself. */
	assert_int_equal(found->scanned, n);
	assert_true(found->coverage == index.at.coverage);
	kith_free(found);
}

static void pending_records_are_counted_whatever_happens_to_them(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	struct gate *gate;

	(void)state;
	fake_clock_init(&clock, INT64_C(1700000000000));
	daemon = daemon_thread_new_with(store_io_posix(), &clock.clock, 32);
	conn = connect_to(daemon);
	fill(conn, "notes");
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	put_records(conn, "notes", RECORDS, 10, 1);
	expect_pending(conn, 10);
	put_records(conn, "notes", RECORDS, 3, 2); /* pending ones replaced */
	expect_pending(conn, 10);
	delete_records(conn, "notes", RECORDS, 2); /* pending ones gone */
	expect_pending(conn, 8);
	put_records(conn, "notes", 20, 4, 2); /* held ones replaced */
	expect_pending(conn, 12);
	delete_records(conn, "notes", 30, 5); /* held ones gone */
	expect_pending(conn, 12);
	optimize(conn, "notes", NULL);
	expect_pending(conn, 0);
	gate = daemon_thread_gate(daemon, "insert", "start");
	put_records(conn, "notes", 1000, 256, 1);
	gate_await(gate);
	expect_pending(conn, 256);
	put_records(conn, "notes", 2000, 3, 1);
	put_records(conn, "notes", 1000, 1, 2);
	delete_records(conn, "notes", 1001, 1);
	expect_pending(conn, 258);
	gate_open(gate);
	await_no_jobs(conn);
	expect_pending(conn, 4);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	await_state(conn, "notes", NULL, KITH_INDEX_STATE_SERVING);
	await_no_jobs(conn);
	expect_pending(conn, 4);
	end(daemon, conn);
}

static void a_failed_save_is_told_and_tried_again(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct daemon_thread *daemon = daemon_thread_new_with(store_twin_io(twin), NULL, 32);
	struct kith_conn *conn = connect_to(daemon);
	struct kith_optimize_params which = {.collection = kith_text("notes")};

	(void)state;
	fill(conn, "notes");
	store_twin_fail(twin, (struct store_twin_fault){.kind = STORE_TWIN_WRITE,
	                                                .path_part = "hnsw-",
	                                                .nth = 1,
	                                                .err = ENOSPC,
	                                                .lasting = true});
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_BUILT);
	while (store_twin_n_failed(twin) == 0)
		DONE(conn, kith_ping(conn));
	await_state(conn, "notes", NULL, KITH_INDEX_STATE_SERVING);
	assert_non_null(strstr(index_of(conn, "notes", NULL).error, "save"));
	REFUSED(conn, KITH_ERROR_BUILD_FAILED, "index", kith_optimize(conn, &which, NULL));
	expect_records(conn, "notes", 0, RECORDS, 1);
	store_twin_heal(twin);
	await_settled(conn, "notes", NULL);
	assert_string_equal(index_of(conn, "notes", NULL).error, "");
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	end(daemon, conn);
	store_twin_free(twin);
}

static void who_optimizes_is_told_when_the_build_is_cancelled(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_optimize_params which = {.collection = kith_text("notes")};
	struct kith_work job;
	struct gate *gate;
	char phase[32];

	(void)state;
	REFUSED(conn, KITH_ERROR_NO_INDEX, "index", kith_optimize(conn, &which, NULL));
	gate = daemon_thread_gate(daemon, "build", "start");
	ensure(conn, (struct ask){.collection = "notes"});
	gate_await(gate);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	DONE(conn, cancel_job(conn, job.job));
	gate_open(gate);
	await_state(conn, "notes", NULL, KITH_INDEX_STATE_DECLARED);
	REFUSED(conn, KITH_ERROR_NO_INDEX, "index", kith_optimize(conn, &which, NULL));
	end(daemon, conn);
}

/* A flip under a loaded graph is met first by an insert: what it linked is thrown away, the
 * snapshot serves again, and no record comes twice. */
static void an_insert_over_damaged_vectors_leaves_no_trace(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	char dir[DAEMON_PROCESS_PATH_SIZE];
	struct kith_search_result *found;

	(void)state;
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	collection_path(conn, "notes", daemon_thread_cache_dir(daemon), dir);
	kith_close(conn);
	daemon_thread_stop(daemon);
	spoil_vectors(dir, 5);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	await_state(conn, "notes", NULL, KITH_INDEX_STATE_SERVING);
	put_records(conn, "notes", RECORDS, 40, 1);
	put_records(conn, "notes", 5, 1, 2);
	await_settled(conn, "notes", NULL);
	found = search_near(conn, "notes", 7, 1, 2000, false);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	assert_int_equal(found->ids.n, RECORDS + 40);
	kith_free(found);
	expect_records(conn, "notes", RECORDS, 40, 1);
	expect_records(conn, "notes", 5, 1, 2);
	expect_records(conn, "notes", 6, RECORDS - 6, 1);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	end(daemon, conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_build_does_not_hold_up_that_of_another_collection),
	        cmocka_unit_test(a_build_does_not_hold_up_that_of_another_index),
	        cmocka_unit_test(many_builds_get_on_with_one_worker),
	        cmocka_unit_test(two_indexes_of_one_collection_go_their_own_ways),
	        cmocka_unit_test(a_collection_has_so_many_indexes_and_no_more),
	        cmocka_unit_test(jobs_tell_the_phase_and_who_waits),
	        cmocka_unit_test(subscribers_see_a_job_come_and_go),
	        cmocka_unit_test(a_cancelled_build_tells_its_callers),
	        cmocka_unit_test(a_replacement_that_is_committed_is_not_cancelled),
	        cmocka_unit_test(a_caller_who_leaves_takes_nothing_with_it),
	        cmocka_unit_test(a_stop_while_a_build_is_declared),
	        cmocka_unit_test(a_stop_while_records_are_collected),
	        cmocka_unit_test(a_stop_while_a_build_is_held),
	        cmocka_unit_test(an_ensure_right_after_a_start_builds_nothing),
	        cmocka_unit_test(a_cancelled_load_is_loaded_again),
	        cmocka_unit_test(pending_records_are_folded_in_by_count_and_by_age),
	        cmocka_unit_test(pending_records_are_counted_whatever_happens_to_them),
	        cmocka_unit_test(a_failed_save_is_told_and_tried_again),
	        cmocka_unit_test(who_optimizes_is_told_when_the_build_is_cancelled),
	        cmocka_unit_test(an_insert_over_damaged_vectors_leaves_no_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
