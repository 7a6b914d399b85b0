/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows are taken in tiles of one mask word. For each tile the codes come first, and those rows that
 * they do not exclude are asked for; then these are measured, unless what was measured meanwhile
 * excludes them after all. The coarse parts of a tile's codes lie side by side, which the hardware
 * foresees by itself.
 */

#include "index/exact_codes.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

#define TILE 64u
#define AHEAD_BYTES 4096u /* of a row */

struct query {
	struct sq8_bound bound;
	struct sq8_query code;
};

struct tile {
	struct exact_codes *by_codes;
	uint64_t first;
	uint64_t mask;
};

/* Rows of a tile that may be among the nearest of one query. */
struct open_rows {
	uint32_t n;
	uint8_t rows[TILE];
	int32_t products[TILE];
};

static size_t query_bytes(const struct codes *codes)
{
	size_t bytes = offsetof(struct query, code) + sq8_query_bytes(&codes->sq8);
	return (bytes + 63) & ~(size_t)63;
}

size_t exact_codes_bytes(const struct codes *codes, uint32_t n_queries)
{
	return n_queries * query_bytes(codes);
}

static struct query *query_at(const struct exact_codes *by_codes, uint32_t idx)
{
	return (void *)((uint8_t *)by_codes->queries + idx * query_bytes(by_codes->codes));
}

static const float *row_of_query(const struct exact_scan *scan, uint32_t idx)
{
	size_t stride_bytes = vector_stride_bytes(scan->dim, DTYPE_F32);
	return (const void *)((const uint8_t *)scan->queries + idx * stride_bytes);
}

/* What of the rows is still of interest to a query. */
static void set_bound(const struct exact_codes *by_codes, uint32_t idx)
{
	const struct topk *best = &by_codes->scan->best[idx];

	sq8_bound_limit(&query_at(by_codes, idx)->bound,
	                best->n < best->k ? INFINITY : best->hits[0].distance);
}

void exact_codes_prepare(struct exact_codes *by_codes)
{
	const struct sq8 *sq8 = &by_codes->codes->sq8;

	for (uint32_t i = 0; i < by_codes->scan->n_queries; i++) {
		struct query *query = query_at(by_codes, i);
		sq8_query(sq8, row_of_query(by_codes->scan, i), &query->code);
		sq8_bound_init(&query->bound, sq8, &query->code);
		set_bound(by_codes, i);
	}
}

static void prefetch(const void *from, uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes; at += 64)
		__builtin_prefetch((const uint8_t *)from + at);
}

/* The rows of a tile. */
struct codes_of {
	uint32_t n;
	uint8_t rows[TILE];
	struct sq8_code codes[TILE];
	const uint8_t *planes[TILE];
};

static void list_codes(const struct tile *tile, struct codes_of *ret)
{
	ret->n = 0;
	for (uint64_t left = tile->mask; left != 0; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		ret->rows[ret->n] = (uint8_t)i;
		ret->codes[ret->n] = codes_at(tile->by_codes->codes, tile->first + i);
		ret->planes[ret->n] = ret->codes[ret->n].coarse;
		ret->n++;
	}
}

/* The rows that neither plane excludes. */
static void consider(const struct sq8 *sq8, const struct query *query, const struct codes_of *codes,
                     const int32_t *coarse_dots, struct open_rows *open)
{
	open->n = 0;
	for (uint32_t i = 0; i < codes->n; i++) {
		const struct sq8_constants *constants = sq8_constants(sq8, codes->codes[i]);
		const uint8_t *fine = codes->codes[i].fine;
		int32_t fine_dot;

		if (sq8_bound_excludes_coarse(&query->bound, constants,
		                              sq8_coarse_halves(&query->code, coarse_dots[i])))
			continue;
		sq8->kernels->dots(query->code.integers, &fine, 1, sq8->n_integers, &fine_dot);
		int32_t product = sq8_product(&query->code, coarse_dots[i], fine_dot);
		if (sq8_bound_excludes(&query->bound, constants, product))
			continue;
		open->rows[open->n] = codes->rows[i];
		open->products[open->n++] = product;
	}
}

