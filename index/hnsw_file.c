/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A graph in chunks. All integers are little-endian; chunk sizes follow from the head, and so does
 * everything that is not stored: levels (drawn by seed and node, see hnsw_draw_level) and with
 * them which upper lists are whose.
 *
 *      HEAD   one chunk: struct file_head
 *      SLOTS  for each 512 nodes their slots, u64, ascending over all nodes
 *      LINKS  the base lists as they are in memory, one chunk of lists each: 2 M u32 a list,
 *             0xffffffff behind the last link; bit 31 of a link: to a child, bit 30: to the parent
 *      UPPER  the same of the upper lists, M u32 each, in the order of (node, level)
 *
 * The last chunk of a kind is cut at the last list. Lists per chunk follow from M (lists_init in
 * hnsw_graph.c), so the layout of chunks is part of the format.
 *
 * Only covered nodes are saved, and nobody inserts meanwhile, so all their links lead to saved
 * nodes. Loading trusts nothing but the source's lengths: the whole structure is checked before
 * anyone follows a link, so that a search over whatever was loaded stays within the graph. What
 * only costs recall (a link to the wrong node) cannot be seen here; checksums are the caller's.
 */

#include "index/hnsw_graph.h"

#include <assert.h>
#include <errno.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "chunks are written as they lie");
static_assert(sizeof(_Atomic uint32_t) == sizeof(uint32_t), "lists are written as they lie");

#define FILE_VERSION 1u

struct file_head {
	uint32_t version;
	uint32_t M;
	uint32_t ef_construction;
	uint32_t n_nodes;
	uint64_t seed;
	uint32_t entry; /* HNSW_NO_ENTRY when there are no nodes */
	uint32_t n_upper;
};
static_assert(sizeof(struct file_head) == 32, "no padding");

/* Bytes of chunk idx of n lists. */
static size_t lists_chunk_bytes(const struct hnsw_lists *lists, uint32_t n, uint32_t idx)
{
	uint32_t first = idx << lists->shift;
	uint32_t here = n - first < 1u << lists->shift ? n - first : 1u << lists->shift;
	return (size_t)here * lists->capacity * sizeof(uint32_t);
}

static uint32_t slots_in_chunk(uint32_t n_nodes, uint32_t first)
{
	return n_nodes - first < HNSW_CHUNK_NODES ? n_nodes - first : HNSW_CHUNK_NODES;
}

/* Saving */

static int save_head(const struct hnsw *hnsw, struct hnsw_sink *sink)
{
	uint32_t n = hnsw->n_covered;
	uint64_t entry = atomic_load_explicit(&hnsw->entry, memory_order_relaxed);
	struct file_head head = {
	        .version = FILE_VERSION,
	        .M = hnsw->params.M,
	        .ef_construction = hnsw->params.ef_construction,
	        .n_nodes = n,
	        .seed = hnsw->params.seed,
	        .entry = n > 0 ? (uint32_t)entry : HNSW_NO_ENTRY,
	        .n_upper = hnsw_n_upper(hnsw, n),
	};
	return sink->write(sink, HNSW_CHUNK_HEAD, 0, &head, sizeof(head));
}

static int save_slots(const struct hnsw *hnsw, struct hnsw_sink *sink)
{
	int r = 0;

	for (uint32_t first = 0; first < hnsw->n_covered && r >= 0; first += HNSW_CHUNK_NODES)
		r = sink->write(sink, HNSW_CHUNK_SLOTS, first / HNSW_CHUNK_NODES,
		                hnsw_node_chunk(hnsw, first)->slots,
		                slots_in_chunk(hnsw->n_covered, first) * sizeof(uint64_t));
	return r;
}

static int save_lists(const struct hnsw_lists *lists, uint32_t n, enum hnsw_chunk tag,
                      struct hnsw_sink *sink)
{
	int r = 0;

	for (uint32_t idx = 0; idx << lists->shift < n && r >= 0; idx++)
		r = sink->write(sink, tag, idx, chunk_dir_get(&lists->chunks, idx),
		                lists_chunk_bytes(lists, n, idx));
	return r;
}

