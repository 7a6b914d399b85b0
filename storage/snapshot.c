/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reading a snapshot. The layout leaves a file no freedom: chunks follow each other from page to
 * page in the order of the table, the table follows the last, the file ends with it. So one pass
 * over the table shows that nothing overlaps, nothing is outside and nothing is missing, also for
 * a file whose checksums are right because someone made them so.
 *
 * A mapped chunk is checked by reading it, not through the map: what the medium cannot read is
 * then an error and not a SIGBUS, and the pages are in the page cache for the map all the same.
 * The verdicts are an atomic byte a chunk. Two threads that check the same chunk at once come to
 * the same one; the bytes do not change, so a verdict orders nothing and is relaxed.
 */

#include "storage/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "storage/crc32c.h"
#include "storage/snapshot_page.h"

enum verdict {
	UNCHECKED,
	SOUND,
	DAMAGED,
};

struct snapshot {
	uint32_t n_refs; /* beside the first */
	struct store_file *file;
	uint64_t size_bytes;
	struct snapshot_head head;
	uint32_t n_chunks;
	struct snapshot_entry *entries;
	_Atomic uint8_t *verdicts; /* enum verdict, of mapped chunks */
	_Atomic(void *) base;      /* of the map of the whole file, NULL before the first use */
};

/* Opening. */

static int bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return SNAPSHOT_BAD;
}

static int load_bytes(struct snapshot *snapshot, void *buf, size_t n, uint64_t offset,
                      const char **ret_why)
{
	ssize_t got = store_read(snapshot->file, buf, n, offset);

	if (got == -EISDIR)
		return bad(ret_why, "it is a directory");
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : bad(ret_why, "it is cut short");
}

static int load_header(struct snapshot *snapshot, struct snapshot_page *page, const char **ret_why)
{
	int r = load_bytes(snapshot, page, sizeof(*page), 0, ret_why);
	if (r != 0)
		return r;
	if (!snapshot_page_has_magic(page))
		return bad(ret_why, "it is something else");
	if (!snapshot_page_is_sealed(page))
		return bad(ret_why, "its header is damaged");
	if (page->version > SNAPSHOT_VERSION) {
		*ret_why = "it is of a newer format version";
		return SNAPSHOT_NEWER;
	}
	if (page->version < SNAPSHOT_VERSION)
		return bad(ret_why, "it is of no known format version");
	if (page->n_chunks > SNAPSHOT_CHUNKS_MAX || !snapshot_page_decode(page, &snapshot->head))
		return bad(ret_why, "its header makes no sense");
	snapshot->n_chunks = page->n_chunks;
	return 0;
}

/* Whether the chunks stand in order and fill the file up to the table. Never is end behind
 * table_at: both are whole pages. */
static bool table_fits(const struct snapshot *snapshot, uint64_t table_at)
{
	uint64_t end = SNAPSHOT_PAGE_BYTES;

	if (table_at < end || table_at % SNAPSHOT_PAGE_BYTES != 0)
		return false;
	for (uint32_t i = 0; i < snapshot->n_chunks; i++) {
		const struct snapshot_entry *entry = &snapshot->entries[i];

		if (i > 0 && snapshot_key(entry->type, entry->idx) <=
		                     snapshot_key(entry[-1].type, entry[-1].idx))
			return false;
		if (entry->offset != end || entry->size_bytes > table_at - end)
			return false;
		end = snapshot_page_round_up(end + entry->size_bytes);
	}
	return end == table_at;
}

static int load_table(struct snapshot *snapshot, const struct snapshot_page *page,
                      const char **ret_why)
{
	size_t n_bytes = snapshot->n_chunks * sizeof(*snapshot->entries);

	int r = store_size(snapshot->file, &snapshot->size_bytes);
	if (r < 0)
		return r;
	if (page->table_at > snapshot->size_bytes ||
	    n_bytes > snapshot->size_bytes - page->table_at)
		return bad(ret_why, "it is cut short");
	if (n_bytes < snapshot->size_bytes - page->table_at)
		return bad(ret_why, "it is longer than its header says");
	/* One more than needed, so that an empty table is not NULL. */
	snapshot->entries = malloc(n_bytes + sizeof(*snapshot->entries));
	snapshot->verdicts = calloc(snapshot->n_chunks + 1, sizeof(*snapshot->verdicts));
	if (snapshot->entries == NULL || snapshot->verdicts == NULL)
		return -ENOMEM;
	r = load_bytes(snapshot, snapshot->entries, n_bytes, page->table_at, ret_why);
	if (r != 0)
		return r;
	if (crc32c(0, snapshot->entries, n_bytes) != page->table_crc)
		return bad(ret_why, "its table is damaged");
	if (!table_fits(snapshot, page->table_at))
		return bad(ret_why, "its table makes no sense");
	return 0;
}

