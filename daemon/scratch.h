/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What workers need to walk graphs (struct hnsw_scratch), one a worker. Its visited marks, a byte a
 * node of the largest graph, are memory of the index budget: the loop lends them to all workers of
 * a lane before it hands a job with a graph to one of them, so that no search takes memory. It
 * takes them back when no graph is left; those of builds when none has worked for a second. (What
 * searches need stays: in a full budget there would be no room for it when it is wanted again.)
 * Where neither the budget nor the disk has room for more, what is lent goes on serving the graphs
 * that it is enough for, and searches ask again after a pause: asking looks through the cache,
 * tries the disk and writes to the log, on the loop.
 *
 * Threads: [loop], but each worker has its own.
 */

#include <stdint.h>

#include "daemon/lanes.h"
#include "daemon/retry.h"
#include "index/hnsw.h"

/* How long background workers keep their marks after the last job. */
#define SCRATCH_IDLE_NS UINT64_C(1000000000)
/* How long searches do without more marks after they were asked for in vain. */
#define SCRATCH_PAUSE_MS 1000

struct daemon;

/* The workers of one lane. */
struct scratch_lane {
	uint32_t first, n;
	uint32_t n_nodes; /* that they all have marks for */
	uint32_t n_users; /* jobs that may walk a graph */
	uint64_t used_ns; /* when the last one ended */
	struct retry retry;
};

struct scratches {
	struct hnsw_scratch *of_worker;
	uint32_t n;
	struct scratch_lane lanes[LANE_N];
	uint32_t n_graphs; /* that are there */
};

/* n_threads: of each lane. -ENOMEM. */
int scratches_init(struct daemon *daemon, const uint32_t n_threads[LANE_N]);
/* The workers have ended. Fine to call twice. */
void scratches_release(struct daemon *daemon);

/* A job of that lane may walk the graph from now on, until scratch_return(). BUDGET_FULL, -ENOMEM:
 * it may not, for want of marks. */
int scratch_lend(struct daemon *daemon, enum lane lane, const struct hnsw *hnsw);
void scratch_return(struct daemon *daemon, enum lane lane);
/* A graph has come, or gone. */
void scratch_graph_came(struct daemon *daemon);
void scratch_graph_went(struct daemon *daemon);
/* From the tick: takes back what nobody uses any more. */
void scratches_look(struct daemon *daemon, uint64_t now_ns);
