/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows are taken in tiles of one mask word, 64 rows, which stay in the second-level cache while
 * the queries go over them in fours; so a row comes from memory once however many queries there
 * are, and four queries stay in the first level however many rows.
 */

#include "index/exact.h"

struct tile {
	const uint8_t *rows;
	size_t stride_bytes;
	size_t n_floats; /* of a query, padding included */
	uint64_t first;
	uint64_t mask;
};

static inline void offer(struct exact_scan *scan, uint32_t query, float kernel, uint64_t row_idx)
{
	struct topk *best = &scan->best[query];
	float distance = metric_distance(scan->metric, kernel);

	if (topk_wants(best, distance, row_idx))
		topk_push(best, distance, row_idx);
}

static const float *query_row(const struct exact_scan *scan, const struct tile *tile,
                              uint32_t query)
{
	return (const float *)scan->queries + query * tile->n_floats;
}

static void scan_one(struct exact_scan *scan, const struct tile *tile, uint32_t query)
{
	const struct kernels *kernels = scan->kernels;
	float (*kernel)(const void *, const float *, size_t) =
	        scan->metric == METRIC_L2 ? kernels->l2 : kernels->dot;
	const float *q = query_row(scan, tile, query);

	for (uint64_t left = tile->mask; left != 0; left &= left - 1) {
		size_t i = (size_t)__builtin_ctzll(left);
		float found = kernel(tile->rows + i * tile->stride_bytes, q, tile->n_floats);
		offer(scan, query, found, tile->first + i);
	}
}

static void scan_four(struct exact_scan *scan, const struct tile *tile, uint32_t query)
{
	const struct kernels *kernels = scan->kernels;
	void (*kernel)(const void *, const float *const[4], size_t, float[4]) =
	        scan->metric == METRIC_L2 ? kernels->l2_x4 : kernels->dot_x4;
	const float *const q[4] = {
	        query_row(scan, tile, query),
	        query_row(scan, tile, query + 1),
	        query_row(scan, tile, query + 2),
	        query_row(scan, tile, query + 3),
	};

	for (uint64_t left = tile->mask; left != 0; left &= left - 1) {
		size_t i = (size_t)__builtin_ctzll(left);
		float found[4];
		kernel(tile->rows + i * tile->stride_bytes, q, tile->n_floats, found);
		for (uint32_t j = 0; j < 4; j++)
			offer(scan, query + j, found[j], tile->first + i);
	}
}

static void scan_tile(struct exact_scan *scan, const struct tile *tile)
{
	uint32_t query = 0;

	for (; query + 4 <= scan->n_queries; query += 4)
		scan_four(scan, tile, query);
	for (; query < scan->n_queries; query++)
		scan_one(scan, tile, query);
	scan->comparisons += (uint64_t)__builtin_popcountll(tile->mask) * scan->n_queries;
}

void exact_scan_rows(struct exact_scan *scan, const struct exact_rows *rows)
{
	const size_t stride_bytes = vector_stride_bytes(scan->dim, scan->kernels->dtype);
	const size_t n_floats = vector_stride_bytes(scan->dim, DTYPE_F32) / sizeof(float);

	for (uint32_t at = 0; at < rows->n; at += 64) {
		struct tile tile = {
		        .rows = (const uint8_t *)rows->rows + at * stride_bytes,
		        .stride_bytes = stride_bytes,
		        .n_floats = n_floats,
		        .first = rows->first + at,
		        .mask = rows->mask[at / 64],
		};
		if (tile.mask != 0)
			scan_tile(scan, &tile);
	}
}
