/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The graph in memory.
 *
 *      node chunks   512 nodes: slot, row, level, state, number of the first upper list
 *      base lists    one of 2 M links a node, numbered as the nodes are
 *      upper lists   one of M links for each level from 1 on that a node has, one node's lists
 *                    side by side
 *
 * A list is an array of atomic u32 that HNSW_NO_LINK ends when it is not full. With M of 16 a base
 * list is two cache lines and nothing else is read to follow it. The two highest bits of a link at
 * level 0 tell the branches of the tree (see hnsw_insert.c), so they too need no place of their own
 * and are saved with the links. Levels are drawn by seed and number of the node, so that the memory
 * of nodes to come is known before them, a build can be repeated, and a file has no levels to be
 * wrong.
 *
 * How an insertion becomes visible. The new node's lists of all levels are written before the
 * first link to it; then come the links to it, from level 0 upwards; the entry point last. So who
 * meets a node anywhere finds it whole, at that level and below. Links are stored with release and
 * loaded with acquire; that also carries the chunk directories' entries and the node's row. A list
 * that is rewritten may be read as a mix of old and new links, of which each is a node's: a search
 * marks what it visited, so one seen twice does no harm. Branches only ever move forward in their
 * list, which is rewritten from the front and read from the back: where a reader finds a branch
 * gone, it stands already in a place that the reader comes to later. So none of them is missed.
 *
 * What protects what:
 *      lists of a node that can be met       its lock, a bit of its state, held for one change
 *      lists of a node that cannot be yet    only its inserter knows it
 *      the entry point                       entry_raised, held over the whole insertion of a node
 *                                            above the top level; there are a handful of these
 *      counts, memory                        the order of loop and owner (hnsw.h)
 * No one holds two locks, but whoever raises the entry point also takes nodes' locks, and never
 * the other way round.
 *
 * Rejected: a count in front of each list (a third cache line at M of 16, and two things to publish
 * in order); links allocated as a list grows (nothing then has a fixed place); levels in the
 * file; a lock for readers, or lists that are replaced as a whole and reclaimed later (a search
 * would pay, or an epoch would have to be waited for, to hide a mix that harms nobody); a search
 * that sees inserted nodes as soon as they are linked (its plan could not tell which of the pending
 * ones it has to scan).
 */

#include "index/hnsw_graph.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define SPINS_BEFORE_YIELD 64

static_assert(sizeof(struct hnsw_node_chunk) * 7 <= RUN_BYTES, "seven node chunks fill a run");
static_assert(HNSW_NODES_MAX == 16 * CHUNK_DIR_MAX, "list chunks have room for 16 lists and more");

/* Levels */

