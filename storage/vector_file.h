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
 * checked once against its CRC32C before its synced rows are first used.
 *
 * Threads: append, sync, reset belong to one job at a time [worker]; extent() may run beside them
 * on any thread for rows that were published to the caller.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/store_io.h"
#include "storage/uuid.h"

#define VECTOR_FILE_EXTENT_BYTES (2u << 20)

struct vector_file_spec {
	struct uuid uuid;
	uint32_t dim;
	uint32_t metric;
	uint32_t dtype;
	uint32_t stride_bytes; /* of a row, a multiple of 64 */
};

struct vector_file;

/* Opens path when it is a sound file of that spec; otherwise starts an empty one in its place and
 * says why in *ret_why (a literal; NULL when the file was sound). */
int vector_file_open(struct store_io *io, const char *path, const struct vector_file_spec *spec,
		     struct vector_file **ret, const char **ret_why);
/* Unmaps and closes; does not sync. */
struct vector_file *vector_file_free(struct vector_file *file);

/* Rows in one extent: the same for the file's whole life. */
uint32_t vector_file_extent_rows(const struct vector_file *file);
/* Rows that were found at open or appended since. */
uint64_t vector_file_n_rows(const struct vector_file *file);
/* Copies the slots of rows [first, first + n) that were there at open. Ascending. */
int vector_file_slots(struct vector_file *file, uint64_t first, uint64_t n, uint64_t *ret_slots);

/* Forgets rows from first on: the next append begins there. */
int vector_file_reset(struct vector_file *file, uint64_t first);
/* Appends n rows of stride_bytes each; slots ascend. No sync. */
int vector_file_append(struct vector_file *file, uint64_t n, const uint64_t *slots,
		       const void *rows);
/* Makes all rows durable, then the header that counts them. */
int vector_file_sync(struct vector_file *file);
/* Rows that would survive a power cut. */
uint64_t vector_file_synced_rows(const struct vector_file *file);

/* The rows of one extent, 64-byte aligned. The first call for an extent checks its synced rows:
 * -EBADMSG when they are not what was written. [any] */
int vector_file_extent(struct vector_file *file, uint64_t extent_idx, const void **ret_rows);
