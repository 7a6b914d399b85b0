/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AVX2 with FMA: two sums of eight lanes for each pair of row and query. Two are enough for one
 * query, which waits for memory, and four queries with two each are what sixteen registers hold.
 * One query and four take the same steps, hence the same bits.
 */

#include "index/kernels.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

struct sums {
	__m256 s0, s1;
};

/* Sixteen floats of a row. */
struct block {
	__m256 b0, b1;
};

INLINE struct sums zero(void)
{
	return (struct sums){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

INLINE struct block load(const float *from)
{
	return (struct block){_mm256_load_ps(from), _mm256_load_ps(from + 8)};
}

INLINE void add_l2(struct sums *sums, struct block row, const float *query)
{
	__m256 d0 = _mm256_sub_ps(row.b0, _mm256_load_ps(query));
	__m256 d1 = _mm256_sub_ps(row.b1, _mm256_load_ps(query + 8));
	sums->s0 = _mm256_fmadd_ps(d0, d0, sums->s0);
	sums->s1 = _mm256_fmadd_ps(d1, d1, sums->s1);
}

INLINE void add_dot(struct sums *sums, struct block row, const float *query)
{
	sums->s0 = _mm256_fmadd_ps(row.b0, _mm256_load_ps(query), sums->s0);
	sums->s1 = _mm256_fmadd_ps(row.b1, _mm256_load_ps(query + 8), sums->s1);
}

INLINE float reduce(struct sums sums)
{
	__m256 sum = _mm256_add_ps(sums.s0, sums.s1);
	__m128 half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
	half = _mm_add_ps(half, _mm_movehl_ps(half, half));
	half = _mm_add_ss(half, _mm_movehdup_ps(half));
	return _mm_cvtss_f32(half);
}

static float l2(const float *a, const float *b, size_t n)
{
	struct sums sums = zero();
	for (size_t i = 0; i < n; i += 16)
		add_l2(&sums, load(a + i), b + i);
	return reduce(sums);
}

static float dot(const float *a, const float *b, size_t n)
{
	struct sums sums = zero();
	for (size_t i = 0; i < n; i += 16)
		add_dot(&sums, load(a + i), b + i);
	return reduce(sums);
}

static void l2_x4(const float *row, const float *const queries[4], size_t n, float ret[4])
{
	const float *a = queries[0], *b = queries[1], *c = queries[2], *d = queries[3];
	struct sums sums_a = zero(), sums_b = zero(), sums_c = zero(), sums_d = zero();

	for (size_t i = 0; i < n; i += 16) {
		struct block block = load(row + i);
		add_l2(&sums_a, block, a + i);
		add_l2(&sums_b, block, b + i);
		add_l2(&sums_c, block, c + i);
		add_l2(&sums_d, block, d + i);
	}
	ret[0] = reduce(sums_a);
	ret[1] = reduce(sums_b);
	ret[2] = reduce(sums_c);
	ret[3] = reduce(sums_d);
}

static void dot_x4(const float *row, const float *const queries[4], size_t n, float ret[4])
{
	const float *a = queries[0], *b = queries[1], *c = queries[2], *d = queries[3];
	struct sums sums_a = zero(), sums_b = zero(), sums_c = zero(), sums_d = zero();

	for (size_t i = 0; i < n; i += 16) {
		struct block block = load(row + i);
		add_dot(&sums_a, block, a + i);
		add_dot(&sums_b, block, b + i);
		add_dot(&sums_c, block, c + i);
		add_dot(&sums_d, block, d + i);
	}
	ret[0] = reduce(sums_a);
	ret[1] = reduce(sums_b);
	ret[2] = reduce(sums_c);
	ret[3] = reduce(sums_d);
}

const struct kernels kernels_avx2 = {
        .name = "avx2",
        .l2 = l2,
        .dot = dot,
        .l2_x4 = l2_x4,
        .dot_x4 = dot_x4,
};
