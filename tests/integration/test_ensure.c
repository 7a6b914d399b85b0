/* SPDX-License-Identifier: Apache-2.0 */

/* One build however many ask: who starts it, who joins, and what becomes of them all. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/store_twin.h"

#define RECORDS 300u
#define CALLERS 64

/* A daemon with the collection "notes" of so many records, and a connection to it. */
static struct daemon_thread *begin(struct kith_conn **ret)
{
	struct daemon_thread *daemon = daemon_thread_new();

	*ret = connect_to(daemon);
	make_collection(*ret, "notes", KITH_METRIC_L2);
	put_records(*ret, "notes", 0, RECORDS, 1);
	return daemon;
}

static void end(struct daemon_thread *daemon, struct kith_conn *conn)
{
	kith_close(conn);
	daemon_thread_free(daemon);
}

static const struct ask usual = {"notes", .wait = true};

/* Many callers --------------------------------------------------------------------------------- */

struct callers {
	struct kith_conn *conns[CALLERS];
	uint64_t tickets[CALLERS];
};

/* All ask at once, with the workers of `what` held; when it returns the daemon has heard all. */
static struct gate *all_ask(struct daemon_thread *daemon, struct callers *callers, struct ask ask,
                            const char *what)
{
	struct gate *gate = daemon_thread_gate(daemon, what, "start");

	for (int i = 0; i < CALLERS; i++) {
		callers->conns[i] = connect_to(daemon);
		callers->tickets[i] = submit_ensure(callers->conns[i], ask);
	}
	gate_await(gate);
	return gate;
}

static void callers_close(struct callers *callers)
{
	for (int i = 0; i < CALLERS; i++)
		kith_close(callers->conns[i]);
}

/* One of them has begun the build, the others have joined it. */
static void collect_one_build(struct callers *callers, uint64_t job)
{
	uint32_t n[KITH_ENSURED_STARTED + 1] = {0};

	for (int i = 0; i < CALLERS; i++) {
		struct kith_ensure_index_result result =
		        collect_ensure(callers->conns[i], callers->tickets[i]);

		assert_true(result.outcome <= KITH_ENSURED_STARTED);
		n[result.outcome]++;
		assert_int_equal(result.job, job);
		assert_int_equal(result.generation, 1);
		assert_true(result.coverage == 1.0);
	}
	assert_int_equal(n[KITH_ENSURED_BUILT], 1);
	assert_int_equal(n[KITH_ENSURED_JOINED], CALLERS - 1);
}

static void sixty_four_callers_get_one_build(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct index_view index;
	struct callers callers;
	struct kith_work job;
	struct gate *gate;
	char phase[32];

	(void)state;
	gate = all_ask(daemon, &callers, usual, "build");
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	assert_string_equal(phase, "graph");
	assert_int_equal(job.waiting, CALLERS);
	assert_int_equal(job.total, RECORDS);
	for (int i = 0; i < CALLERS; i++)
		expect_ensure_waits(callers.conns[i], callers.tickets[i]);
	gate_open(gate);
	collect_one_build(&callers, job.job);
	index = index_of(conn, "notes", NULL);
	assert_int_equal(index.at.builds, 1);
	assert_int_equal(index.at.nodes, RECORDS);
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_EXISTING);
	expect_records(conn, "notes", 0, RECORDS, 1);
	callers_close(&callers);
	end(daemon, conn);
}

/* What a refused ensure says; all must say the same. */
static void collect_same_refusal(struct callers *callers, enum kith_error error)
{
	char first[512] = "";

	for (int i = 0; i < CALLERS; i++) {
		const char *message;

		collect_ensure_refused(callers->conns[i], callers->tickets[i], error);
		message = kith_error_message(callers->conns[i]);
		if (i == 0)
			snprintf(first, sizeof(first), "%s", message);
		assert_string_equal(message, first);
	}
}

/* What a failed commit left in the writer is not known, so it goes; the reaper comes next, once the
 * clock says that writing has paused. */
