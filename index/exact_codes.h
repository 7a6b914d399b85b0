/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The exact scan by way of codes: the same answer as exact_scan_rows() over the same rows, always,
 * for a fraction of the memory that it reads. A row is left out when its code proves that it is
 * farther than the k-th nearest so far (struct sq8_bound), by half of the code if that will do; the
 * others are measured with the scan's own kernels. Queries share one pass over the codes, four at a
 * time.
 *
 * Pure: no memory taken, no thread, no clock. [any]
 */

#include <stddef.h>
#include <stdint.h>

#include "index/codes.h"
#include "index/exact.h"

struct exact_codes {
	struct exact_scan *scan;   /* queries, kernels, heaps and comparisons */
	const struct codes *codes; /* with a mean */
	void *queries;             /* exact_codes_bytes(), 64-byte aligned */
	codes_row_of *row_of;
	void *ctx;
	uint64_t n_read; /* rows that were measured, a query each */
};

/* Memory for the codes of n queries. */
size_t exact_codes_bytes(const struct codes *codes, uint32_t n_queries);
/* Makes them, in by_codes->queries, of the scan's queries. */
void exact_codes_prepare(struct exact_codes *by_codes);
/* Rows [first, first + n), all of them with codes; bit i of the mask: row first + i takes part.
 * -EIO when row_of did not have a row: what the heaps hold is then of no use. */
int exact_codes_scan(struct exact_codes *by_codes, uint64_t first, uint32_t n,
                     const uint64_t *mask);
