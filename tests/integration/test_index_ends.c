/* SPDX-License-Identifier: Apache-2.0 */

/* What ends an index's work in each of its states: a drop, a stop, a cancelled job. */

#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/index_stage.h"

#define THIRD_M 12u

static void a_drop_takes_the_index_away_in_each_state(void **state)
{
	(void)state;
	for (enum stage which = STAGE_DECLARED; which < STAGE_N; which++) {
		struct index_stage stage;
		uint64_t ticket;

		print_message("%s\n", index_stage_name(which));
		index_stage_enter(&stage, which);
		DONE(stage.conn, drop_index(stage.conn, STAGE_COLLECTION, NULL));
		expect_no_index(stage.conn, STAGE_COLLECTION, NULL);
		if (stage.has_ticket)
			collect_ensure_refused(stage.starter, stage.ticket, KITH_ERROR_DROPPED);
		expect_records(stage.conn, STAGE_COLLECTION, 0, (uint32_t)stage.n_records, 1);
		/* A namesake is made while the old flight has not come to its end. */
		ticket = submit_ensure(stage.conn,
		                       (struct ask){STAGE_COLLECTION, .m = THIRD_M, .wait = true});
		index_stage_go(&stage);
		assert_int_equal(collect_ensure(stage.conn, ticket).outcome, KITH_ENSURED_BUILT);
		index_stage_expect_sound_for_good(&stage, THIRD_M);
		index_stage_leave(&stage);
	}
}

static bool one_snapshot_is_left(void *cache_dir)
{
	char pattern[DAEMON_PROCESS_PATH_SIZE + 16];
	glob_t found;
	bool is_one;

	snprintf(pattern, sizeof(pattern), "%s/*/hnsw-*", (const char *)cache_dir);
	is_one = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1;
	globfree(&found);
	return is_one;
}

/* The drop has removed what was saved before the save that is under way writes its file. */
static void a_save_behind_a_drop_leaves_no_file(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn;
	struct gate *gate;
	char *cache_dir = strdup(daemon_thread_cache_dir(daemon));

	(void)state;
	assert_non_null(cache_dir);
	daemon_thread_set_background(daemon, 2);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	make_collection(conn, STAGE_COLLECTION, KITH_METRIC_L2);
	put_records(conn, STAGE_COLLECTION, 0, STAGE_RECORDS, 1);
	gate = daemon_thread_gate_one(daemon, "save", "start");
	ensure(conn, (struct ask){STAGE_COLLECTION, .wait = true});
	gate_await(gate);
	DONE(conn, drop_index(conn, STAGE_COLLECTION, NULL));
	/* When it is there, the other worker has been through what the drop left to do. */
	ensure(conn, (struct ask){STAGE_COLLECTION, "other", .wait = true});
	await_settled(conn, STAGE_COLLECTION, "other");
	gate_open(gate);
	await_no_jobs(conn);
	await(one_snapshot_is_left, cache_dir, "the dropped index to leave no snapshot");
	free(cache_dir);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void a_stop_comes_to_an_end_in_each_state(void **state)
{
	(void)state;
	for (enum stage which = STAGE_DECLARED; which < STAGE_N; which++) {
		struct index_stage stage;
		bool is_built = which != STAGE_DECLARED && which != STAGE_BUILDING &&
		                which != STAGE_REBUILDING;

		print_message("%s\n", index_stage_name(which));
		index_stage_enter(&stage, which);
		daemon_thread_stop_soon(stage.daemon);
		if (stage.has_ticket)
			collect_ensure_refused(stage.starter, stage.ticket, KITH_ERROR_STOPPING);
		index_stage_restart(&stage);
		expect_count(stage.conn, STAGE_COLLECTION, stage.n_records);
		await_state(stage.conn, STAGE_COLLECTION, NULL, KITH_INDEX_STATE_SERVING);
		assert_int_equal(index_of(stage.conn, STAGE_COLLECTION, NULL).at.builds, !is_built);
		index_stage_fold_in(&stage);
		index_stage_expect_sound(&stage, STAGE_M);
		index_stage_leave(&stage);
	}
}

/* What it was before, or what it becomes by itself; nobody's waiting is forgotten. */
static void a_cancelled_job_leaves_each_state_in_order(void **state)
{
	(void)state;
	for (enum stage which = STAGE_DECLARED; which < STAGE_N; which++) {
		struct index_stage stage;
		struct kith_work job;
		uint64_t ticket;
		char phase[32];

		print_message("%s\n", index_stage_name(which));
		index_stage_enter(&stage, which);
		if (find_job(stage.conn, STAGE_COLLECTION, NULL, &job, phase)) {
			assert_non_null(stage.gate);
			DONE(stage.conn, cancel_job(stage.conn, job.job));
		}
		/* Who asks from now on does not get the end of what was cancelled. */
		ticket = submit_ensure(stage.conn,
		                       (struct ask){STAGE_COLLECTION, .m = STAGE_M, .wait = true});
		index_stage_go(&stage);
		if (stage.has_ticket)
			collect_ensure_refused(stage.starter, stage.ticket, KITH_ERROR_CANCELLED);
		collect_ensure(stage.conn, ticket);
		index_stage_fold_in(&stage);
		index_stage_expect_sound(&stage, STAGE_M);
		index_stage_leave(&stage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_drop_takes_the_index_away_in_each_state),
	        cmocka_unit_test(a_save_behind_a_drop_leaves_no_file),
	        cmocka_unit_test(a_stop_comes_to_an_end_in_each_state),
	        cmocka_unit_test(a_cancelled_job_leaves_each_state_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
