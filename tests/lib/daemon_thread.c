/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/daemon_thread.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "tests/lib/scratch_dir.h"

/* For the deletes of a test; its daemons start by the thousand. */
#define RESERVE_ENOUGH_BYTES (512u << 10)
#define N_GATES 8
/* A test that waits longer than this for a worker has found a bug. */
#define PATIENCE_S 60

struct gate {
	struct daemon_thread *daemon;
	const char *what, *phase; /* NULL: not in use */
	uint32_t n_waiting;
	uint32_t n_passes; /* that may go through */
	uint32_t n_came;
	bool one_at_a_time;
	bool open;
};

struct daemon_thread {
	struct lanes_observer observer; /* first: what the workers see */
	struct scratch_dir root;
	struct config config;
	struct daemon_world world;
	uv_loop_t loop;
	uv_async_t stop;
	uv_sem_t started;
	uv_thread_t thread;
	struct daemon *daemon;
	int start_result, close_result;
	bool running;
	bool stopping;         /* it was asked to end */
	pthread_mutex_t mutex; /* protects the gates */
	pthread_cond_t changed;
	struct gate gates[N_GATES];
};

/* Gates --------------------------------------------------------------------------------------- */

static struct gate *find_gate(struct daemon_thread *thread, const char *what, const char *phase)
{
	for (int i = 0; i < N_GATES; i++) {
		struct gate *gate = &thread->gates[i];

		if (gate->what && strcmp(gate->what, what) == 0 && strcmp(gate->phase, phase) == 0)
			return gate;
	}
	return NULL;
}

static void on_phase(struct lanes_observer *observer, struct job *job, const char *phase)
{
	struct daemon_thread *thread = (struct daemon_thread *)observer;
	struct gate *gate;

	pthread_mutex_lock(&thread->mutex);
	gate = find_gate(thread, job->what, phase);
	if (gate)
		gate->n_came++;
	if (gate && !(gate->one_at_a_time && gate->n_waiting > 0)) {
		gate->n_waiting++;
		pthread_cond_broadcast(&thread->changed);
		while (!gate->open && gate->n_passes == 0)
			pthread_cond_wait(&thread->changed, &thread->mutex);
		if (gate->n_passes > 0)
			gate->n_passes--;
		gate->n_waiting--;
		pthread_cond_broadcast(&thread->changed);
	}
	pthread_mutex_unlock(&thread->mutex);
}

static struct gate *add_gate(struct daemon_thread *thread, struct gate added)
{
	struct gate *gate = NULL;

	pthread_mutex_lock(&thread->mutex);
	for (int i = 0; i < N_GATES && !gate; i++) {
		if (!thread->gates[i].what)
			gate = &thread->gates[i];
	}
	if (gate)
		*gate = added;
	pthread_mutex_unlock(&thread->mutex);
	assert_non_null(gate);
	return gate;
}

struct gate *daemon_thread_gate(struct daemon_thread *thread, const char *what, const char *phase)
{
	return add_gate(thread, (struct gate){.daemon = thread, .what = what, .phase = phase});
}

struct gate *daemon_thread_gate_one(struct daemon_thread *thread, const char *what,
                                    const char *phase)
{
	return add_gate(thread, (struct gate){.daemon = thread,
	                                      .what = what,
	                                      .phase = phase,
	                                      .one_at_a_time = true});
}

void gate_await(struct gate *gate)
{
	struct daemon_thread *thread = gate->daemon;
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&thread->mutex);
	while (gate->n_waiting == 0 && r == 0)
		r = pthread_cond_timedwait(&thread->changed, &thread->mutex, &until);
	pthread_mutex_unlock(&thread->mutex);
	assert_int_equal(r, 0);
}

void gate_pass(struct gate *gate)
{
	struct daemon_thread *thread = gate->daemon;

	pthread_mutex_lock(&thread->mutex);
	gate->n_passes++;
	pthread_cond_broadcast(&thread->changed);
	/* Until it has gone through, so that the next await() means the next one. */
	while (gate->n_passes > 0)
		pthread_cond_wait(&thread->changed, &thread->mutex);
	pthread_mutex_unlock(&thread->mutex);
}

