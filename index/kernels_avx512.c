/* SPDX-License-Identifier: Apache-2.0 */

/*
 * AVX-512F: four sums of sixteen lanes for each pair of row and query, so that four queries keep
 * sixteen of the thirty-two registers. What is left over of a row, up to 48 floats, goes to the
 * first sum. All forms take the same steps, hence the same bits. Rows of f16 are widened as they
 * are loaded, and then are like others.
 *
 * Rows are mostly scanned one after the other, so what comes a page further on is asked for while
 * this block is summed. Loads this wide otherwise run ahead of the hardware's own prefetching and
 * then wait on the few lines that the first-level cache can miss at once: over 60,000 f32 rows of
 * 784 asking made one query a tenth faster, four a third. It goes into the second level, so that
 * the queries are not driven out of the first. A whole row asked for at once gained less, and
 * AVX2's narrower loads lost by it.
 */

#include "index/kernels_set.h"

#include <immintrin.h>

#define AHEAD_BYTES 4096 /* asking beyond the end of memory does no harm */

struct sums {
	__m512 s0, s1, s2, s3;
};

/* Sixty-four elements as floats. */
struct block {
	__m512 b0, b1, b2, b3;
};

KERNELS_INLINE struct sums zero(void)
{
	__m512 none = _mm512_setzero_ps();
	return (struct sums){none, none, none, none};
}

/* A block of f16 is two lines, one of f32 four. */
KERNELS_INLINE void prefetch(const void *from, size_t i, enum dtype dtype)
{
	const char *at = (const char *)from + i * dtype_bytes(dtype) + AHEAD_BYTES;

	_mm_prefetch(at, _MM_HINT_T1);
	_mm_prefetch(at + 64, _MM_HINT_T1);
	if (dtype == DTYPE_F16)
		return;
	_mm_prefetch(at + 128, _MM_HINT_T1);
	_mm_prefetch(at + 192, _MM_HINT_T1);
}

KERNELS_INLINE __m512 load_16(const void *from, size_t i, enum dtype dtype)
{
	if (dtype == DTYPE_F16)
		return _mm512_cvtph_ps(
		        _mm256_load_si256((const __m256i *)((const uint16_t *)from + i)));
	return _mm512_load_ps((const float *)from + i);
}

KERNELS_INLINE struct block load(enum kernel_order order, const void *from, size_t i,
                                 enum dtype dtype)
{
	if (order == ORDER_SCAN)
		prefetch(from, i, dtype);
	return (struct block){load_16(from, i, dtype), load_16(from, i + 16, dtype),
	                      load_16(from, i + 32, dtype), load_16(from, i + 48, dtype)};
}

KERNELS_INLINE __m512 add_16(enum kernel_op op, __m512 sum, __m512 a, __m512 b)
{
	__m512 d = _mm512_sub_ps(a, b);
	return op == OP_L2 ? _mm512_fmadd_ps(d, d, sum) : _mm512_fmadd_ps(a, b, sum);
}

KERNELS_INLINE void add(enum kernel_op op, struct sums *sums, struct block block, const void *other,
                        size_t i, enum dtype dtype)
{
	sums->s0 = add_16(op, sums->s0, block.b0, load_16(other, i, dtype));
	sums->s1 = add_16(op, sums->s1, block.b1, load_16(other, i + 16, dtype));
	sums->s2 = add_16(op, sums->s2, block.b2, load_16(other, i + 32, dtype));
	sums->s3 = add_16(op, sums->s3, block.b3, load_16(other, i + 48, dtype));
}

KERNELS_INLINE float reduce(struct sums sums)
{
	__m512 sum =
	        _mm512_add_ps(_mm512_add_ps(sums.s0, sums.s1), _mm512_add_ps(sums.s2, sums.s3));
	return _mm512_reduce_add_ps(sum);
}

KERNELS_INLINE float one(enum kernel_op op, enum kernel_order order, const void *row,
                         enum dtype dtype, const float *query, size_t n)
{
	struct sums sums = zero();
	size_t i = 0;

	for (; i + 64 <= n; i += 64)
		add(op, &sums, load(order, row, i, dtype), query, i, DTYPE_F32);
	for (; i < n; i += 16)
		sums.s0 = add_16(op, sums.s0, load_16(row, i, dtype), load_16(query, i, DTYPE_F32));
	return reduce(sums);
}

KERNELS_INLINE void four(enum kernel_op op, enum kernel_order order, const void *single,
                         enum dtype single_dtype, const void *a, const void *b, const void *c,
                         const void *d, enum dtype dtype, size_t n, float *ret)
{
	struct sums sums_a = zero(), sums_b = zero(), sums_c = zero(), sums_d = zero();
	size_t i = 0;

	for (; i + 64 <= n; i += 64) {
		struct block block = load(order, single, i, single_dtype);
		add(op, &sums_a, block, a, i, dtype);
		add(op, &sums_b, block, b, i, dtype);
		add(op, &sums_c, block, c, i, dtype);
		add(op, &sums_d, block, d, i, dtype);
	}
	for (; i < n; i += 16) {
		__m512 rest = load_16(single, i, single_dtype);
		sums_a.s0 = add_16(op, sums_a.s0, rest, load_16(a, i, dtype));
		sums_b.s0 = add_16(op, sums_b.s0, rest, load_16(b, i, dtype));
		sums_c.s0 = add_16(op, sums_c.s0, rest, load_16(c, i, dtype));
		sums_d.s0 = add_16(op, sums_d.s0, rest, load_16(d, i, dtype));
	}
	ret[0] = reduce(sums_a);
	ret[1] = reduce(sums_b);
	ret[2] = reduce(sums_c);
	ret[3] = reduce(sums_d);
}

KERNELS_SET(avx512, f32, DTYPE_F32)
KERNELS_SET(avx512, f16, DTYPE_F16)
