/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Distance kernels over padded f32 rows: n is a multiple of 16, rows are 64-byte aligned, the
 * padding is zero. Three sets (scalar, AVX2 with FMA, AVX-512F), one chosen at run time by what
 * the CPU has. Sums are taken in f32 over several lanes, so sets differ in the last bits; within
 * a set one row against one query and against four give the same bits. [any]
 */

#include <stddef.h>

struct kernels {
	const char *name; /* "scalar", "avx2", "avx512" */
	/* Sum of squared differences. */
	float (*l2)(const float *a, const float *b, size_t n);
	/* Inner product. */
	float (*dot)(const float *a, const float *b, size_t n);
	/* The same of one row with four queries: the row is read once. */
	void (*l2_x4)(const float *row, const float *const queries[4], size_t n, float ret[4]);
	void (*dot_x4)(const float *row, const float *const queries[4], size_t n, float ret[4]);
};

/* The best set that this CPU runs. */
const struct kernels *kernels_best(void);
/* All sets that this CPU runs, scalar first; NULL-terminated. For tests and benchmarks. */
const struct kernels *const *kernels_all(void);

/* The sets themselves; the last two exist on x86-64 only, and not every CPU runs them. */
extern const struct kernels kernels_scalar;
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
