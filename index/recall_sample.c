/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Each vector is searched for as if it were not in the graph (hnsw_space_without). To only drop it
 * from the answer is not enough: once a search meets the vector's own node, its links are the
 * answer, which makes queries out of the graph far easier than others. Measured at ef 10 and 32,
 * recall@10:
 *
 *                              fashion-mnist     bge-base-768      notes-small-384
 *      queries of the set      0.927  0.991      0.858  0.968      0.969  0.998
 *      dropped from answers    0.959  0.995      0.964  0.992      0.986  0.999
 *      left out of the walk    0.905  0.984      0.798  0.946      0.953  0.992
 *
 * A node that does not lead leaves a hole which a graph without it would not have, so this errs by
 * some of the errors, to the side of more effort. That the node has a distance and leads, but only
 * as far out as its tenth neighbour, gave the same figures as dropping it.
 *
 * A search that was cut (is_cut) counts by what it found. In earnest every record would be compared
 * instead, which is right, but slow: so the curve asks for an ef at which that need not be.
 *
 * Vectors that found all at one ef are not searched for with a larger one, which would find the
 * same: most of the work is then with small ef, and recall cannot descend.
 */

#include "index/recall_sample.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index/hnsw_space_without.h"

#define HITS (RECALL_CURVE_K + 1)
/* One vector for so many, and so many at least. */
#define SAMPLE_SHARE 40
#define SAMPLE_MIN 64

uint32_t recall_sample_wanted(uint64_t n_live)
{
	uint64_t n = n_live / SAMPLE_SHARE;

	n = n > SAMPLE_MIN ? n : SAMPLE_MIN;
	n = n < n_live ? n : n_live;
	return n < RECALL_SAMPLE_MAX ? (uint32_t)n : RECALL_SAMPLE_MAX;
}

int recall_sample_init(struct recall_sample *sample, uint32_t n_max, enum metric metric,
                       uint32_t dim, enum dtype dtype)
{
	assert(n_max > 0 && n_max <= RECALL_SAMPLE_MAX);
	*sample = (struct recall_sample){
	        .n_max = n_max,
	        .rows = calloc(n_max, sizeof(*sample->rows)),
	        .n_right = calloc(n_max, sizeof(*sample->n_right)),
	        .n_true = calloc(n_max, sizeof(*sample->n_true)),
	        .hits = calloc((size_t)n_max * HITS, sizeof(*sample->hits)),
	        .scan = {.kernels = kernels_best(dtype),
	                 .metric = metric,
	                 .dim = dim,
	                 .queries = aligned_alloc(64, (size_t)n_max *
	                                                      vector_stride_bytes(dim, DTYPE_F32)),
	                 .best = calloc(n_max, sizeof(*sample->scan.best))},
	};
	return sample->rows && sample->n_right && sample->n_true && sample->hits &&
	                       sample->scan.queries && sample->scan.best
	               ? 0
	               : -ENOMEM;
}

void recall_sample_release(struct recall_sample *sample)
{
	free(sample->rows);
	free(sample->n_right);
	free(sample->n_true);
	free(sample->hits);
	free((void *)sample->scan.queries);
	free(sample->scan.best);
	*sample = (struct recall_sample){0};
}

static float *vector_at(const struct recall_sample *sample, uint32_t idx)
{
	size_t stride_bytes = vector_stride_bytes(sample->scan.dim, DTYPE_F32);

	return (void *)((uint8_t *)sample->scan.queries + idx * stride_bytes);
}

void recall_sample_add(struct recall_sample *sample, uint32_t row, const float *vector)
{
	if (sample->n == sample->n_max)
		return;
	memcpy(vector_at(sample, sample->n), vector,
	       vector_stride_bytes(sample->scan.dim, DTYPE_F32));
	sample->rows[sample->n++] = row;
}

