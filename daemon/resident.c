/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/resident.h"

#include <assert.h>
#include <errno.h>

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

/* Rows of the file, and why one could not be read. */
struct source {
	struct vector_file *file;
	uint32_t stride_bytes;
	uint64_t extent; /* of the last row that was asked for */
	int error;
};

static const void *row_of(void *ctx, uint64_t row)
{
	struct source *source = ctx;
	uint32_t extent_rows = vector_file_extent_rows(source->file);
	const void *rows;

	source->extent = row / extent_rows;
	source->error = vector_file_extent(source->file, source->extent, &rows);
	if (source->error)
		return NULL;
	return (const uint8_t *)rows + (size_t)(row % extent_rows) * source->stride_bytes;
}

static int encode(struct resident *resident, struct source *source, uint64_t from, uint64_t to)
{
	uint32_t extent_rows = vector_file_extent_rows(source->file);

	while (from < to) {
		uint64_t end = (from / extent_rows + 1) * extent_rows;
		const void *rows = row_of(source, from);

		if (!rows)
			return source->error;
		if (end > to)
			end = to;
		codes_encode(&resident->codes, from, end - from, rows);
		from = end;
	}
	return 0;
}

int resident_encode(struct resident *resident, struct vector_file *file, uint64_t from, uint64_t to,
                    uint64_t n_rows, uint64_t *ret_extent)
{
	struct codes *codes = &resident->codes;
	struct source source = {
	        .file = file,
	        .stride_bytes = vector_stride_bytes(codes->sq8.dim, codes->dtype),
	};
	int r = 0;

	if (!codes->mean) {
		r = codes_set_mean(codes, n_rows, row_of, &source);
		if (r == -EIO)
			r = source.error;
		if (r == 0)
			resident->n_mean_rows = n_rows;
	}
	if (r == 0)
		r = encode(resident, &source, from, to);
	*ret_extent = source.extent;
	return r;
}
