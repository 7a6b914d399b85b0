/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the x86 sets with registers of 256 bits have in common. */

#include "index/code_kernels_set.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define CODE_KERNELS_256 static inline __attribute__((always_inline, target("avx2")))

/* The nibbles of a block, a byte each. */
struct block {
	__m256i lower, upper;
};

CODE_KERNELS_256 __m256i load(const void *from)
{
	return _mm256_load_si256(from);
}

CODE_KERNELS_256 struct block unpack(const uint8_t *plane)
{
	const __m256i mask = _mm256_set1_epi8(15);
	__m256i packed = load(plane);

	return (struct block){
	        .lower = _mm256_and_si256(packed, mask),
	        .upper = _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask),
	};
}

CODE_KERNELS_256 int32_t reduce(__m256i sum)
{
	__m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
	half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
	half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
	return _mm_cvtsi128_si32(half);
}

#endif
