/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vectors as clients send them (dim f32, packed, any alignment) and as the kernels want them
 * (rows of a 64-byte-multiple stride, zero padding, unit length under cosine).
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

/* Bytes of a row: dim f32 rounded up to 64. */
uint32_t vector_stride_bytes(uint32_t dim);

/* Checks n packed vectors; *ret_row is the first bad one. A finite vector whose squared length
 * overflows f32 counts as VECTOR_INFINITE. */
int vector_check(const void *packed, size_t n, uint32_t dim, enum metric metric, size_t *ret_row);
/* Writes n rows of vector_stride_bytes(dim) each (64-byte aligned) from n packed vectors. */
void vector_prepare(const void *packed, size_t n, uint32_t dim, enum metric metric, void *ret_rows);
