/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every vector that is stored or searched with comes through here, so the check is one pass at
 * the speed of memory: the squared length in f32 is NaN or infinite when an element is, and zero
 * or too large when the vector is. Only a row whose squared length looks odd is looked at again,
 * element by element; a cosine vector of denormals or of huge values is odd in this way, and good.
 */

#include "index/vector.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed vectors are little-endian");

#define ROW_ALIGN 64

/* Four lanes at any address. */
typedef float f32x4 __attribute__((vector_size(16), aligned(1), may_alias));

static float load_element(const uint8_t *packed, size_t i)
{
	float x;
	memcpy(&x, packed + i * sizeof(x), sizeof(x));
	return x;
}

uint32_t vector_stride_bytes(uint32_t dim)
{
	return (uint32_t)((dim * sizeof(float) + ROW_ALIGN - 1) & ~(size_t)(ROW_ALIGN - 1));
}

static float squared_length(const uint8_t *packed, size_t dim)
{
	f32x4 sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};
	size_t i = 0;

	for (; i + 16 <= dim; i += 16) {
		const f32x4 *x = (const f32x4 *)(packed + i * sizeof(float));
		sum0 += x[0] * x[0];
		sum1 += x[1] * x[1];
		sum2 += x[2] * x[2];
		sum3 += x[3] * x[3];
	}
	sum0 = (sum0 + sum1) + (sum2 + sum3);
	float sum = (sum0[0] + sum0[1]) + (sum0[2] + sum0[3]);
	for (; i < dim; i++) {
		float x = load_element(packed, i);
		sum += x * x;
	}
	return sum;
}

/* What is wrong with a row whose squared length looks odd, if anything. */
static int look_closely(const uint8_t *packed, size_t dim, enum metric metric)
{
	int zero = VECTOR_ZERO;

	for (size_t i = 0; i < dim; i++) {
		float x = load_element(packed, i);
		if (isnan(x))
			return VECTOR_NAN;
		if (isinf(x))
			return VECTOR_INFINITE;
		if (x != 0)
			zero = 0;
	}
	return metric == METRIC_COSINE ? zero : VECTOR_INFINITE;
}

int vector_check(const void *packed, size_t n, uint32_t dim, enum metric metric, size_t *ret_row)
{
	const float most = metric == METRIC_COSINE ? FLT_MAX : VECTOR_MAX_SQUARED_LENGTH;
	const float least = metric == METRIC_COSINE ? FLT_TRUE_MIN : 0;
	const uint8_t *at = packed;

	for (size_t row = 0; row < n; row++, at += dim * sizeof(float)) {
		float square = squared_length(at, dim);
		if (square >= least && square <= most) /* NaN is neither */
			continue;
		int r = look_closely(at, dim, metric);
		if (r != 0) {
			*ret_row = row;
			return r;
		}
	}
	return 0;
}

/* In f64, where the square of no f32 overflows or vanishes. */
static void normalise(float *row, size_t n)
{
	double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;

	for (size_t i = 0; i < n; i += 4) {
		sum0 += (double)row[i] * row[i];
		sum1 += (double)row[i + 1] * row[i + 1];
		sum2 += (double)row[i + 2] * row[i + 2];
		sum3 += (double)row[i + 3] * row[i + 3];
	}
	double scale = 1 / sqrt((sum0 + sum1) + (sum2 + sum3));
	for (size_t i = 0; i < n; i++)
		row[i] = (float)(row[i] * scale);
}

void vector_prepare(const void *packed, size_t n, uint32_t dim, enum metric metric, void *ret_rows)
{
	const size_t packed_bytes = dim * sizeof(float);
	const size_t stride_bytes = vector_stride_bytes(dim);
	const uint8_t *from = packed;
	uint8_t *to = ret_rows;

	for (size_t i = 0; i < n; i++, from += packed_bytes, to += stride_bytes) {
		memcpy(to, from, packed_bytes);
		memset(to + packed_bytes, 0, stride_bytes - packed_bytes);
		if (metric == METRIC_COSINE)
			normalise((float *)(void *)to, stride_bytes / sizeof(float));
	}
}

const char *vector_fault_text(int fault)
{
	switch (fault) {
	case VECTOR_NAN:
		return "holds a NaN";
	case VECTOR_INFINITE:
		return "holds an infinity, or is too long for float32";
	default:
		return "is all zeros, which has no direction under cosine";
	}
}
