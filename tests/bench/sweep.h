/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Searching graphs with more and more candidates: what recall costs. Several searchers take turns
 * at each ef, so that a busy machine slows all of them. Threads: one owner.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/bench.h"

#define SWEEP_POINTS 20
#define SWEEP_EF_USUAL 64 /* every searcher is asked with it */
#define SWEEP_MAX_SEARCHERS 6

/* How a searcher did at one ef, or between two of them. */
struct sweep_point {
	double ef;
	double recall; /* of BENCH_K neighbours, fair to ties */
	/* One search after the other; the median of short turns. By the thread's own time for one
	 * that is alone. */
	double qps;
	double p50_us;
	double p99_us;
	double comparisons; /* a query */
	double refined;
};

/* What a search took. */
struct search_work {
	uint64_t comparisons; /* distances, estimated ones too */
	uint64_t refined;     /* estimates that were replaced by the distance itself */
};

struct searcher {
	const char *engine;
	const char *through; /* "process", "socket" */
	bool is_alone;       /* nobody but the calling thread works for it */
	void *ctx;
	/* The rows nearest to the dataset's query, and what that took; not asked for when ret_work
	 * is NULL, else zeroed. A result of kith.h, or -errno. */
	int (*search)(void *ctx, size_t query_idx, uint32_t ef, uint64_t ret_rows[BENCH_K],
	              struct search_work *ret_work);
	/* Fewer than SWEEP_POINTS when there was nothing more to learn. */
	struct sweep_point points[SWEEP_POINTS];
	size_t n_points;
};

/* Fills the points of each of n (at most SWEEP_MAX_SEARCHERS) searchers, saying on stderr what is
 * wrong when it cannot. Tells each point of the suite when it was measured. */
int sweep_run(struct report *report, const char *suite, const struct dataset *dataset,
              struct searcher *searchers, size_t n);
/* One point of one searcher, measured alone: for an effort that is not one of the sweep's. */
int sweep_once(const struct dataset *dataset, const struct searcher *searcher, uint32_t ef,
               struct sweep_point *ret);
/* What the smallest ef that reaches a recall would give, by straight lines between the points;
 * false when none reaches it. */
bool sweep_at(const struct searcher *searcher, double recall, struct sweep_point *ret);
