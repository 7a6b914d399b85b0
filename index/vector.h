/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vectors as clients send them (dim elements of a dtype, packed, any alignment) and as the kernels
 * want them (rows of a 64-byte-multiple stride, zero padding, unit length under cosine).
 *
 * Under cosine a row of f16 holds the unit vector rounded to f16, so its length is 1 to within
 * 2^-11, and so far may a distance be from that of the vector itself. Queries are f32 always.
 *
 * What vector_check() lets through has a distance to everything else that it lets through: no
 * kernel and no metric makes an infinity or a NaN of two such vectors. [any]
 */

#include <stddef.h>
#include <stdint.h>

#include "index/dtype.h"

/* Same numbers as the truth and the wire use. */
enum metric {
	METRIC_L2 = 0,     /* squared Euclidean distance */
	METRIC_IP = 1,     /* 1 - inner product, as hnswlib and usearch count it */
	METRIC_COSINE = 2, /* 1 - cosine similarity */
};

/* The distance that a kernel's result means: of l2 a squared difference, else an inner product.
 * Under l2 and cosine it is never negative, whatever rounding made of the product. */
static inline float metric_distance(enum metric metric, float kernel)
{
	switch (metric) {
	case METRIC_IP:
		return 1 - kernel;
	case METRIC_COSINE:
		return kernel < 1 ? 1 - kernel : 0;
	case METRIC_L2:
	default:
		return kernel;
	}
}

/* Outcomes of vector_check() and vector_convert(): what is wrong with a row. */
enum {
	VECTOR_NAN = 1,
	VECTOR_INFINITE = 2,
	VECTOR_ZERO = 3,      /* under METRIC_COSINE only */
	VECTOR_OVERFLOW = 4,  /* an element is too large for the other dtype */
	VECTOR_UNDERFLOW = 5, /* all are too small for it; under METRIC_COSINE only */
};

/* Under l2 and ip a vector whose squared length is larger (its length beyond 6.5e18) counts as
 * infinite: two that are smaller are at most 2^127 apart, squared, which f32 still holds. Under
 * cosine only the direction counts, so every finite vector but zero will do. */
#define VECTOR_MAX_SQUARED_LENGTH 0x1p125f

/* Bytes of a row: dim elements rounded up to 64. */
uint32_t vector_stride_bytes(uint32_t dim, enum dtype dtype);

/* Checks n packed vectors; *ret_row is the first bad one. */
int vector_check(const void *packed, size_t n, uint32_t dim, enum dtype dtype, enum metric metric,
                 size_t *ret_row);
/* Makes n packed vectors of another dtype from those that passed vector_check(); *ret_row is the
 * first that cannot be. */
int vector_convert(const void *packed, size_t n, uint32_t dim, enum dtype dtype, enum metric metric,
                   enum dtype to_dtype, void *ret_packed, size_t *ret_row);
/* What such an outcome means, to follow "vector 3 ...": a literal. */
const char *vector_fault_text(int fault);
/* Writes n rows of vector_stride_bytes() each (64-byte aligned) from n packed vectors of the same
 * dtype that passed vector_check(). */
void vector_prepare(const void *packed, size_t n, uint32_t dim, enum dtype dtype,
                    enum metric metric, void *ret_rows);
