/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The k nearest seen so far: a bounded max-heap on (distance, row). Rows ascend with slots, so
 * equal distances keep the lower slot. Distances are never NaN. [any]
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hit {
	float distance;
	uint64_t row_idx;
};

struct topk {
	struct hit *hits; /* borrowed, room for k; a heap until topk_sort() */
	size_t n, k;
};

/* k is at least 1. */
void topk_init(struct topk *topk, struct hit *hits, size_t k);
/* Keeps the hit when topk_wants() it. */
void topk_push(struct topk *topk, float distance, uint64_t row_idx);
/* Puts the hits in order, nearest first, ties by lower row. Ends the heap's use. */
void topk_sort(struct topk *topk);

/* Whether a hit at that distance and row would be kept. */
static inline bool topk_wants(const struct topk *topk, float distance, uint64_t row_idx)
{
	if (topk->n < topk->k)
		return true;
	return distance < topk->hits[0].distance ||
	       (distance == topk->hits[0].distance && row_idx < topk->hits[0].row_idx);
}
