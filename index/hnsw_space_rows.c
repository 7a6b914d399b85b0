/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of one batch lie anywhere in memory, so what takes time is waiting for them: the kernels
 * read four rows at once against one query.
 */

#include "index/hnsw_space_rows.h"

#include <math.h>

/* Asked for of each of the next four rows while four are summed: where each begins. Once a sum is
 * under way its sixteen streams keep the memory busy by themselves; asking for whole rows took a
 * fifth longer (60,000 rows of 784 in huge pages, AVX-512), a row at a time half as long again. */
#define AHEAD_BYTES 256u

static const struct hnsw_space_rows *self_of(const struct hnsw_space *space)
{
	return (const struct hnsw_space_rows *)space;
}

static const void *find_row(const struct hnsw_space_rows *self, uint32_t row)
{
	return row == HNSW_NO_ROW ? NULL : self->row_of(self->ctx, row);
}

static void prefetch(const struct hnsw_space_rows *self, const char *row)
{
	uint32_t n_bytes = self->n_floats * dtype_bytes(self->kernels->dtype);

	for (uint32_t at = 0; at < n_bytes && at < AHEAD_BYTES; at += 64)
		__builtin_prefetch(row + at);
}

/* Kernel values of n rows, none of them NULL. */
static void take_kernel(const struct hnsw_space_rows *self, const float *query,
                        const void *const *rows, uint32_t n, float *ret)
{
	const struct kernels *kernels = self->kernels;
	bool is_l2 = self->metric == METRIC_L2;

	for (uint32_t i = 0; i < n; i += 4) {
		for (uint32_t ahead = i + 4; ahead < i + 8 && ahead < n; ahead++)
			prefetch(self, rows[ahead]);
		(is_l2 ? kernels->l2_rows : kernels->dot_rows)(rows + i, n - i < 4 ? n - i : 4,
		                                               query, self->n_floats, ret + i);
	}
}

static void distances(const struct hnsw_space *space, const void *query, const uint32_t *rows_of,
                      uint32_t n, float bound, float *ret)
{
	const struct hnsw_space_rows *self = self_of(space);
	const void *rows[HNSW_BATCH];
	float found[HNSW_BATCH];
	uint32_t at[HNSW_BATCH]; /* which of rows_of each is */
	uint32_t n_rows = 0;

	(void)bound;
	for (uint32_t i = 0; i < n; i++) {
		const void *row = query ? find_row(self, rows_of[i]) : NULL;
		ret[i] = INFINITY;
		if (!row)
			continue;
		if (n_rows < 4)
			prefetch(self, row);
		at[n_rows] = i;
		rows[n_rows++] = row;
	}
	take_kernel(self, query, rows, n_rows, found);
	for (uint32_t i = 0; i < n_rows; i++)
		ret[at[i]] = metric_distance(self->metric, found[i]);
}

static const void *query(const struct hnsw_space *space, const float *vector, void *buf)
{
	(void)space;
	(void)buf;
	return vector;
}

/* NULL for no row: infinitely far from everything. */
static const void *query_of(const struct hnsw_space *space, uint32_t row, void *buf)
{
	const struct hnsw_space_rows *self = self_of(space);
	const void *found = find_row(self, row);

	if (!found || self->kernels->dtype == DTYPE_F32)
		return found;
	dtype_convert(found, self->kernels->dtype, self->n_floats, DTYPE_F32, buf);
	return buf;
}

void hnsw_space_rows_init(struct hnsw_space_rows *space, enum metric metric, uint32_t dim,
                          enum dtype dtype, hnsw_row_of *row_of, void *ctx)
{
	uint32_t query_bytes = vector_stride_bytes(dim, DTYPE_F32);

	*space = (struct hnsw_space_rows){
	        .space = {.distances = distances,
	                  .query = query,
	                  .query_of = query_of,
	                  .query_bytes = dtype == DTYPE_F32 ? 0 : query_bytes},
	        .kernels = kernels_best(dtype),
	        .metric = metric,
	        .n_floats = query_bytes / (uint32_t)sizeof(float),
	        .row_of = row_of,
	        .ctx = ctx,
	};
}
