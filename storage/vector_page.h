/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What stands where in a vector file (FORMAT.md, "The vector file"): its two kinds of pages, and
 * the arithmetic of its extents. Only vector_file.c includes this.
 *
 * Every page seals itself: its last four bytes are the CRC32C of all before them, so a page that
 * was torn, flipped or never written is told from a whole one.
 */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/uuid.h"

#define VECTOR_PAGE_BYTES 4096u
#define VECTOR_FILE_VERSION 2u
/* Extents begin and end on multiples of the largest page that kernels use, to be mapped there. */
#define VECTOR_EXTENT_ALIGN 65536u
#define VECTOR_EXTENTS_AT VECTOR_EXTENT_ALIGN

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rows and slots are mapped as they stand in the file, which is little-endian"
#endif

/* Page i of the file, i = 0 or 1. */
struct vector_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t dim;
	struct uuid uuid;
	uint32_t metric;
	uint32_t dtype;
	uint32_t stride_bytes;
	uint32_t extent_rows;
	uint64_t synced_rows;
	uint64_t generation;
	struct uuid epoch;
	uint8_t zeros[VECTOR_PAGE_BYTES - 84];
	uint32_t crc;
};

/* Page i of an extent, i = 0 or 1. */
struct vector_extent_head {
	uint8_t magic[8];
	struct uuid uuid;
	uint64_t extent_idx;
	uint64_t generation;
	uint32_t n_rows;
	uint32_t slots_crc; /* of the first n_rows slots */
	uint32_t rows_crc;  /* of the first n_rows rows */
	uint8_t zeros[VECTOR_PAGE_BYTES - 56];
	uint32_t crc;
};

static_assert(sizeof(struct vector_header) == VECTOR_PAGE_BYTES, "no padding");
static_assert(sizeof(struct vector_extent_head) == VECTOR_PAGE_BYTES, "no padding");

extern const uint8_t vector_header_magic[8];
extern const uint8_t vector_extent_magic[8];

void vector_page_seal(void *page);
/* Whether it is whole and begins with that magic. */
bool vector_page_is_sound(const void *page, const uint8_t magic[static 8]);

/* Offsets in bytes; those of slots and rows count from the beginning of the extent. */
struct vector_layout {
	uint32_t stride_bytes;
	uint32_t extent_rows;
	uint32_t slots_at;
	uint32_t rows_at;
	uint64_t extent_bytes;
};

struct vector_layout vector_layout_for(uint32_t stride_bytes);

/* Where the extent begins in the file; that of n is the size of a file of n extents. */
static inline uint64_t vector_layout_extent_at(const struct vector_layout *layout,
                                               uint64_t extent_idx)
{
	return VECTOR_EXTENTS_AT + extent_idx * layout->extent_bytes;
}

/* Extents that n rows take. */
static inline uint64_t vector_layout_extents(const struct vector_layout *layout, uint64_t n_rows)
{
	return (n_rows + layout->extent_rows - 1) / layout->extent_rows;
}
