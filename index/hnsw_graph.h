/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside of the graph, for index/hnsw_*.c only: where nodes and lists of links are, how they are
 * locked and read. hnsw_graph.c says how it works together.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "index/chunk_dir.h"
#include "index/hnsw.h"
#include "index/hnsw_scratch.h"

/* A link is a node and, at level 0, whether it is a branch of the tree that holds all nodes
 * together: to a child, or to the parent. Branches are never given up. */
#define HNSW_LINK_CHILD (1u << 31)
#define HNSW_LINK_PARENT (1u << 30)
#define HNSW_LINK_BRANCH (HNSW_LINK_CHILD | HNSW_LINK_PARENT)
#define HNSW_NO_LINK UINT32_MAX /* ends a list that is not full */
#define HNSW_LINKS_MAX (2 * HNSW_M_MAX)
#define HNSW_CHUNK_NODES 512u

enum hnsw_state {
	HNSW_STATE_LOCKED = 1, /* someone changes the node's lists */
	HNSW_STATE_DEAD = 2,
};

/* What a node has beside its links; seven chunks fill a run to 98 %. */
struct hnsw_node_chunk {
	uint64_t slots[HNSW_CHUNK_NODES];
	uint32_t rows[HNSW_CHUNK_NODES];
	uint32_t
	        uppers[HNSW_CHUNK_NODES]; /* upper lists of all nodes before: where its own begin */
	uint8_t levels[HNSW_CHUNK_NODES];
	_Atomic uint8_t states[HNSW_CHUNK_NODES];
};

/* Lists of equal capacity, by number, in chunks that never move. */
struct hnsw_lists {
	struct grant grant;
	struct chunk_dir chunks;
	uint32_t capacity; /* links in a list */
	uint32_t shift;    /* log2 of the lists in a chunk */
	uint32_t n;
	bool is_mapped; /* chunks are the source's: read only, nothing granted */
};

struct hnsw {
	struct hnsw_params params;
	struct hnsw_lists base;  /* one list a node: level 0 */
	struct hnsw_lists upper; /* one for each level above that a node has */
	struct grant node_grant;
	struct chunk_dir node_chunks;
	uint32_t n_room; /* nodes that memory was reserved for */
	uint32_t n_covered;
	_Atomic uint32_t n_nodes;
	_Atomic uint64_t entry;    /* level << 32 | node, or HNSW_ENTRY_NONE */
	_Atomic bool entry_raised; /* locks: by who inserts above the entry point's level */
};

#define HNSW_ENTRY_NONE UINT64_MAX

static inline uint64_t hnsw_entry(uint32_t node, uint32_t level)
{
	return (uint64_t)level << 32 | node;
}

/* Nodes */

static inline struct hnsw_node_chunk *hnsw_node_chunk(const struct hnsw *hnsw, uint32_t node)
{
	return chunk_dir_get(&hnsw->node_chunks, node / HNSW_CHUNK_NODES);
}

static inline uint32_t hnsw_level(const struct hnsw *hnsw, uint32_t node)
{
	return hnsw_node_chunk(hnsw, node)->levels[node % HNSW_CHUNK_NODES];
}

static inline uint32_t hnsw_node_row(const struct hnsw *hnsw, uint32_t node)
{
	return hnsw_node_chunk(hnsw, node)->rows[node % HNSW_CHUNK_NODES];
}

static inline _Atomic uint8_t *hnsw_state(const struct hnsw *hnsw, uint32_t node)
{
	return &hnsw_node_chunk(hnsw, node)->states[node % HNSW_CHUNK_NODES];
}

/* The level that a node is drawn: HNSW_LEVEL_MAX at most. Part of the file format. */
uint32_t hnsw_draw_level(const struct hnsw_params *params, uint32_t node);
/* Upper lists of the first n nodes. */
uint32_t hnsw_n_upper(const struct hnsw *hnsw, uint32_t n);

/* The nodes' locks: for the two writes that an insertion makes to nodes which others can see. */
void hnsw_lock(_Atomic uint8_t *state);
static inline void hnsw_unlock(_Atomic uint8_t *state)
{
	atomic_fetch_and_explicit(state, (uint8_t)~HNSW_STATE_LOCKED, memory_order_release);
}

/* Lists */

