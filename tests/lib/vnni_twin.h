/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * VNNI for a CPU that has AVX2 only: what the two sets of code kernels take of it, by other means
 * of the same result. A set's own file is compiled with this before it (tests/CMakeLists.txt), so
 * that what it does with blocks, planes and sums is checked where its instructions are not there.
 *
 * Registers of 512 bits are two of 256. [any]
 */

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define VNNI_TWIN static inline __attribute__((always_inline, unused, target("avx2")))

/* Four products of an unsigned byte with a signed one to each 32-bit sum, by 16 bits: without
 * saturation, since the unsigned ones are nibbles. */
VNNI_TWIN __m256i vnni_twin_dpbusd(__m256i sum, __m256i bytes, __m256i query)
{
	__m256i pairs = _mm256_maddubs_epi16(bytes, query);

	return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

struct vnni_twin_512 {
	__m256i half[2];
};

VNNI_TWIN struct vnni_twin_512 vnni_twin_set1(char byte)
{
	return (struct vnni_twin_512){{_mm256_set1_epi8(byte), _mm256_set1_epi8(byte)}};
}

VNNI_TWIN struct vnni_twin_512 vnni_twin_widen(__m256i lower)
{
	return (struct vnni_twin_512){{lower, _mm256_setzero_si256()}};
}

VNNI_TWIN struct vnni_twin_512 vnni_twin_insert(struct vnni_twin_512 to, __m256i half, int idx)
{
	to.half[idx] = half;
	return to;
}

VNNI_TWIN struct vnni_twin_512 vnni_twin_and(struct vnni_twin_512 a, struct vnni_twin_512 b)
{
	return (struct vnni_twin_512){
	        {_mm256_and_si256(a.half[0], b.half[0]), _mm256_and_si256(a.half[1], b.half[1])}};
}

VNNI_TWIN struct vnni_twin_512 vnni_twin_add(struct vnni_twin_512 a, struct vnni_twin_512 b)
{
	return (struct vnni_twin_512){
	        {_mm256_add_epi32(a.half[0], b.half[0]), _mm256_add_epi32(a.half[1], b.half[1])}};
}

VNNI_TWIN struct vnni_twin_512 vnni_twin_load(const void *from)
{
	const __m256i *halves = from;

	return (struct vnni_twin_512){{_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)}};
}

VNNI_TWIN struct vnni_twin_512 vnni_twin_dpbusd_512(struct vnni_twin_512 sum,
                                                    struct vnni_twin_512 bytes,
                                                    struct vnni_twin_512 query)
{
	return (struct vnni_twin_512){
	        {vnni_twin_dpbusd(sum.half[0], bytes.half[0], query.half[0]),
	         vnni_twin_dpbusd(sum.half[1], bytes.half[1], query.half[1])}};
}

VNNI_TWIN int32_t vnni_twin_reduce(struct vnni_twin_512 sum)
{
	int32_t lanes[8] __attribute__((aligned(32))), total = 0;

	_mm256_store_si256((void *)lanes, _mm256_add_epi32(sum.half[0], sum.half[1]));
	for (int i = 0; i < 8; i++)
		total += lanes[i];
	return total;
}

#undef _mm512_inserti64x4
#define _mm256_dpbusd_avx_epi32 vnni_twin_dpbusd
#define __m512i struct vnni_twin_512
#define _mm512_setzero_si512() vnni_twin_set1(0)
#define _mm512_set1_epi8 vnni_twin_set1
#define _mm512_castsi256_si512 vnni_twin_widen
#define _mm512_inserti64x4 vnni_twin_insert
#define _mm512_and_si512 vnni_twin_and
#define _mm512_add_epi32 vnni_twin_add
#define _mm512_loadu_si512 vnni_twin_load
#define _mm512_dpbusd_epi32 vnni_twin_dpbusd_512
#define _mm512_reduce_add_epi32 vnni_twin_reduce
/* The sets' own names are taken. */
#define code_kernels_avxvnni code_kernels_avxvnni_twin
#define code_kernels_avx512vnni code_kernels_avx512vnni_twin

#endif
