/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside of struct hnsw_scratch: keys, queues and visited marks. A key is a distance and a node
 * packed into one integer that sorts by distance, then by node, so that a queue compares and moves
 * eight bytes at a time and ties come out in the order of slots.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "index/hnsw.h"

static inline uint64_t hnsw_key(float distance, uint32_t node)
{
	uint32_t bits;
	memcpy(&bits, &distance, sizeof(bits));
	/* Negative floats sort backwards and below the positive ones. */
	bits ^= (uint32_t) - (int32_t)(bits >> 31) | 0x80000000u;
	return (uint64_t)bits << 32 | node;
}

static inline uint32_t hnsw_key_node(uint64_t key)
{
	return (uint32_t)key;
}

/* The distance as an integer of the same order. */
static inline uint32_t hnsw_key_rank(uint64_t key)
{
	return (uint32_t)(key >> 32);
}

static inline float hnsw_key_distance(uint64_t key)
{
	uint32_t bits = hnsw_key_rank(key);
	float distance;
	bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
	memcpy(&distance, &bits, sizeof(distance));
	return distance;
}

/* Queues: a binary heap of which the least key is at the top. What wants the greatest at the top
 * stores complements. */

static inline void hnsw_queue_push(uint64_t *queue, uint32_t *n, uint64_t key)
{
	uint32_t i = (*n)++;

	while (i > 0 && key < queue[(i - 1) / 2]) {
		queue[i] = queue[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	queue[i] = key;
}

/* Puts key in the place of the top. */
static inline void hnsw_queue_replace(uint64_t *queue, uint32_t n, uint64_t key)
{
	uint32_t i = 0, child;

	/* Which child is the lesser nobody can foresee, so it is chosen without a branch: 2 to 4 %
	 * of a search with an ef of 40 and more. */
	while ((child = 2 * i + 2) < n) {
		child -= queue[child - 1] < queue[child];
		if (queue[child] >= key)
			break;
		queue[i] = queue[child];
		i = child;
	}
	if (child == n && queue[child - 1] < key) {
		queue[i] = queue[child - 1];
		i = child - 1;
	}
	queue[i] = key;
}

/* Keeps of a full queue the quarter to half of it that is nearest; returns the nearest key that
 * went. Keys are distinct. */
uint64_t hnsw_queue_shorten(uint64_t *queue, uint32_t *n);

static inline uint64_t hnsw_queue_pop(uint64_t *queue, uint32_t *n)
{
	uint64_t top = queue[0];

	(*n)--;
	hnsw_queue_replace(queue, *n, queue[*n]);
	return top;
}

/* Marks */

/* Forgets what was visited. */
static inline void hnsw_marks_clear(struct hnsw_scratch *scratch)
{
	struct hnsw_marks *marks = &scratch->marks;

	if (++marks->epoch == 0) {
		for (uint32_t at = 0; at < marks->n_clear; at += RUN_BYTES)
			memset(marks->runs[at / RUN_BYTES], 0, RUN_BYTES);
		marks->epoch = 1;
	}
}

/* Marks a node: false when it was marked before, or came into the graph after the scratch was
 * sized for it. */
static inline bool hnsw_mark(struct hnsw_scratch *scratch, uint32_t node)
{
	struct hnsw_marks *marks = &scratch->marks;

	if (node >= marks->n_clear)
		return false;
	uint8_t *mark = &marks->runs[node / RUN_BYTES][node % RUN_BYTES];
	if (*mark == marks->epoch)
		return false;
	*mark = marks->epoch;
	return true;
}

/* How many candidates a search keeps that is to keep ef: some more where estimates decide who is
 * among them, so that at the same ef it finds as many as by distances. */
static inline uint32_t hnsw_width(const struct hnsw_space *space, uint32_t ef)
{
	return space->sharpen ? ef + ef / 16 + 2 : ef;
}

/* Sizes it for n_nodes nodes, ef candidates, and two queries of query_bytes. -ENOMEM. */
int hnsw_scratch_size(struct hnsw_scratch *scratch, uint32_t n_nodes, uint32_t ef,
                      size_t query_bytes);
