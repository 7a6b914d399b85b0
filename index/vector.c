/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every vector that is stored or searched with comes through here, so the check is one pass at
 * the speed of memory: the squared length in f32 is NaN or infinite when an element is, and zero
 * or too large when the vector is. Only a row whose squared length looks odd is looked at again,
 * element by element; a cosine vector of denormals or of huge values is odd in this way, and good.
 * No finite f16 vector is odd but that of zeros.
 */

#include "index/vector.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "index/half.h"

#define ROW_ALIGN 64

#define INLINE static inline __attribute__((always_inline))

/* Four elements from i on, at any alignment. */
INLINE half_f32x4 load_4(const uint8_t *elements, size_t i, enum dtype dtype)
{
	half_f32x4 values;

	if (dtype == DTYPE_F16)
		return half_load(elements + i * 2);
	memcpy(&values, elements + i * 4, sizeof(values));
	return values;
}

INLINE void store_4(uint8_t *elements, size_t i, enum dtype dtype, half_f32x4 values)
{
	if (dtype == DTYPE_F16)
		half_store(values, elements + i * 2);
	else
		memcpy(elements + i * 4, &values, sizeof(values));
}

static float load_element(const uint8_t *elements, size_t i, enum dtype dtype)
{
	float x;

	dtype_convert(elements + i * dtype_bytes(dtype), dtype, 1, DTYPE_F32, &x);
	return x;
}

uint32_t vector_stride_bytes(uint32_t dim, enum dtype dtype)
{
	return (dim * dtype_bytes(dtype) + ROW_ALIGN - 1) & ~(uint32_t)(ROW_ALIGN - 1);
}

INLINE float squared_length(const uint8_t *packed, size_t dim, enum dtype dtype)
{
	half_f32x4 sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};
	size_t i = 0;

	for (; i + 16 <= dim; i += 16) {
		half_f32x4 x0 = load_4(packed, i, dtype), x1 = load_4(packed, i + 4, dtype);
		half_f32x4 x2 = load_4(packed, i + 8, dtype), x3 = load_4(packed, i + 12, dtype);
		sum0 += x0 * x0;
		sum1 += x1 * x1;
		sum2 += x2 * x2;
		sum3 += x3 * x3;
	}
	sum0 = (sum0 + sum1) + (sum2 + sum3);
	float sum = (sum0[0] + sum0[1]) + (sum0[2] + sum0[3]);
	for (; i < dim; i++) {
		float x = load_element(packed, i, dtype);
		sum += x * x;
	}
	return sum;
}

/* What is wrong with a row whose squared length looks odd, if anything. */
static int look_closely(const uint8_t *packed, size_t dim, enum dtype dtype, enum metric metric)
{
	int zero = VECTOR_ZERO;

	for (size_t i = 0; i < dim; i++) {
		float x = load_element(packed, i, dtype);
		if (isnan(x))
			return VECTOR_NAN;
		if (isinf(x))
			return VECTOR_INFINITE;
		if (x != 0)
			zero = 0;
	}
	return metric == METRIC_COSINE ? zero : VECTOR_INFINITE;
}

int vector_check(const void *packed, size_t n, uint32_t dim, enum dtype dtype, enum metric metric,
                 size_t *ret_row)
{
	const float most = metric == METRIC_COSINE ? FLT_MAX : VECTOR_MAX_SQUARED_LENGTH;
	const float least = metric == METRIC_COSINE ? FLT_TRUE_MIN : 0;
	const uint8_t *at = packed;

	for (size_t row = 0; row < n; row++, at += dim * dtype_bytes(dtype)) {
		float square = dtype == DTYPE_F16 ? squared_length(at, dim, DTYPE_F16)
		                                  : squared_length(at, dim, DTYPE_F32);
		if (square >= least && square <= most) /* NaN is neither */
			continue;
		int r = look_closely(at, dim, dtype, metric);
		if (r != 0) {
			*ret_row = row;
			return r;
		}
	}
	return 0;
}

/* What was sound before can have become infinite or zero only. */
int vector_convert(const void *packed, size_t n, uint32_t dim, enum dtype dtype, enum metric metric,
                   enum dtype to_dtype, void *ret_packed, size_t *ret_row)
{
	dtype_convert(packed, dtype, n * dim, to_dtype, ret_packed);
	if (to_dtype == DTYPE_F32) /* holds whatever there is */
		return 0;
	switch (vector_check(ret_packed, n, dim, to_dtype, metric, ret_row)) {
	case 0:
		return 0;
	case VECTOR_ZERO:
		return VECTOR_UNDERFLOW;
	default:
		return VECTOR_OVERFLOW;
	}
}

/* In f64, where the square of no f32 overflows or vanishes. */
INLINE void normalise(uint8_t *row, size_t n, enum dtype dtype)
{
	double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;

	for (size_t i = 0; i < n; i += 4) {
		half_f32x4 x = load_4(row, i, dtype);
		sum0 += (double)x[0] * x[0];
		sum1 += (double)x[1] * x[1];
		sum2 += (double)x[2] * x[2];
		sum3 += (double)x[3] * x[3];
	}
	double scale = 1 / sqrt((sum0 + sum1) + (sum2 + sum3));
	for (size_t i = 0; i < n; i += 4) {
		half_f32x4 x = load_4(row, i, dtype);
		for (int j = 0; j < 4; j++)
			x[j] = (float)(x[j] * scale);
		store_4(row, i, dtype, x);
	}
}

void vector_prepare(const void *packed, size_t n, uint32_t dim, enum dtype dtype,
                    enum metric metric, void *ret_rows)
{
	const size_t packed_bytes = dim * dtype_bytes(dtype);
	const size_t stride_bytes = vector_stride_bytes(dim, dtype);
	const uint8_t *from = packed;
	uint8_t *to = ret_rows;

	for (size_t i = 0; i < n; i++, from += packed_bytes, to += stride_bytes) {
		memcpy(to, from, packed_bytes);
		memset(to + packed_bytes, 0, stride_bytes - packed_bytes);
		if (metric != METRIC_COSINE)
			continue;
		if (dtype == DTYPE_F16)
			normalise(to, stride_bytes / 2, DTYPE_F16);
		else
			normalise(to, stride_bytes / 4, DTYPE_F32);
	}
}

const char *vector_fault_text(int fault)
{
	switch (fault) {
	case VECTOR_NAN:
		return "holds a NaN";
	case VECTOR_INFINITE:
		return "holds an infinity, or is too long for float32";
	case VECTOR_OVERFLOW:
		return "holds an element beyond 65504, the most that float16 can hold";
	case VECTOR_UNDERFLOW:
		return "is all zeros in float16, which has no direction under cosine";
	default:
		return "is all zeros, which has no direction under cosine";
	}
}
