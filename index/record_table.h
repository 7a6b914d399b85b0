/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The record table: for each row of a collection (one row a slot, in commit order, the same
 * numbering as in the vector file) its slot, id, namespace and expiry, and the seq at which it
 * was retired. It decides who is visible: a search at seq S over rows [0, n) sees a row when it
 * was not retired at or before S. Because retirements carry their seq, the write job applies them
 * as soon as its commit is durable, and searches that were planned before go on seeing the old
 * version whole.
 *
 * Rows live in chunks of 64 KiB that never move; ids that are strings beside them. All of it is
 * granted (see budget.h): reserve on the loop, append on the write job.
 *
 * Threads: append, retire and touch belong to the one write job (or the opening job), which does
 * not run while the loop reserves or releases; reading is for anyone who was given a row count
 * n_rows that the loop published after the append ended. retired_seq, namespace and expiry are
 * atomic (relaxed: the loop's publishing orders them).
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index/budget.h"
#include "index/chunk_dir.h"

#define RECORD_TABLE_CHUNK_ROWS 2048u
#define RECORD_TABLE_LIVE UINT64_MAX /* retired_seq of a live row */
#define RECORD_TABLE_ANY_NS UINT32_MAX
#define RECORD_TABLE_NS_MAX 0x7fffffffu
#define RECORD_TABLE_ID_MAX 512u /* bytes of a string id */

/* Outcomes. */
enum {
	RECORD_TABLE_NO_ROW = 1
};

struct record_table {
	struct grant grant;
	struct chunk_dir chunks;
	uint8_t *ids_at;        /* where the next string id goes */
	size_t ids_left;        /* bytes behind it, in the same run */
	uint64_t n_rows;        /* the appender's count; readers use the published one */
	uint64_t live_id_bytes; /* of the string ids of live rows; the appender's too */
	_Atomic bool expires;   /* some row has, or had, an expiry */
};

struct record_table_id {
	const char *text; /* NULL: number; valid as long as the table */
	uint32_t n;       /* bytes of text, at most RECORD_TABLE_ID_MAX */
	uint64_t number;
};

struct record_table_row {
	uint64_t slot;
	struct record_table_id id; /* to append: borrowed, copied into the grant */
	uint32_t ns;               /* at most RECORD_TABLE_NS_MAX */
	int64_t expires_at;        /* seconds since 1970, 0: never; kept up to the year 2106 */
	uint64_t retired_seq;
};

void record_table_init(struct record_table *table, struct budget *budget);
/* Gives all memory back; the table is then empty. Fine to call twice. */
void record_table_release(struct record_table *table);

/* Makes sure of room for n_rows more rows whose string ids take id_bytes in all (what an earlier
 * call reserved and nobody used counts towards it); spills when the budget is full. -ENOMEM when
 * not even that is to be had, -ENOSPC beyond CHUNK_DIR_MAX chunks; then nothing was reserved.
 * [loop] */
int record_table_reserve(struct record_table *table, uint64_t n_rows, uint64_t id_bytes);
/* Appends; slots ascend. -ENOSPC when more than was reserved (then nothing changed). [writer] */
int record_table_append(struct record_table *table, const struct record_table_row *row);
/* Marks a row as retired at seq. [writer] */
void record_table_retire(struct record_table *table, uint64_t row_idx, uint64_t seq);
/* Changes namespace and expiry in place. [writer] */
void record_table_touch(struct record_table *table, uint64_t row_idx, uint32_t ns,
                        int64_t expires_at);

/* The row of a slot among the first n_rows, by bisection: RECORD_TABLE_NO_ROW when it has none.
 * [any] */
int record_table_find(const struct record_table *table, uint64_t n_rows, uint64_t slot,
                      uint64_t *ret_row_idx);
/* [any] */
void record_table_get(const struct record_table *table, uint64_t row_idx,
                      struct record_table_row *ret);

struct record_view {
	uint64_t seq;  /* sees what was live then */
	uint32_t ns;   /* RECORD_TABLE_ANY_NS: all */
	int64_t now_s; /* what expired by then is not seen */
};

/* Whether the view leaves rows out for nothing but being retired. [any] */
bool record_view_is_plain(const struct record_table *table, const struct record_view *view);
/* Sets bit i of mask when row first + i is visible, for i < n; clears the rest of the last word.
 * n is at most RECORD_TABLE_CHUNK_ROWS. Returns how many are visible. [any] */
uint32_t record_table_visible(const struct record_table *table, const struct record_view *view,
                              uint64_t first, uint32_t n, uint64_t *mask);
/* How many of rows [first, end) are visible: a walk. [any] */
uint64_t record_table_count(const struct record_table *table, const struct record_view *view,
                            uint64_t first, uint64_t end);
