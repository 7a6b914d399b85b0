/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Codes of one hop lie anywhere in memory and what takes time is waiting for them: of 832 bytes
 * some 100 ns where multiplying takes 10. So the first plane of a code is asked for some codes
 * before it is needed; the second only where the coarse distance did not settle it, for all codes
 * of the hop before the first of them is multiplied. Codes are multiplied one at a time: four at
 * once, as rows of f32 are, have their lines compete for the few misses that a core can have under
 * way, and took half as long again (Zen 3, 60,000 codes in huge pages).
 */

#include "index/hnsw_space_sq8.h"

#include <math.h>

/* Codes that are on their way while one is multiplied. */
#define AHEAD 4u

struct query {
	const float *row; /* NULL: a node's whose row nobody will need */
	bool is_nowhere;  /* of a node without row */
	struct sq8_query code;
};

static const struct hnsw_space_sq8 *self_of(const struct hnsw_space *space)
{
	return (const struct hnsw_space_sq8 *)space;
}

static bool has_code(const struct hnsw_space_sq8 *space, uint32_t row)
{
	return row < space->coded_rows;
}

static void prefetch(const uint8_t *from, uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes; at += 64)
		__builtin_prefetch(from + at);
}

/* Codes of one call. */
struct batch {
	const struct sq8 *sq8;
	const struct sq8_query *query;
	uint32_t n;
	const void *codes[HNSW_BATCH];
	float distances[HNSW_BATCH];
	/* Those that need the second plane, by number, with what the first came to. */
	uint32_t n_open;
	uint32_t open[HNSW_BATCH];
	int32_t coarse_dots[HNSW_BATCH];
};

static void prefetch_fine(const struct sq8 *sq8, const void *code)
{
	prefetch(sq8_fine_plane(sq8, code), sq8->n_integers / 2);
}

static void take_coarse(struct batch *batch, float bound)
{
	const struct sq8 *sq8 = batch->sq8;
	const struct sq8_query *query = batch->query;
	uint32_t coarse_bytes = sq8_coarse_bytes(sq8);

	for (uint32_t i = 0; i < AHEAD && i < batch->n; i++)
		prefetch(batch->codes[i], coarse_bytes);
	for (uint32_t i = 0; i < batch->n; i++) {
		const void *code = batch->codes[i];

		if (i + AHEAD < batch->n)
			prefetch(batch->codes[i + AHEAD], coarse_bytes);
		int32_t dot =
		        sq8->kernels->dot(query->integers, sq8_coarse_plane(code), sq8->n_integers);
		const struct sq8_constants *constants = sq8_constants(sq8, code);
		if (sq8_coarse_is_beyond(sq8, query, constants, dot, bound, &batch->distances[i]))
			continue;
		prefetch_fine(sq8, code);
		batch->coarse_dots[batch->n_open] = dot;
		batch->open[batch->n_open++] = i;
	}
}

static void take_fine(struct batch *batch)
{
	const struct sq8 *sq8 = batch->sq8;
	const struct sq8_query *query = batch->query;

	for (uint32_t i = 0; i < batch->n_open; i++) {
		const void *code = batch->codes[batch->open[i]];
		int32_t dot = sq8->kernels->dot(query->integers, sq8_fine_plane(sq8, code),
		                                sq8->n_integers);
		const struct sq8_constants *constants = sq8_constants(sq8, code);
		int32_t product = sq8_product(query, batch->coarse_dots[i], dot);
		batch->distances[batch->open[i]] =
		        sq8_distance(sq8, &query->constants, constants, product);
	}
}

static void refine(const struct hnsw_space *space, const void *query_of, const uint32_t *rows,
                   uint32_t n, float *ret)
{
	const struct query *query = query_of;
	const struct hnsw_space *exact = &self_of(space)->exact.space;

	exact->distances(exact, query->row, rows, n, INFINITY, ret);
}

