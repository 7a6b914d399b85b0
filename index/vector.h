/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vectors as clients send them (dim f32, packed, any alignment) and as the kernels want them
 * (rows of a 64-byte-multiple stride, zero padding, unit length under cosine).
 *
 * What vector_check() lets through has a distance to everything else that it lets through: no
 * kernel and no metric makes an infinity or a NaN of two such vectors. [any]
 */

#include <stddef.h>
#include <stdint.h>

/* Same numbers as the truth and the wire use. */
enum metric {
	METRIC_L2 = 0,     /* squared Euclidean distance */
	METRIC_IP = 1,     /* 1 - inner product, as hnswlib and usearch count it */
	METRIC_COSINE = 2, /* 1 - cosine similarity */
};

/* Outcomes of vector_check(): what is wrong with a row. */
enum {
	VECTOR_NAN = 1,
	VECTOR_INFINITE = 2,
	VECTOR_ZERO = 3, /* under METRIC_COSINE only */
};

/* Under l2 and ip a vector whose squared length is larger (its length beyond 6.5e18) counts as
 * infinite: two that are smaller are at most 2^127 apart, squared, which f32 still holds. Under
 * cosine only the direction counts, so every finite vector but zero will do. */
#define VECTOR_MAX_SQUARED_LENGTH 0x1p125f

/* Bytes of a row: dim f32 rounded up to 64. */
uint32_t vector_stride_bytes(uint32_t dim);

/* Checks n packed vectors; *ret_row is the first bad one. */
int vector_check(const void *packed, size_t n, uint32_t dim, enum metric metric, size_t *ret_row);
/* What such an outcome means, to follow "vector 3 ...": a literal. */
const char *vector_fault_text(int fault);
/* Writes n rows of vector_stride_bytes(dim) each (64-byte aligned) from n packed vectors that
 * passed vector_check(). */
void vector_prepare(const void *packed, size_t n, uint32_t dim, enum metric metric, void *ret_rows);
