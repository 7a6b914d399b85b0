/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An array of chunk pointers that grows while it is read: two levels, of which nothing moves.
 * One writer sets entries; readers may get an entry once they were told (by whatever published
 * the count to them) that it is set. Its leaves are 8 KiB of plain memory for each 1024 chunks.
 */

#include <stddef.h>
#include <stdint.h>

#define CHUNK_DIR_TOP 256
#define CHUNK_DIR_LEAF 1024
#define CHUNK_DIR_MAX (CHUNK_DIR_TOP * CHUNK_DIR_LEAF)

/* All zeros is empty. */
struct chunk_dir {
	void **top[CHUNK_DIR_TOP];
};

/* Makes the leaves of the first n entries, so that setting those cannot fail: -ENOSPC when n is
 * more than CHUNK_DIR_MAX, -ENOMEM. */
int chunk_dir_reserve(struct chunk_dir *dir, size_t n);
/* Makes the leaf too when it is not there: -ENOSPC from CHUNK_DIR_MAX on, -ENOMEM. */
int chunk_dir_set(struct chunk_dir *dir, size_t idx, void *chunk);
/* Frees the leaves, not the chunks; the directory is then empty. */
void chunk_dir_release(struct chunk_dir *dir);

static inline void *chunk_dir_get(const struct chunk_dir *dir, size_t idx)
{
	return dir->top[idx / CHUNK_DIR_LEAF][idx % CHUNK_DIR_LEAF];
}
