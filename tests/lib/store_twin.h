/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A store_io that stands before another one, writes down every operation, and fails the ones a
 * test names. With it failures are enumerated instead of hoped for:
 *
 *	for (uint64_t nth = 1;; nth++) {
 *		store_twin_fail(twin, (struct store_twin_fault){.nth = nth, .err = ENOSPC});
 *		... do it, with store_twin_io(twin) ...
 *		if (store_twin_n_failed(twin) == 0)
 *			break; // every operation had its turn
 *		... what must hold after a failure ...
 *		store_twin_heal(twin);
 *	}
 *
 * A failed close or unmap still closes and unmaps, so that a test leaks nothing. What mapped
 * pages are read or written for is not an operation.
 *
 * Threads: any; operations are ordered by when they begin.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/store_io.h"

enum store_twin_kind {
	STORE_TWIN_ANY,
	STORE_TWIN_OPEN,
	STORE_TWIN_ADOPT,
	STORE_TWIN_READ,
	STORE_TWIN_WRITE,
	STORE_TWIN_SYNC,
	STORE_TWIN_TRUNCATE,
	STORE_TWIN_ALLOCATE,
	STORE_TWIN_SIZE,
	STORE_TWIN_MAP,
	STORE_TWIN_UNMAP,
	STORE_TWIN_LOCK,
	STORE_TWIN_CLOSE,
	STORE_TWIN_RENAME,
	STORE_TWIN_UNLINK,
	STORE_TWIN_SYNC_DIR,
	STORE_TWIN_MAKE_DIR,
	STORE_TWIN_REMOVE_DIR,
	STORE_TWIN_LIST,
};

struct store_twin_op {
	enum store_twin_kind kind;
	const char *path;
	const char *to;       /* rename: the new name; else NULL */
	unsigned flags;       /* open: enum store_open_flags */
	uint64_t offset;      /* read, write, allocate, map; truncate: the new size */
	size_t n_bytes;       /* asked for: read, write, allocate, map, unmap */
	size_t n_done;        /* of a write: bytes that reached the file */
	const uint8_t *bytes; /* of a write, n_done of them; NULL unless kept */
	int64_t result;       /* what the caller was told */
};

struct store_twin_fault {
	enum store_twin_kind kind; /* STORE_TWIN_ANY: all of them */
	const char *path_part;     /* only paths that contain it; NULL: all. Borrowed until heal */
	uint64_t nth;              /* which of the matching ones, counted from now, 1 first */
	int err;                   /* the positive errno it fails with */
	bool lasting;              /* all matching ones after it fail too */
	size_t torn_bytes;         /* a failing write gets so many of its bytes to the file */
};

struct store_twin;

/* Borrows inner. Aborts without memory, like all of this. */
struct store_twin *store_twin_new(struct store_io *inner);
/* After the last of its files was closed (asserted). */
struct store_twin *store_twin_free(struct store_twin *twin);
struct store_io *store_twin_io(struct store_twin *twin);

/* Faults. Several may be set (STORE_TWIN_FAULTS_MAX); the first that matches fails the operation.
 */
#define STORE_TWIN_FAULTS_MAX 8
void store_twin_fail(struct store_twin *twin, struct store_twin_fault fault);
/* From the nth operation on the machine is gone: all of them fail with EIO, the first write
 * after torn_bytes. */
void store_twin_cut(struct store_twin *twin, uint64_t nth, size_t torn_bytes);
/* From the nth operation on that takes room, counted from now, the disk is full: what makes a file
 * longer fails with ENOSPC, as far as nothing was cut off or removed since that makes up for it. A
 * hole takes room too. What is written within a file takes none. */
void store_twin_fill(struct store_twin *twin, uint64_t nth);
/* Whether it has come to that. */
bool store_twin_is_full(struct store_twin *twin);
/* Operations that took room since store_twin_fill(). */
uint64_t store_twin_n_growths(struct store_twin *twin);
/* Takes back all faults, a full disk too, and the count of failures. */
void store_twin_heal(struct store_twin *twin);
/* Operations that were failed since the last heal. */
uint64_t store_twin_n_failed(struct store_twin *twin);

/* The record: from the beginning or the last forget. Entries are valid until forget. */
void store_twin_keep_bytes(struct store_twin *twin, bool keep);
size_t store_twin_n_ops(struct store_twin *twin);
const struct store_twin_op *store_twin_op(struct store_twin *twin, size_t idx);
/* How many there were of that kind on a path that contains path_part (NULL: any). */
size_t store_twin_count(struct store_twin *twin, enum store_twin_kind kind, const char *path_part);
/* Waits for those that are under way. */
void store_twin_forget(struct store_twin *twin);

/* Writes to `to` what a disk may hold of path when power is lost after the first n_ops recorded
 * operations: all that was synced by then, and of what was written since any sectors of 512
 * bytes, drawn by seed. A truncation that did not happen takes the writes behind it with it.
 * The record must begin before the file does and have its bytes. */
void store_twin_power_cut(struct store_twin *twin, size_t n_ops, const char *path, const char *to,
                          uint64_t seed);
