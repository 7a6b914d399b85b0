/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Insertion (algorithms 1 and 4 of the paper). A node looks for its neighbours from the top down,
 * keeps at each of its levels those that the heuristic selects, and only when all its lists are
 * written do its neighbours link back to it (see hnsw_graph.c for why in that order).
 *
 * The heuristic: from the nearest outwards, a candidate is selected unless it is nearer to one
 * selected before than to the node itself. So links lead in all directions and not all into
 * the nearest cluster. A neighbour whose list is full selects anew among its links and the node.
 */

#include "index/hnsw_graph.h"

#include <assert.h>
#include <sched.h>

/* Candidates are compared with this many selected ones at a time: mostly one of the nearest
 * rejects them, and a space is fastest with four. */
#define SELECT_STEP 4u

/* One worker inserting. */
struct insertion {
	struct hnsw *hnsw;
	const struct hnsw_space *space;
	struct hnsw_scratch *scratch;
};

static void *second_query(const struct insertion *insertion)
{
	return (uint8_t *)insertion->scratch->query + insertion->scratch->query_bytes;
}

static bool is_covered(const struct insertion *insertion, uint64_t candidate,
                       const uint32_t *selected, uint32_t n)
{
	const struct hnsw_space *space = insertion->space;
	float distances[SELECT_STEP];
	float bound = hnsw_key_distance(candidate);

	if (n == 0)
		return false;
	const void *query =
	        space->query_of(space, hnsw_key_node(candidate), second_query(insertion));
	for (uint32_t at = 0; at < n; at += SELECT_STEP) {
		uint32_t step = n - at < SELECT_STEP ? n - at : SELECT_STEP;
		space->distances(space, query, selected + at, step, distances);
		for (uint32_t i = 0; i < step; i++) {
			if (distances[i] < bound)
				return true;
		}
	}
	return false;
}

/* Selects at most max of n candidates, given nearest first; returns how many. */
static uint32_t select_links(const struct insertion *insertion, const uint64_t *candidates,
                             uint32_t n, uint32_t max, uint32_t *ret_links)
{
	uint32_t n_links = 0;

	for (uint32_t i = 0; i < n && n_links < max; i++) {
		if (!is_covered(insertion, candidates[i], ret_links, n_links))
			ret_links[n_links++] = hnsw_key_node(candidates[i]);
	}
	return n_links;
}

