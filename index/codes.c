/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Codes fill runs of the grant, as many whole ones as a run holds: of 784 dimensions 75, which
 * loses one part in a hundred. First come all coarse parts of a run, then the fine ones. A row is
 * found by a product with a reciprocal, which is exact: what 2^40 / chunk_rows was rounded up by is
 * less than 1, and times the row it stays below 2^40 / chunk_rows, since chunks have at most 2^10
 * rows and there are at most 2^18 of them.
 */

#include "index/codes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROW_FLOATS_MAX SQ8_DIM_MAX

static_assert(RUN_BYTES / 64 <= 1u << 10, "a code is 64 bytes at least");
static_assert(CHUNK_DIR_MAX <= 1u << 18, "what the reciprocal is exact for");

void codes_init(struct codes *codes, enum metric metric, uint32_t dim, enum dtype dtype,
                struct budget *budget)
{
	*codes = (struct codes){.sq8 = {.metric = metric, .dim = dim}, .dtype = dtype};
	codes->chunk_rows = RUN_BYTES / (sq8_coarse_bytes(dim) + sq8_fine_bytes(dim));
	codes->fine_at = codes->chunk_rows * sq8_coarse_bytes(dim);
	codes->reciprocal = ((UINT64_C(1) << 40) + codes->chunk_rows - 1) / codes->chunk_rows;
	grant_init(&codes->grant, budget, BUDGET_VECTORS);
}

void codes_release(struct codes *codes)
{
	struct budget *budget = codes->grant.budget;
	enum metric metric = codes->sq8.metric;
	uint32_t dim = codes->sq8.dim;
	enum dtype dtype = codes->dtype;

	chunk_dir_release(&codes->chunks);
	grant_release(&codes->grant);
	free(codes->mean);
	codes_init(codes, metric, dim, dtype, budget);
}

/* A row in f32: itself, or widened in buf. */
static const float *row_f32(const struct codes *codes, const void *row, float *buf)
{
	if (codes->dtype == DTYPE_F32)
		return row;
	dtype_convert(row, codes->dtype,
	              vector_stride_bytes(codes->sq8.dim, DTYPE_F32) / sizeof(float), DTYPE_F32,
	              buf);
	return buf;
}

/* sums: of the elements of the rows, in f64. */
static int add_row(const struct codes *codes, const void *row, float *buf, double *sums)
{
	if (!row)
		return -EIO;
	const float *elements = row_f32(codes, row, buf);
	for (uint32_t i = 0; i < codes->sq8.dim; i++)
		sums[i] += (double)elements[i];
	return 0;
}

int codes_set_mean(struct codes *codes, uint64_t n_rows, codes_row_of *row_of, void *ctx)
{
	uint64_t n = n_rows < CODES_MEAN_ROWS ? n_rows : CODES_MEAN_ROWS;
	uint32_t dim = codes->sq8.dim;
	size_t bytes = vector_stride_bytes(dim, DTYPE_F32);
	float *mean = aligned_alloc(64, bytes);
	float *buf = aligned_alloc(64, bytes);
	double *sums = calloc(dim, sizeof(*sums));
	int r = mean && buf && sums ? 0 : -ENOMEM;

	assert(!codes->mean);
	for (uint64_t i = 0; r == 0 && i < n; i++)
		r = add_row(codes, row_of(ctx, i * n_rows / n), buf, sums);
	if (r == 0) {
		memset(mean, 0, bytes);
		for (uint32_t i = 0; i < dim && n > 0; i++)
			mean[i] = (float)(sums[i] / (double)n);
		codes->mean = mean;
		sq8_init(&codes->sq8, codes->sq8.metric, dim, codes->dtype, mean);
	} else {
		free(mean);
	}
	free(buf);
	free(sums);
	return r;
}

uint64_t codes_reserve(struct codes *codes, uint64_t n_rows)
{
	uint64_t n_chunks = (n_rows + codes->chunk_rows - 1) / codes->chunk_rows;

	while (codes->n_chunks < n_chunks) {
		void *chunk;

		if (chunk_dir_reserve(&codes->chunks, codes->n_chunks + 1) < 0 ||
		    grant_reserve(&codes->grant, RUN_BYTES, false) != 0)
			break;
		chunk = grant_alloc(&codes->grant, RUN_BYTES, 64);
		assert(chunk);
		chunk_dir_set(&codes->chunks, codes->n_chunks++, chunk);
	}
	uint64_t room = codes->n_chunks * codes->chunk_rows;
	return room < n_rows ? room : n_rows;
}

static void encode(struct codes *codes, uint64_t row_idx, const float *row)
{
	struct sq8_code code = codes_at(codes, row_idx);

	/* Const for all others. */
	sq8_encode(&codes->sq8, row, (uint8_t *)code.coarse, (uint8_t *)code.fine);
}

void codes_encode(struct codes *codes, uint64_t first, uint64_t n, const void *rows)
{
	size_t stride_bytes = vector_stride_bytes(codes->sq8.dim, codes->dtype);
	float buf[ROW_FLOATS_MAX] __attribute__((aligned(64)));
	const uint8_t *row = rows;

	assert(codes->mean);
	for (uint64_t i = 0; i < n; i++, row += stride_bytes)
		encode(codes, first + i, row_f32(codes, row, buf));
}

uint64_t codes_rows_in(const struct codes *codes, uint64_t bytes)
{
	return bytes / RUN_BYTES * codes->chunk_rows;
}

uint64_t codes_bytes(const struct codes *codes)
{
	return codes->grant.granted_bytes;
}
