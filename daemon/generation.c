/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/generation.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/index_cache.h"

/* Levels are drawn by this and the node's number, so that equal data gives equal graphs. */
#define LEVEL_SEED 0x4b697468u

static struct generation *generation_of(const struct cache_entry *entry)
{
	return (struct generation *)entry;
}

static uint64_t generation_size(const struct cache_entry *entry)
{
	uint64_t granted, spilled;

	hnsw_bytes(generation_of(entry)->hnsw, &granted, &spilled);
	return sizeof(struct generation) + granted + spilled;
}

static bool generation_is_pinned(const struct cache_entry *entry)
{
	return !index_can_do_without(generation_of(entry)->index);
}

static void generation_removed(struct cache_entry *entry, enum cache_removal why)
{
	struct generation *generation = generation_of(entry);

	index_lost(generation->index, why);
	generation->index = NULL;
}

static void generation_free(struct cache_entry *entry)
{
	scratch_graph_went(generation_of(entry)->daemon);
	hnsw_free(generation_of(entry)->hnsw);
	snapshot_close(generation_of(entry)->snapshot);
	tally_unref(generation_of(entry)->tally);
	free(generation_of(entry));
}

const struct cache_type generation_type = {
        .tag = "graph",
        .size_bytes = generation_size,
        .is_pinned = generation_is_pinned,
        .removed = generation_removed,
        .free = generation_free,
};

struct cache_key generation_key(const struct collection *collection,
                                const struct index_params *params)
{
	return (struct cache_key){collection->entry.spec.uuid, params->identity, &generation_type};
}

bool generation_is_lost(const struct generation *generation)
{
	return generation->snapshot && snapshot_is_lost(generation->snapshot);
}

int generation_new(const struct collection *collection, const struct index_params *params,
                   struct tally *tally, struct snapshot *snapshot, struct generation **ret)
{
	struct cache_key key = generation_key(collection, params);
	struct hnsw_params graph = {
	        .M = params->m, .ef_construction = params->ef_construction, .seed = LEVEL_SEED};
	struct generation *generation = calloc(1, sizeof(*generation));
	int r = generation ? (snapshot ? hnsw_new_mapped : hnsw_new)(
	                             &graph, collection->daemon->budget, &generation->hnsw)
	                   : -ENOMEM;

	if (r < 0) {
		free(generation);
		return r;
	}
	cache_entry_init(&generation->entry, &key, 0);
	generation->daemon = collection->daemon;
	scratch_graph_came(generation->daemon);
	generation->snapshot = snapshot ? snapshot_ref(snapshot) : NULL;
	generation->params = *params;
	generation->tally = tally_ref(tally);
	*ret = generation;
	return 0;
}

uint64_t generation_map_rows(struct generation *generation, const struct record_table *table,
                             uint64_t n_rows, uint64_t seq, uint32_t *ret_n_lost)
{
	struct hnsw *hnsw = generation->hnsw;
	uint32_t n_nodes = hnsw_n_nodes(hnsw);
	uint64_t n_live = 0, at = 0;

	*ret_n_lost = 0;
	for (uint32_t node = 0; node < n_nodes; node++) {
		uint64_t slot = hnsw_slot(hnsw, node);
		struct record_table_row row = {.slot = 0};
		bool has_row;

		/* Both ascend: one walk over the table finds all. */
		for (; at < n_rows; at++) {
			record_table_get(table, at, &row);
			if (row.slot >= slot)
				break;
		}
		has_row = at < n_rows && row.slot == slot;
		hnsw_set_row(hnsw, node, has_row ? (uint32_t)at : HNSW_NO_ROW);
		*ret_n_lost += !has_row;
		/* A write that is not published yet may have retired it: plans still see it. */
		if (has_row && row.retired_seq > seq)
			n_live++;
		else
			hnsw_retire(hnsw, node);
	}
	return n_live;
}

struct generation *generation_ref(struct generation *generation)
{
	cache_entry_ref(&generation->entry);
	return generation;
}

struct generation *generation_unref(struct generation *generation)
{
	if (generation)
		cache_entry_unref(&generation->entry);
	return NULL;
}

/* A row's vector. One that cannot be read is noted, and stands as the zeros of an empty row until
 * whoever uses the source looks and gives the whole answer up. */
static const void *row_of(void *ctx, uint32_t row)
{
	static const float zeros[LIMIT_DIM] __attribute__((aligned(64)));
	struct row_source *source = ctx;
	const struct collection *collection = source->collection;
	uint32_t extent_rows = vector_file_extent_rows(collection->vectors);
	uint64_t extent = row / extent_rows;
	const void *rows;

	if (vector_file_extent(collection->vectors, extent, &rows) < 0) {
		atomic_store_explicit(&source->bad_extent, extent, memory_order_relaxed);
		return zeros;
	}
	return (const uint8_t *)rows + (size_t)(row % extent_rows) * collection_stride(collection);
}

void row_source_init(struct row_source *source, const struct collection *collection,
                     const struct index_params *params, const struct pin *pin)
{
	const struct record_spec *spec = &collection->entry.spec;

	source->collection = collection;
	source->n_faults = vector_file_n_faults(collection->vectors);
	atomic_init(&source->bad_extent, UINT64_MAX);
	if (params->quantization == WIRE_quantization_sq8 && pin->resident_rows > 0) {
		hnsw_space_sq8_init(&source->codes, &collection->resident.codes, pin->resident_rows,
		                    pin->n_rows, row_of, source);
		source->space = &source->codes.space;
	} else {
		hnsw_space_rows_init(&source->rows, (enum metric)spec->metric, spec->dim,
		                     (enum dtype)spec->dtype, row_of, source);
		source->space = &source->rows.space;
	}
}

uint64_t row_source_bad_extent(const struct row_source *source)
{
	/* Some of what was read were no vectors: where, nobody noted. */
	if (vector_file_n_faults(source->collection->vectors) != source->n_faults)
		return 0;
	return atomic_load_explicit(&source->bad_extent, memory_order_relaxed);
}
