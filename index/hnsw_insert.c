/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Insertion (algorithms 1 and 4 of the paper). A node looks for its neighbours from the top down,
 * keeps at each of its levels those that the heuristic selects, and only when all its lists are
 * written do its neighbours link back to it (see hnsw_graph.c for why in that order).
 *
 * The heuristic: from the nearest outwards, a candidate is selected unless it is nearer to one
 * selected before than to the node itself. So links lead in all directions and not all into
 * the nearest cluster. A neighbour whose list is full selects anew among its links and the node.
 *
 * The heuristic promises nobody a link to it: of 60,000 images 122 could not be reached, and of
 * 6,000 equal vectors, among which it always prefers the same, all but 34. Two rules of ours:
 *
 *      The tree. Each node is adopted by the nearest that it found and that has fewer than M
 *      children; it and its parent keep their links to each other for good. So from any node at
 *      level 0 there is a way to any other. It costs little, because the heuristic keeps most of
 *      these links by itself, and there are but two a node: 0.1 links a node more, the same recall
 *      at the same number of comparisons.
 *
 *      Equals. Of candidates at the same distance at most half a list is selected, so that among
 *      many duplicates there is room left for ways out.
 *
 * Not kept from the paper: filling lists up with rejected candidates (hnswlib does not either).
 */

#include "index/hnsw_graph.h"

#include <assert.h>
#include <math.h>
#include <sched.h>

/* Candidates are compared with this many selected ones at a time: mostly one of the nearest
 * rejects them, and a space is fastest with four. */
#define SELECT_STEP 4u
/* Generations that a node goes down in search of a parent: a bound for graphs from damaged files;
 * those that were built are far less deep. */
#define ADOPT_DEPTH 256u

/* One worker inserting. */
struct insertion {
	struct hnsw *hnsw;
	const struct hnsw_space *space;
	struct hnsw_scratch *scratch;
};

static void *second_query(const struct insertion *insertion)
{
	uint8_t *query = insertion->scratch->query;

	/* A space that needs no prepared queries has no room for them, and NULL takes no offset. */
	return query ? query + insertion->scratch->query_bytes : NULL;
}

static void take_distances(const struct insertion *insertion, const void *query,
                           const uint32_t *nodes, uint32_t n, float bound, float *ret)
{
	const struct hnsw_space *space = insertion->space;
	uint32_t rows[HNSW_BATCH];

	for (uint32_t i = 0; i < n; i++)
		rows[i] = hnsw_node_row(insertion->hnsw, nodes[i]);
	space->distances(space, query, rows, n, bound, ret);
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
	        space->query_of(space, hnsw_node_row(insertion->hnsw, hnsw_key_node(candidate)),
	                        second_query(insertion));
	for (uint32_t at = 0; at < n; at += SELECT_STEP) {
		uint32_t step = n - at < SELECT_STEP ? n - at : SELECT_STEP;
		take_distances(insertion, query, selected + at, step, bound, distances);
		for (uint32_t i = 0; i < step; i++) {
			if (distances[i] < bound)
				return true;
		}
	}
	return false;
}

/* Adds to links, of which n_links are selected already, from n candidates (nearest first) until
 * there are max; returns how many there are then. */
