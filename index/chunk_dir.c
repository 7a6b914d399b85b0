/* SPDX-License-Identifier: Apache-2.0 */
#include "index/chunk_dir.h"

#include <errno.h>
#include <stdlib.h>

static int make_leaf(void ***leaf)
{
	if (!*leaf)
		*leaf = calloc(CHUNK_DIR_LEAF, sizeof(**leaf));
	return *leaf ? 0 : -ENOMEM;
}

int chunk_dir_reserve(struct chunk_dir *dir, size_t n)
{
	if (n > CHUNK_DIR_MAX)
		return -ENOSPC;
	for (size_t top = 0; top * CHUNK_DIR_LEAF < n; top++) {
		int r = make_leaf(&dir->top[top]);
		if (r < 0)
			return r;
	}
	return 0;
}

int chunk_dir_set(struct chunk_dir *dir, size_t idx, void *chunk)
{
	if (idx >= CHUNK_DIR_MAX)
		return -ENOSPC;
	int r = make_leaf(&dir->top[idx / CHUNK_DIR_LEAF]);
	if (r < 0)
		return r;
	dir->top[idx / CHUNK_DIR_LEAF][idx % CHUNK_DIR_LEAF] = chunk;
	return 0;
}

void chunk_dir_release(struct chunk_dir *dir)
{
	for (size_t top = 0; top < CHUNK_DIR_TOP; top++) {
		free(dir->top[top]);
		dir->top[top] = NULL;
	}
}
