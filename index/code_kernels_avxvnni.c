/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AVX-VNNI, the form of it with registers of 256 bits: four products of an unsigned and a signed
 * byte are added to each 32-bit sum at once.
 */

#include "index/code_kernels.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define BLOCK 64u

struct block {
	__m256i lower, upper;
};

INLINE __m256i load(const void *from)
{
	return _mm256_load_si256(from);
}

INLINE struct block unpack(const uint8_t *plane)
{
	const __m256i mask = _mm256_set1_epi8(15);
	__m256i packed = load(plane);

	return (struct block){
	        .lower = _mm256_and_si256(packed, mask),
	        .upper = _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask),
	};
}

struct sums {
	__m256i lower, upper;
};

INLINE struct sums zero(void)
{
	return (struct sums){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

INLINE void add(struct sums *sums, struct block block, const int8_t *query)
{
	sums->lower = _mm256_dpbusd_avx_epi32(sums->lower, block.lower, load(query));
	sums->upper = _mm256_dpbusd_avx_epi32(sums->upper, block.upper, load(query + 32));
}

INLINE int32_t reduce(struct sums sums)
{
	__m256i sum = _mm256_add_epi32(sums.lower, sums.upper);
	__m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
	half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
	half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
	return _mm_cvtsi128_si32(half);
}

INLINE int32_t dot(const int8_t *query, const uint8_t *plane, size_t n)
{
	struct sums sums = zero();

	for (size_t at = 0; at < n; at += BLOCK)
		add(&sums, unpack(plane + at / 2), query + at);
	return reduce(sums);
}

static void dots(const int8_t *query, const uint8_t *const *planes, size_t n_planes, size_t n,
                 int32_t *ret)
{
	for (size_t i = 0; i < n_planes; i++) {
		code_kernels_ask_ahead(planes + i, n_planes - i, n);
		ret[i] = dot(query, planes[i], n);
	}
}

static void dot_x4(const int8_t *const queries[4], const uint8_t *plane, size_t n, int32_t ret[4])
{
	const int8_t *a = queries[0], *b = queries[1], *c = queries[2], *d = queries[3];
	struct sums sums_a = zero(), sums_b = zero(), sums_c = zero(), sums_d = zero();

	for (size_t at = 0; at < n; at += BLOCK) {
		struct block block = unpack(plane + at / 2);
		add(&sums_a, block, a + at);
		add(&sums_b, block, b + at);
		add(&sums_c, block, c + at);
		add(&sums_d, block, d + at);
	}
	ret[0] = reduce(sums_a);
	ret[1] = reduce(sums_b);
	ret[2] = reduce(sums_c);
	ret[3] = reduce(sums_d);
}

const struct code_kernels code_kernels_avxvnni = {
        .name = "avxvnni", .dots = dots, .dot_x4 = dot_x4};