static void distances(const struct hnsw_space *space_of, const void *query_of, const uint32_t *rows,
                      uint32_t n, float bound, float *ret)
{
	const struct hnsw_space_sq8 *space = self_of(space_of);
	const struct query *query = query_of;
	uint32_t at[HNSW_BATCH]; /* which of the rows each code is of */
	struct batch batch;

	batch.sq8 = &space->codes->sq8;
	batch.query = &query->code;
	batch.n = 0;
	batch.n_open = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (has_code(space, rows[i]) && !query->is_nowhere) {
			at[batch.n] = i;
			batch.codes[batch.n++] = codes_at(space->codes, rows[i]);
		} else {
			refine(space_of, query, &rows[i], 1, &ret[i]);
		}
	}
	take_coarse(&batch, bound);
	take_fine(&batch);
	for (uint32_t i = 0; i < batch.n; i++)
		ret[at[i]] = batch.distances[i];
}

static void prefetch_rows(const struct hnsw_space *space_of, const uint32_t *rows, uint32_t n)
{
	const struct hnsw_space_sq8 *space = self_of(space_of);
	uint32_t bytes = sq8_coarse_bytes(&space->codes->sq8);

	for (uint32_t i = 0; i < n; i++) {
		if (has_code(space, rows[i]))
			prefetch(codes_at(space->codes, rows[i]), bytes);
	}
}

static const void *query(const struct hnsw_space *space_of, const float *vector, void *buf)
{
	struct query *query = buf;

	query->row = vector;
	query->is_nowhere = false;
	sq8_query(&self_of(space_of)->codes->sq8, vector, &query->code);
	return query;
}

/* A row as the exact space's query, made behind the integers if it must be made. */
static const float *exact_query(const struct hnsw_space_sq8 *space, uint32_t row,
                                struct query *query)
{
	void *buf = query->code.integers + space->codes->sq8.n_integers;

	return space->exact.space.query_of(&space->exact.space, row, buf);
}

static const void *query_of(const struct hnsw_space *space_of, uint32_t row, void *buf)
{
	const struct hnsw_space_sq8 *space = self_of(space_of);
	struct query *query = buf;

	query->is_nowhere = row == HNSW_NO_ROW;
	query->row = NULL;
	if (query->is_nowhere)
		return query;
	/* Only rows without a code are measured from the row itself. */
	if (space->coded_rows < space->n_rows)
		query->row = exact_query(space, row, query);
	if (has_code(space, row))
		sq8_query_of(&space->codes->sq8, codes_at(space->codes, row), &query->code);
	else
		sq8_query(&space->codes->sq8, query->row, &query->code);
	return query;
}

static float spread(const struct hnsw_space *space_of, const void *query_of, uint32_t row,
                    float distance)
{
	const struct hnsw_space_sq8 *space = self_of(space_of);
	const struct query *query = query_of;

	if (!has_code(space, row))
		return 0;
	return sq8_spread(&space->codes->sq8, &query->code,
	                  sq8_constants(&space->codes->sq8, codes_at(space->codes, row)), distance);
}

void hnsw_space_sq8_init(struct hnsw_space_sq8 *space, const struct codes *codes,
                         uint64_t coded_rows, uint64_t n_rows, hnsw_row_of *row_of, void *ctx)
{
	*space = (struct hnsw_space_sq8){
	        .space = {.distances = distances,
	                  .prefetch = prefetch_rows,
	                  .query = query,
	                  .query_of = query_of,
	                  .refine = refine,
	                  .spread = spread},
	        .codes = codes,
	        .coded_rows = coded_rows < n_rows ? coded_rows : n_rows,
	        .n_rows = n_rows,
	};
	hnsw_space_rows_init(&space->exact, codes->sq8.metric, codes->sq8.dim, codes->dtype, row_of,
	                     ctx);
	space->space.query_bytes =
	        sizeof(struct query) + codes->sq8.n_integers + space->exact.space.query_bytes;
}