static void set_open(struct gate *gate, bool open)
{
	struct daemon_thread *thread = gate->daemon;

	pthread_mutex_lock(&thread->mutex);
	gate->open = open;
	pthread_cond_broadcast(&thread->changed);
	pthread_mutex_unlock(&thread->mutex);
}

void gate_open(struct gate *gate)
{
	set_open(gate, true);
}

void gate_close(struct gate *gate)
{
	set_open(gate, false);
}

uint32_t gate_n_came(struct gate *gate)
{
	uint32_t n;

	pthread_mutex_lock(&gate->daemon->mutex);
	n = gate->n_came;
	pthread_mutex_unlock(&gate->daemon->mutex);
	return n;
}

static void open_all(struct daemon_thread *thread)
{
	for (int i = 0; i < N_GATES; i++) {
		if (thread->gates[i].what)
			gate_open(&thread->gates[i]);
	}
}

/* The thread ---------------------------------------------------------------------------------- */

static void on_stop(uv_async_t *async)
{
	struct daemon_thread *thread = async->data;

	uv_close((uv_handle_t *)async, NULL);
	daemon_stop(thread->daemon);
}

static void thread_main(void *arg)
{
	struct daemon_thread *thread = arg;
	int r;

	uv_loop_init(&thread->loop);
	r = daemon_new(&thread->loop, &thread->config, &thread->world, &thread->daemon);
	if (r == 0) {
		r = daemon_listen(thread->daemon, -1);
		if (r)
			thread->daemon = daemon_free(thread->daemon);
	}
	if (r) {
		thread->close_result = uv_loop_close(&thread->loop);
	} else {
		uv_async_init(&thread->loop, &thread->stop, on_stop);
		thread->stop.data = thread;
	}
	thread->start_result = r;
	uv_sem_post(&thread->started);
	if (r)
		return;
	uv_run(&thread->loop, UV_RUN_DEFAULT);
	thread->daemon = daemon_free(thread->daemon);
	thread->close_result = uv_loop_close(&thread->loop);
}

int daemon_thread_try_start(struct daemon_thread *thread)
{
	memset(thread->gates, 0, sizeof(thread->gates));
	assert_int_equal(uv_sem_init(&thread->started, 0), 0);
	assert_int_equal(uv_thread_create(&thread->thread, thread_main, thread), 0);
	uv_sem_wait(&thread->started);
	uv_sem_destroy(&thread->started);
	thread->running = thread->start_result == 0;
	thread->stopping = false;
	if (!thread->running) {
		uv_thread_join(&thread->thread);
		assert_int_equal(thread->close_result, 0);
	}
	return thread->start_result;
}

void daemon_thread_start(struct daemon_thread *thread)
{
	assert_int_equal(daemon_thread_try_start(thread), 0);
}

/* Once: the loop may have ended since, and nobody can be sent anything in it then. */
void daemon_thread_stop_soon(struct daemon_thread *thread)
{
	if (!thread->stopping)
		uv_async_send(&thread->stop);
	thread->stopping = true;
}

void daemon_thread_stop(struct daemon_thread *thread)
{
	if (!thread->running)
		return;
	open_all(thread);
	daemon_thread_stop_soon(thread);
	uv_thread_join(&thread->thread);
	thread->running = false;
	assert_int_equal(thread->close_result, 0);
}

void daemon_thread_restart(struct daemon_thread *thread)
{
	daemon_thread_stop(thread);
	daemon_thread_start(thread);
}

/* "<root>/<name>"; a root too long for a socket's path fails the test. */
static void place(char *path, size_t size, const struct daemon_thread *thread, const char *name)
{
	assert_true((size_t)snprintf(path, size, "%s/%s", thread->root.path, name) < size);
}

