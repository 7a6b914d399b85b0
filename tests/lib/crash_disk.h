/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What all files below a directory may look like when the world ends after the first n operations
 * that a store_twin recorded.
 *
 *	crash_disk_save(twin, n, "<root that was recorded>", "<root to write>",
 *	                (struct crash){CRASH_DRAWN, .seed = 7});
 *
 * The model: a file is its content, reached by a name in a directory. Content written before the
 * last sync of the file that succeeded is there; of what was written since, any sectors of 512
 * bytes. Names made, renamed and removed before the last sync of their directory are there; of
 * those since, any beginning of their order (a file system's journal keeps the order within a
 * directory, not between two), each step whole. What SQLite's own VFS does behind the seam is
 * known: the first sync of a -wal or -journal that it made syncs the directory too; -shm files are
 * not durable.
 *
 * The record must begin before the first file does and have its bytes.
 */

#include <stddef.h>
#include <stdint.h>

#include "tests/lib/store_twin.h"

enum crash_kind {
	CRASH_KILLED, /* the process only: all that was done is there */
	CRASH_LOST,   /* power: nothing that was not synced is there */
	CRASH_DRAWN,  /* power: of that, what the seed draws */
	CRASH_N_KINDS
};

struct crash {
	enum crash_kind kind;
	uint64_t seed; /* CRASH_DRAWN */
};

const char *crash_kind_name(enum crash_kind kind);

/* Whether a disk can look different after the operation. */
bool crash_disk_changes(const struct store_twin_op *op);
/* Writes the tree below `to`, which is there and empty. */
void crash_disk_save(struct store_twin *twin, size_t n_ops, const char *root, const char *to,
                     struct crash crash);
