/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The vector file: all vectors of one collection as rows ready for the distance kernels, in
 * commit order, derived from the truth and disposable (FORMAT.md). Rows have a fixed stride, a
 * multiple of 64 bytes; whole extents of rows (at most 2 MiB) are mapped, checked and copied at
 * once. Beside each row stands its slot.
 *
 * What it promises: rows [0, synced) and their checksums survived the last sync(); later rows are
 * there for this process only and are written again from the truth after a crash. An extent is
 * checked once against its CRC32C before those of its rows that were there at open are first
 * used. When pages of the mapping were gone as they were read (map_guard.h), because the file was
 * cut short or the medium fails, the file is lost: no extent is handed out any more, and who reads
 * rows at the time sees the count of faults change. A reset() to 0 begins it anew. Mapped rows stay
 * where they are until free(), also when reset() forgets them; the file never shrinks while it is
 * open.
 *
 * Threads: open, free, append, sync, reset and the counts belong to one job at a time [worker];
 * extent() may run beside append, sync and reset on any thread, for rows that were published to
 * the caller and that reset() does not forget.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/store_io.h"
#include "storage/uuid.h"

#define VECTOR_FILE_EXTENT_BYTES (2u << 20)
/* Room for 32 times the 500,000 records Kith is made for: replaced rows stay until compaction. */
#define VECTOR_FILE_ROWS_MAX (UINT64_C(1) << 24)
/* 16384 dimensions of f32. */
#define VECTOR_FILE_STRIDE_MAX 65536u

struct vector_file_spec {
	struct uuid uuid;
	uint32_t dim;
	uint32_t metric;
	uint32_t dtype;
	uint32_t stride_bytes; /* of a row, a multiple of 64, at most VECTOR_FILE_STRIDE_MAX */
};

struct vector_file;

/* Opens path when it is a sound file of that spec; otherwise starts an empty one in its place and
 * says why in *ret_why (a literal, to follow "the vector file starts over: "; NULL when the file
 * was sound). Reads heads and slots, not rows. -EINVAL for a stride that is none. */
int vector_file_open(struct store_io *io, const char *path, const struct vector_file_spec *spec,
                     struct vector_file **ret, const char **ret_why);
/* Unmaps and closes; does not sync. */
struct vector_file *vector_file_free(struct vector_file *file);

/* Rows in one extent: the same for the file's whole life. [any] */
uint32_t vector_file_extent_rows(const struct vector_file *file);
/* Rows that were found at open or appended since. */
uint64_t vector_file_n_rows(const struct vector_file *file);
/* Rows that would survive a power cut. */
uint64_t vector_file_synced_rows(const struct vector_file *file);
/* Of the last row; 0: there are none. */
uint64_t vector_file_last_slot(const struct vector_file *file);
/* Of the last sync; zeros before the first. */
const struct uuid *vector_file_epoch(const struct vector_file *file);
/* Copies the slots of rows [first, first + n), which must be there. Ascending. */
int vector_file_slots(struct vector_file *file, uint64_t first, uint64_t n, uint64_t *ret_slots);

/* Forgets rows from first on: the next append begins there. Nobody may read those any more: they
 * count as sound from now on, whatever stands there. Durable when it forgets synced rows.
 * -EBADMSG when rows before first share an extent with it and are not what was written: reset to
 * the first row of that extent instead; or when the file is lost: reset to 0. Nothing is forgotten
 * on error. */
int vector_file_reset(struct vector_file *file, uint64_t first);
/* Appends n rows of stride_bytes each; slots ascend, over all rows (-EINVAL). No sync. All of
 * them or none: after an error it may be called again. -ENOSPC also at VECTOR_FILE_ROWS_MAX. */
int vector_file_append(struct vector_file *file, uint64_t n, const uint64_t *slots,
                       const void *rows);
/* Makes all rows durable, then the header that counts them and says under which epoch of the truth
 * (record_epochs.h) they were written. When the medium refused rows (a failed fdatasync: nobody
 * knows what it dropped), every later sync fails alike until a reset() to synced_rows or before,
 * after which the rows are appended again. */
int vector_file_sync(struct vector_file *file, const struct uuid *epoch);
/* Whether sync() with that epoch would have nothing to do. */
bool vector_file_is_synced(const struct vector_file *file, const struct uuid *epoch);

/* The rows of one extent, 64-byte aligned. The first call for an extent checks the rows it had at
 * open: -EBADMSG, then and on every later call, when they are not what was written. A reset() to
 * the extent's first row or before heals it, in a lost file together with all of its rows being
 * appended again. [any] */
int vector_file_extent(struct vector_file *file, uint64_t extent_idx, const void **ret_rows);
/* Pages that were gone when they were read. When it is another after rows were read than before,
 * what was read is of no use. [any] */
uint64_t vector_file_n_faults(const struct vector_file *file);
/* There were some, and no reset since. [any] */
bool vector_file_is_lost(const struct vector_file *file);