static void a_failed_write_leaves_a_daemon_that_reaps_and_writes(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct daemon_thread *daemon;
	struct fake_clock clock;
	struct kith_conn *conn;
	struct gate *gate;

	(void)state;
	fake_clock_init(&clock, 0);
	daemon = daemon_thread_new_with(store_twin_io(twin), &clock.clock, 32);
	conn = connect_to(daemon);
	gate = daemon_thread_gate(daemon, "reap", "end");
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	put_records(conn, "notes", 0, RECORDS, 2);
	store_twin_fail(twin, (struct store_twin_fault){.kind = STORE_TWIN_SYNC,
	                                                .path_part = "records.db-wal",
	                                                .nth = 1,
	                                                .err = EIO});
	assert_int_equal(try_put_records(conn, "notes", RECORDS, 1, 1, NULL),
	                 KITH_ERROR_STORAGE_FAILED);
	store_twin_heal(twin);
	fake_clock_advance_ms(&clock, 1000);
	gate_await(gate);
	gate_open(gate);
	put_records(conn, "notes", RECORDS, 10, 1);
	expect_records(conn, "notes", 0, RECORDS, 2);
	expect_records(conn, "notes", RECORDS, 10, 1);
	end(daemon, conn);
	store_twin_free(twin);
}

static void a_failed_build_tells_all_of_its_callers_and_the_next_call_builds_again(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct daemon_thread *daemon = daemon_thread_new_with(store_twin_io(twin), NULL, 32);
	struct kith_conn *conn = connect_to(daemon);
	struct callers callers;
	struct gate *gate;

	(void)state;
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	gate = all_ask(daemon, &callers, usual, "declare");
	store_twin_fail(twin, (struct store_twin_fault){.kind = STORE_TWIN_SYNC,
	                                                .path_part = "records.db-wal",
	                                                .nth = 1,
	                                                .err = EIO});
	gate_open(gate);
	collect_same_refusal(&callers, KITH_ERROR_BUILD_FAILED);
	assert_int_equal(store_twin_n_failed(twin), 1);
	expect_no_index(conn, "notes", NULL);
	store_twin_heal(twin);
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	put_records(conn, "notes", RECORDS, 10, 1);
	expect_records(conn, "notes", 0, RECORDS + 10, 1);
	callers_close(&callers);
	end(daemon, conn);
	store_twin_free(twin);
}

/* begin(), and the vectors are damaged, which nobody has met yet. */
static struct daemon_thread *begin_damaged(struct kith_conn **ret)
{
	struct daemon_thread *daemon = begin(ret);
	char dir[DAEMON_PROCESS_PATH_SIZE];

	collection_path(*ret, "notes", daemon_thread_cache_dir(daemon), dir);
	kith_close(*ret);
	daemon_thread_stop(daemon);
	spoil_vectors(dir, 0);
	daemon_thread_start(daemon);
	*ret = connect_to(daemon);
	return daemon;
}

/* Codes meet the damage before the graph does: the build waits until the vectors are restored and
 * have their codes, and nobody is told of any of it. */
static void a_build_over_codes_waits_until_damaged_vectors_are_restored(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin_damaged(&conn);
	struct callers callers;
	struct gate *load, *build;
	struct kith_work job;
	char phase[32];

	(void)state;
	load = all_ask(daemon, &callers, usual, "load");
	build = daemon_thread_gate(daemon, "build", "start");
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	assert_string_equal(phase, "vectors");
	assert_int_equal(job.waiting, CALLERS);
	gate_open(load);
	gate_await(build);
	assert_int_equal(usage_of(conn, "notes").mapped_rows, RECORDS);
	assert_int_equal(usage_of(conn, "notes").resident_rows, RECORDS);
	gate_open(build);
	collect_one_build(&callers, job.job);
	assert_string_equal(index_of(conn, "notes", NULL).error, "");
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	expect_records(conn, "notes", 0, RECORDS, 1);
	callers_close(&callers);
	end(daemon, conn);
}

/* Records that come while their codes are made for it, it does not wait for. */
static void a_steady_writer_does_not_keep_a_build_from_beginning(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *other = connect_to(daemon);
	struct gate *loads, *builds;
	uint64_t ticket;

	(void)state;
	await_mapped(conn, "notes");
	loads = daemon_thread_gate(daemon, "load", "start");
	builds = daemon_thread_gate(daemon, "build", "start");
	ticket = submit_ensure(other, usual);
	gate_await(loads);
	put_records(conn, "notes", 10000, 50, 1);
	gate_pass(loads);
	/* Of the one background worker the next job is the build, and no second load. */
	gate_await(builds);
	put_records(conn, "notes", 20000, 50, 1);
	gate_open(builds);
	gate_open(loads);
	assert_int_equal(collect_ensure(other, ticket).outcome, KITH_ENSURED_BUILT);
	expect_records(conn, "notes", 10000, 50, 1);
	expect_records(conn, "notes", 20000, 50, 1);
	kith_close(other);
	end(daemon, conn);
}

