/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/generation.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"

/* Levels are drawn by this and the node's number, so that equal data gives equal graphs. */
#define LEVEL_SEED 0x4b697468u

int generation_new(struct budget *budget, const struct index_params *params, struct tally *tally,
                   struct generation **ret)
{
	struct hnsw_params graph = {
	        .M = params->m, .ef_construction = params->ef_construction, .seed = LEVEL_SEED};
	struct generation *generation = calloc(1, sizeof(*generation));
	int r = generation ? hnsw_new(&graph, budget, &generation->hnsw) : -ENOMEM;

	if (r < 0) {
		free(generation);
		return r;
	}
	generation->n_refs = 1;
	generation->params = *params;
	generation->tally = tally_ref(tally);
	*ret = generation;
	return 0;
}

struct generation *generation_ref(struct generation *generation)
{
	generation->n_refs++;
	return generation;
}

struct generation *generation_unref(struct generation *generation)
{
	if (generation && --generation->n_refs == 0) {
		hnsw_free(generation->hnsw);
		tally_unref(generation->tally);
		free(generation);
	}
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
	return atomic_load_explicit(&source->bad_extent, memory_order_relaxed);
}
