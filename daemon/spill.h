/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory for when the budget is full: slabs mapped from a file in the cache directory that has no
 * name any more, so its pages are the kernel's to write out, and it goes with the process.
 * Threads: [loop].
 */

#include "index/budget.h"
#include "storage/store_io.h"

struct spill_file;

/* The file is made at the first use. */
int spill_file_new(struct store_io *io, const char *cache_dir, struct spill_file **ret);
struct spill *spill_file_spill(struct spill_file *file);
/* Every slab must have been returned. NULL is fine; returns NULL. */
struct spill_file *spill_file_free(struct spill_file *file);