static int load(struct snapshot *snapshot, struct store_io *io, const char *path,
                const char **ret_why)
{
	struct snapshot_page page;

	int r = store_open(io, path, STORE_READ, &snapshot->file);
	if (r == -ENOENT) {
		*ret_why = "there is none";
		return SNAPSHOT_MISSING;
	}
	if (r == -ELOOP)
		return bad(ret_why, "it is a symbolic link");
	if (r < 0)
		return r;
	r = load_header(snapshot, &page, ret_why);
	return r == 0 ? load_table(snapshot, &page, ret_why) : r;
}

int snapshot_open(struct store_io *io, const char *path, struct snapshot **ret,
                  const char **ret_why)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (snapshot == NULL)
		return -ENOMEM;
	int r = load(snapshot, io, path, ret_why);
	if (r != 0) {
		snapshot_close(snapshot);
		return r;
	}
	*ret = snapshot;
	return 0;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	snapshot->n_refs++;
	return snapshot;
}

struct snapshot *snapshot_close(struct snapshot *snapshot)
{
	if (snapshot == NULL || snapshot->n_refs-- > 0)
		return NULL;
	void *base = atomic_load_explicit(&snapshot->base, memory_order_relaxed);
	if (base != NULL)
		store_unmap(snapshot->file, base, snapshot->size_bytes);
	(void)store_close(snapshot->file); /* it was only read */
	free(snapshot->entries);
	free(snapshot->verdicts);
	free(snapshot);
	return NULL;
}

/* What it is of and what it holds. */

bool snapshot_fingerprint_equal(const struct snapshot_fingerprint *a,
                                const struct snapshot_fingerprint *b)
{
	assert(a->n_params <= sizeof(a->params) && b->n_params <= sizeof(b->params));
	return uuid_equal(&a->spec.uuid, &b->spec.uuid) && a->spec.dim == b->spec.dim &&
	       a->spec.metric == b->spec.metric && a->spec.dtype == b->spec.dtype &&
	       strcmp(a->spec.space, b->spec.space) == 0 && strcmp(a->kind, b->kind) == 0 &&
	       a->n_params == b->n_params && memcmp(a->params, b->params, a->n_params) == 0;
}

const struct snapshot_head *snapshot_head(const struct snapshot *snapshot)
{
	return &snapshot->head;
}