int hnsw_save(const struct hnsw *hnsw, struct hnsw_sink *sink)
{
	uint32_t n = hnsw->n_covered;
	int r = save_head(hnsw, sink);

	if (r >= 0)
		r = save_slots(hnsw, sink);
	if (r >= 0)
		r = save_lists(&hnsw->base, n, HNSW_CHUNK_LINKS, sink);
	if (r >= 0)
		r = save_lists(&hnsw->upper, hnsw_n_upper(hnsw, n), HNSW_CHUNK_UPPER, sink);
	return r < 0 ? r : 0;
}

/* Loading */

int hnsw_load_head(struct hnsw_source *source, struct hnsw_head *ret)
{
	struct file_head head;
	uint64_t n_upper = 0;
	int r = source->read(source, HNSW_CHUNK_HEAD, 0, &head, sizeof(head));
	if (r < 0)
		return r;

	struct hnsw_params params = {
	        .M = head.M, .ef_construction = head.ef_construction, .seed = head.seed};
	if (head.version != FILE_VERSION || !hnsw_params_are_valid(&params) ||
	    head.n_nodes > HNSW_NODES_MAX)
		return -EBADMSG;
	if (head.n_nodes == 0 ? head.entry != HNSW_NO_ENTRY : head.entry >= head.n_nodes)
		return -EBADMSG;
	for (uint32_t node = 0; node < head.n_nodes; node++)
		n_upper += hnsw_draw_level(&params, node);
	if (head.n_upper != n_upper)
		return -EBADMSG;
	*ret = (struct hnsw_head){.params = params, .n_nodes = head.n_nodes, .entry = head.entry};
	return 0;
}

/* Appends all nodes, with empty lists. */
static int load_slots(struct hnsw *hnsw, uint32_t n_nodes, struct hnsw_source *source)
{
	uint64_t slots[HNSW_CHUNK_NODES];
	uint32_t rows[HNSW_CHUNK_NODES];

	for (uint32_t i = 0; i < HNSW_CHUNK_NODES; i++)
		rows[i] = HNSW_NO_ROW;
	for (uint32_t first = 0; first < n_nodes; first += HNSW_CHUNK_NODES) {
		uint32_t n = slots_in_chunk(n_nodes, first);
		int r = source->read(source, HNSW_CHUNK_SLOTS, first / HNSW_CHUNK_NODES, slots,
		                     n * sizeof(slots[0]));
		if (r == 0)
			r = hnsw_append(hnsw, n, slots, rows);
		if (r < 0)
			return r == -EINVAL ? -EBADMSG : r;
	}
	return 0;
}

static int map_chunk(struct hnsw_lists *lists, enum hnsw_chunk tag, uint32_t idx, size_t n,
                     struct hnsw_source *source)
{
	const void *chunk;
	int r = source->map(source, tag, idx, n, &chunk);

	return r < 0 ? r : chunk_dir_set(&lists->chunks, idx, (void *)chunk);
}

static int load_lists(struct hnsw_lists *lists, enum hnsw_chunk tag, struct hnsw_source *source)
{
	for (uint32_t idx = 0; idx << lists->shift < lists->n; idx++) {
		size_t n = lists_chunk_bytes(lists, lists->n, idx);
		int r = lists->is_mapped ? map_chunk(lists, tag, idx, n, source)
		                         : source->read(source, tag, idx,
		                                        chunk_dir_get(&lists->chunks, idx), n);
		if (r < 0)
			return r;
	}
	return 0;
}

int hnsw_load(struct hnsw *hnsw, const struct hnsw_head *head, struct hnsw_source *source)
{
	struct hnsw_check_report report;

	assert(hnsw_n_nodes(hnsw) == 0);
	int r = load_slots(hnsw, head->n_nodes, source);
	if (r == 0)
		r = load_lists(&hnsw->base, HNSW_CHUNK_LINKS, source);
	if (r == 0)
		r = load_lists(&hnsw->upper, HNSW_CHUNK_UPPER, source);
	if (r == 0 && head->n_nodes > 0)
		atomic_store_explicit(&hnsw->entry,
		                      hnsw_entry(head->entry, hnsw_level(hnsw, head->entry)),
		                      memory_order_release);
	if (r == 0 && !hnsw_is_mapped(hnsw))
		r = hnsw_check_lists(hnsw, head->n_nodes, &report);
	return r;
}

uint32_t hnsw_load_end(struct hnsw *hnsw)
{
	hnsw->n_covered = hnsw_n_nodes(hnsw);
	return hnsw->n_covered;
}
