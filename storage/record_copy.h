/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A copy of a record store, as it was after one commit, made while the store is read and written:
 * what a backup and a restore are made of. It is compact (no free pages), and an ordinary record
 * store of the same collection.
 *
 * As long as a copy is made, the store's WAL cannot begin anew. So a copy gives way when the disk
 * is full, wherever it goes to.
 *
 * Threads: any; the connections are the copy's own. [worker]
 */

#include <stdatomic.h>
#include <stdint.h>

#include "storage/record_store.h"
#include "storage/reserve.h"

struct record_copy {
	uint64_t seq;       /* of the commit that it shows */
	uint64_t n_records; /* live ones */
	uint64_t size_bytes;
};

/* Copies the store in dir to to_dir, which exists and is empty, and looks the copy through
 * (record_check.h). It is durable, but for the names of both in the directories above. spec: what
 * the store must be, else RECORD_STORE_FOREIGN. When cancelled becomes true: -ECANCELED, soon; when
 * the reserve is given up: -ENOSPC, so that what it was is left to deletes.
 * Outcomes and errors as those of record_store_open(); -EBADMSG too when the copy is not sound.
 * What is left after a failure is the caller's to remove. */
int record_copy(struct store_io *io, const char *dir, const char *to_dir,
                const struct record_spec *spec, const atomic_bool *cancelled,
                const struct reserve *reserve, struct record_copy *ret);
