/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Distance kernels of padded rows, f32 or f16, with padded f32 queries: n is the floats of a query,
 * padding included, a multiple of 16; rows and queries are 64-byte aligned, the padding is zero.
 * Three sets (scalar, AVX2 with FMA and F16C, AVX-512F) for each dtype, one chosen at run time by
 * what the CPU has. Sums are taken in f32 over several lanes, so sets differ in the last bits.
 * Within a set all forms give the same bits, also when the two sides of an f32 pair are exchanged,
 * and a row of f16 gives those of the f32 row with the same values. [any]
 */

#include <stddef.h>
#include <stdint.h>

#include "index/dtype.h"

struct kernels {
	const char *name; /* "scalar", "avx2", "avx512" */
	enum dtype dtype; /* of the rows */
	/* Sum of squared differences. */
	float (*l2)(const void *row, const float *query, size_t n);
	/* Inner product. */
	float (*dot)(const void *row, const float *query, size_t n);
	/* The same of one row with four queries: the row is read once. */
	void (*l2_x4)(const void *row, const float *const queries[4], size_t n, float ret[4]);
	void (*dot_x4)(const void *row, const float *const queries[4], size_t n, float ret[4]);
	/* The same of one to four rows with one query. The forms above take it that rows are gone
	 * through one behind the other; these may lie anywhere. */
	void (*l2_rows)(const void *const *rows, uint32_t n_rows, const float *query, size_t n,
	                float *ret);
	void (*dot_rows)(const void *const *rows, uint32_t n_rows, const float *query, size_t n,
	                 float *ret);
};

/* The best set that this CPU runs, for rows of the dtype. */
const struct kernels *kernels_best(enum dtype dtype);
/* All sets that this CPU runs, scalar first; NULL-terminated. For tests and benchmarks. */
const struct kernels *const *kernels_all(enum dtype dtype);

/* The sets themselves; all but the first two exist on x86-64 only, and not every CPU runs them. */
extern const struct kernels kernels_scalar_f32, kernels_scalar_f16;
extern const struct kernels kernels_avx2_f32, kernels_avx2_f16;
extern const struct kernels kernels_avx512_f32, kernels_avx512_f16;
