/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The workers: threads in three lanes, so that interactive work never waits behind a write's sync
 * or background work.
 *
 *      loop ──lanes_submit──► queue of the lane ──► work() on a worker
 *        ▲                                             │
 *        └──────── done(), by uv_async ◄───────────────┘
 *
 * A job is embedded in what it works on. Its work() runs once at most, on one worker; its done()
 * runs exactly once, on the loop, also when it was cancelled (then work() may have been skipped:
 * job->ran tells). Between submit and done the job belongs to the lanes, except its cancel flag.
 *
 * Workers have numbers from 0 to lanes_n_workers() - 1 over all lanes: what is kept per worker
 * (a reader's connection) is an array indexed by them and needs no lock.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/list.h"

enum lane {
	LANE_INTERACTIVE,
	LANE_WRITE,
	LANE_BACKGROUND,
	LANE_N
};

struct lanes;

struct job {
	const char *what; /* a literal, for logs and observers: "search", "write", ... */
	void (*work)(struct job *job, uint32_t worker); /* [worker] */
	void (*done)(struct job *job);                  /* [loop] */
	struct lanes *lanes;
	struct list link;
	enum lane lane;
	bool ran;
	atomic_bool cancelled;
};

/* Called on a worker that has had nothing to do for LANES_REST_MS, and again after pauses that
 * double up to LANES_REST_MAX_MS: it gives back what it keeps for its next job, and what others
 * freed of its memory meanwhile. */
struct lanes_rest {
	void (*rest)(struct lanes_rest *rest, uint32_t worker); /* [worker] */
};

#define LANES_REST_MS 1000
#define LANES_REST_MAX_MS 16000

/* The nice value of a background worker, so that the kernel gives it less than the others. */
#define LANES_BACKGROUND_NICE 10

/* Told where jobs are, on their worker: "start" and "end" of each, and the phases that a job
 * names itself. The daemon traces with it; tests hold workers with it. */
struct lanes_observer {
	void (*phase)(struct lanes_observer *observer, struct job *job, const char *phase);
};

struct lane_figures {
	uint32_t n_threads, n_queued, n_running;
	uint64_t n_done;
};

/* Starts the threads. n_threads: for each lane, at least 1. observer and rest may be NULL. [loop]
 */
int lanes_new(uv_loop_t *loop, const uint32_t n_threads[LANE_N], struct lanes_observer *observer,
              struct lanes_rest *rest, struct lanes **ret);
/* Ends the threads after the jobs that run; every job must have been done before. closed() is
 * called when the lanes' handle is gone and they were freed. [loop] */
void lanes_close(struct lanes *lanes, void (*closed)(void *ctx), void *ctx);

/* Hands the job over. [loop] */
void lanes_submit(struct lanes *lanes, enum lane lane, struct job *job);
/* Asks the job to end early; done() still comes. [any, while it is submitted] */
static inline void job_cancel(struct job *job)
{
	atomic_store_explicit(&job->cancelled, true, memory_order_relaxed);
}
static inline bool job_is_cancelled(const struct job *job)
{
	return atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}
/* Whether others wait for a worker of the job's lane: work that can be cut into turns ends its turn
 * then, and is submitted again behind them. [worker, in its work()] */
bool job_is_waited_for(struct job *job);
/* Names the phase that the job enters. [worker] */
void job_phase(struct job *job, const char *phase);

/* Has every worker rest once, as soon as it has no job in hand. [loop] */
void lanes_rest_all(struct lanes *lanes);
uint32_t lanes_n_workers(const struct lanes *lanes);
const char *lane_name(enum lane lane);
void lanes_figures(struct lanes *lanes, enum lane lane, struct lane_figures *ret);
