/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Distances estimated from 8-bit codes, and the rows themselves to refine them. A row that has no
 * code yet (from coded_rows on) is measured itself: estimates and distances can be mixed. [any]
 */

#include <stdint.h>

#include "index/codes.h"
#include "index/hnsw.h"
#include "index/hnsw_space_rows.h"

struct hnsw_space_sq8 {
	struct hnsw_space space; /* give its address to the graph */
	const struct codes *codes;
	uint64_t coded_rows; /* rows [0, coded_rows) have a code */
	uint64_t n_rows;     /* that there are */
	struct hnsw_space_rows exact;
};

/* Borrows everything; the codes have a mean. row_of is for refining and for rows without code. */
void hnsw_space_sq8_init(struct hnsw_space_sq8 *space, const struct codes *codes,
                         uint64_t coded_rows, uint64_t n_rows, hnsw_row_of *row_of, void *ctx);
