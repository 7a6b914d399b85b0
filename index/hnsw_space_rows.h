/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Distances over padded rows, f32 or f16, from queries of f32, as the exact scan takes them: the
 * same kernels, the same bits. [any]
 */

#include <stdint.h>

#include "index/hnsw.h"
#include "index/kernels.h"
#include "index/vector.h"

/* Where a row lies: 64-byte aligned, from vector_prepare(), there as long as the space is used. It
 * cannot fail: what may be bad was checked before. [any] */
typedef const void *hnsw_row_of(void *ctx, uint32_t row);

struct hnsw_space_rows {
	struct hnsw_space space; /* give its address to the graph */
	const struct kernels *kernels;
	enum metric metric;
	uint32_t n_floats; /* of a query, padding included */
	hnsw_row_of *row_of;
	void *ctx;
};

/* Borrows everything. A query is an f32 row from vector_prepare(), rows are of the dtype. */
void hnsw_space_rows_init(struct hnsw_space_rows *space, enum metric metric, uint32_t dim,
                          enum dtype dtype, hnsw_row_of *row_of, void *ctx);