/* A graph over the vectors meets it itself, and fails. The index is declared by then: it stays so,
 * and is built in the end though nobody asks. */
static void a_build_over_damaged_vectors_fails_for_all_and_is_tried_again(void **state)
{
	static const struct ask over_vectors = {
	        .collection = "notes", .wait = true, .quantization = KITH_QUANTIZATION_NONE};
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin_damaged(&conn);
	struct callers callers;
	struct gate *gate;

	(void)state;
	gate = all_ask(daemon, &callers, over_vectors, "build");
	gate_open(gate);
	collect_same_refusal(&callers, KITH_ERROR_BUILD_FAILED);
	expect_records(conn, "notes", 0, RECORDS, 1);
	await_settled(conn, "notes", NULL);
	assert_string_equal(index_of(conn, "notes", NULL).error, "");
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	expect_records(conn, "notes", 0, RECORDS, 1);
	callers_close(&callers);
	end(daemon, conn);
}

static void without_wait_the_first_is_told_started_and_the_next_joined(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_ensure_index_result first, second;
	struct gate *gate;

	(void)state;
	gate = daemon_thread_gate(daemon, "build", "start");
	first = ensure(conn, (struct ask){.collection = "notes"});
	assert_int_equal(first.outcome, KITH_ENSURED_STARTED);
	assert_true(first.job > 0);
	assert_int_equal(first.generation, 0);
	assert_true(first.coverage == 0.0);
	second = ensure(conn, (struct ask){.collection = "notes"});
	assert_int_equal(second.outcome, KITH_ENSURED_JOINED);
	assert_int_equal(second.job, first.job);
	gate_await(gate);
	gate_open(gate);
	await_state(conn, "notes", NULL, KITH_INDEX_STATE_SERVING);
	assert_int_equal(ensure(conn, (struct ask){.collection = "notes"}).outcome,
	                 KITH_ENSURED_EXISTING);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	end(daemon, conn);
}

static void two_that_ask_on_one_connection_get_one_build(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	uint64_t first, second;

	(void)state;
	first = submit_ensure(conn, usual);
	second = submit_ensure(conn, usual);
	collect_ensure(conn, second);
	assert_int_equal(collect_ensure(conn, first).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	end(daemon, conn);
}

/* Drop ----------------------------------------------------------------------------------------- */

static void drop_then_ensure_builds_again(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);

	(void)state;
	REFUSED(conn, KITH_ERROR_NO_INDEX, "index", drop_index(conn, "notes", NULL));
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_BUILT);
	DONE(conn, drop_index(conn, "notes", NULL));
	expect_no_index(conn, "notes", NULL);
	expect_records(conn, "notes", 0, RECORDS, 1);
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	DONE(conn, drop_index(conn, "notes", NULL));
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	expect_no_index(conn, "notes", NULL);
	end(daemon, conn);
}

/* Held in the job `what`: the drop tells those who wait, and the build leaves nothing behind. */
static void drop_while(const char *what)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *first = connect_to(daemon), *second = connect_to(daemon);
	struct kith_conn *dropper = connect_to(daemon);
	uint64_t first_ticket, second_ticket, graphs;
	struct kith_stats_result *stats;
	struct gate *gate;

	DONE(conn, kith_stats(conn, &stats));
	graphs = stats->budget.graphs_bytes;
	kith_free(stats);
	gate = daemon_thread_gate(daemon, what, "start");
	first_ticket = submit_ensure(first, usual);
	second_ticket = submit_ensure(second, usual);
	gate_await(gate);
	DONE(dropper, drop_index(dropper, "notes", NULL));
	collect_ensure_refused(first, first_ticket, KITH_ERROR_DROPPED);
	collect_ensure_refused(second, second_ticket, KITH_ERROR_DROPPED);
	expect_no_index(conn, "notes", NULL);
	/* Another may be made while the old build has not come to its end. */
	first_ticket = submit_ensure(first, usual);
	gate_open(gate);
	assert_int_equal(collect_ensure(first, first_ticket).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	expect_records(conn, "notes", 0, RECORDS, 1);
	await_settled(conn, "notes", NULL);
	await_no_jobs(conn);
	DONE(dropper, drop_index(dropper, "notes", NULL));
	DONE(conn, kith_stats(conn, &stats));
	assert_int_equal(stats->budget.graphs_bytes, graphs);
	kith_free(stats);
	kith_close(first);
	kith_close(second);
	kith_close(dropper);
	end(daemon, conn);
}

