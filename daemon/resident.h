/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The resident copy of a collection's vectors: its extents in slabs of the budget, where huge
 * pages make the scan faster than through the mapped file. It holds rows [0, n_rows) and grows by
 * copying more from the file; what it lacks is read mapped.
 *
 * Threads: reserve and publish [loop]; copying [worker]; reading rows below a pin's resident_rows
 * is for anyone.
 */

#include <stdint.h>

#include "index/budget.h"
#include "index/chunk_dir.h"
#include "storage/vector_file.h"

/* Vectors may take this share of the budget; the rest is for what cannot be served mapped as
 * well (record tables, and indexes). */
#define RESIDENT_SHARE_NUM 3
#define RESIDENT_SHARE_DEN 4

struct resident {
	struct grant grant;
	struct chunk_dir extents;
	uint64_t n_extents; /* that have a slab */
	uint64_t n_rows;    /* published */
};

void resident_init(struct resident *resident, struct budget *budget);
void resident_release(struct resident *resident);
/* Gets slabs for rows up to n_rows as far as the budget goes; returns how many rows then have
 * room. [loop] */
uint64_t resident_reserve(struct resident *resident, uint64_t n_rows, uint32_t extent_rows);
/* Copies rows [from, to) out of the file; -EBADMSG and *ret_extent when an extent is damaged.
 * [worker] */
int resident_copy(struct resident *resident, struct vector_file *file, uint32_t stride_bytes,
                  uint64_t from, uint64_t to, uint64_t *ret_extent);
/* The rows of one extent. */
static inline const void *resident_extent(const struct resident *resident, uint64_t extent_idx)
{
	return chunk_dir_get(&resident->extents, extent_idx);
}
