/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Walking the graph, for searches and insertions alike: greedily down the upper levels, then
 * best-first with a bound at the level in question. Two queues drive the second: candidates,
 * whose links were not followed yet, nearest at the top; and found, the ef nearest that may be
 * returned, farthest at the top. It ends when no candidate is nearer than the farthest found.
 *
 * Who may not be returned (dead, behind `below`, not visible) is a candidate all the same: the way
 * to the others may lead over it. So while few are visible, found stays short and the walk goes on
 * outwards, as far as it must.
 *
 * Only strictly nearer nodes displace those found: among many equal ones (duplicates) every
 * step would otherwise find one with a lower number, and the walk would go through all of them.
 */

#include "index/hnsw_graph.h"

#include <assert.h>

/* Nodes of one hop with their keys. */
struct batch {
	uint32_t n;
	uint32_t nodes[HNSW_BATCH];
	float distances[HNSW_BATCH];
};

static void take_distances(struct hnsw_walk *walk, struct batch *batch)
{
	walk->space->distances(walk->space, walk->query, batch->nodes, batch->n, batch->distances);
	walk->stats.comparisons += batch->n;
}

uint64_t hnsw_walk_key(struct hnsw_walk *walk, uint32_t node)
{
	struct batch batch = {.n = 1, .nodes = {node}};

	take_distances(walk, &batch);
	return hnsw_key(batch.distances[0], node);
}

uint64_t hnsw_walk_greedy(struct hnsw_walk *walk, uint64_t from, uint32_t level)
{
	uint64_t nearest = from, before;

	static_assert(HNSW_M_MAX <= HNSW_BATCH, "an upper list is one batch");
	do {
		struct batch batch;
		before = nearest;
		batch.n = hnsw_links_of(walk->hnsw, hnsw_key_node(nearest), level, batch.nodes);
		take_distances(walk, &batch);
		walk->stats.hops++;
		for (uint32_t i = 0; i < batch.n; i++) {
			uint64_t key = hnsw_key(batch.distances[i], batch.nodes[i]);
			if (hnsw_key_rank(key) < hnsw_key_rank(nearest))
				nearest = key;
		}
	} while (nearest != before);
	return nearest;
}

/* The queues of one beam. */
struct beam {
	struct hnsw_walk *walk;
	uint32_t level;
	uint32_t ef;
	uint64_t *candidates;
	uint32_t n_candidates;
	uint64_t *found; /* complements */
	uint32_t n_found;
};

static bool is_wanted(const struct beam *beam, uint64_t key)
{
	return beam->n_found < beam->ef || hnsw_key_rank(key) < hnsw_key_rank(~beam->found[0]);
}

static void keep(struct beam *beam, uint64_t key)
{
	if (beam->n_found < beam->ef)
		hnsw_queue_push(beam->found, &beam->n_found, ~key);
	else
		hnsw_queue_replace(beam->found, beam->n_found, ~key);
}

/* Keeps those of n wanted keys that may be returned. */
static void keep_visible(struct beam *beam, const uint64_t *keys, uint32_t n)
{
	const struct hnsw *hnsw = beam->walk->hnsw;
	const struct hnsw_search *search = beam->walk->search;
	uint64_t alive[HNSW_BATCH];
	uint32_t rows[HNSW_BATCH];
	uint32_t n_alive = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t node = hnsw_key_node(keys[i]);
		if (node >= search->below || hnsw_is_dead(hnsw, node))
			continue;
		alive[n_alive] = keys[i];
		rows[n_alive++] = hnsw_node_row(hnsw, node);
	}
	uint64_t mask = UINT64_MAX;
	if (search->visible && n_alive > 0)
		mask = search->visible(search->visible_ctx, rows, n_alive);
	for (uint32_t i = 0; i < n_alive; i++) {
		if ((mask >> i & 1) && is_wanted(beam, alive[i]))
			keep(beam, alive[i]);
	}
}

