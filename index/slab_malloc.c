/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The twin for sanitizer and valgrind builds: a slab is an allocation of its own from take to
 * give, so that an overrun, a use after return and a slab that was never returned are all seen.
 */

#include "index/slab.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define SLAB_ALIGN 64

struct slab_block {
	uint32_t n_slabs;
	void *slabs[];
};

int slab_block_new(uint32_t n_slabs, struct slab_block **ret)
{
	struct slab_block *block = calloc(1, sizeof(*block) + n_slabs * sizeof(block->slabs[0]));
	if (!block)
		return -ENOMEM;
	block->n_slabs = n_slabs;
	*ret = block;
	return 0;
}

struct slab_block *slab_block_free(struct slab_block *block)
{
	free(block);
	return NULL;
}

void *slab_take(struct slab_block *block, uint32_t idx)
{
	assert(idx < block->n_slabs && !block->slabs[idx]);
	block->slabs[idx] = aligned_alloc(SLAB_ALIGN, SLAB_BYTES);
	return block->slabs[idx];
}

void slab_give(struct slab_block *block, uint32_t idx)
{
	assert(idx < block->n_slabs && block->slabs[idx]);
	free(block->slabs[idx]);
	block->slabs[idx] = NULL;
}

void slab_purge(struct slab_block *block, uint32_t idx)
{
	/* The pages went with slab_give(). */
	(void)block;
	(void)idx;
}

void slab_collect(void)
{
	/* The tools that the twin is for keep what was freed on purpose. */
}