struct exact_scan *recall_sample_scan(struct recall_sample *sample)
{
	sample->scan.n_queries = sample->n;
	for (uint32_t i = 0; i < sample->n; i++)
		topk_init(&sample->scan.best[i], &sample->hits[(size_t)i * HITS], HITS);
	return &sample->scan;
}

void recall_sample_know(struct recall_sample *sample)
{
	for (uint32_t i = 0; i < sample->n; i++) {
		struct topk *best = &sample->scan.best[i];
		uint8_t n = 0;

		topk_sort(best);
		/* Among many equal ones it may not be in its own answer. */
		for (size_t at = 0; at < best->n && n < RECALL_CURVE_K; at++) {
			if (best->hits[at].row_idx != sample->rows[i])
				best->hits[n++] = best->hits[at];
		}
		sample->n_true[i] = n;
	}
}

/* Searching ------------------------------------------------------------------------------------ */

/* Hits at most as far as the farthest true neighbour. */
static uint8_t count_right(const struct recall_sample *sample, uint32_t idx, const struct hit *hits,
                           uint32_t n)
{
	uint8_t n_true = sample->n_true[idx], n_right = 0;
	float farthest = sample->hits[(size_t)idx * HITS + n_true - 1].distance;

	for (uint32_t i = 0; i < n && n_right < n_true; i++) {
		if (hits[i].distance <= farthest && hits[i].row_idx != sample->rows[idx])
			n_right++;
	}
	return n_right;
}

static bool is_open(const struct recall_sample *sample, uint32_t idx)
{
	return sample->n_right[idx] < sample->n_true[idx];
}

/* All were searched for with this ef: a point. Returns whether more are wanted. */
static bool end_step(struct recall_sample *sample, uint32_t n_nodes)
{
	struct recall_curve *curve = &sample->curve;
	uint64_t n_true = 0, n_right = 0;

	for (uint32_t i = 0; i < sample->n; i++) {
		n_true += sample->n_true[i];
		n_right += sample->n_right[i];
	}
	if (n_true == 0)
		return false;
	curve->n_nodes = n_nodes;
	curve->points[curve->n++] = (struct recall_point){
	        .ef = recall_curve_step(sample->step++),
	        .recall = (uint32_t)(n_right * RECALL_ONE / n_true),
	};
	sample->next = 0;
	return curve->n < RECALL_CURVE_POINTS && curve->points[curve->n - 1].recall < RECALL_ENOUGH;
}

int recall_sample_search(struct recall_sample *sample, const struct recall_graph *graph,
                         struct hnsw_scratch *scratch)
{
	struct hnsw_space_without space;
	struct hit hits[RECALL_CURVE_K];
	struct hnsw_search_stats stats;
	uint8_t n_right;
	int r;

	while (sample->next < sample->n && !is_open(sample, sample->next))
		sample->next++;
	if (sample->next == sample->n)
		return end_step(sample, graph->below) ? RECALL_SAMPLE_MORE : 0;
	if (sample->comparisons >= graph->max_comparisons)
		return 0;
	struct hnsw_search search = {
	        .space = &space.space,
	        .query = vector_at(sample, sample->next),
	        .k = RECALL_CURVE_K,
	        .ef = recall_curve_step(sample->step),
	        .below = graph->below,
	        .visible = graph->visible,
	        .visible_ctx = graph->visible_ctx,
	};
	hnsw_space_without_init(&space, graph->space, sample->rows[sample->next]);
	r = hnsw_scratch_reserve(scratch, graph->hnsw, &space.space, search.ef);
	if (r < 0)
		return r;
	n_right = count_right(sample, sample->next, hits,
	                      hnsw_search(graph->hnsw, &search, scratch, hits, &stats));
	/* What was found before counts, or recall could descend. */
	if (n_right > sample->n_right[sample->next])
		sample->n_right[sample->next] = n_right;
	sample->comparisons += stats.comparisons;
	sample->next++;
	return RECALL_SAMPLE_MORE;
}

void recall_sample_curve(const struct recall_sample *sample, struct recall_curve *ret)
{
	*ret = sample->curve;
}