static inline _Atomic uint32_t *hnsw_lists_at(const struct hnsw_lists *lists, uint32_t idx)
{
	uint32_t in_chunk = idx & ((1u << lists->shift) - 1);
	_Atomic uint32_t *chunk = chunk_dir_get(&lists->chunks, idx >> lists->shift);
	return chunk + (size_t)in_chunk * lists->capacity;
}

/* A node's links at a level that it has. */
static inline _Atomic uint32_t *hnsw_list(const struct hnsw *hnsw, uint32_t node, uint32_t level)
{
	if (level == 0)
		return hnsw_lists_at(&hnsw->base, node);
	uint32_t first = hnsw_node_chunk(hnsw, node)->uppers[node % HNSW_CHUNK_NODES];
	return hnsw_lists_at(&hnsw->upper, first + level - 1);
}

/* Asks for a list at level 0 ahead of its use. */
static inline void hnsw_prefetch_list(const struct hnsw *hnsw, uint32_t node, uint32_t level)
{
	if (level > 0)
		return;
	const _Atomic uint32_t *list = hnsw_lists_at(&hnsw->base, node);
	for (uint32_t i = 0; i < hnsw->base.capacity; i += 16)
		__builtin_prefetch((const void *)&list[i]);
}

static inline uint32_t hnsw_capacity(const struct hnsw *hnsw, uint32_t level)
{
	return level == 0 ? hnsw->base.capacity : hnsw->upper.capacity;
}

/* Moves those of n nodes to the front that the graph has at that level; returns how many. */
uint32_t hnsw_keep_sound(const struct hnsw *hnsw, uint32_t level, uint32_t *nodes, uint32_t n);

/* Copies the nodes that a list links to, the last one first; returns how many. From the back, so
 * that a branch is met even while it is moved forward (hnsw_graph.c). Acquire, so that what a node
 * was given before it was linked is seen by who follows the link. */
static inline uint32_t hnsw_links(const _Atomic uint32_t *list, uint32_t capacity, uint32_t *ret)
{
	uint32_t n = 0;

	for (uint32_t i = capacity; i > 0; i--) {
		uint32_t link = atomic_load_explicit(&list[i - 1], memory_order_acquire);
		ret[n] = link & ~HNSW_LINK_BRANCH;
		n += link != HNSW_NO_LINK;
	}
	return n;
}

/* The nodes that a node links to at a level that it has, last one first. Those of a mapped graph
 * are what the file says now, whatever it said when it was checked: those that lead out of the
 * graph are left out. */
static inline uint32_t hnsw_links_of(const struct hnsw *hnsw, uint32_t node, uint32_t level,
                                     uint32_t *ret)
{
	uint32_t n = hnsw_links(hnsw_list(hnsw, node, level), hnsw_capacity(hnsw, level), ret);

	return hnsw->base.is_mapped ? hnsw_keep_sound(hnsw, level, ret, n) : n;
}

static inline void hnsw_link(_Atomic uint32_t *list, uint32_t idx, uint32_t link)
{
	atomic_store_explicit(&list[idx], link, memory_order_release);
}

/* What hnsw_check() looks at but reachability, over the first n_nodes nodes; in hnsw_check.c. */
int hnsw_check_lists(const struct hnsw *hnsw, uint32_t n_nodes,
                     struct hnsw_check_report *ret_report);

/* Walking; in hnsw_search.c */

struct hnsw_walk {
	const struct hnsw *hnsw;
	const struct hnsw_space *space;
	const void *query;
	struct hnsw_scratch *scratch;
	const struct hnsw_search *search; /* who is returned; NULL: everyone is */
	struct hnsw_search_stats stats;
};

/* The distance of one node, as a key. */
uint64_t hnsw_walk_key(struct hnsw_walk *walk, uint32_t node);
/* Goes from a node to ever nearer neighbours at a level until there is none. */
uint64_t hnsw_walk_greedy(struct hnsw_walk *walk, uint64_t from, uint32_t level);
/* The best-first search of a level: leaves the up to ef nearest that may be returned as
 * complements of keys, a queue with the farthest at the top, in scratch->found; returns how many.
 */
uint32_t hnsw_walk_beam(struct hnsw_walk *walk, uint64_t from, uint32_t level, uint32_t ef);
