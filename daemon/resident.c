/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/resident.h"

#include <string.h>

void resident_init(struct resident *resident, struct budget *budget)
{
	*resident = (struct resident){0};
	grant_init(&resident->grant, budget, BUDGET_VECTORS);
}

void resident_release(struct resident *resident)
{
	grant_release(&resident->grant);
	chunk_dir_release(&resident->extents);
	resident->n_extents = 0;
	resident->n_rows = 0;
}

static bool share_allows(const struct resident *resident)
{
	struct budget_figures figures;

	budget_figures(resident->grant.budget, &figures);
	return figures.used_by_kind[BUDGET_VECTORS] + SLAB_BYTES <=
	       figures.limit_bytes / RESIDENT_SHARE_DEN * RESIDENT_SHARE_NUM;
}

uint64_t resident_reserve(struct resident *resident, uint64_t n_rows, uint32_t extent_rows)
{
	uint64_t room;

	while (resident->n_extents * extent_rows < n_rows && share_allows(resident)) {
		void *slab;

		if (grant_slab(&resident->grant, &slab) != 0)
			break;
		/* A slab that the directory has no place for goes back with the grant. */
		if (chunk_dir_set(&resident->extents, resident->n_extents, slab) < 0)
			break;
		resident->n_extents++;
	}
	room = resident->n_extents * extent_rows;
	return room < n_rows ? room : n_rows;
}

int resident_copy(struct resident *resident, struct vector_file *file, uint32_t stride_bytes,
                  uint64_t from, uint64_t to, uint64_t *ret_extent)
{
	uint32_t extent_rows = vector_file_extent_rows(file);

	while (from < to) {
		uint64_t extent = from / extent_rows;
		uint64_t end = (extent + 1) * extent_rows;
		size_t offset = (size_t)(from % extent_rows) * stride_bytes;
		const void *rows;
		int r = vector_file_extent(file, extent, &rows);

		if (r < 0) {
			*ret_extent = extent;
			return r;
		}
		if (end > to)
			end = to;
		memcpy((uint8_t *)chunk_dir_get(&resident->extents, extent) + offset,
		       (const uint8_t *)rows + offset, (size_t)(end - from) * stride_bytes);
		from = end;
	}
	return 0;
}
