/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of one batch lie anywhere in memory, so what takes time is waiting for them. The kernels'
 * four-fold form reads four rows at once against one query: the two sides of both metrics can be
 * exchanged, bit for bit, so the query is passed as the row and the rows as queries.
 */

#include "index/hnsw_space_f32.h"

#include <math.h>

/* Asked for of each of the next four rows while four are summed: where each begins. Once a sum is
 * under way its sixteen streams keep the memory busy by themselves; asking for whole rows took a
 * fifth longer (60,000 rows of 784 in huge pages, AVX-512), a row at a time half as long again. */
#define AHEAD_FLOATS 64u

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

static const float *find_row(const struct hnsw_space_f32 *f32, uint32_t row)
{
	return row == HNSW_NO_ROW ? NULL : f32->row_of(f32->ctx, row);
}

static void prefetch(const struct hnsw_space_f32 *f32, const float *row)
{
	for (uint32_t at = 0; at < f32->n_floats && at < AHEAD_FLOATS; at += 16)
		__builtin_prefetch(row + at);
}

/* Kernel values of n rows, none of them NULL. */
static void take_kernel(const struct hnsw_space_f32 *f32, const float *query,
                        const float *const *rows, uint32_t n, float *ret)
{
	const struct kernels *kernels = f32->kernels;
	bool is_l2 = f32->metric == METRIC_L2;
	uint32_t i = 0;

	for (; i + 4 <= n; i += 4) {
		for (uint32_t ahead = i + 4; ahead < i + 8 && ahead < n; ahead++)
			prefetch(f32, rows[ahead]);
		(is_l2 ? kernels->l2_x4 : kernels->dot_x4)(query, rows + i, f32->n_floats, ret + i);
	}
	for (; i < n; i++)
		ret[i] = (is_l2 ? kernels->l2 : kernels->dot)(query, rows[i], f32->n_floats);
}

static void distances(const struct hnsw_space *space, const void *query, const uint32_t *rows_of,
                      uint32_t n, float bound, float *ret)
{
	(void)bound;
	const struct hnsw_space_f32 *f32 = f32_of(space);
	const float *rows[HNSW_BATCH];
	float found[HNSW_BATCH];
	uint32_t at[HNSW_BATCH]; /* which of rows_of each is */
	uint32_t n_rows = 0;

	for (uint32_t i = 0; i < n; i++) {
		const float *row = query ? find_row(f32, rows_of[i]) : NULL;
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

/* NULL for no row: infinitely far from everything. */
static const void *query_of(const struct hnsw_space *space, uint32_t row, void *buf)
{
	(void)buf;
	return find_row(f32_of(space), row);
}

void hnsw_space_f32_init(struct hnsw_space_f32 *space, enum metric metric, uint32_t dim,
                         hnsw_row_of *row_of, void *ctx)
{
	*space = (struct hnsw_space_f32){
	        .space = {.distances = distances, .query_of = query_of},
	        .kernels = kernels_best(),
	        .metric = metric,
	        .n_floats = vector_stride_bytes(dim) / (uint32_t)sizeof(float),
	        .row_of = row_of,
	        .ctx = ctx,
	};
}
