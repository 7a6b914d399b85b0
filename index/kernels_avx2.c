/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AVX2 with FMA: two sums of eight lanes for each pair of row and query. Two are enough for one
 * query, which waits for memory, and four queries with two each are what sixteen registers hold.
 * All forms take the same steps, hence the same bits. Rows of f16 are widened as they are loaded
 * (F16C), and then are like others.
 */

#include "index/kernels_set.h"

#include <immintrin.h>

struct sums {
	__m256 s0, s1;
};

/* Sixteen elements as floats. */
struct block {
	__m256 b0, b1;
};

KERNELS_INLINE struct sums zero(void)
{
	return (struct sums){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

KERNELS_INLINE __m256 load_8(const void *from, size_t i, enum dtype dtype)
{
	if (dtype == DTYPE_F16)
		return _mm256_cvtph_ps(
		        _mm_load_si128((const __m128i *)((const uint16_t *)from + i)));
	return _mm256_load_ps((const float *)from + i);
}

KERNELS_INLINE struct block load(const void *from, size_t i, enum dtype dtype)
{
	return (struct block){load_8(from, i, dtype), load_8(from, i + 8, dtype)};
}

KERNELS_INLINE __m256 add_8(enum kernel_op op, __m256 sum, __m256 a, __m256 b)
{
	__m256 d = _mm256_sub_ps(a, b);
	return op == OP_L2 ? _mm256_fmadd_ps(d, d, sum) : _mm256_fmadd_ps(a, b, sum);
}

KERNELS_INLINE void add(enum kernel_op op, struct sums *sums, struct block block, const void *other,
                        size_t i, enum dtype dtype)
{
	sums->s0 = add_8(op, sums->s0, block.b0, load_8(other, i, dtype));
	sums->s1 = add_8(op, sums->s1, block.b1, load_8(other, i + 8, dtype));
}

KERNELS_INLINE float reduce(struct sums sums)
{
	__m256 sum = _mm256_add_ps(sums.s0, sums.s1);
	__m128 half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
	half = _mm_add_ps(half, _mm_movehl_ps(half, half));
	half = _mm_add_ss(half, _mm_movehdup_ps(half));
	return _mm_cvtss_f32(half);
}

KERNELS_INLINE float one(enum kernel_op op, enum kernel_order order, const void *row,
                         enum dtype dtype, const float *query, size_t n)
{
	struct sums sums = zero();

	(void)order;
	for (size_t i = 0; i < n; i += 16)
		add(op, &sums, load(row, i, dtype), query, i, DTYPE_F32);
	return reduce(sums);
}

KERNELS_INLINE void four(enum kernel_op op, enum kernel_order order, const void *single,
                         enum dtype single_dtype, const void *a, const void *b, const void *c,
                         const void *d, enum dtype dtype, size_t n, float *ret)
{
	struct sums sums_a = zero(), sums_b = zero(), sums_c = zero(), sums_d = zero();

	(void)order;
	for (size_t i = 0; i < n; i += 16) {
		struct block block = load(single, i, single_dtype);
		add(op, &sums_a, block, a, i, dtype);
		add(op, &sums_b, block, b, i, dtype);
		add(op, &sums_c, block, c, i, dtype);
		add(op, &sums_d, block, d, i, dtype);
	}
	ret[0] = reduce(sums_a);
	ret[1] = reduce(sums_b);
	ret[2] = reduce(sums_c);
	ret[3] = reduce(sums_d);
}

KERNELS_SET(avx2, f32, DTYPE_F32)
KERNELS_SET(avx2, f16, DTYPE_F16)
