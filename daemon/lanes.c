/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/lanes.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Kernels and SQLite need little stack; the default 8 MiB would only be address space. */
#define WORKER_STACK_BYTES (1u << 20)
#define NS_PER_MS UINT64_C(1000000)

struct lane_state {
	uv_mutex_t mutex; /* protects all below */
	uv_cond_t ready;
	struct list queue;
	uint32_t n_queued, n_running;
	uint64_t n_done;
	bool stopping;
};

struct worker {
	struct lanes *lanes;
	enum lane lane;
	uint32_t number;
	uv_thread_t thread;
	uint32_t n_rests; /* that it has followed */
};

struct lanes {
	uv_async_t async;
	uv_thread_t loop_thread;
	struct lanes_observer *observer;
	struct lanes_rest *rest;
	atomic_uint n_rests; /* asked of all; orders nothing */
	struct lane_state lane[LANE_N];
	struct worker *workers;
	uint32_t n_workers, n_started;
	uv_mutex_t done_mutex; /* protects done */
	struct list done;
	uint32_t n_submitted; /* [loop] whose done() has not run */
	void (*closed)(void *ctx);
	void *closed_ctx;
};

static void assert_loop(const struct lanes *lanes)
{
	uv_thread_t self = uv_thread_self();

	assert(uv_thread_equal(&self, &lanes->loop_thread));
	(void)lanes;
	(void)self;
}

void job_phase(struct job *job, const char *phase)
{
	struct lanes_observer *observer = job->lanes->observer;

	if (observer)
		observer->phase(observer, job, phase);
}

bool job_is_waited_for(struct job *job)
{
	struct lane_state *lane = &job->lanes->lane[job->lane];
	bool waited_for;

	uv_mutex_lock(&lane->mutex);
	waited_for = lane->n_queued > 0;
	uv_mutex_unlock(&lane->mutex);
	return waited_for;
}

static bool is_asked_to_rest(const struct worker *worker)
{
	return atomic_load_explicit(&worker->lanes->n_rests, memory_order_relaxed) !=
	       worker->n_rests;
}

/* The lane's mutex is held, but not while it rests. */
static void worker_rest(struct worker *worker, struct lane_state *lane)
{
	struct lanes_rest *rest = worker->lanes->rest;

	uv_mutex_unlock(&lane->mutex);
	worker->n_rests = atomic_load_explicit(&worker->lanes->n_rests, memory_order_relaxed);
	rest->rest(rest, worker->number);
	uv_mutex_lock(&lane->mutex);
}

/* Waits for a job or the end; the lane's mutex is held. */
static void lane_wait(struct lane_state *lane, struct worker *worker)
{
	uint64_t pause_ms = worker->lanes->rest ? LANES_REST_MS : UINT64_MAX;

	if (is_asked_to_rest(worker))
		worker_rest(worker, lane);
	while (list_empty(&lane->queue) && !lane->stopping) {
		if (is_asked_to_rest(worker)) {
			worker_rest(worker, lane);
		} else if (pause_ms > LANES_REST_MAX_MS) {
			uv_cond_wait(&lane->ready, &lane->mutex);
		} else if (uv_cond_timedwait(&lane->ready, &lane->mutex, pause_ms * NS_PER_MS) ==
		           UV_ETIMEDOUT) {
			worker_rest(worker, lane);
			pause_ms *= 2;
		}
	}
}

static struct job *lane_next(struct worker *worker)
{
	struct lane_state *lane = &worker->lanes->lane[worker->lane];
	struct list *link;

	uv_mutex_lock(&lane->mutex);
	lane_wait(lane, worker);
	link = list_pop(&lane->queue);
	if (link) {
		lane->n_queued--;
		lane->n_running++;
	}
	uv_mutex_unlock(&lane->mutex);
	return link ? LIST_ELEMENT(link, struct job, link) : NULL;
}

static void lane_finish(struct lanes *lanes, struct lane_state *lane, struct job *job)
{
	uv_mutex_lock(&lane->mutex);
	lane->n_running--;
	lane->n_done++;
	uv_mutex_unlock(&lane->mutex);

	uv_mutex_lock(&lanes->done_mutex);
	list_append(&lanes->done, &job->link);
	uv_mutex_unlock(&lanes->done_mutex);
	uv_async_send(&lanes->async);
}

static void worker_main(void *arg)
{
	struct worker *worker = arg;
	struct lane_state *lane = &worker->lanes->lane[worker->lane];
	struct job *job;

	if (worker->lane == LANE_BACKGROUND)
		(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), LANES_BACKGROUND_NICE);
	while ((job = lane_next(worker))) {
		if (!job_is_cancelled(job)) {
			job->ran = true;
			job_phase(job, "start");
			job->work(job, worker->number);
			job_phase(job, "end");
		}
		lane_finish(worker->lanes, lane, job);
	}
}

static void on_async(uv_async_t *async)
{
	struct lanes *lanes = async->data;
	struct list done, *link;

	list_init(&done);
	uv_mutex_lock(&lanes->done_mutex);
	list_splice(&done, &lanes->done);
	uv_mutex_unlock(&lanes->done_mutex);
	while ((link = list_pop(&done))) {
		struct job *job = LIST_ELEMENT(link, struct job, link);

		lanes->n_submitted--;
		job->done(job);
	}
}

static void lanes_join(struct lanes *lanes)
{
	for (int i = 0; i < LANE_N; i++) {
		uv_mutex_lock(&lanes->lane[i].mutex);
		lanes->lane[i].stopping = true;
		uv_cond_broadcast(&lanes->lane[i].ready);
		uv_mutex_unlock(&lanes->lane[i].mutex);
	}
	for (uint32_t i = 0; i < lanes->n_started; i++)
		uv_thread_join(&lanes->workers[i].thread);
}

