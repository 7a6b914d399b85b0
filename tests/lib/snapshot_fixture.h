/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Snapshots for tests: head and chunks follow from a `mark`, which is also the generation, so that
 * whatever a snapshot hands out can be judged without remembering what was put in. Failures of the
 * checks are cmocka failures.
 */

#include <stddef.h>
#include <stdint.h>

#include "storage/snapshot.h"

/* From FORMAT.md, on purpose not from the code. */
#define FIXTURE_PAGE_BYTES 4096u
#define FIXTURE_ENTRY_BYTES 32u

#define SNAPSHOT_FIXTURE_CHUNKS 7u

struct snapshot_fixture_chunk {
	uint32_t type;
	uint32_t idx;
	size_t size;
	uint64_t offset; /* in the file */
};

/* In the order of the file: empty ones, whole pages, a type with gaps, one of several pieces. */
extern const struct snapshot_fixture_chunk snapshot_fixture_chunks[SNAPSHOT_FIXTURE_CHUNKS];
/* Where the table stands; the file ends behind its entries. */
#define SNAPSHOT_FIXTURE_TABLE_AT 638976u
#define SNAPSHOT_FIXTURE_BYTES \
	(SNAPSHOT_FIXTURE_TABLE_AT + SNAPSHOT_FIXTURE_CHUNKS * FIXTURE_ENTRY_BYTES)

struct snapshot_head snapshot_fixture_head(uint64_t mark);
/* What a chunk of n bytes holds. */
void snapshot_fixture_fill(uint64_t mark, uint32_t type, uint32_t idx, void *bytes, size_t n);
/* Saves all chunks; returns the first error. */
int snapshot_fixture_save(struct store_io *io, const char *dir, const char *name, uint64_t mark);

/* Reads and maps every chunk of the mark: each is right or -EBADMSG, both ways alike. Returns the
 * bad ones, bit i for chunk i. */
unsigned snapshot_fixture_check(struct snapshot *snapshot, uint64_t mark);
/* Opens it; the head must be the mark's and every chunk right. */
void snapshot_fixture_assert_whole(struct store_io *io, const char *path, uint64_t mark);
