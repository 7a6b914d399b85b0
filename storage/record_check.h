/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Looks a record store through without changing it: SQLite's own check of every page, then what
 * must hold between our tables. It tells what is wrong in words.
 *
 * Threads: any, beside readers and the writer; the connection is its own. [worker]
 */

#include <stdatomic.h>
#include <stdint.h>

#include "storage/record_store.h"

/* More problems of SQLite's than this are not told: one bad page has many. */
#define RECORD_CHECK_PROBLEMS 16

struct record_check {
	uint64_t n_records;
	uint32_t n_problems;
};

/* Calls tell(ctx, problem) for each; NULL: they are counted only, and the first is in
 * record_store_last_error(). 0: it was looked through, whatever was found. One that cannot be
 * opened, or not be read to its end, is a problem as well. Other errors: of the disk, no memory,
 * -ECANCELED. */
int record_check(struct store_io *io, const char *dir, const struct uuid *uuid,
                 const atomic_bool *cancelled, void (*tell)(void *ctx, const char *problem),
                 void *ctx, struct record_check *ret);