static uint32_t select_links(const struct insertion *insertion, const uint64_t *candidates,
                             uint32_t n, uint32_t max, uint32_t *links, uint32_t n_links)
{
	uint32_t n_equal = 0;

	for (uint32_t i = 0; i < n && n_links < max; i++) {
		if (i > 0 && hnsw_key_rank(candidates[i]) != hnsw_key_rank(candidates[i - 1]))
			n_equal = 0;
		if (n_equal >= (max + 1) / 2 ||
		    is_covered(insertion, candidates[i], links, n_links))
			continue;
		links[n_links++] = hnsw_key_node(candidates[i]);
		n_equal++;
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

/* Selects anew for a node among n links, one more than it has room for: branches stay, in their
 * order. Its lock is held. Returns how many are left. */
static uint32_t reselect(const struct insertion *insertion, uint32_t node, uint32_t *links,
                         uint32_t n)
{
	const struct hnsw_space *space = insertion->space;
	const void *query = space->query_of(space, hnsw_node_row(insertion->hnsw, node),
	                                    second_query(insertion));
	uint32_t nodes[HNSW_LINKS_MAX + 1], others[HNSW_LINKS_MAX + 1];
	uint64_t keys[HNSW_LINKS_MAX + 1];
	float distances[HNSW_BATCH];
	uint32_t n_branches = 0, n_others = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!(links[i] & HNSW_LINK_BRANCH)) {
			others[n_others++] = links[i];
			continue;
		}
		nodes[n_branches] = links[i] & ~HNSW_LINK_BRANCH;
		links[n_branches++] = links[i];
	}
	for (uint32_t at = 0; at < n_others; at += HNSW_BATCH) {
		uint32_t step = n_others - at < HNSW_BATCH ? n_others - at : HNSW_BATCH;
		take_distances(insertion, query, others + at, step, INFINITY, distances);
		for (uint32_t i = 0; i < step; i++)
			keys[at + i] = hnsw_key(distances[i], others[at + i]);
	}
	sort_keys(keys, n_others);
	n = select_links(insertion, keys, n_others, n - 1, nodes, n_branches);
	for (uint32_t i = n_branches; i < n; i++)
		links[i] = nodes[i];
	return n;
}

static uint32_t count_children(const uint32_t *links, uint32_t n)
{
	uint32_t n_children = 0;

	for (uint32_t i = 0; i < n; i++)
		n_children += links[i] >> 31;
	return n_children;
}

/* Links node `from` to a node that is whole; branch says as what at level 0, and is 0 for neither.
 * False when from has all the children that it may have. */
static bool add_link(const struct insertion *insertion, uint32_t from, uint32_t to, uint32_t level,
                     uint32_t branch)
{
	uint32_t capacity = hnsw_capacity(insertion->hnsw, level);
	_Atomic uint32_t *list = hnsw_list(insertion->hnsw, from, level);
	_Atomic uint8_t *state = hnsw_state(insertion->hnsw, from);
	uint32_t links[HNSW_LINKS_MAX + 1];
	uint32_t n = 0, at = UINT32_MAX;
	bool has_room = true;

	hnsw_lock(state);
	for (; n < capacity; n++) {
		links[n] = atomic_load_explicit(&list[n], memory_order_relaxed);
		if (links[n] == HNSW_NO_LINK)
			break;
		if ((links[n] & ~HNSW_LINK_BRANCH) == to)
			at = n;
	}
	if (branch == HNSW_LINK_CHILD)
		has_room = count_children(links, n) < insertion->hnsw->params.M;
	if (at != UINT32_MAX) {
		if (has_room)
			hnsw_link(list, at, links[at] | branch);
	} else if (has_room && n < capacity) {
		hnsw_link(list, n, to | branch);
	} else if (has_room) {
		links[n] = to | branch;
		n = reselect(insertion, from, links, n + 1);
		for (uint32_t i = 0; i < capacity; i++)
			hnsw_link(list, i, i < n ? links[i] : HNSW_NO_LINK);
	}
	hnsw_unlock(state);
	return has_room;
}

/* A child of a node, chosen by the number of who asks; HNSW_NO_LINK when it has none. */
static uint32_t some_child(const struct hnsw *hnsw, uint32_t node, uint32_t seed)
{
	const _Atomic uint32_t *list = hnsw_list(hnsw, node, 0);
	uint32_t children[HNSW_LINKS_MAX];
	uint32_t n = 0;

	/* From the back, as hnsw_links() does. */
	for (uint32_t i = hnsw->base.capacity; i > 0; i--) {
		uint32_t link = atomic_load_explicit(&list[i - 1], memory_order_acquire);
		if (link != HNSW_NO_LINK && (link & HNSW_LINK_CHILD))
			children[n++] = link & ~HNSW_LINK_BRANCH;
	}
	return n == 0 ? HNSW_NO_LINK : children[seed % n];
}

/* Makes a node the child of the nearest that has room for one among n found, or else of some
 * descendant of the nearest. */