static void on_closed(uv_handle_t *handle)
{
	struct lanes *lanes = handle->data;

	for (int i = 0; i < LANE_N; i++) {
		uv_cond_destroy(&lanes->lane[i].ready);
		uv_mutex_destroy(&lanes->lane[i].mutex);
	}
	uv_mutex_destroy(&lanes->done_mutex);
	if (lanes->closed)
		lanes->closed(lanes->closed_ctx);
	free(lanes->workers);
	free(lanes);
}

void lanes_close(struct lanes *lanes, void (*closed)(void *ctx), void *ctx)
{
	assert_loop(lanes);
	assert(lanes->n_submitted == 0);
	lanes_join(lanes);
	lanes->closed = closed;
	lanes->closed_ctx = ctx;
	uv_close((uv_handle_t *)&lanes->async, on_closed);
}

static int start_threads(struct lanes *lanes)
{
	uv_thread_options_t options = {
	        .flags = UV_THREAD_HAS_STACK_SIZE,
	        .stack_size = WORKER_STACK_BYTES,
	};

	for (uint32_t i = 0; i < lanes->n_workers; i++) {
		int r = uv_thread_create_ex(&lanes->workers[i].thread, &options, worker_main,
		                            &lanes->workers[i]);

		if (r)
			return r;
		lanes->n_started++;
	}
	return 0;
}

/* Signals are the loop thread's: the workers begin with all of them blocked, but what comes of a
 * thread's own access to memory (map_guard.h). */
static int lanes_start(struct lanes *lanes)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = start_threads(lanes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int lanes_new(uv_loop_t *loop, const uint32_t n_threads[LANE_N], struct lanes_observer *observer,
              struct lanes_rest *rest, struct lanes **ret)
{
	struct lanes *lanes = calloc(1, sizeof(*lanes));
	int r;

	if (!lanes)
		return -ENOMEM;
	for (int i = 0; i < LANE_N; i++)
		lanes->n_workers += n_threads[i];
	lanes->workers = calloc(lanes->n_workers, sizeof(*lanes->workers));
	if (!lanes->workers) {
		free(lanes);
		return -ENOMEM;
	}
	r = uv_async_init(loop, &lanes->async, on_async);
	if (r) {
		free(lanes->workers);
		free(lanes);
		return r;
	}
	lanes->async.data = lanes;
	lanes->loop_thread = uv_thread_self();
	lanes->observer = observer;
	lanes->rest = rest;
	list_init(&lanes->done);
	uv_mutex_init(&lanes->done_mutex);
	for (uint32_t i = 0, number = 0; i < LANE_N; i++) {
		list_init(&lanes->lane[i].queue);
		uv_mutex_init(&lanes->lane[i].mutex);
		uv_cond_init(&lanes->lane[i].ready);
		for (uint32_t n = 0; n < n_threads[i]; n++, number++) {
			lanes->workers[number].lanes = lanes;
			lanes->workers[number].lane = (enum lane)i;
			lanes->workers[number].number = number;
		}
	}
	r = lanes_start(lanes);
	if (r) {
		lanes_close(lanes, NULL, NULL);
		return r;
	}
	*ret = lanes;
	return 0;
}

void lanes_submit(struct lanes *lanes, enum lane lane_idx, struct job *job)
{
	struct lane_state *lane = &lanes->lane[lane_idx];

	assert_loop(lanes);
	assert(job->work && job->done);
	job->lanes = lanes;
	job->lane = lane_idx;
	job->ran = false;
	list_init(&job->link);
	lanes->n_submitted++;
	uv_mutex_lock(&lane->mutex);
	list_append(&lane->queue, &job->link);
	lane->n_queued++;
	uv_mutex_unlock(&lane->mutex);
	/* After unlocking, else the worker wakes up only to wait for the mutex. */
	uv_cond_signal(&lane->ready);
}

void lanes_rest_all(struct lanes *lanes)
{
	assert_loop(lanes);
	if (!lanes->rest)
		return;
	atomic_fetch_add_explicit(&lanes->n_rests, 1, memory_order_relaxed);
	/* Under each mutex, so that none looks before this and waits after it. */
	for (int i = 0; i < LANE_N; i++) {
		uv_mutex_lock(&lanes->lane[i].mutex);
		uv_cond_broadcast(&lanes->lane[i].ready);
		uv_mutex_unlock(&lanes->lane[i].mutex);
	}
}

uint32_t lanes_n_workers(const struct lanes *lanes)
{
	return lanes->n_workers;
}

const char *lane_name(enum lane lane)
{
	static const char *const names[LANE_N] = {
	        [LANE_INTERACTIVE] = "interactive",
	        [LANE_WRITE] = "write",
	        [LANE_BACKGROUND] = "background",
	};

	return names[lane];
}

void lanes_figures(struct lanes *lanes, enum lane lane_idx, struct lane_figures *ret)
{
	struct lane_state *lane = &lanes->lane[lane_idx];

	*ret = (struct lane_figures){0};
	for (uint32_t i = 0; i < lanes->n_workers; i++)
		ret->n_threads += lanes->workers[i].lane == lane_idx;
	uv_mutex_lock(&lane->mutex);
	ret->n_queued = lane->n_queued;
	ret->n_running = lane->n_running;
	ret->n_done = lane->n_done;
	uv_mutex_unlock(&lane->mutex);
}
