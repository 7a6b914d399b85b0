/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where slabs come from: one block of memory, taken once, never moved, cut into slabs of 2 MiB.
 * Two twins stand behind this header: slab_mimalloc.c (an exclusive mimalloc arena, advised for
 * huge pages) and, in sanitizer and valgrind builds, slab_malloc.c (each slab is a malloc of its
 * own, so that AddressSanitizer sees overruns and use after return). Counting, and knowing which
 * slab is in use, is budget.h's business.
 *
 * A block that was freed keeps its address space until the process ends, and a process can make
 * some sixty of them: mimalloc never lets go of an arena. The daemon makes one.
 *
 * Threads: everything on the thread that made the block, but slab_purge().
 */

#include <stddef.h>
#include <stdint.h>

#define SLAB_BYTES (2u << 20)

struct slab_block;

/* Reserves n_slabs slabs of address space, of which none is resident yet. 0 slabs is legal.
 * -ENOMEM when there is no such stretch of address space or no arena left. */
int slab_block_new(uint32_t n_slabs, struct slab_block **ret);
/* Every slab must have been given back. NULL is fine; returns NULL. */
struct slab_block *slab_block_free(struct slab_block *block);

/* The address of slab idx, aligned to SLAB_BYTES (in the twin: to 64 bytes), the same each time
 * (but in the twin). Contents undefined. NULL when there is no memory: only the twin can fail. */
void *slab_take(struct slab_block *block, uint32_t idx);
/* Ends its use; its pages may stay resident until slab_purge(). */
void slab_give(struct slab_block *block, uint32_t idx);
/* Returns the pages of a given-back slab to the kernel. [any] */
void slab_purge(struct slab_block *block, uint32_t idx);

/* Returns to the kernel what the allocator behind malloc() keeps of what the calling thread freed,
 * and of what others freed for it: nobody else can. Nothing to do in the twin. [any] */
void slab_collect(void);
