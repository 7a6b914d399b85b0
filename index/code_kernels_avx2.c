/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AVX2 multiplies unsigned with signed bytes and adds neighbours in 16 bits, where it would
 * saturate with bytes of eight bits. With nibbles a pair is at most 2 * 15 * 127, and sums of eight
 * pairs still fit: after four blocks they are widened.
 */

#include "index/code_kernels_256.h"

#define WIDEN 4u /* blocks between two widenings */

CODE_KERNELS_INLINE __m256i add(__m256i pairs, struct block block, const int8_t *query)
{
	pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(block.lower, load(query)));
	return _mm256_add_epi16(pairs, _mm256_maddubs_epi16(block.upper, load(query + 32)));
}

CODE_KERNELS_INLINE __m256i widen(__m256i sum, __m256i pairs)
{
	return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

CODE_KERNELS_INLINE int32_t dot(const int8_t *query, const uint8_t *plane, size_t n)
{
	__m256i sum = _mm256_setzero_si256(), pairs;

	for (; n >= WIDEN * BLOCK; n -= WIDEN * BLOCK) {
		pairs = add(_mm256_setzero_si256(), unpack(plane), query);
		pairs = add(pairs, unpack(plane + BLOCK / 2), query + BLOCK);
		pairs = add(pairs, unpack(plane + BLOCK), query + 2 * BLOCK);
		pairs = add(pairs, unpack(plane + 3 * BLOCK / 2), query + 3 * BLOCK);
		sum = widen(sum, pairs);
		plane += WIDEN * BLOCK / 2;
		query += WIDEN * BLOCK;
	}
	pairs = _mm256_setzero_si256();
	for (; n > 0; n -= BLOCK) {
		pairs = add(pairs, unpack(plane), query);
		plane += BLOCK / 2;
		query += BLOCK;
	}
	return reduce(widen(sum, pairs));
}

static void dot_x4(const int8_t *const queries[4], const uint8_t *plane, size_t n, int32_t ret[4])
{
	const int8_t *a = queries[0], *b = queries[1], *c = queries[2], *d = queries[3];
	const __m256i zero = _mm256_setzero_si256();
	__m256i sum_a = zero, sum_b = zero, sum_c = zero, sum_d = zero;

	for (size_t at = 0; at < n;) {
		size_t end = n - at < WIDEN * BLOCK ? n : at + WIDEN * BLOCK;
		__m256i pairs_a = zero, pairs_b = zero, pairs_c = zero, pairs_d = zero;
		for (; at < end; at += BLOCK) {
			struct block block = unpack(plane + at / 2);
			pairs_a = add(pairs_a, block, a + at);
			pairs_b = add(pairs_b, block, b + at);
			pairs_c = add(pairs_c, block, c + at);
			pairs_d = add(pairs_d, block, d + at);
		}
		sum_a = widen(sum_a, pairs_a);
		sum_b = widen(sum_b, pairs_b);
		sum_c = widen(sum_c, pairs_c);
		sum_d = widen(sum_d, pairs_d);
	}
	ret[0] = reduce(sum_a);
	ret[1] = reduce(sum_b);
	ret[2] = reduce(sum_c);
	ret[3] = reduce(sum_d);
}

CODE_KERNELS_SET(avx2)
