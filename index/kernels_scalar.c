/* SPDX-License-Identifier: Apache-2.0 */

/*
 * For any CPU: sixteen sums side by side, as four vectors of four lanes. Those are the compiler's
 * own vectors, which every target has (SSE2, NEON, or plain floats), because gcc leaves an array
 * of sixteen floats in memory.
 *
 * Four queries are four times one: reading the row once saves nothing beside the arithmetic here.
 * But widening a row of f16 costs as much as comparing it, so that is done once for all four.
 */

#include "index/half.h"
#include "index/kernels_set.h"

#define PIECE 256 /* elements that are widened at once: 1 KiB of floats */

struct lanes {
	half_f32x4 sum[4];
};

KERNELS_INLINE half_f32x4 load(const void *from, size_t i, enum dtype dtype)
{
	if (dtype == DTYPE_F16)
		return half_load((const uint16_t *)from + i);
	return *(const half_f32x4 *)((const float *)from + i);
}

KERNELS_INLINE half_f32x4 term(enum kernel_op op, half_f32x4 a, half_f32x4 b)
{
	half_f32x4 d = a - b;
	return op == OP_L2 ? d * d : a * b;
}

KERNELS_INLINE float reduce(const struct lanes *lanes)
{
	half_f32x4 sum = (lanes->sum[0] + lanes->sum[1]) + (lanes->sum[2] + lanes->sum[3]);
	return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

KERNELS_INLINE void add(enum kernel_op op, struct lanes *lanes, const void *a, enum dtype a_dtype,
                        const void *b, enum dtype b_dtype, size_t n)
{
	struct lanes sums = *lanes;

	for (size_t i = 0; i < n; i += 16) {
		sums.sum[0] += term(op, load(a, i, a_dtype), load(b, i, b_dtype));
		sums.sum[1] += term(op, load(a, i + 4, a_dtype), load(b, i + 4, b_dtype));
		sums.sum[2] += term(op, load(a, i + 8, a_dtype), load(b, i + 8, b_dtype));
		sums.sum[3] += term(op, load(a, i + 12, a_dtype), load(b, i + 12, b_dtype));
	}
	*lanes = sums;
}

KERNELS_INLINE float pair(enum kernel_op op, const void *a, enum dtype a_dtype, const void *b,
                          enum dtype b_dtype, size_t n)
{
	struct lanes lanes = {0};

	add(op, &lanes, a, a_dtype, b, b_dtype, n);
	return reduce(&lanes);
}

/* A row of f16 with four queries, a piece of it at a time. */
KERNELS_INLINE void widened_four(enum kernel_op op, const uint16_t *row, const void *const fours[4],
                                 size_t n, float *ret)
{
	struct lanes lanes[4] = {0};
	half_f32x4 wide[PIECE / 4];

	for (size_t at = 0; at < n; at += PIECE) {
		size_t n_piece = n - at < PIECE ? n - at : PIECE;

		for (size_t i = 0; i < n_piece; i += 4)
			wide[i / 4] = half_load(row + at + i);
		for (size_t k = 0; k < 4; k++)
			add(op, &lanes[k], wide, DTYPE_F32, (const float *)fours[k] + at, DTYPE_F32,
			    n_piece);
	}
	for (size_t k = 0; k < 4; k++)
		ret[k] = reduce(&lanes[k]);
}

KERNELS_INLINE float one(enum kernel_op op, enum kernel_order order, const void *row,
                         enum dtype dtype, const float *query, size_t n)
{
	(void)order;
	return pair(op, row, dtype, query, DTYPE_F32, n);
}

KERNELS_INLINE void four(enum kernel_op op, enum kernel_order order, const void *single,
                         enum dtype single_dtype, const void *a, const void *b, const void *c,
                         const void *d, enum dtype dtype, size_t n, float *ret)
{
	const void *const fours[4] = {a, b, c, d};

	(void)order;
	if (single_dtype == DTYPE_F16) {
		widened_four(op, single, fours, n, ret);
		return;
	}
	for (size_t i = 0; i < 4; i++)
		ret[i] = pair(op, single, single_dtype, fours[i], dtype, n);
}

KERNELS_SET(scalar, f32, DTYPE_F32)
KERNELS_SET(scalar, f16, DTYPE_F16)
