/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inner products of a query's signed bytes, in [-127, 127], with a plane of nibbles, in [0, 15]
 * (sq8.h). Nibbles are packed in blocks of 64: byte i of a block's 32 holds nibble i in its lower
 * half and nibble 32 + i in its upper half. Both sides are 32-byte aligned, n is a multiple of 64.
 * All sets give the same integer, which is exact. [any]
 */

#include <stddef.h>
#include <stdint.h>

#define CODE_KERNELS_MAX 4

struct code_kernels {
	const char *name; /* "scalar", "avx2", "avxvnni", "avx512vnni" */
	/* Of many planes, which lie anywhere and are asked for ahead of their turn. */
	void (*dots)(const int8_t *query, const uint8_t *const *planes, size_t n_planes, size_t n,
	             int32_t *ret);
	/* The same of one plane with four queries: it is read and unpacked once. */
	void (*dot_x4)(const int8_t *const queries[4], const uint8_t *plane, size_t n,
	               int32_t ret[4]);
};

/* The best set that this CPU runs. */
const struct code_kernels *code_kernels_best(void);
/* All sets that this CPU runs, scalar first, the best last; returns how many. */
size_t code_kernels_all(const struct code_kernels *ret_sets[CODE_KERNELS_MAX]);

/* The sets themselves; all but the first exist on x86-64 only, and not every CPU runs them. */
extern const struct code_kernels code_kernels_scalar;
extern const struct code_kernels code_kernels_avx2;
extern const struct code_kernels code_kernels_avxvnni;
extern const struct code_kernels code_kernels_avx512vnni;