/* A mix of seed and node in which every bit counts (splitmix64's finaliser). */
static uint64_t hash(uint64_t seed, uint32_t node)
{
	uint64_t x = seed + (uint64_t)(node + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* A node has level l with probability M^-l: in integers, so that every machine draws alike. */
uint32_t hnsw_draw_level(const struct hnsw_params *params, uint32_t node)
{
	uint64_t drawn = hash(params->seed, node);
	uint64_t bound = UINT64_MAX / params->M;
	uint32_t level = 0;

	while (drawn < bound && level < HNSW_LEVEL_MAX) {
		bound /= params->M;
		level++;
	}
	return level;
}

uint32_t hnsw_n_upper(const struct hnsw *hnsw, uint32_t n)
{
	if (n == 0)
		return 0;
	const struct hnsw_node_chunk *chunk = hnsw_node_chunk(hnsw, n - 1);
	uint32_t i = (n - 1) % HNSW_CHUNK_NODES;
	return chunk->uppers[i] + chunk->levels[i];
}

uint32_t hnsw_keep_sound(const struct hnsw *hnsw, uint32_t level, uint32_t *nodes, uint32_t n)
{
	uint32_t n_nodes = hnsw->base.n;
	uint32_t n_kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (nodes[i] < n_nodes && (level == 0 || hnsw_level(hnsw, nodes[i]) >= level))
			nodes[n_kept++] = nodes[i];
	}
	return n_kept;
}

/* Locks */

/* Held for microseconds, but its holder may have been put to sleep in favour of more urgent work,
 * and then only giving up the processor helps. */
void hnsw_lock(_Atomic uint8_t *state)
{
	for (uint32_t spins = 0;
	     atomic_fetch_or_explicit(state, HNSW_STATE_LOCKED, memory_order_acquire) &
	     HNSW_STATE_LOCKED;) {
		if (++spins % SPINS_BEFORE_YIELD == 0)
			sched_yield();
	}
}

/* Memory: equal pieces, cut from runs */

/* Makes sure that n_pieces can be allocated. What does not fit behind the last piece of a run is
 * lost, so whole runs are counted. */
static int reserve_pieces(struct grant *grant, size_t piece_bytes, uint32_t n_pieces,
                          bool may_spill)
{
	size_t per_run = RUN_BYTES / piece_bytes;
	size_t here = grant->left_bytes / piece_bytes;

	if (n_pieces <= here)
		return 0;
	uint64_t n_runs = (n_pieces - here + per_run - 1) / per_run;
	return grant_reserve(grant, grant->left_bytes + n_runs * RUN_BYTES, may_spill);
}

/* Adds the chunk that was reserved to a directory that was reserved too. */
static void *add_chunk(struct grant *grant, struct chunk_dir *dir, uint32_t idx, size_t bytes)
{
	void *chunk = grant_alloc(grant, bytes, 64);
	assert(chunk);
	int r = chunk_dir_set(dir, idx, chunk);
	assert(r == 0);
	(void)r;
	return chunk;
}

static uint32_t n_node_chunks(uint32_t n_nodes)
{
	return (n_nodes + HNSW_CHUNK_NODES - 1) / HNSW_CHUNK_NODES;
}

static size_t list_chunk_bytes(const struct hnsw_lists *lists)
{
	return ((size_t)lists->capacity << lists->shift) * sizeof(uint32_t);
}

static uint32_t n_list_chunks(const struct hnsw_lists *lists, uint32_t n)
{
	return (uint32_t)(((uint64_t)n + (1u << lists->shift) - 1) >> lists->shift);
}

/* Chooses the largest chunks of which a run loses at most a sixteenth, down to 16 lists. */
static void lists_init(struct hnsw_lists *lists, uint32_t capacity, struct budget *budget)
{
	lists->capacity = capacity;
	grant_init(&lists->grant, budget, BUDGET_HNSW);
	for (lists->shift = 13; lists->shift > 4; lists->shift--) {
		size_t bytes = list_chunk_bytes(lists);
		if (bytes <= RUN_BYTES && RUN_BYTES % bytes <= RUN_BYTES / 16)
			return;
	}
}

static void lists_release(struct hnsw_lists *lists)
{
	chunk_dir_release(&lists->chunks);
	grant_release(&lists->grant);
}

static int lists_reserve(struct hnsw_lists *lists, uint32_t n, bool may_spill)
{
	uint32_t n_chunks = n_list_chunks(lists, n);
	uint32_t have = n_list_chunks(lists, lists->n);
	int r = chunk_dir_reserve(&lists->chunks, n_chunks);
	if (r < 0 || lists->is_mapped)
		return r;
	return reserve_pieces(&lists->grant, list_chunk_bytes(lists), n_chunks - have, may_spill);
}

/* Adds empty lists until there are n. */
static void lists_grow(struct hnsw_lists *lists, uint32_t n)
{
	if (lists->is_mapped) {
		lists->n = n;
		return;
	}
	for (; lists->n < n; lists->n++) {
		if ((lists->n & ((1u << lists->shift) - 1)) == 0)
			add_chunk(&lists->grant, &lists->chunks, lists->n >> lists->shift,
			          list_chunk_bytes(lists));
		_Atomic uint32_t *list = hnsw_lists_at(lists, lists->n);
		for (uint32_t i = 0; i < lists->capacity; i++)
			atomic_init(&list[i], HNSW_NO_LINK);
	}
}

/* Life and growth */

bool hnsw_params_are_valid(const struct hnsw_params *params)
{
	return params->M >= HNSW_M_MIN && params->M <= HNSW_M_MAX && params->ef_construction >= 1 &&
	       params->ef_construction <= HNSW_EF_MAX;
}

int hnsw_new(const struct hnsw_params *params, struct budget *budget, struct hnsw **ret)
{
	if (!hnsw_params_are_valid(params))
		return -EINVAL;
	struct hnsw *hnsw = calloc(1, sizeof(*hnsw));
	if (!hnsw)
		return -ENOMEM;
	hnsw->params = *params;
	lists_init(&hnsw->base, 2 * params->M, budget);
	lists_init(&hnsw->upper, params->M, budget);
	grant_init(&hnsw->node_grant, budget, BUDGET_HNSW);
	atomic_init(&hnsw->entry, HNSW_ENTRY_NONE);
	*ret = hnsw;
	return 0;
}

int hnsw_new_mapped(const struct hnsw_params *params, struct budget *budget, struct hnsw **ret)
{
	int r = hnsw_new(params, budget, ret);

	if (r == 0)
		(*ret)->base.is_mapped = (*ret)->upper.is_mapped = true;
	return r;
}

bool hnsw_is_mapped(const struct hnsw *hnsw)
{
	return hnsw->base.is_mapped;
}

struct hnsw *hnsw_free(struct hnsw *hnsw)
{
	if (!hnsw)
		return NULL;
	lists_release(&hnsw->base);
	lists_release(&hnsw->upper);
	chunk_dir_release(&hnsw->node_chunks);
	grant_release(&hnsw->node_grant);
	free(hnsw);
	return NULL;
}

void hnsw_params(const struct hnsw *hnsw, struct hnsw_params *ret)
{
	*ret = hnsw->params;
}

static int reserve_nodes(struct hnsw *hnsw, uint32_t n, bool may_spill)
{
	uint32_t have = n_node_chunks(hnsw->base.n);
	int r = chunk_dir_reserve(&hnsw->node_chunks, n_node_chunks(n));
	if (r < 0)
		return r;
	return reserve_pieces(&hnsw->node_grant, sizeof(struct hnsw_node_chunk),
	                      n_node_chunks(n) - have, may_spill);
}

int hnsw_reserve(struct hnsw *hnsw, uint32_t n_nodes, bool may_spill)
{
	uint32_t first = hnsw->base.n;
	if (n_nodes > HNSW_NODES_MAX - first)
		return -ENOSPC;
	uint32_t end = first + n_nodes;
	uint64_t n_upper = hnsw->upper.n;
	for (uint32_t node = first; node < end; node++)
		n_upper += hnsw_draw_level(&hnsw->params, node);
	if (n_upper > HNSW_NODES_MAX)
		return -ENOSPC;

	/* The smaller first, so that a refusal leaves little that was reserved in vain. */
	int r = reserve_nodes(hnsw, end, may_spill);
	if (r == 0)
		r = lists_reserve(&hnsw->upper, (uint32_t)n_upper, may_spill);
	if (r == 0)
		r = lists_reserve(&hnsw->base, end, may_spill);
	if (r == 0 && end > hnsw->n_room)
		hnsw->n_room = end;
	return r;
}

uint32_t hnsw_room(const struct hnsw *hnsw)
{
	return hnsw->n_room;
}

static void append_node(struct hnsw *hnsw, uint64_t slot, uint32_t row)
{
	uint32_t node = hnsw->base.n;
	uint32_t i = node % HNSW_CHUNK_NODES;

	if (i == 0)
		add_chunk(&hnsw->node_grant, &hnsw->node_chunks, node / HNSW_CHUNK_NODES,
		          sizeof(struct hnsw_node_chunk));
	struct hnsw_node_chunk *chunk = hnsw_node_chunk(hnsw, node);
	chunk->slots[i] = slot;
	chunk->rows[i] = row;
	chunk->uppers[i] = hnsw->upper.n;
	chunk->levels[i] = (uint8_t)hnsw_draw_level(&hnsw->params, node);
	atomic_init(&chunk->states[i], 0);
	lists_grow(&hnsw->upper, hnsw->upper.n + chunk->levels[i]);
	lists_grow(&hnsw->base, node + 1);
}

int hnsw_append(struct hnsw *hnsw, uint32_t n, const uint64_t *slots, const uint32_t *rows)
{
	uint32_t first = hnsw->base.n;

	if (n > hnsw->n_room - first)
		return -ENOSPC;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t before = i > 0 ? slots[i - 1] : first > 0 ? hnsw_slot(hnsw, first - 1) : 0;
		if (slots[i] <= before && first + i > 0)
			return -EINVAL;
	}
	for (uint32_t i = 0; i < n; i++)
		append_node(hnsw, slots[i], rows[i]);
	atomic_store_explicit(&hnsw->n_nodes, first + n, memory_order_release);
	return 0;
}