static void sort_keys(uint64_t *keys, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		uint64_t key = keys[i];
		uint32_t at = i;
		for (; at > 0 && keys[at - 1] > key; at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

/* Selects anew for a node among its links and one more; its lock is held. */
static uint32_t reselect(const struct insertion *insertion, uint32_t node, uint32_t *links,
                         uint32_t n)
{
	const struct hnsw_space *space = insertion->space;
	uint64_t keys[HNSW_LINKS_MAX + 1];
	float distances[HNSW_BATCH];
	const void *query = space->query_of(space, node, second_query(insertion));

	for (uint32_t at = 0; at < n; at += HNSW_BATCH) {
		uint32_t step = n - at < HNSW_BATCH ? n - at : HNSW_BATCH;
		space->distances(space, query, links + at, step, distances);
		for (uint32_t i = 0; i < step; i++)
			keys[at + i] = hnsw_key(distances[i], links[at + i]);
	}
	sort_keys(keys, n);
	return select_links(insertion, keys, n, n - 1, links);
}

/* Links node `from` to a node that is whole. */
static void link_back(const struct insertion *insertion, uint32_t from, uint32_t to, uint32_t level)
{
	uint32_t capacity = hnsw_capacity(insertion->hnsw, level);
	_Atomic uint32_t *list = hnsw_list(insertion->hnsw, from, level);
	_Atomic uint8_t *state = hnsw_state(insertion->hnsw, from);
	uint32_t links[HNSW_LINKS_MAX + 1];

	hnsw_lock(state);
	uint32_t n = hnsw_links(list, capacity, links);
	if (n < capacity) {
		hnsw_link(list, n, to);
	} else {
		links[n] = to;
		uint32_t n_selected = reselect(insertion, from, links, n + 1);
		for (uint32_t i = 0; i < capacity; i++)
			hnsw_link(list, i, i < n_selected ? links[i] : HNSW_NO_LINK);
	}
	hnsw_unlock(state);
}

/* Finds neighbours of a node at one level and writes its list; returns the nearest. */
static uint64_t write_list(const struct insertion *insertion, struct hnsw_walk *walk, uint32_t node,
                           uint64_t from, uint32_t level)
{
	const struct hnsw_params *params = &insertion->hnsw->params;
	uint64_t *found = insertion->scratch->found;
	uint32_t ef = params->ef_construction > params->M ? params->ef_construction : params->M;
	uint32_t links[HNSW_M_MAX];
	uint32_t n = hnsw_walk_beam(walk, from, level, ef);

	/* From the farthest down: the queue leaves its end free as it gets shorter. */
	for (uint32_t left = n; left > 0;) {
		uint64_t key = ~hnsw_queue_pop(found, &left);
		found[left] = key;
	}
	uint32_t n_links = select_links(insertion, found, n, params->M, links);
	_Atomic uint32_t *list = hnsw_list(insertion->hnsw, node, level);
	for (uint32_t i = 0; i < n_links; i++)
		hnsw_link(list, i, links[i]);
	return found[0];
}

/* Inserts below or at the level of the entry point. */
static void link_node(const struct insertion *insertion, uint32_t node, uint64_t entry)
{
	struct hnsw *hnsw = insertion->hnsw;
	uint32_t top = (uint32_t)(entry >> 32);
	uint32_t own_top = hnsw_level(hnsw, node);
	struct hnsw_walk walk = {
	        .hnsw = hnsw,
	        .space = insertion->space,
	        .scratch = insertion->scratch,
	        .query = insertion->space->query_of(insertion->space, node,
	                                            insertion->scratch->query),
	};

	if (own_top > top)
		own_top = top;
	uint64_t nearest = hnsw_walk_key(&walk, (uint32_t)entry);
	for (uint32_t level = top; level > own_top; level--)
		nearest = hnsw_walk_greedy(&walk, nearest, level);
	for (uint32_t left = own_top + 1; left > 0; left--)
		nearest = write_list(insertion, &walk, node, nearest, left - 1);
	for (uint32_t level = 0; level <= own_top; level++) {
		uint32_t links[HNSW_LINKS_MAX];
		uint32_t n = hnsw_links(hnsw_list(hnsw, node, level), hnsw->params.M, links);
		for (uint32_t i = 0; i < n; i++)
			link_back(insertion, links[i], node, level);
	}
}

static bool is_above(uint32_t level, uint64_t entry)
{
	return entry == HNSW_ENTRY_NONE || level > (uint32_t)(entry >> 32);
}

static void lock_entry(struct hnsw *hnsw)
{
	while (atomic_exchange_explicit(&hnsw->entry_raised, true, memory_order_acquire))
		sched_yield();
}

static void unlock_entry(struct hnsw *hnsw)
{
	atomic_store_explicit(&hnsw->entry_raised, false, memory_order_release);
}

static void insert_node(const struct insertion *insertion, uint32_t node)
{
	struct hnsw *hnsw = insertion->hnsw;
	uint32_t level = hnsw_level(hnsw, node);
	uint64_t entry = atomic_load_explicit(&hnsw->entry, memory_order_acquire);
	bool raises = false;

	if (is_above(level, entry)) {
		lock_entry(hnsw);
		entry = atomic_load_explicit(&hnsw->entry, memory_order_acquire);
		raises = is_above(level, entry);
		if (!raises)
			unlock_entry(hnsw);
	}
	if (entry != HNSW_ENTRY_NONE)
		link_node(insertion, node, entry);
	if (raises) {
		atomic_store_explicit(&hnsw->entry, hnsw_entry(node, level), memory_order_release);
		unlock_entry(hnsw);
	}
}

/* Builds */

void hnsw_build_init(struct hnsw_build *build, struct hnsw *hnsw, const struct hnsw_space *space)
{
	*build = (struct hnsw_build){
	        .hnsw = hnsw,
	        .space = space,
	        .first = hnsw->n_covered,
	        .end = hnsw_n_nodes(hnsw),
	        .next = hnsw->n_covered,
	};
}

/* The next node that nobody has taken, or end. Nothing is taken that is not inserted, so that the
 * inserted ones have no gaps, and next never passes end. */
static uint32_t take_node(struct hnsw_build *build)
{
	uint32_t node = atomic_load_explicit(&build->next, memory_order_relaxed);

	do {
		if (node == build->end ||
		    atomic_load_explicit(&build->is_cancelled, memory_order_relaxed))
			return build->end;
	} while (!atomic_compare_exchange_weak_explicit(
	        &build->next, &node, node + 1, memory_order_relaxed, memory_order_relaxed));
	return node;
}

int hnsw_build_run(struct hnsw_build *build, struct hnsw_scratch *scratch)
{
	const struct insertion insertion = {build->hnsw, build->space, scratch};
	const struct hnsw_params *params = &build->hnsw->params;
	uint32_t ef = params->ef_construction > params->M ? params->ef_construction : params->M;

	int r = hnsw_scratch_size(scratch, build->end, ef, build->space->query_bytes);
	if (r < 0)
		return r;
	for (uint32_t node; (node = take_node(build)) < build->end;) {
		insert_node(&insertion, node);
		atomic_fetch_add_explicit(&build->n_done, 1, memory_order_relaxed);
	}
	return 0;
}

void hnsw_build_cancel(struct hnsw_build *build)
{
	atomic_store_explicit(&build->is_cancelled, true, memory_order_relaxed);
}

void hnsw_build_progress(const struct hnsw_build *build, uint32_t *ret_done, uint32_t *ret_total)
{
	*ret_done = atomic_load_explicit(&build->n_done, memory_order_relaxed);
	*ret_total = build->end - build->first;
}

uint32_t hnsw_build_end(struct hnsw_build *build)
{
	uint32_t next = atomic_load_explicit(&build->next, memory_order_relaxed);

	assert(next - build->first == atomic_load_explicit(&build->n_done, memory_order_relaxed));
	build->hnsw->n_covered = next;
	return next;
}