static void offer(struct beam *beam, const struct batch *batch)
{
	uint64_t wanted[HNSW_BATCH];
	uint32_t n = 0;

	for (uint32_t i = 0; i < batch->n; i++) {
		uint64_t key = hnsw_key(batch->distances[i], batch->nodes[i]);
		if (!is_wanted(beam, key))
			continue;
		hnsw_queue_push(beam->candidates, &beam->n_candidates, key);
		if (beam->walk->search)
			wanted[n++] = key;
		else
			keep(beam, key);
	}
	if (n > 0)
		keep_visible(beam, wanted, n);
}

static void follow(struct beam *beam, uint32_t node)
{
	struct hnsw_walk *walk = beam->walk;
	uint32_t links[HNSW_LINKS_MAX];
	uint32_t n_links = hnsw_links_of(walk->hnsw, node, beam->level, links);

	walk->stats.hops++;
	for (uint32_t i = 0; i < n_links;) {
		struct batch batch = {.n = 0};
		for (; i < n_links && batch.n < HNSW_BATCH; i++) {
			if (hnsw_mark(walk->scratch, links[i]))
				batch.nodes[batch.n++] = links[i];
		}
		if (batch.n > 0) {
			take_distances(walk, &batch);
			offer(beam, &batch);
		}
	}
}

static bool is_spent(struct hnsw_walk *walk)
{
	const struct hnsw_search *search = walk->search;

	if (!search || search->max_comparisons == 0 ||
	    walk->stats.comparisons < search->max_comparisons)
		return false;
	walk->stats.is_cut = true;
	return true;
}

uint32_t hnsw_walk_beam(struct hnsw_walk *walk, uint64_t from, uint32_t level, uint32_t ef)
{
	struct beam beam = {
	        .walk = walk,
	        .level = level,
	        .ef = ef,
	        .candidates = walk->scratch->candidates,
	        .found = walk->scratch->found,
	};
	struct batch first = {
	        .n = 1, .nodes = {hnsw_key_node(from)}, .distances = {hnsw_key_distance(from)}};

	assert(ef <= walk->scratch->n_found);
	hnsw_marks_clear(walk->scratch);
	hnsw_mark(walk->scratch, hnsw_key_node(from));
	offer(&beam, &first);
	while (beam.n_candidates > 0 && !is_spent(walk)) {
		uint64_t nearest = hnsw_queue_pop(beam.candidates, &beam.n_candidates);
		if (beam.n_found == ef && hnsw_key_rank(nearest) > hnsw_key_rank(~beam.found[0]))
			break;
		follow(&beam, hnsw_key_node(nearest));
	}
	return beam.n_found;
}

uint32_t hnsw_search(const struct hnsw *hnsw, const struct hnsw_search *search,
                     struct hnsw_scratch *scratch, struct hit *ret_hits,
                     struct hnsw_search_stats *ret_stats)
{
	struct hnsw_walk walk = {
	        .hnsw = hnsw,
	        .space = search->space,
	        .query = search->query,
	        .scratch = scratch,
	        .search = search,
	};
	uint64_t entry = atomic_load_explicit(&hnsw->entry, memory_order_acquire);
	uint32_t n = 0;

	assert(search->k > 0);
	if (entry != HNSW_ENTRY_NONE) {
		uint64_t nearest = hnsw_walk_key(&walk, (uint32_t)entry);
		for (uint32_t level = (uint32_t)(entry >> 32); level > 0; level--)
			nearest = hnsw_walk_greedy(&walk, nearest, level);
		n = hnsw_walk_beam(&walk, nearest, 0,
		                   search->ef > search->k ? search->ef : search->k);
	}
	while (n > search->k)
		hnsw_queue_pop(scratch->found, &n);
	for (uint32_t left = n; left > 0;) {
		uint64_t key = ~hnsw_queue_pop(scratch->found, &left);
		ret_hits[left] = (struct hit){
		        .distance = hnsw_key_distance(key),
		        .row_idx = hnsw_node_row(hnsw, hnsw_key_node(key)),
		};
	}
	*ret_stats = walk.stats;
	return n;
}