static void a_drop_while_the_records_are_collected(void **state)
{
	(void)state;
	drop_while("collect");
}

static void a_drop_during_a_build(void **state)
{
	(void)state;
	drop_while("build");
}

/* The drop has its turn behind the declaration: it can be sent, not awaited, while that is held. */
struct dropping {
	struct kith_conn *conn;
	int result;
};

static void *drop_main(void *arg)
{
	struct dropping *dropping = arg;

	dropping->result = drop_index(dropping->conn, "notes", NULL);
	return NULL;
}

static void a_drop_behind_the_declaration_takes_it_back(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *other = connect_to(daemon);
	struct dropping dropping = {.conn = connect_to(daemon)};
	struct gate *declares, *undeclares;
	pthread_t thread;
	uint64_t ticket;

	(void)state;
	declares = daemon_thread_gate(daemon, "declare", "start");
	undeclares = daemon_thread_gate(daemon, "undeclare", "start");
	ticket = submit_ensure(other, usual);
	gate_await(declares);
	assert_int_equal(pthread_create(&thread, NULL, drop_main, &dropping), 0);
	gate_open(declares);
	gate_await(undeclares);
	gate_open(undeclares);
	pthread_join(thread, NULL);
	assert_int_equal(dropping.result, 0);
	/* Whichever came first, the build or the drop. */
	(void)kith_collect_ensure_index(other, ticket, KITH_USUAL, NULL);
	expect_no_index(conn, "notes", NULL);
	kith_close(conn);
	kith_close(dropping.conn);
	kith_close(other);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	expect_no_index(conn, "notes", NULL);
	end(daemon, conn);
}

static void a_dropped_collection_tells_those_who_wait_for_its_index(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_drop_collection_params drop = {.collection = kith_text("notes")};
	struct kith_conn *other = connect_to(daemon);
	struct gate *gate;
	uint64_t ticket;

	(void)state;
	gate = daemon_thread_gate(daemon, "build", "start");
	ticket = submit_ensure(other, usual);
	gate_await(gate);
	DONE(conn, kith_drop_collection(conn, &drop, NULL));
	collect_ensure_refused(other, ticket, KITH_ERROR_DROPPED);
	make_collection(conn, "notes", KITH_METRIC_L2);
	expect_no_index(conn, "notes", NULL);
	gate_open(gate);
	assert_int_equal(ensure(other, usual).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(index_of(conn, "notes", NULL).at.nodes, 0);
	kith_close(other);
	end(daemon, conn);
}

/* Other parameters ----------------------------------------------------------------------------- */

static void other_parameters_are_refused_and_say_what_is_there(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *other = connect_to(daemon);
	struct kith_work job;
	struct gate *gate;
	char phase[32], number[32];
	uint64_t ticket;

	(void)state;
	gate = daemon_thread_gate(daemon, "build", "start");
	ticket = submit_ensure(other, usual);
	gate_await(gate);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	snprintf(number, sizeof(number), "job %llu ", (unsigned long long)job.job);
	ensure_refused(conn, (struct ask){"notes", .m = 8}, KITH_ERROR_BUILD_IN_FLIGHT);
	assert_non_null(strstr(kith_error_message(conn), number));
	ensure_refused(conn, (struct ask){"notes", .m = 8, .wait = true},
	               KITH_ERROR_BUILD_IN_FLIGHT);
	gate_open(gate);
	collect_ensure(other, ticket);
	ensure_refused(conn, (struct ask){"notes", .m = 8, .wait = true}, KITH_ERROR_INDEX_EXISTS);
	assert_non_null(strstr(kith_error_message(conn), "m=16"));
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	kith_close(other);
	end(daemon, conn);
}

static void a_replacement_during_a_build_is_built_behind_it(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *first = connect_to(daemon), *second = connect_to(daemon);
	struct kith_conn *third = connect_to(daemon);
	struct ask replace = {"notes", .m = 8, .wait = true, .replace = true};
	struct ask another = {"notes", .m = 12, .wait = true, .replace = true};
	struct kith_ensure_index_result result;
	uint64_t tickets[3];
	struct gate *builds, *collects;

	(void)state;
	builds = daemon_thread_gate(daemon, "build", "start");
	tickets[0] = submit_ensure(first, usual);
	gate_await(builds);
	collects = daemon_thread_gate(daemon, "collect", "start");
	tickets[1] = submit_ensure(second, replace);
	expect_ensure_waits(second, tickets[1]);
	ensure_refused(conn, another, KITH_ERROR_BUILD_IN_FLIGHT);
	tickets[2] = submit_ensure(third, replace);
	gate_open(builds);
	result = collect_ensure(first, tickets[0]);
	assert_int_equal(result.outcome, KITH_ENSURED_BUILT);
	assert_int_equal(result.generation, 1);
	gate_await(collects);
	/* The successor is at work, the first serves. */
	another.replace = false;
	ensure_refused(conn, another, KITH_ERROR_BUILD_IN_FLIGHT);
	gate_open(collects);
	result = collect_ensure(second, tickets[1]);
	assert_int_equal(result.outcome, KITH_ENSURED_BUILT);
	assert_int_equal(result.generation, 2);
	result = collect_ensure(third, tickets[2]);
	assert_int_equal(result.outcome, KITH_ENSURED_JOINED);
	assert_int_equal(result.generation, 2);
	assert_int_equal(index_of(conn, "notes", NULL).at.m, 8);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 2);
	expect_records(conn, "notes", 0, RECORDS, 1);
	kith_close(first);
	kith_close(second);
	kith_close(third);
	end(daemon, conn);
}

