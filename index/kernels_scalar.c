/* SPDX-License-Identifier: Apache-2.0 */

/*
 * For any CPU: sixteen sums side by side, as four vectors of four lanes. Those are the compiler's
 * own vectors, which every target has (SSE2, NEON, or plain floats), because gcc leaves an array
 * of sixteen floats in memory.
 *
 * Four queries are four times one: reading the row once saves nothing beside the arithmetic here.
 */

#include "index/kernels.h"

typedef float f32x4 __attribute__((vector_size(16), may_alias));

struct lanes {
	f32x4 sum[4];
};

static inline f32x4 load(const float *from, size_t i)
{
	return *(const f32x4 *)(from + 4 * i);
}

static inline float reduce(const struct lanes *lanes)
{
	f32x4 sum = (lanes->sum[0] + lanes->sum[1]) + (lanes->sum[2] + lanes->sum[3]);
	return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static float l2(const float *a, const float *b, size_t n)
{
	struct lanes lanes = {0};
	for (const float *end = a + n; a < end; a += 16, b += 16) {
		f32x4 d0 = load(a, 0) - load(b, 0), d1 = load(a, 1) - load(b, 1);
		f32x4 d2 = load(a, 2) - load(b, 2), d3 = load(a, 3) - load(b, 3);
		lanes.sum[0] += d0 * d0;
		lanes.sum[1] += d1 * d1;
		lanes.sum[2] += d2 * d2;
		lanes.sum[3] += d3 * d3;
	}
	return reduce(&lanes);
}

static float dot(const float *a, const float *b, size_t n)
{
	struct lanes lanes = {0};
	for (const float *end = a + n; a < end; a += 16, b += 16) {
		lanes.sum[0] += load(a, 0) * load(b, 0);
		lanes.sum[1] += load(a, 1) * load(b, 1);
		lanes.sum[2] += load(a, 2) * load(b, 2);
		lanes.sum[3] += load(a, 3) * load(b, 3);
	}
	return reduce(&lanes);
}

static void l2_x4(const float *row, const float *const queries[4], size_t n, float ret[4])
{
	for (size_t q = 0; q < 4; q++)
		ret[q] = l2(row, queries[q], n);
}

static void dot_x4(const float *row, const float *const queries[4], size_t n, float ret[4])
{
	for (size_t q = 0; q < 4; q++)
		ret[q] = dot(row, queries[q], n);
}

const struct kernels kernels_scalar = {
        .name = "scalar",
        .l2 = l2,
        .dot = dot,
        .l2_x4 = l2_x4,
        .dot_x4 = dot_x4,
};
