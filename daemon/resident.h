/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What of a collection's vectors is resident: the codes of rows [0, n_rows), in the budget. The
 * vectors themselves are in the vector file, mapped; what has no code is read there as well.
 *
 * It grows by encoding more rows of the file. The codes' mean is that of a sample of all rows which
 * are there when the first are encoded, whether they have room or not; when many times as many have
 * codes, it begins anew.
 *
 * Threads: everything [loop] but resident_encode() [worker]; reading codes of rows below a pin's
 * resident_rows is for anyone.
 */

#include <stdbool.h>
#include <stdint.h>

#include "index/budget.h"
#include "index/codes.h"
#include "storage/vector_file.h"

/* Codes may take this share of the budget; the rest is for what cannot be done without (record
 * tables, and indexes). */
#define RESIDENT_SHARE_NUM 3
#define RESIDENT_SHARE_DEN 4
/* The mean is taken anew when there are codes of so many times the rows that it was taken from. */
#define RESIDENT_MEAN_GROWTH 8

struct resident {
	struct codes codes;
	uint64_t n_rows;      /* published */
	uint64_t n_mean_rows; /* that there were when the mean was taken */
};

void resident_init(struct resident *resident, enum metric metric, uint32_t dim, enum dtype dtype,
                   struct budget *budget);
/* Gives everything back; no reader may be left. It is then empty, and may grow again. */
void resident_release(struct resident *resident);
/* Gets memory for rows up to n_rows as far as the budget goes; returns how many then have room. */
uint64_t resident_reserve(struct resident *resident, uint64_t n_rows);
/* Encodes rows [from, to) of the file, which has n_rows or more, the first time with the mean of a
 * sample of these. -EBADMSG and *ret_extent when an extent is damaged, -ENOMEM. [worker] */
int resident_encode(struct resident *resident, struct vector_file *file, uint64_t from, uint64_t to,
                    uint64_t n_rows, uint64_t *ret_extent);
/* Whether its mean is of few of its rows. Begun anew it is not: the mean is then of all of them. */
static inline bool resident_is_outgrown(const struct resident *resident)
{
	return resident->n_rows > 0 && resident->n_mean_rows < CODES_MEAN_ROWS &&
	       resident->n_mean_rows * RESIDENT_MEAN_GROWTH <= resident->n_rows;
}
