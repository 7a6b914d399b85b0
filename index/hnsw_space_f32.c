/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of one batch lie anywhere in memory, so what takes time is waiting for them: the kernels
 * read four rows at once against one query.
 */

#include "index/hnsw_space_f32.h"

#include <math.h>

/* Asked for of each of the next four rows while four are summed: where each begins. Once a sum is
 * under way its sixteen streams keep the memory busy by themselves; asking for whole rows took a
 * fifth longer (60,000 rows of 784 in huge pages, AVX-512), a row at a time half as long again. */
#define AHEAD_BYTES 256u

static inline float distance_from(enum metric metric, float kernel)
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

static const struct hnsw_space_f32 *f32_of(const struct hnsw_space *space)
{
	return (const struct hnsw_space_f32 *)space;
}

static const void *node_row(const struct hnsw_space_f32 *f32, uint32_t node)
{
	uint32_t row = hnsw_row(f32->hnsw, node);
	return row == HNSW_NO_ROW ? NULL : f32->row_of(f32->ctx, row);
}

static void prefetch(const struct hnsw_space_f32 *f32, const char *row)
{
	uint32_t n_bytes = f32->n_floats * dtype_bytes(f32->kernels->dtype);

	for (uint32_t at = 0; at < n_bytes && at < AHEAD_BYTES; at += 64)
		__builtin_prefetch(row + at);
}

/* Kernel values of n rows, none of them NULL. */
static void take_kernel(const struct hnsw_space_f32 *f32, const float *query,
                        const void *const *rows, uint32_t n, float *ret)
{
	const struct kernels *kernels = f32->kernels;
	bool is_l2 = f32->metric == METRIC_L2;

	for (uint32_t i = 0; i < n; i += 4) {
		for (uint32_t ahead = i + 4; ahead < i + 8 && ahead < n; ahead++)
			prefetch(f32, rows[ahead]);
		(is_l2 ? kernels->l2_rows : kernels->dot_rows)(rows + i, n - i < 4 ? n - i : 4,
		                                               query, f32->n_floats, ret + i);
	}
}

static void distances(const struct hnsw_space *space, const void *query, const uint32_t *nodes,
                      uint32_t n, float *ret)
{
	const struct hnsw_space_f32 *f32 = f32_of(space);
	const void *rows[HNSW_BATCH];
	float found[HNSW_BATCH];
	uint32_t at[HNSW_BATCH]; /* which of the nodes each row is */
	uint32_t n_rows = 0;

	for (uint32_t i = 0; i < n; i++) {
		const void *row = query ? node_row(f32, nodes[i]) : NULL;
		ret[i] = INFINITY;
		if (!row)
			continue;
		if (n_rows < 4)
			prefetch(f32, row);
		at[n_rows] = i;
		rows[n_rows++] = row;
	}
	take_kernel(f32, query, rows, n_rows, found);
	for (uint32_t i = 0; i < n_rows; i++)
		ret[at[i]] = distance_from(f32->metric, found[i]);
}

/* NULL for a node without a row: infinitely far from everything. */
static const void *query_of(const struct hnsw_space *space, uint32_t node, void *buf)
{
	const struct hnsw_space_f32 *f32 = f32_of(space);
	const void *row = node_row(f32, node);

	if (!row || f32->kernels->dtype == DTYPE_F32)
		return row;
	dtype_convert(row, f32->kernels->dtype, f32->n_floats, DTYPE_F32, buf);
	return buf;
}

void hnsw_space_f32_init(struct hnsw_space_f32 *space, const struct hnsw *hnsw, enum metric metric,
                         uint32_t dim, enum dtype dtype, hnsw_row_of *row_of, void *ctx)
{
	uint32_t query_bytes = vector_stride_bytes(dim, DTYPE_F32);

	*space = (struct hnsw_space_f32){
	        .space = {.distances = distances,
	                  .query_of = query_of,
	                  .query_bytes = dtype == DTYPE_F32 ? 0 : query_bytes},
	        .hnsw = hnsw,
	        .kernels = kernels_best(dtype),
	        .metric = metric,
	        .n_floats = query_bytes / (uint32_t)sizeof(float),
	        .row_of = row_of,
	        .ctx = ctx,
	};
}