uint32_t hnsw_n_nodes(const struct hnsw *hnsw)
{
	return atomic_load_explicit(&hnsw->n_nodes, memory_order_acquire);
}

uint32_t hnsw_covered(const struct hnsw *hnsw)
{
	return hnsw->n_covered;
}

void hnsw_bytes(const struct hnsw *hnsw, uint64_t *ret_granted, uint64_t *ret_spilled)
{
	*ret_granted = hnsw->base.grant.granted_bytes + hnsw->upper.grant.granted_bytes +
	               hnsw->node_grant.granted_bytes;
	*ret_spilled = hnsw->base.grant.spilled_bytes + hnsw->upper.grant.spilled_bytes +
	               hnsw->node_grant.spilled_bytes;
}

/* Nodes */

uint64_t hnsw_slot(const struct hnsw *hnsw, uint32_t node)
{
	return hnsw_node_chunk(hnsw, node)->slots[node % HNSW_CHUNK_NODES];
}

uint32_t hnsw_row(const struct hnsw *hnsw, uint32_t node)
{
	return hnsw_node_row(hnsw, node);
}

int hnsw_find(const struct hnsw *hnsw, uint64_t slot, uint32_t *ret_node)
{
	uint32_t first = 0, end = hnsw_n_nodes(hnsw);

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;
		uint64_t found = hnsw_slot(hnsw, middle);
		if (found == slot) {
			*ret_node = middle;
			return 0;
		}
		if (found < slot)
			first = middle + 1;
		else
			end = middle;
	}
	return HNSW_NO_NODE;
}

void hnsw_set_row(struct hnsw *hnsw, uint32_t node, uint32_t row)
{
	hnsw_node_chunk(hnsw, node)->rows[node % HNSW_CHUNK_NODES] = row;
}

void hnsw_retire(struct hnsw *hnsw, uint32_t node)
{
	_Atomic uint8_t *state = hnsw_state(hnsw, node);

	/* Relaxed: what a search may return is ordered by the loop, which plans it. */
	atomic_fetch_or_explicit(state, HNSW_STATE_DEAD, memory_order_relaxed);
}

bool hnsw_is_dead(const struct hnsw *hnsw, uint32_t node)
{
	return atomic_load_explicit(hnsw_state(hnsw, node), memory_order_relaxed) & HNSW_STATE_DEAD;
}