/* The first entry whose key is not below that one; n_chunks when all are. */
static uint32_t entry_from(const struct snapshot *snapshot, uint64_t key)
{
	uint32_t low = 0;
	uint32_t high = snapshot->n_chunks;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct snapshot_entry *entry = &snapshot->entries[middle];

		if (snapshot_key(entry->type, entry->idx) < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct snapshot_entry *find_entry(const struct snapshot *snapshot, uint32_t type,
                                               uint32_t idx)
{
	uint32_t i = entry_from(snapshot, snapshot_key(type, idx));
	const struct snapshot_entry *entry = &snapshot->entries[i];

	return i < snapshot->n_chunks && entry->type == type && entry->idx == idx ? entry : NULL;
}

uint32_t snapshot_n_chunks(const struct snapshot *snapshot, uint32_t type)
{
	uint32_t first = entry_from(snapshot, snapshot_key(type, 0));

	if (type == UINT32_MAX)
		return snapshot->n_chunks - first;
	return entry_from(snapshot, snapshot_key(type + 1, 0)) - first;
}

int snapshot_chunk_size(const struct snapshot *snapshot, uint32_t type, uint32_t idx,
                        uint64_t *ret_size_bytes)
{
	const struct snapshot_entry *entry = find_entry(snapshot, type, idx);

	if (entry == NULL)
		return -ENOENT;
	*ret_size_bytes = entry->size_bytes;
	return 0;
}

/* Chunks. */

/* Reads and checks a chunk piece by piece, each behind the last, or over it when they are only
 * to be checked. */
static int read_pieces(struct snapshot *snapshot, const struct snapshot_entry *entry, uint8_t *buf,
                       bool check_only)
{
	uint32_t crc = 0;

	for (uint64_t done = 0; done < entry->size_bytes;) {
		uint64_t left = entry->size_bytes - done;
		size_t n = left < SNAPSHOT_PIECE_BYTES ? (size_t)left : SNAPSHOT_PIECE_BYTES;
		uint8_t *piece = check_only ? buf : buf + done;

		ssize_t got = store_read(snapshot->file, piece, n, entry->offset + done);
		if (got < 0)
			return (int)got;
		if ((size_t)got != n)
			return -EBADMSG;
		crc = crc32c(crc, piece, n);
		done += n;
	}
	return crc == entry->crc ? 0 : -EBADMSG;
}

int snapshot_read_chunk(struct snapshot *snapshot, uint32_t type, uint32_t idx, void *buf, size_t n)
{
	const struct snapshot_entry *entry = find_entry(snapshot, type, idx);

	if (entry == NULL || entry->size_bytes != n)
		return -EBADMSG;
	return read_pieces(snapshot, entry, buf, false);
}

bool snapshot_is_lost(const struct snapshot *snapshot)
{
	return map_faults_n(store_faults(snapshot->file)) > 0;
}

static int map_file(struct snapshot *snapshot, const uint8_t **ret)
{
	void *base = atomic_load_explicit(&snapshot->base, memory_order_relaxed);
	void *mine;

	if (base == NULL) {
		int r = store_map(snapshot->file, 0, snapshot->size_bytes, false, &mine);
		if (r < 0)
			return r;
		/* The bytes behind it are the file's and were there before: no order is needed. */
		if (atomic_compare_exchange_strong_explicit(&snapshot->base, &base, mine,
		                                            memory_order_relaxed,
		                                            memory_order_relaxed))
			base = mine;
		else
			store_unmap(snapshot->file, mine, snapshot->size_bytes);
	}
	*ret = base;
	return 0;
}

static int check_chunk(struct snapshot *snapshot, const struct snapshot_entry *entry)
{
	_Atomic uint8_t *verdict = &snapshot->verdicts[entry - snapshot->entries];
	uint8_t known = atomic_load_explicit(verdict, memory_order_relaxed);

	if (known != UNCHECKED)
		return known == SOUND ? 0 : -EBADMSG;
	uint8_t *piece = malloc(SNAPSHOT_PIECE_BYTES);
	if (piece == NULL)
		return -ENOMEM;
	int r = read_pieces(snapshot, entry, piece, true);
	free(piece);
	if (r == 0 || r == -EBADMSG)
		atomic_store_explicit(verdict, r == 0 ? SOUND : DAMAGED, memory_order_relaxed);
	return r;
}

int snapshot_map_chunk(struct snapshot *snapshot, uint32_t type, uint32_t idx,
                       const void **ret_addr)
{
	const struct snapshot_entry *entry = find_entry(snapshot, type, idx);
	const uint8_t *base = NULL;

	if (entry == NULL || snapshot_is_lost(snapshot))
		return -EBADMSG;
	int r = check_chunk(snapshot, entry);
	if (r == 0)
		r = map_file(snapshot, &base);
	if (r < 0)
		return r;
	*ret_addr = base + entry->offset;
	return 0;
}

int snapshot_check(struct snapshot *snapshot, const atomic_bool *cancelled)
{
	uint8_t *piece = malloc(SNAPSHOT_PIECE_BYTES);
	int r = piece ? 0 : -ENOMEM;

	for (uint32_t i = 0; r == 0 && i < snapshot->n_chunks; i++) {
		r = read_pieces(snapshot, &snapshot->entries[i], piece, true);
		if (r == 0 && atomic_load_explicit(cancelled, memory_order_relaxed))
			r = -ECANCELED;
	}
	free(piece);
	return r;
}