static void searches_stay_with_the_old_generation_until_its_replacement_serves(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *other = connect_to(daemon);
	struct kith_search_result *found;
	struct gate *gate;
	uint64_t ticket;

	(void)state;
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	gate = daemon_thread_gate(daemon, "build", "start");
	ticket = submit_ensure(other, (struct ask){"notes", .m = 8, .wait = true, .replace = true});
	gate_await(gate);
	assert_int_equal(index_of(conn, "notes", NULL).at.state, KITH_INDEX_STATE_REPLACING);
	put_records(conn, "notes", 1000, 5, 1);
	found = search_near(conn, "notes", 7, 1, 10, false);
	assert_int_equal(found->generation, 1);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	assert_true(holds_record(found, 7, 1));
	kith_free(found);
	expect_records(conn, "notes", 0, RECORDS, 1);
	expect_records(conn, "notes", 1000, 5, 1);
	gate_open(gate);
	assert_int_equal(collect_ensure(other, ticket).generation, 2);
	found = search_near(conn, "notes", 7, 1, 10, false);
	assert_int_equal(found->generation, 2);
	assert_true(holds_record(found, 7, 1));
	kith_free(found);
	expect_records(conn, "notes", 0, RECORDS, 1);
	expect_records(conn, "notes", 1000, 5, 1);
	kith_close(other);
	end(daemon, conn);
}

/* Of one that is saved, or folded in, while a replacement waits there is one too. */
static void one_replacement_waits_for_a_save(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *first = connect_to(daemon), *second = connect_to(daemon);
	uint64_t first_ticket, second_ticket;
	struct gate *gate;

	(void)state;
	gate = daemon_thread_gate(daemon, "save", "start");
	ensure(conn, usual);
	gate_await(gate);
	first_ticket =
	        submit_ensure(first, (struct ask){"notes", .m = 8, .wait = true, .replace = true});
	ensure_refused(conn, (struct ask){"notes", .m = 12, .wait = true, .replace = true},
	               KITH_ERROR_BUILD_IN_FLIGHT);
	second_ticket =
	        submit_ensure(second, (struct ask){"notes", .m = 8, .wait = true, .replace = true});
	gate_open(gate);
	assert_int_equal(collect_ensure(first, first_ticket).outcome, KITH_ENSURED_BUILT);
	assert_int_equal(collect_ensure(second, second_ticket).outcome, KITH_ENSURED_JOINED);
	assert_int_equal(index_of(conn, "notes", NULL).at.m, 8);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 2);
	kith_close(first);
	kith_close(second);
	end(daemon, conn);
}

