/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How searches were answered, counted: by their way (scan, graph, or a scan after the graph was of
 * no use), by where the vectors lay, and by whether records were pending. An index has one of its
 * own, which lives as long as any of its generations is searched; searches without an index count
 * in their collection's. What counts is what was done, not what was planned: a search that fell
 * back to a scan is a scan.
 *
 * Threads: [loop].
 */

#include <stdbool.h>
#include <stdint.h>

#include "protocol/methods.h"

enum tally_way {
	TALLY_SCAN,
	TALLY_GRAPH,
	TALLY_FELL_BACK, /* to a scan */
	TALLY_N_WAYS
};

struct tally_cell {
	uint64_t searches; /* query vectors */
	uint64_t comparisons;
	uint64_t scanned;
};

struct tally {
	uint32_t n_refs;
	struct tally_cell cells[TALLY_N_WAYS][WIRE_N_source][2]; /* [2]: were records pending */
};

/* One with one reference; NULL: no memory. */
struct tally *tally_new(void);
struct tally *tally_ref(struct tally *tally);
/* NULL is fine; returns NULL. */
struct tally *tally_unref(struct tally *tally);

/* Of that way, all cells together. */
struct tally_cell tally_sum(const struct tally *tally, enum tally_way way);
/* Makes a row for each cell that counted something; returns how many. rows: NULL to count only.
 * index: "" for none. */
uint32_t tally_rows(const struct tally *tally, const char *collection, const char *index,
                    struct tally_row *rows);
