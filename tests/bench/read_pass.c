/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/read_pass.h"

#define LANES 16

#if defined(__x86_64__)
#include <immintrin.h>

/* Two sums, so that loads and not the latency of additions set the pace. */
__attribute__((target("avx512f"))) static float sum_avx512(const float *v, size_t n)
{
	__m512 even = _mm512_setzero_ps();
	__m512 odd = _mm512_setzero_ps();
	size_t i = 0;

	for (; i + 2 * LANES <= n; i += 2 * LANES) {
		even = _mm512_add_ps(even, _mm512_load_ps(v + i));
		odd = _mm512_add_ps(odd, _mm512_load_ps(v + i + LANES));
	}
	if (i < n)
		even = _mm512_add_ps(even, _mm512_load_ps(v + i));
	return _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
}

__attribute__((target("avx2"))) static float sum_avx2(const float *v, size_t n)
{
	__m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
	                  _mm256_setzero_ps()};
	float lanes[8];
	float sum = 0.0f;

	for (size_t i = 0; i < n; i += LANES) {
		size_t at = i / LANES % 2 * 2;

		sums[at] = _mm256_add_ps(sums[at], _mm256_load_ps(v + i));
		sums[at + 1] = _mm256_add_ps(sums[at + 1], _mm256_load_ps(v + i + 8));
	}
	_mm256_storeu_ps(lanes, _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]),
	                                      _mm256_add_ps(sums[2], sums[3])));
	for (size_t i = 0; i < 8; i++)
		sum += lanes[i];
	return sum;
}
#endif

static float sum_plain(const float *v, size_t n)
{
	float lanes[LANES] = {0};
	float sum = 0.0f;

	for (size_t i = 0; i < n; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lanes[j] += v[i + j];
	for (size_t j = 0; j < LANES; j++)
		sum += lanes[j];
	return sum;
}

float read_pass(const float *v, size_t n)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		return sum_avx512(v, n);
	if (__builtin_cpu_supports("avx2"))
		return sum_avx2(v, n);
#endif
	return sum_plain(v, n);
}
