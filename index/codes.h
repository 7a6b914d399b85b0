/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The codes (sq8.h) of a collection's rows [0, n_rows), resident in the budget, in the order of the
 * vector file: what graphs and exact scans read in the place of the vectors, a quarter of their
 * size. One instance serves all generations and scans of its collection.
 *
 *      codes_reserve [loop] ─► codes_encode [worker] ─► the loop publishes the new count
 *
 * Nothing moves and nothing that was published changes, so readers go on while it grows. The mean
 * that codes leave out is taken from rows that are there when the first are encoded; later rows
 * keep to it: another mean would make their codes coarser or finer, and never wrong.
 *
 * Threads: the budget's [loop], but codes_encode() [one worker at a time] and what is [any], for
 * rows that the caller was told of.
 */

#include <stdint.h>

#include "index/budget.h"
#include "index/chunk_dir.h"
#include "index/dtype.h"
#include "index/sq8.h"

/* The mean of more rows is hardly another. */
#define CODES_MEAN_ROWS 4096

struct codes {
	struct sq8 sq8;
	enum dtype dtype; /* of the rows */
	float *mean;      /* owned; NULL until codes_set_mean() */
	struct grant grant;
	struct chunk_dir chunks;
	uint32_t chunk_rows;
	uint32_t fine_at;    /* where the fine parts of a chunk begin */
	uint64_t reciprocal; /* 2^40 / chunk_rows, rounded up: row / chunk_rows by a product */
	uint64_t n_chunks;
};

void codes_init(struct codes *codes, enum metric metric, uint32_t dim, enum dtype dtype,
                struct budget *budget);
/* Gives everything back; it is then as after codes_init(). Nobody may read any more. */
void codes_release(struct codes *codes);

/* Where a row lies, from vector_prepare(); NULL when it cannot be read. */
typedef const void *codes_row_of(void *ctx, uint64_t row);

/* What codes are distances from: takes the mean of rows [0, n_rows), or of CODES_MEAN_ROWS spread
 * evenly over them. Once, before the first is encoded. -EIO when row_of did not have a row,
 * -ENOMEM. [worker] */
int codes_set_mean(struct codes *codes, uint64_t n_rows, codes_row_of *row_of, void *ctx);
/* Makes room for n_rows rows in all, or as many as the budget grants and CHUNK_DIR_MAX runs hold;
 * returns for how many there is room now. */
uint64_t codes_reserve(struct codes *codes, uint64_t n_rows);
/* Encodes n rows that lie one behind the other (from vector_prepare()) as rows [first, first + n),
 * which there is room for. [worker] */
void codes_encode(struct codes *codes, uint64_t first, uint64_t n, const void *rows);
/* How many rows so many bytes have room for. */
uint64_t codes_rows_in(const struct codes *codes, uint64_t bytes);
/* Bytes charged to the budget. */
uint64_t codes_bytes(const struct codes *codes);

/* The code of a row. [any] */
static inline struct sq8_code codes_at(const struct codes *codes, uint64_t row)
{
	uint64_t chunk = row * codes->reciprocal >> 40;
	uint64_t in_chunk = row - chunk * codes->chunk_rows;
	const uint8_t *at = chunk_dir_get(&codes->chunks, chunk);

	return (struct sq8_code){
	        .coarse = at + in_chunk * codes->sq8.coarse_bytes,
	        .fine = at + codes->fine_at + in_chunk * codes->sq8.fine_bytes,
	};
}
