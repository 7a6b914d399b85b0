/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What stands where in a snapshot (FORMAT.md, "The snapshots"): its header page, the entries of
 * its table, and the order that both keep. Only snapshot.c and snapshot_writer.c include this.
 */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/snapshot.h"

#define SNAPSHOT_PAGE_BYTES 4096u
#define SNAPSHOT_VERSION 2u
/* Bytes that are checksummed and then copied or written at once: they stay in the CPU's cache. */
#define SNAPSHOT_PIECE_BYTES (256u << 10)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "chunks are mapped as they stand in the file, which is little-endian"
#endif

/* The first page. Its last four bytes are the CRC32C of all before them. */
struct snapshot_page {
	uint8_t magic[8];
	uint32_t version;
	uint32_t dim;
	struct uuid uuid;
	uint32_t metric;
	uint32_t dtype;
	uint64_t seq;
	uint64_t generation;
	uint64_t n_nodes;
	uint64_t table_at;
	uint32_t n_chunks;
	uint32_t table_crc;
	char kind[SNAPSHOT_KIND_SIZE];
	uint32_t n_params;
	uint8_t params[SNAPSHOT_PARAMS_BYTES_MAX];
	char space[129];
	struct uuid epoch;
	uint8_t zeros[SNAPSHOT_PAGE_BYTES - 505];
	uint32_t crc;
};

/* The table is one of these a chunk, ascending by type and idx as well as by offset. */
struct snapshot_entry {
	uint32_t type;
	uint32_t idx;
	uint64_t offset;
	uint64_t size_bytes;
	uint32_t crc;
	uint32_t zero;
};

static_assert(sizeof(struct snapshot_page) == SNAPSHOT_PAGE_BYTES, "no padding");
static_assert(sizeof(struct snapshot_entry) == 32, "no padding");

static inline uint64_t snapshot_page_round_up(uint64_t offset)
{
	return (offset + SNAPSHOT_PAGE_BYTES - 1) / SNAPSHOT_PAGE_BYTES * SNAPSHOT_PAGE_BYTES;
}

/* What chunks are ordered by. */
static inline uint64_t snapshot_key(uint32_t type, uint32_t idx)
{
	return (uint64_t)type << 32 | idx;
}

/* Fills the page from the head, all but table and seal. False when the head is none: a text that
 * does not end, more parameters than there is room for. */
bool snapshot_page_encode(const struct snapshot_head *head, struct snapshot_page *ret);
/* The other way round; false for the same. */
bool snapshot_page_decode(const struct snapshot_page *page, struct snapshot_head *ret);

void snapshot_page_seal(struct snapshot_page *page);
bool snapshot_page_has_magic(const struct snapshot_page *page);
bool snapshot_page_is_sealed(const struct snapshot_page *page);