/* Its last step is the truth's: when that fails the new graph goes, and all else is as it was. */
static void a_replacement_that_fails_leaves_the_old_one_serving(void **state)
{
	const struct ask replace = {"notes", .m = 8, .wait = true, .replace = true};
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct daemon_thread *daemon = daemon_thread_new_with(store_twin_io(twin), NULL, 32);
	struct kith_conn *conn = connect_to(daemon);
	struct kith_search_result *found;
	struct callers callers;
	struct gate *gate;

	(void)state;
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	gate = all_ask(daemon, &callers, replace, "declare");
	store_twin_fail(twin, (struct store_twin_fault){.kind = STORE_TWIN_SYNC,
	                                                .path_part = "records.db-wal",
	                                                .nth = 1,
	                                                .err = EIO});
	gate_open(gate);
	collect_same_refusal(&callers, KITH_ERROR_BUILD_FAILED);
	assert_int_equal(store_twin_n_failed(twin), 1);
	store_twin_heal(twin);
	assert_int_equal(index_of(conn, "notes", NULL).at.state, KITH_INDEX_STATE_SERVING);
	assert_int_equal(index_of(conn, "notes", NULL).at.m, 16);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	assert_non_null(strstr(index_of(conn, "notes", NULL).error, "build"));
	found = search_near(conn, "notes", 7, 1, 10, false);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	assert_int_equal(found->generation, 1);
	kith_free(found);
	assert_int_equal(ensure(conn, usual).outcome, KITH_ENSURED_EXISTING);
	assert_int_equal(ensure(conn, replace).generation, 2);
	assert_string_equal(index_of(conn, "notes", NULL).error, "");
	expect_records(conn, "notes", 0, RECORDS, 1);
	callers_close(&callers);
	end(daemon, conn);
	store_twin_free(twin);
}

/* A declaration whose build did not come to its end is replaced in the truth, too. */
static void a_replacement_of_what_was_never_built_outlives_a_restart(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_conn *other = connect_to(daemon);
	struct kith_work job;
	struct gate *gate;
	uint64_t ticket;
	char phase[32];

	(void)state;
	gate = daemon_thread_gate(daemon, "build", "start");
	ticket = submit_ensure(other, usual);
	gate_await(gate);
	assert_true(find_job(conn, "notes", NULL, &job, phase));
	DONE(conn, cancel_job(conn, job.job));
	gate_open(gate);
	collect_ensure_refused(other, ticket, KITH_ERROR_CANCELLED);
	ensure_refused(conn, (struct ask){"notes", .m = 8, .wait = true}, KITH_ERROR_INDEX_EXISTS);
	ensure(conn, (struct ask){"notes", .m = 8, .wait = true, .replace = true});
	await_settled(conn, "notes", NULL);
	kith_close(conn);
	kith_close(other);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	await_settled(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.m, 8);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	end(daemon, conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(sixty_four_callers_get_one_build),
	        cmocka_unit_test(a_failed_write_leaves_a_daemon_that_reaps_and_writes),
	        cmocka_unit_test(
	                a_failed_build_tells_all_of_its_callers_and_the_next_call_builds_again),
	        cmocka_unit_test(a_build_over_codes_waits_until_damaged_vectors_are_restored),
	        cmocka_unit_test(a_steady_writer_does_not_keep_a_build_from_beginning),
	        cmocka_unit_test(a_build_over_damaged_vectors_fails_for_all_and_is_tried_again),
	        cmocka_unit_test(without_wait_the_first_is_told_started_and_the_next_joined),
	        cmocka_unit_test(two_that_ask_on_one_connection_get_one_build),
	        cmocka_unit_test(drop_then_ensure_builds_again),
	        cmocka_unit_test(a_drop_while_the_records_are_collected),
	        cmocka_unit_test(a_drop_during_a_build),
	        cmocka_unit_test(a_drop_behind_the_declaration_takes_it_back),
	        cmocka_unit_test(a_dropped_collection_tells_those_who_wait_for_its_index),
	        cmocka_unit_test(other_parameters_are_refused_and_say_what_is_there),
	        cmocka_unit_test(a_replacement_during_a_build_is_built_behind_it),
	        cmocka_unit_test(
	                searches_stay_with_the_old_generation_until_its_replacement_serves),
	        cmocka_unit_test(one_replacement_waits_for_a_save),
	        cmocka_unit_test(a_replacement_that_fails_leaves_the_old_one_serving),
	        cmocka_unit_test(a_replacement_of_what_was_never_built_outlives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
