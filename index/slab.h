/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where slabs come from: one block of memory, taken once, never moved, cut into slabs of 2 MiB.
 * Two twins stand behind this header: slab_mimalloc.c (an exclusive mimalloc arena, advised for
 * huge pages) and, in sanitizer builds, slab_malloc.c (each slab is a malloc of its own, so that
 * AddressSanitizer sees overruns and use after return). Counting is budget.h's business.
 *
 * Threads: take and give on one thread; purge on any, for slabs that nobody uses.
 */

#include <stddef.h>
#include <stdint.h>

#define SLAB_BYTES (2u << 20)

struct slab_block;

/* Reserves n_slabs slabs of address space. 0 slabs is legal. */
int slab_block_new(uint32_t n_slabs, struct slab_block **ret);
struct slab_block *slab_block_free(struct slab_block *block);

/* The address of slab idx, SLAB_BYTES aligned (in the twin: 64-byte aligned). Contents undefined.
 * The twin may fail: NULL. */
void *slab_take(struct slab_block *block, uint32_t idx);
/* Ends its use; its pages may stay resident until purge. */
void slab_give(struct slab_block *block, uint32_t idx);
/* Returns the pages of a given-back slab to the kernel. [any] */
void slab_purge(struct slab_block *block, uint32_t idx);
