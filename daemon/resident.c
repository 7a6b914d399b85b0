/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/resident.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "index/vector.h"
#include "protocol/limits.h"

static_assert(LIMIT_DIM <= SQ8_DIM_MAX, "every collection can have codes");

void resident_init(struct resident *resident, enum metric metric, uint32_t dim, enum dtype dtype,
                   struct budget *budget)
{
	*resident = (struct resident){0};
	codes_init(&resident->codes, metric, dim, dtype, budget);
}

void resident_release(struct resident *resident)
{
	codes_release(&resident->codes);
	resident->n_rows = 0;
	resident->n_mean_rows = 0;
}

uint64_t resident_reserve(struct resident *resident, uint64_t n_rows)
{
	struct budget_figures figures;
	uint64_t share, others, room;

	budget_figures(resident->codes.grant.budget, &figures);
	share = figures.limit_bytes / RESIDENT_SHARE_DEN * RESIDENT_SHARE_NUM;
	others = figures.used_by_kind[BUDGET_VECTORS] - codes_bytes(&resident->codes);
	room = share > others ? codes_rows_in(&resident->codes, share - others) : 0;
	return codes_reserve(&resident->codes, n_rows < room ? n_rows : room);
}

static int row_at(struct vector_file *file, uint64_t row, uint32_t stride_bytes,
                  const void **ret_row, uint64_t *ret_extent)
{
	uint32_t extent_rows = vector_file_extent_rows(file);
	const void *rows;
	int r;

	*ret_extent = row / extent_rows;
	r = vector_file_extent(file, *ret_extent, &rows);
	if (r == 0)
		*ret_row = (const uint8_t *)rows + (size_t)(row % extent_rows) * stride_bytes;
	return r;
}

/* The mean of rows spread evenly over the first n_rows. */
static int take_mean(struct resident *resident, struct vector_file *file, uint32_t stride_bytes,
                     uint64_t n_rows, uint64_t *ret_extent)
{
	uint64_t n = n_rows < RESIDENT_MEAN_ROWS ? n_rows : RESIDENT_MEAN_ROWS;
	const void **rows = calloc(n, sizeof(*rows));
	int r = rows ? 0 : -ENOMEM;

	for (uint64_t i = 0; i < n && r == 0; i++)
		r = row_at(file, i * n_rows / n, stride_bytes, &rows[i], ret_extent);
	if (r == 0)
		r = codes_set_mean(&resident->codes, rows, n);
	if (r == 0)
		resident->n_mean_rows = n_rows;
	free(rows);
	return r;
}

int resident_encode(struct resident *resident, struct vector_file *file, uint64_t from, uint64_t to,
                    uint64_t *ret_extent)
{
	const struct codes *codes = &resident->codes;
	uint32_t stride_bytes = vector_stride_bytes(codes->sq8.dim, codes->dtype);
	uint32_t extent_rows = vector_file_extent_rows(file);
	int r = 0;

	if (!codes->mean)
		r = take_mean(resident, file, stride_bytes, to, ret_extent);
	while (r == 0 && from < to) {
		uint64_t end = (from / extent_rows + 1) * extent_rows;
		const void *rows;

		if (end > to)
			end = to;
		r = row_at(file, from, stride_bytes, &rows, ret_extent);
		if (r == 0)
			codes_encode(&resident->codes, from, end - from, rows);
		from = end;
	}
	return r;
}
