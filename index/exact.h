/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The exact scan: every visible row against every query. The default answer and the ground truth
 * for everything else. Many queries share one pass over the rows, four at a time.
 *
 * A distance under l2 or cosine is never negative: where rounding makes the inner product of two
 * unit vectors more than 1, their cosine distance is 0.
 *
 * Pure: no memory taken, no thread, no clock. [any]
 */

#include <stddef.h>
#include <stdint.h>

#include "index/kernels.h"
#include "index/topk.h"
#include "index/vector.h"

struct exact_scan {
	const struct kernels *kernels; /* and so the dtype of the rows */
	enum metric metric;
	uint32_t dim;
	uint32_t n_queries;
	const void *queries;  /* f32 rows from vector_prepare() */
	struct topk *best;    /* one a query */
	uint64_t comparisons; /* grows by one for each row and query */
};

/* A stretch of rows that lie one behind the other. */
struct exact_rows {
	const void *rows; /* of row first, from vector_prepare(), of the kernels' dtype */
	uint64_t first;
	uint32_t n;
	const uint64_t *mask; /* bit i: row first + i takes part; bits from n on are 0 */
};

void exact_scan_rows(struct exact_scan *scan, const struct exact_rows *rows);
