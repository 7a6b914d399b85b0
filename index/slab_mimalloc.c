/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole budget is one allocation in an exclusive arena, and slabs are places in it.
 *
 * Rejected: one mimalloc block for each slab. Blocks carry headers and come out of segments, so
 * that none of 2 MiB would be aligned to 2 MiB (and none would get a huge page); they belong to
 * the thread that took them, and those freed elsewhere strand until it collects. Cut by hand, a
 * slab has no owner, and what is in use is decided by the budget alone.
 */

#include "index/slab.h"

#include <assert.h>
#include <errno.h>
#include <mimalloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

/* What mimalloc keeps around a block this large. It takes far less, but of an arena of whole 32 MiB
 * it refuses a block that leaves it a single slab; the arena is rounded up to 32 MiB of address
 * space anyway. */
#define ARENA_HEAD_BYTES (2 * SLAB_BYTES)

struct slab_block {
	mi_heap_t *heap;
	void *block;    /* as mimalloc gave it */
	uint8_t *slabs; /* the first multiple of SLAB_BYTES in it */
	uint32_t n_slabs;
};

static size_t slabs_bytes(const struct slab_block *block)
{
	return (size_t)block->n_slabs * SLAB_BYTES;
}

static int block_reserve(struct slab_block *block)
{
	size_t block_bytes = slabs_bytes(block) + SLAB_BYTES; /* room to align in */
	mi_arena_id_t arena;

	/* Of what is freed inside a segment pages go at once: those that mimalloc would return
	 * later it returns when more is freed next to them, which for a daemon that has become idle
	 * is never, and mi_collect() does not either. */
	mi_option_set(mi_option_decommit_delay, 0);
	if (mi_reserve_os_memory_ex(block_bytes + ARENA_HEAD_BYTES, true, false, true, &arena) != 0)
		return -ENOMEM;
	block->heap = mi_heap_new_in_arena(arena);
	if (!block->heap)
		return -ENOMEM;
	block->block = mi_heap_malloc(block->heap, block_bytes);
	if (!block->block)
		return -ENOMEM;

	uintptr_t at = (uintptr_t)block->block;
	uintptr_t aligned = (at + SLAB_BYTES - 1) & ~(uintptr_t)(SLAB_BYTES - 1);
	block->slabs = (uint8_t *)block->block + (aligned - at);
#ifdef MADV_HUGEPAGE
	/* Only advice: where the kernel has no huge pages, small ones do. */
	(void)madvise(block->slabs, slabs_bytes(block), MADV_HUGEPAGE);
#endif
	return 0;
}

int slab_block_new(uint32_t n_slabs, struct slab_block **ret)
{
	struct slab_block *block = calloc(1, sizeof(*block));
	if (!block)
		return -ENOMEM;
	block->n_slabs = n_slabs;
	int r = n_slabs ? block_reserve(block) : 0;
	if (r < 0) {
		slab_block_free(block);
		return r;
	}
	*ret = block;
	return 0;
}

struct slab_block *slab_block_free(struct slab_block *block)
{
	if (!block)
		return NULL;
	if (block->block) {
		/* The arena stays mapped, so the pages must go before it gets the block back. */
		(void)madvise(block->slabs, slabs_bytes(block), MADV_DONTNEED);
		mi_free(block->block);
	}
	if (block->heap)
		mi_heap_delete(block->heap);
	free(block);
	return NULL;
}

static uint8_t *slab_at(const struct slab_block *block, uint32_t idx)
{
	assert(idx < block->n_slabs);
	return block->slabs + (size_t)idx * SLAB_BYTES;
}

void *slab_take(struct slab_block *block, uint32_t idx)
{
	return slab_at(block, idx);
}

void slab_give(struct slab_block *block, uint32_t idx)
{
	(void)slab_at(block, idx);
}

void slab_purge(struct slab_block *block, uint32_t idx)
{
	/* It cannot fail for a range of our own; if it did, the pages would merely stay. */
	(void)madvise(slab_at(block, idx), SLAB_BYTES, MADV_DONTNEED);
}

void slab_collect(void)
{
	mi_collect(true);
}
