/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Measuring a recall curve: some of a graph's own vectors are searched for, each left out of its
 * own answer, and the answers compared with the exact ones, fair to ties.
 *
 *      recall_sample_init ─► recall_sample_add, for each ─► recall_sample_scan() begins: the
 *      caller scans all rows into scan->best ─► recall_sample_know() ─► recall_sample_search()
 *      again and again ─► recall_sample_curve()
 *
 * Plain memory, at most RECALL_SAMPLE_MAX rows and some heaps. Threads: one owner.
 */

#include <stdbool.h>
#include <stdint.h>

#include "index/exact.h"
#include "index/hnsw.h"
#include "index/recall_curve.h"

#define RECALL_SAMPLE_MAX 200u

struct recall_sample {
	uint32_t n, n_max;
	uint32_t *rows;   /* whose vectors they are */
	uint8_t *n_right; /* of each, in its last search; RECALL_CURVE_K: no more are needed */
	uint8_t *n_true;  /* neighbours that each has, RECALL_CURVE_K at most */
	struct hit *hits; /* RECALL_CURVE_K + 1 for each */
	struct exact_scan scan; /* of all vectors; queries and heaps are owned */
	/* The searches. */
	uint32_t step, next;  /* the next one's: of recall_curve_step(), and vector */
	uint64_t comparisons; /* that they took */
	struct recall_curve curve;
};

/* How many vectors to take of n_live: enough for a figure, few enough to be cheap. */
uint32_t recall_sample_wanted(uint64_t n_live);

/* An empty sample with room for n_max (1 to RECALL_SAMPLE_MAX) vectors, of rows of that dtype.
 * -ENOMEM: release it all the same. */
int recall_sample_init(struct recall_sample *sample, uint32_t n_max, enum metric metric,
                       uint32_t dim, enum dtype dtype);
/* Fine on zeros, and twice. */
void recall_sample_release(struct recall_sample *sample);
/* Takes a row whose vector, f32 from vector_prepare(), is copied; one too many is left out. */
void recall_sample_add(struct recall_sample *sample, uint32_t row, const float *vector);
/* What the caller scans all rows with that a search may return, those of the sample too. */
struct exact_scan *recall_sample_scan(struct recall_sample *sample);
/* It has done so. */
void recall_sample_know(struct recall_sample *sample);

/* What is searched. */
struct recall_graph {
	const struct hnsw *hnsw;
	const struct hnsw_space *space;
	uint32_t below; /* and below, as in struct hnsw_search */
	hnsw_visible *visible;
	void *visible_ctx;
	uint64_t max_comparisons; /* of all searches together: measuring ends there */
};

/* Searches once more: 0 when that was all, RECALL_SAMPLE_MORE, -ENOMEM. */
int recall_sample_search(struct recall_sample *sample, const struct recall_graph *graph,
                         struct hnsw_scratch *scratch);
#define RECALL_SAMPLE_MORE 1
/* What was measured; without points when there was nothing to find. */
void recall_sample_curve(const struct recall_sample *sample, struct recall_curve *ret);