/* What is open for one query. */
static void take_codes(const struct exact_codes *by_codes, uint32_t idx,
                       const struct codes_of *codes, struct open_rows *open)
{
	const struct sq8 *sq8 = &by_codes->codes->sq8;
	const struct query *query = query_at(by_codes, idx);
	int32_t dots[TILE];

	sq8->kernels->dots(query->code.integers, codes->planes, codes->n, sq8->n_integers, dots);
	consider(sq8, query, codes, dots, open);
}

/* And for four. */
static void take_codes_x4(const struct exact_codes *by_codes, uint32_t idx,
                          const struct codes_of *codes, struct open_rows open[4])
{
	const struct sq8 *sq8 = &by_codes->codes->sq8;
	const int8_t *integers[4];
	int32_t dots[4][TILE];

	for (uint32_t q = 0; q < 4; q++)
		integers[q] = query_at(by_codes, idx + q)->code.integers;
	for (uint32_t i = 0; i < codes->n; i++) {
		int32_t found[4];
		sq8->kernels->dot_x4(integers, codes->planes[i], sq8->n_integers, found);
		for (uint32_t q = 0; q < 4; q++)
			dots[q][i] = found[q];
	}
	for (uint32_t q = 0; q < 4; q++)
		consider(sq8, query_at(by_codes, idx + q), codes, dots[q], &open[q]);
}

/* Measures what is open for a query. */
static int take_rows(const struct tile *tile, uint32_t idx, const struct open_rows *open)
{
	struct exact_codes *by_codes = tile->by_codes;
	struct exact_scan *scan = by_codes->scan;
	const struct kernels *kernels = scan->kernels;
	size_t n_floats = vector_stride_bytes(scan->dim, DTYPE_F32) / sizeof(float);
	const float *query = row_of_query(scan, idx);
	struct topk *best = &scan->best[idx];
	const struct sq8_bound *bound = &query_at(by_codes, idx)->bound;
	const void *rows[TILE];

	for (uint32_t i = 0; i < open->n; i++) {
		rows[i] = by_codes->row_of(by_codes->ctx, tile->first + open->rows[i]);
		if (!rows[i])
			return -EIO;
		if (i < 2)
			prefetch(rows[i], AHEAD_BYTES);
	}
	for (uint32_t i = 0; i < open->n; i++) {
		uint64_t row = tile->first + open->rows[i];
		struct sq8_code code = codes_at(by_codes->codes, row);
		float distance;

		if (sq8_bound_excludes(bound, sq8_constants(&by_codes->codes->sq8, code),
		                       open->products[i]))
			continue;
		distance = (scan->metric == METRIC_L2 ? kernels->l2 : kernels->dot)(rows[i], query,
		                                                                    n_floats);
		distance = metric_distance(scan->metric, distance);
		by_codes->n_read++;
		if (!topk_wants(best, distance, row))
			continue;
		topk_push(best, distance, row);
		set_bound(by_codes, idx);
	}
	return 0;
}

static int scan_tile(const struct tile *tile)
{
	struct exact_codes *by_codes = tile->by_codes;
	uint32_t n_queries = by_codes->scan->n_queries;
	struct codes_of codes;
	struct open_rows open[4];
	int r = 0;

	list_codes(tile, &codes);
	for (uint32_t idx = 0, n; idx < n_queries && r == 0; idx += n) {
		n = n_queries - idx >= 4 ? 4 : 1;
		if (n == 4)
			take_codes_x4(by_codes, idx, &codes, open);
		else
			take_codes(by_codes, idx, &codes, open);
		for (uint32_t q = 0; q < n && r == 0; q++)
			r = take_rows(tile, idx + q, &open[q]);
	}
	by_codes->scan->comparisons += (uint64_t)codes.n * n_queries;
	return r;
}

int exact_codes_scan(struct exact_codes *by_codes, uint64_t first, uint32_t n, const uint64_t *mask)
{
	int r = 0;

	for (uint32_t at = 0; at < n && r == 0; at += TILE) {
		struct tile tile = {
		        .by_codes = by_codes, .first = first + at, .mask = mask[at / TILE]};
		if (tile.mask != 0)
			r = scan_tile(&tile);
	}
	return r;
}
