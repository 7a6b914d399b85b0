/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A snapshot: one generation of one index saved as a file, derived from the truth and disposable
 * (FORMAT.md, "The snapshots"). What it holds is chunks of bytes under numbers of the caller's;
 * nothing here knows what they mean.
 *
 * What it promises: a name holds a whole snapshot or none, whatever crashes while one is written;
 * the old one stays until the new one is durable. A byte that is not what was written is found
 * before it is handed out: header and table at open, a chunk when it is read or first mapped. A
 * file never changes under its name, so one that is open stays good when another replaces it.
 *
 * Threads: a writer belongs to one job at a time, and there is one at a time for a name [worker].
 * Any threads may read and map chunks of one open snapshot; opening it is one job's, and so is
 * closing it, which several may share (snapshot_ref).
 */

#include <stdbool.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/record.h"
#include "storage/store_io.h"

#define SNAPSHOT_KIND_SIZE 16 /* with the terminator */
#define SNAPSHOT_PARAMS_BYTES_MAX 256
/* A table of 2 MiB: with chunks of 2 MiB, 128 GiB, far above any budget. */
#define SNAPSHOT_CHUNKS_MAX 65536u
/* What stands behind the name of a file that is still being written. */
#define SNAPSHOT_TMP_SUFFIX ".tmp"

/* Outcomes of snapshot_open. */
enum {
	SNAPSHOT_MISSING = 1, /* there is no file of that name */
	SNAPSHOT_BAD = 2,     /* it is damaged, cut short or something else altogether */
	SNAPSHOT_NEWER = 3,   /* of a format version that this Kith does not know yet */
};

/* What a snapshot is of. One with another fingerprint is of no use, however sound. */
struct snapshot_fingerprint {
	struct record_spec spec; /* of the collection */
	char kind[SNAPSHOT_KIND_SIZE];
	uint32_t n_params;
	uint8_t params[SNAPSHOT_PARAMS_BYTES_MAX]; /* n_params bytes in the kind's own encoding */
};

struct snapshot_head {
	struct snapshot_fingerprint fingerprint;
	struct uuid epoch; /* of the truth, when it was at that seq (record_epochs.h) */
	uint64_t seq;      /* the published seq that it shows */
	uint64_t generation;
	uint64_t n_nodes;
};

/* Of params only the first n_params bytes count. */
bool snapshot_fingerprint_equal(const struct snapshot_fingerprint *a,
                                const struct snapshot_fingerprint *b);

/* Writing. The first error stays: every later call returns it too, so that only the last need be
 * looked at. */

struct snapshot_writer;

/* Begins dir/name.tmp, over what an interrupted save may have left there. -EINVAL for a name that
 * is none (empty, with a slash, or ending in ".tmp") or a head that has no room for what it says
 * (kind or space without a terminator, n_params above the limit). Borrows io, copies the rest. */
int snapshot_writer_begin(struct store_io *io, const char *dir, const char *name,
                          const struct snapshot_head *head, struct snapshot_writer **ret);
/* Writes a chunk of n bytes, 0 allowed. Chunks come in ascending order of (type, idx), -EINVAL
 * otherwise; -E2BIG above SNAPSHOT_CHUNKS_MAX. */
int snapshot_writer_chunk(struct snapshot_writer *writer, uint32_t type, uint32_t idx,
                          const void *data, size_t n);
/* The same in pieces of any size: begin, append..., and the next begin, chunk or commit ends it.
 * -EINVAL to append before the first chunk. */
int snapshot_writer_begin_chunk(struct snapshot_writer *writer, uint32_t type, uint32_t idx);
int snapshot_writer_append(struct snapshot_writer *writer, const void *data, size_t n);
/* Makes it durable under its name and frees the writer, whatever the result. After an error the
 * old snapshot stands and the temporary is removed; only when the directory itself could not be
 * synced the new one is there and a power cut may bring the old one back. */
int snapshot_writer_commit(struct snapshot_writer *writer);
/* Removes the temporary and frees the writer. */
struct snapshot_writer *snapshot_writer_abort(struct snapshot_writer *writer);

/* Removes every "*.tmp" of dir that a lost process left; no writer may be at work in it. Tries all
 * and returns the first error. Fine when there is no dir. */
int snapshot_collect_tmp(struct store_io *io, const char *dir);

/* Reading. */

struct snapshot;

/* Checks all but the chunks' content. For an outcome above 0, *ret is untouched and *ret_why a
 * literal to follow "the snapshot is not used: " ("it is cut short"). Whether the fingerprint is
 * the one wanted is for the caller to see. Errors < 0 need not be the file's fault: a medium that
 * cannot read it (-EIO) may do so the next time. */
int snapshot_open(struct store_io *io, const char *path, struct snapshot **ret,
                  const char **ret_why);
/* One more who closes it. With the closes on one thread. */
struct snapshot *snapshot_ref(struct snapshot *snapshot);
/* The last one unmaps what was mapped and closes. NULL is fine; returns NULL. */
struct snapshot *snapshot_close(struct snapshot *snapshot);

/* Valid until close. Bytes of kind, space and params behind their ends are zero. [any] */
const struct snapshot_head *snapshot_head(const struct snapshot *snapshot);
/* How many chunks of that type there are. [any] */
uint32_t snapshot_n_chunks(const struct snapshot *snapshot, uint32_t type);
/* -ENOENT when there is none. [any] */
int snapshot_chunk_size(const struct snapshot *snapshot, uint32_t type, uint32_t idx,
                        uint64_t *ret_size_bytes);
/* Reads a chunk of exactly n bytes. -EBADMSG when there is none of that size or it is not what was
 * written; buf then holds anything. [any] */
int snapshot_read_chunk(struct snapshot *snapshot, uint32_t type, uint32_t idx, void *buf,
                        size_t n);
/* The bytes of a chunk as they stand in the file, read-only, aligned to 4096, valid until close.
 * The first call for a chunk reads and checks all of it: -EBADMSG, then and on every later call,
 * when it is not what was written or there is none. A chunk of 0 bytes has an address that must
 * not be read. [any] */
int snapshot_map_chunk(struct snapshot *snapshot, uint32_t type, uint32_t idx,
                       const void **ret_addr);
/* Reads every chunk, mapping none: -EBADMSG when one is not what was written; -ECANCELED soon after
 * cancelled became true. [any] */
int snapshot_check(struct snapshot *snapshot, const atomic_bool *cancelled);
/* Some of a mapped chunk was gone when it was read (map_guard.h): what was read since it was last
 * looked at is of no use, and no chunk is mapped any more. [any] */
bool snapshot_is_lost(const struct snapshot *snapshot);
