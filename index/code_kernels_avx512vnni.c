/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AVX-512 VNNI: four products of an unsigned and a signed byte are added to each 32-bit sum at
 * once. A block of nibbles becomes one register: the lower halves of its bytes, then the upper.
 */

#include "index/code_kernels_set.h"

#include <immintrin.h>

/* The 64 nibbles of a block, in order. */
CODE_KERNELS_INLINE __m512i unpack(const uint8_t *plane)
{
	__m256i packed = _mm256_load_si256((const void *)plane);
	__m512i both =
	        _mm512_inserti64x4(_mm512_castsi256_si512(packed), _mm256_srli_epi16(packed, 4), 1);

	return _mm512_and_si512(both, _mm512_set1_epi8(15));
}

/* Queries are 32-byte aligned. */
CODE_KERNELS_INLINE __m512i add(__m512i sum, __m512i block, const int8_t *query)
{
	return _mm512_dpbusd_epi32(sum, block, _mm512_loadu_si512(query));
}

CODE_KERNELS_INLINE int32_t dot(const int8_t *query, const uint8_t *plane, size_t n)
{
	__m512i sum0 = _mm512_setzero_si512(), sum1 = sum0;
	size_t at = 0;

	for (; at + 2 * BLOCK <= n; at += 2 * BLOCK) {
		sum0 = add(sum0, unpack(plane + at / 2), query + at);
		sum1 = add(sum1, unpack(plane + at / 2 + BLOCK / 2), query + at + BLOCK);
	}
	if (at < n)
		sum0 = add(sum0, unpack(plane + at / 2), query + at);
	return _mm512_reduce_add_epi32(_mm512_add_epi32(sum0, sum1));
}

static void dot_x4(const int8_t *const queries[4], const uint8_t *plane, size_t n, int32_t ret[4])
{
	const int8_t *a = queries[0], *b = queries[1], *c = queries[2], *d = queries[3];
	__m512i sum_a = _mm512_setzero_si512(), sum_b = sum_a, sum_c = sum_a, sum_d = sum_a;

	for (size_t at = 0; at < n; at += BLOCK) {
		__m512i block = unpack(plane + at / 2);
		sum_a = add(sum_a, block, a + at);
		sum_b = add(sum_b, block, b + at);
		sum_c = add(sum_c, block, c + at);
		sum_d = add(sum_d, block, d + at);
	}
	ret[0] = _mm512_reduce_add_epi32(sum_a);
	ret[1] = _mm512_reduce_add_epi32(sum_b);
	ret[2] = _mm512_reduce_add_epi32(sum_c);
	ret[3] = _mm512_reduce_add_epi32(sum_d);
}

CODE_KERNELS_SET(avx512vnni)
