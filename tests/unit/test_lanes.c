/* SPDX-License-Identifier: Apache-2.0 */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "daemon/lanes.h"

#define N_WORKERS 3

struct stage {
	struct lanes_rest rest; /* first */
	struct lanes *lanes;
	uv_loop_t loop;
	struct job job;
	sem_t rested[N_WORKERS];
	uint32_t worker; /* that did the job */
	int nice;        /* of that worker */
	bool done;
};

static void rest(struct lanes_rest *rest, uint32_t worker)
{
	struct stage *stage = (struct stage *)rest;

	sem_post(&stage->rested[worker]);
}

static void work(struct job *job, uint32_t worker)
{
	struct stage *stage = (struct stage *)((char *)job - offsetof(struct stage, job));

	stage->worker = worker;
	stage->nice = getpriority(PRIO_PROCESS, 0); /* a thread's own, on Linux */
}

static void done(struct job *job)
{
	((struct stage *)((char *)job - offsetof(struct stage, job)))->done = true;
}

/* By itself, however few the jobs, and again later: others may free what is its own meanwhile. */
static void a_worker_that_has_nothing_to_do_rests_and_works_again(void **state)
{
	static const uint32_t n_threads[LANE_N] = {1, 1, 1};
	struct stage stage = {.rest = {rest}, .job = {.what = "work", .work = work, .done = done}};

	(void)state;
	for (int i = 0; i < N_WORKERS; i++)
		assert_int_equal(sem_init(&stage.rested[i], 0, 0), 0);
	assert_int_equal(uv_loop_init(&stage.loop), 0);
	assert_int_equal(lanes_new(&stage.loop, n_threads, NULL, &stage.rest, &stage.lanes), 0);
	for (int i = 0; i < N_WORKERS; i++)
		assert_int_equal(sem_wait(&stage.rested[i]), 0);
	lanes_submit(stage.lanes, LANE_WRITE, &stage.job);
	while (!stage.done)
		uv_run(&stage.loop, UV_RUN_ONCE);
	assert_true(stage.job.ran);
	assert_int_equal(stage.worker, 1);
	assert_int_equal(sem_wait(&stage.rested[stage.worker]), 0);
	lanes_close(stage.lanes, NULL, NULL);
	uv_run(&stage.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&stage.loop), 0);
	for (int i = 0; i < N_WORKERS; i++)
		sem_destroy(&stage.rested[i]);
}

/* After so many rests a worker without jobs waits for nothing any more. */
static uint32_t n_own_pauses(void)
{
	uint32_t n = 0;

	for (uint32_t pause_ms = LANES_REST_MS; pause_ms <= LANES_REST_MAX_MS; pause_ms *= 2)
		n++;
	return n;
}

static void all_workers_rest_when_they_are_asked(void **state)
{
	static const uint32_t n_threads[LANE_N] = {1, 1, 1};
	struct stage stage = {.rest = {rest}};

	(void)state;
	for (int i = 0; i < N_WORKERS; i++)
		assert_int_equal(sem_init(&stage.rested[i], 0, 0), 0);
	assert_int_equal(uv_loop_init(&stage.loop), 0);
	assert_int_equal(lanes_new(&stage.loop, n_threads, NULL, &stage.rest, &stage.lanes), 0);
	/* Each is followed, also the one that is more than the pauses of their own: without it they
	 * would be waited for here for ever. */
	for (uint32_t ask = 0; ask < n_own_pauses() + 1; ask++) {
		lanes_rest_all(stage.lanes);
		for (int i = 0; i < N_WORKERS; i++)
			assert_int_equal(sem_wait(&stage.rested[i]), 0);
	}
	lanes_close(stage.lanes, NULL, NULL);
	uv_run(&stage.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&stage.loop), 0);
	for (int i = 0; i < N_WORKERS; i++)
		sem_destroy(&stage.rested[i]);
}

/* Runs the stage's job in the lane; returns the nice value it ran with. */
static int nice_in(struct stage *stage, enum lane lane)
{
	stage->done = false;
	lanes_submit(stage->lanes, lane, &stage->job);
	while (!stage->done)
		uv_run(&stage->loop, UV_RUN_ONCE);
	return stage->nice;
}

static void background_workers_leave_the_others_the_processor(void **state)
{
	static const uint32_t n_threads[LANE_N] = {1, 1, 1};
	struct stage stage = {.job = {.what = "work", .work = work, .done = done}};
	int own;

	(void)state;
	/* Who starts the tests may have made them nicer already; only root can take that back. */
	(void)setpriority(PRIO_PROCESS, 0, 0);
	own = getpriority(PRIO_PROCESS, 0);
	assert_int_equal(uv_loop_init(&stage.loop), 0);
	assert_int_equal(lanes_new(&stage.loop, n_threads, NULL, NULL, &stage.lanes), 0);
	assert_int_equal(nice_in(&stage, LANE_INTERACTIVE), own);
	assert_int_equal(nice_in(&stage, LANE_WRITE), own);
	assert_true(nice_in(&stage, LANE_BACKGROUND) >= LANES_BACKGROUND_NICE);
	lanes_close(stage.lanes, NULL, NULL);
	uv_run(&stage.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&stage.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_worker_that_has_nothing_to_do_rests_and_works_again),
	        cmocka_unit_test(all_workers_rest_when_they_are_asked),
	        cmocka_unit_test(background_workers_leave_the_others_the_processor),
	};

	return cmocka_run_group_tests_name("lanes", tests, NULL, NULL);
}
