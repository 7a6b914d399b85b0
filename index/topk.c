/* SPDX-License-Identifier: Apache-2.0 */
#include "index/topk.h"

#include <assert.h>

static bool is_farther(struct hit a, struct hit b)
{
	return a.distance > b.distance || (a.distance == b.distance && a.row_idx > b.row_idx);
}

void topk_init(struct topk *topk, struct hit *hits, size_t k)
{
	assert(k > 0);
	*topk = (struct topk){.hits = hits, .k = k};
}

/* Moves a hit from the free place i towards the top until its parent is farther. */
static void sift_up(struct hit *hits, size_t i, struct hit hit)
{
	while (i > 0 && is_farther(hit, hits[(i - 1) / 2])) {
		hits[i] = hits[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	hits[i] = hit;
}

/* Moves a hit from the free place at the top down until no child is farther. */
static void sift_down(struct hit *hits, size_t n, struct hit hit)
{
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && is_farther(hits[child + 1], hits[child]))
			child++;
		if (!is_farther(hits[child], hit))
			break;
		hits[i] = hits[child];
	}
	hits[i] = hit;
}

void topk_push(struct topk *topk, float distance, uint64_t row_idx)
{
	struct hit hit = {.distance = distance, .row_idx = row_idx};

	if (topk->n < topk->k)
		sift_up(topk->hits, topk->n++, hit);
	else if (topk_wants(topk, distance, row_idx))
		sift_down(topk->hits, topk->n, hit);
}

void topk_sort(struct topk *topk)
{
	for (size_t n = topk->n; n > 1; n--) {
		struct hit farthest = topk->hits[0];
		sift_down(topk->hits, n - 1, topk->hits[n - 1]);
		topk->hits[n - 1] = farthest;
	}
}
