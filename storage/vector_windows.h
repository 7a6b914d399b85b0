/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The extents of a vector file in memory: windows, which are mappings of several whole extents,
 * and what is known about each extent. Only vector_file.c includes this.
 *
 * A window is mapped before the rows in it are published and stays where it is until release. The
 * directory has its final size from the start, so readers need no lock: whatever publishes a row
 * to them (the caller's) also publishes its window.
 */

#include <stddef.h>
#include <stdint.h>

#include "storage/store_io.h"
#include "storage/vector_page.h"

/* Checksums of an extent's slots and rows, up to the last row appended. */
struct vector_sums {
	uint32_t slots_crc;
	uint32_t rows_crc;
};

struct vector_extent {
	/* n << 32 | crc: the first n rows are to be checked against crc, once; or one of the two
	 * below. All there is to the check is in this one word, so relaxed order is enough. */
	_Atomic uint64_t unchecked;
	struct vector_sums sums;
	uint8_t next_head; /* the page the next head goes to: 0 or 1, not the committed one */
};

#define VECTOR_EXTENT_GOOD UINT64_C(0)
#define VECTOR_EXTENT_BAD UINT64_MAX

struct vector_window {
	const uint8_t *base;
	struct vector_extent extents[];
};

struct vector_windows {
	struct vector_layout layout;
	uint32_t window_extents;
	size_t n_windows;
	size_t max_windows;
	struct vector_window **windows;
};

/* -ENOMEM. */
int vector_windows_init(struct vector_windows *windows, const struct vector_layout *layout,
                        uint64_t max_rows);
/* Maps what n_rows rows need and is not mapped yet; they must not exceed max_rows. */
int vector_windows_cover(struct vector_windows *windows, struct store_file *file, uint64_t n_rows);
/* Maps them again in their places, over pages that were gone. */
int vector_windows_remap(struct vector_windows *windows, struct store_file *file);
/* Unmaps all of them; cover() may begin anew. */
void vector_windows_clear(struct vector_windows *windows, struct store_file *file);
/* After clear(). Accepts a zeroed struct. */
void vector_windows_release(struct vector_windows *windows);

static inline struct vector_extent *vector_windows_extent(const struct vector_windows *windows,
                                                          uint64_t extent_idx)
{
	struct vector_window *window = windows->windows[extent_idx / windows->window_extents];

	return &window->extents[extent_idx % windows->window_extents];
}

static inline const uint8_t *vector_windows_base(const struct vector_windows *windows,
                                                 uint64_t extent_idx)
{
	const struct vector_window *window = windows->windows[extent_idx / windows->window_extents];

	return window->base + extent_idx % windows->window_extents * windows->layout.extent_bytes;
}

static inline const uint64_t *vector_windows_slots(const struct vector_windows *windows,
                                                   uint64_t extent_idx)
{
	return (const uint64_t *)(vector_windows_base(windows, extent_idx) +
	                          windows->layout.slots_at);
}

static inline const uint8_t *vector_windows_rows(const struct vector_windows *windows,
                                                 uint64_t extent_idx)
{
	return vector_windows_base(windows, extent_idx) + windows->layout.rows_at;
}
