/* SPDX-License-Identifier: Apache-2.0 */
#include "index/hnsw_space_without.h"

#include <math.h>

static const struct hnsw_space_without *self_of(const struct hnsw_space *space)
{
	return (const struct hnsw_space_without *)space;
}

static void leave_out(const struct hnsw_space_without *space, const uint32_t *rows, uint32_t n,
                      float *distances)
{
	for (uint32_t i = 0; i < n; i++) {
		if (rows[i] == space->row)
			distances[i] = INFINITY;
	}
}

static void distances(const struct hnsw_space *space_of, const void *query, const uint32_t *rows,
                      uint32_t n, float bound, float *ret)
{
	const struct hnsw_space_without *space = self_of(space_of);

	space->whole->distances(space->whole, query, rows, n, bound, ret);
	leave_out(space, rows, n, ret);
}

static void ask(const struct hnsw_space *space_of, const uint32_t *rows, uint32_t n)
{
	const struct hnsw_space *whole = self_of(space_of)->whole;

	whole->ask(whole, rows, n);
}

static const void *query(const struct hnsw_space *space_of, const float *vector, void *buf)
{
	const struct hnsw_space *whole = self_of(space_of)->whole;

	return whole->query(whole, vector, buf);
}

static const void *query_of(const struct hnsw_space *space_of, uint32_t row, void *buf)
{
	const struct hnsw_space *whole = self_of(space_of)->whole;

	return whole->query_of(whole, row, buf);
}

static void sharpen(const struct hnsw_space *space_of, const void *query, const uint32_t *rows,
                    uint32_t n, float *ret)
{
	const struct hnsw_space_without *space = self_of(space_of);

	space->whole->sharpen(space->whole, query, rows, n, ret);
	leave_out(space, rows, n, ret);
}

static void refine(const struct hnsw_space *space_of, const void *query, const uint32_t *rows,
                   uint32_t n, float *ret)
{
	const struct hnsw_space_without *space = self_of(space_of);

	space->whole->refine(space->whole, query, rows, n, ret);
	leave_out(space, rows, n, ret);
}

static float spread(const struct hnsw_space *space_of, const void *query, uint32_t row,
                    float distance)
{
	const struct hnsw_space_without *space = self_of(space_of);

	return row == space->row ? 0 : space->whole->spread(space->whole, query, row, distance);
}

void hnsw_space_without_init(struct hnsw_space_without *space, const struct hnsw_space *whole,
                             uint32_t row)
{
	*space = (struct hnsw_space_without){
	        .space = {.distances = distances,
	                  .query = query,
	                  .query_of = query_of,
	                  .query_bytes = whole->query_bytes},
	        .whole = whole,
	        .row = row,
	};
	/* What not every space has; the others where it estimates. */
	if (whole->ask)
		space->space.ask = ask;
	if (whole->refine) {
		space->space.sharpen = sharpen;
		space->space.refine = refine;
		space->space.spread = spread;
	}
}
