/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AVX-VNNI, the form of it with registers of 256 bits: four products of an unsigned and a signed
 * byte are added to each 32-bit sum at once.
 */

#include "index/code_kernels_256.h"

struct sums {
	__m256i lower, upper;
};

CODE_KERNELS_INLINE struct sums zero(void)
{
	return (struct sums){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

CODE_KERNELS_INLINE void add(struct sums *sums, struct block block, const int8_t *query)
{
	sums->lower = _mm256_dpbusd_avx_epi32(sums->lower, block.lower, load(query));
	sums->upper = _mm256_dpbusd_avx_epi32(sums->upper, block.upper, load(query + 32));
}

CODE_KERNELS_INLINE int32_t total(struct sums sums)
{
	return reduce(_mm256_add_epi32(sums.lower, sums.upper));
}

CODE_KERNELS_INLINE int32_t dot(const int8_t *query, const uint8_t *plane, size_t n)
{
	struct sums sums = zero();

	for (size_t at = 0; at < n; at += BLOCK)
		add(&sums, unpack(plane + at / 2), query + at);
	return total(sums);
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
	ret[0] = total(sums_a);
	ret[1] = total(sums_b);
	ret[2] = total(sums_c);
	ret[3] = total(sums_d);
}

CODE_KERNELS_SET(avxvnni)