static void adopt(const struct insertion *insertion, uint32_t node, const uint64_t *found,
                  uint32_t n)
{
	uint32_t parent = HNSW_NO_LINK;
	uint32_t seed = node;
	bool is_adopted = false;

	for (uint32_t i = 0; i < n && !is_adopted; i++) {
		parent = hnsw_key_node(found[i]);
		is_adopted = add_link(insertion, parent, node, 0, HNSW_LINK_CHILD);
	}
	if (!is_adopted)
		parent = hnsw_key_node(found[0]);
	for (uint32_t depth = 0; depth < ADOPT_DEPTH && !is_adopted; depth++) {
		seed = seed * 1664525u + 1013904223u;
		parent = some_child(insertion->hnsw, parent, seed >> 16);
		if (parent == HNSW_NO_LINK)
			return;
		is_adopted = add_link(insertion, parent, node, 0, HNSW_LINK_CHILD);
	}
	if (is_adopted)
		add_link(insertion, node, parent, 0, HNSW_LINK_PARENT);
}

/* Finds neighbours of a node at one level, which it leaves in scratch->found, nearest first, and
 * writes its list. Returns how many were found, at least one. */
static uint32_t write_list(const struct insertion *insertion, struct hnsw_walk *walk, uint32_t node,
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
	uint32_t n_links = select_links(insertion, found, n, params->M, links, 0);
	_Atomic uint32_t *list = hnsw_list(insertion->hnsw, node, level);
	for (uint32_t i = 0; i < n_links; i++)
		hnsw_link(list, i, links[i]);
	return n;
}

/* Inserts below or at the level of the entry point. */
static void link_node(const struct insertion *insertion, uint32_t node, uint64_t entry)
{
	struct hnsw *hnsw = insertion->hnsw;
	uint32_t top = (uint32_t)(entry >> 32);
	uint32_t own_top = hnsw_level(hnsw, node);
	uint32_t n_found = 0;
	struct hnsw_walk walk = {
	        .hnsw = hnsw,
	        .space = insertion->space,
	        .scratch = insertion->scratch,
	        .query = insertion->space->query_of(insertion->space, hnsw_node_row(hnsw, node),
	                                            insertion->scratch->query),
	};

	if (own_top > top)
		own_top = top;
	uint64_t nearest = hnsw_walk_key(&walk, (uint32_t)entry);
	for (uint32_t level = top; level > own_top; level--)
		nearest = hnsw_walk_greedy(&walk, nearest, level);
	for (uint32_t left = own_top + 1; left > 0; left--) {
		n_found = write_list(insertion, &walk, node, nearest, left - 1);
		nearest = insertion->scratch->found[0];
	}
	adopt(insertion, node, insertion->scratch->found, n_found);
	for (uint32_t level = 0; level <= own_top; level++) {
		uint32_t links[HNSW_LINKS_MAX];
		uint32_t n = hnsw_links(hnsw_list(hnsw, node, level), hnsw->params.M, links);
		for (uint32_t i = 0; i < n; i++)
			add_link(insertion, links[i], node, level, 0);
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
	assert(!hnsw_is_mapped(hnsw));
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

int hnsw_build_some(struct hnsw_build *build, struct hnsw_scratch *scratch, uint32_t max_nodes)
{
	const struct insertion insertion = {build->hnsw, build->space, scratch};
	const struct hnsw_params *params = &build->hnsw->params;
	uint32_t ef = params->ef_construction > params->M ? params->ef_construction : params->M;

	int r = hnsw_scratch_size(scratch, build->end, ef, build->space->query_bytes);
	if (r < 0)
		return r;
	assert(scratch->marks.n_clear >= build->end);
	for (uint32_t i = 0; i < max_nodes; i++) {
		uint32_t node = take_node(build);

		if (node == build->end)
			return 0;
		insert_node(&insertion, node);
		atomic_fetch_add_explicit(&build->n_done, 1, memory_order_relaxed);
	}
	return HNSW_BUILD_MORE;
}

int hnsw_build_run(struct hnsw_build *build, struct hnsw_scratch *scratch)
{
	/* There are never so many nodes. */
	return hnsw_build_some(build, scratch, UINT32_MAX);
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
