/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Distances over rows of padded f32, as the exact scan takes them: the same kernels, the same
 * bits. [any]
 */

#include <stdint.h>

#include "index/hnsw.h"
#include "index/kernels.h"
#include "index/vector.h"

/* Where a row lies: 64-byte aligned, from vector_prepare(), there as long as the space is used. It
 * cannot fail: what may be bad was checked before. [any] */
typedef const float *hnsw_row_of(void *ctx, uint32_t row);

struct hnsw_space_f32 {
	struct hnsw_space space; /* give its address to the graph */
	const struct kernels *kernels;
	enum metric metric;
	uint32_t n_floats; /* of a row, padding included */
	hnsw_row_of *row_of;
	void *ctx;
};

/* Borrows everything. A query is a row from vector_prepare(). */
void hnsw_space_f32_init(struct hnsw_space_f32 *space, enum metric metric, uint32_t dim,
                         hnsw_row_of *row_of, void *ctx);