struct daemon_thread *daemon_thread_new_stopped(struct store_io *io, struct clock *clock,
                                                uint32_t index_cache_mb)
{
	struct daemon_thread *thread = calloc(1, sizeof(*thread));

	assert_non_null(thread);
	scratch_dir_init(&thread->root);
	thread->observer.phase = on_phase;
	thread->world.io = io;
	thread->world.reserve_bytes = RESERVE_ENOUGH_BYTES;
	thread->world.clock = clock ? clock : clock_system();
	thread->world.owner = geteuid();
	thread->world.observer = &thread->observer;
	thread->config = (struct config){
	        .log_level = CONFIG_LOG_ERROR,
	        .index_cache_mb = index_cache_mb,
	        .metadata_cache_mb = 16,
	        .inflight_mb = 64,
	        .interactive_threads = 2,
	        .write_threads = 2,
	        .background_threads = 1,
	};
	place(thread->config.socket, sizeof(thread->config.socket), thread, "run/kith.sock");
	place(thread->config.data_dir, sizeof(thread->config.data_dir), thread, "data");
	place(thread->config.cache_dir, sizeof(thread->config.cache_dir), thread, "cache");
	pthread_mutex_init(&thread->mutex, NULL);
	pthread_cond_init(&thread->changed, NULL);
	log_open(CONFIG_LOG_ERROR);
	signal(SIGPIPE, SIG_IGN); /* as the program does */
	return thread;
}

struct daemon_thread *daemon_thread_new_with(struct store_io *io, struct clock *clock,
                                             uint32_t index_cache_mb)
{
	struct daemon_thread *thread = daemon_thread_new_stopped(io, clock, index_cache_mb);

	daemon_thread_start(thread);
	return thread;
}

struct daemon_thread *daemon_thread_new(void)
{
	return daemon_thread_new_with(store_io_posix(), NULL, 32);
}

void daemon_thread_free(struct daemon_thread *thread)
{
	daemon_thread_stop(thread);
	scratch_dir_release(&thread->root);
	pthread_cond_destroy(&thread->changed);
	pthread_mutex_destroy(&thread->mutex);
	free(thread);
}

void daemon_thread_set_background(struct daemon_thread *thread, uint32_t n_threads)
{
	thread->config.background_threads = n_threads;
}

void daemon_thread_set_idle_unload(struct daemon_thread *thread, uint32_t seconds)
{
	thread->config.idle_unload_s = seconds;
}

void daemon_thread_set_inflight(struct daemon_thread *thread, uint32_t mb)
{
	thread->config.inflight_mb = mb;
}

void daemon_thread_set_share(struct daemon_thread *thread, const char *collection,
                             uint32_t index_cache_mb)
{
	struct config_share *share = &thread->config.shares[thread->config.n_shares++];

	snprintf(share->collection, sizeof(share->collection), "%s", collection);
	share->index_cache_mb = index_cache_mb;
}

void daemon_thread_set_owner(struct daemon_thread *thread, uid_t owner)
{
	thread->world.owner = owner;
}

void daemon_thread_set_guest(struct daemon_thread *thread, uid_t guest)
{
	thread->config.allow_uids = (struct config_uids){.n = 1, .uids = {guest}};
}

void daemon_thread_set_cache(struct daemon_thread *thread, int (*make)(struct cache_backend **ret))
{
	thread->world.cache_backend = make;
}

void daemon_thread_set_pressure(struct daemon_thread *thread, const struct pressure_source *source)
{
	thread->world.pressure = source;
}

const char *daemon_thread_root(const struct daemon_thread *thread)
{
	return thread->root.path;
}

const char *daemon_thread_socket(const struct daemon_thread *thread)
{
	return thread->config.socket;
}

const char *daemon_thread_data_dir(const struct daemon_thread *thread)
{
	return thread->config.data_dir;
}

const char *daemon_thread_cache_dir(const struct daemon_thread *thread)
{
	return thread->config.cache_dir;
}
