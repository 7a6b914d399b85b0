/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How the vector file stays sound.
 *
 * The header is the commit point. There are two header pages and two head pages an extent, and a
 * new one always goes where the last committed one is not. A commit numbers itself (generation),
 * writes the heads of the extents that changed, syncs, writes the header, syncs. Opening takes
 * the newest whole header and, for each extent, the newest whole head that is not newer than it
 * and counts the same rows. So at any moment of a crash the last committed state has all its
 * pages, and rows behind its count are as if they had never been.
 *
 * Rows are written in place, so going back (reset) below the count first commits the smaller
 * one. Whatever the disk does nonetheless is found by a checksum: pages and slots at open, rows
 * when their extent is first used. Checksums of rows are kept while they are appended, from the
 * caller's bytes and not from the file's, so what goes wrong in between is found too.
 *
 * Readers and the writer share the windows (vector_windows.h) and one atomic word an extent.
 *
 * Rejected: one mapping of the whole file (growing may move it under a reader); a table of all
 * checksums in one place (every sync would write all of it, or a journal of it); rereading rows
 * at sync to sum them (would vouch for what the medium made of them).
 */

#include "storage/vector_file.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "storage/crc32c.h"
#include "storage/vector_page.h"
#include "storage/vector_windows.h"

/* Internal outcome of loading: the file is not what it should be. */
enum {
	UNSOUND = 1
};

struct vector_file {
	struct store_file *file;
	struct vector_file_spec spec;
	struct vector_layout layout;
	struct vector_windows windows;
	uint64_t size_bytes;
	uint64_t n_rows;
	uint64_t synced_rows;
	uint64_t last_slot;  /* of row n_rows - 1 */
	uint64_t generation; /* the newest that was tried */
	struct uuid epoch;   /* in the committed header */
	uint8_t next_header; /* the page the next header goes to: 0 or 1 */
	int sync_error;      /* of a failed sync, until reset */
	const struct map_faults *faults;
	_Atomic uint64_t n_mended; /* faults that a reset has dealt with */
	uint64_t lost_rows;        /* that were known when it did; 0: it did not */
};

static struct vector_extent *extent_of(const struct vector_file *file, uint64_t extent_idx)
{
	return vector_windows_extent(&file->windows, extent_idx);
}

/* How many of the first n_rows rows stand in the extent. */
static uint32_t extent_count(const struct vector_file *file, uint64_t extent_idx, uint64_t n_rows)
{
	uint64_t n = n_rows - extent_idx * file->layout.extent_rows;

	return n < file->layout.extent_rows ? (uint32_t)n : file->layout.extent_rows;
}

/* A run of rows inside one extent, part of a longer run. */
struct piece {
	uint64_t extent_idx;
	uint32_t first; /* row of the extent */
	uint32_t n;     /* 0 behind the end of the longer run */
	uint64_t done;  /* rows of the longer run before it */
};

static struct piece piece_at(const struct vector_file *file, uint64_t first, uint64_t n,
                             uint64_t done)
{
	uint32_t rows = file->layout.extent_rows;
	struct piece piece = {
	        .extent_idx = (first + done) / rows,
	        .first = (uint32_t)((first + done) % rows),
	        .done = done,
	};
	uint64_t left = n - done;

	piece.n = left < rows - piece.first ? (uint32_t)left : rows - piece.first;
	return piece;
}

static struct piece piece_next(const struct vector_file *file, uint64_t first, uint64_t n,
                               struct piece piece)
{
	return piece_at(file, first, n, piece.done + piece.n);
}

static uint64_t piece_slots_at(const struct vector_file *file, const struct piece *piece)
{
	return vector_layout_extent_at(&file->layout, piece->extent_idx) + file->layout.slots_at +
	       piece->first * sizeof(uint64_t);
}

static uint64_t piece_rows_at(const struct vector_file *file, const struct piece *piece)
{
	return vector_layout_extent_at(&file->layout, piece->extent_idx) + file->layout.rows_at +
	       (uint64_t)piece->first * file->layout.stride_bytes;
}

static struct vector_sums sums_extend(const struct vector_file *file, struct vector_sums sums,
                                      const uint64_t *slots, const uint8_t *rows, uint32_t n)
{
	return (struct vector_sums){
	        .slots_crc = crc32c(sums.slots_crc, slots, n * sizeof(*slots)),
	        .rows_crc = crc32c(sums.rows_crc, rows, n * (size_t)file->layout.stride_bytes),
	};
}

/* Growing and committing. */

static int resize(struct vector_file *file, uint64_t size_bytes)
{
	int r = store_truncate(file->file, size_bytes);

	if (r == 0)
		file->size_bytes = size_bytes;
	return r;
}

/* Extents are whole from their first row on, so that all of a mapped one may be touched. */
static int grow_to_cover(struct vector_file *file, uint64_t n_rows)
{
	uint64_t n_extents = vector_layout_extents(&file->layout, n_rows);
	uint64_t size_bytes = vector_layout_extent_at(&file->layout, n_extents);

	int r = vector_windows_cover(&file->windows, file->file, n_rows);
	if (r < 0)
		return r;
	return size_bytes > file->size_bytes ? resize(file, size_bytes) : 0;
}

static int write_header(struct vector_file *file, uint64_t synced_rows, const struct uuid *epoch)
{
	struct vector_header header = {
	        .version = VECTOR_FILE_VERSION,
	        .dim = file->spec.dim,
	        .uuid = file->spec.uuid,
	        .metric = file->spec.metric,
	        .dtype = file->spec.dtype,
	        .stride_bytes = file->spec.stride_bytes,
	        .extent_rows = file->layout.extent_rows,
	        .synced_rows = synced_rows,
	        .generation = file->generation,
	        .epoch = *epoch,
	};

	memcpy(header.magic, vector_header_magic, sizeof(header.magic));
	vector_page_seal(&header);
	return store_write(file->file, &header, sizeof(header),
	                   file->next_header * VECTOR_PAGE_BYTES);
}

static int write_extent_head(struct vector_file *file, uint64_t extent_idx, uint64_t n_rows)
{
	const struct vector_extent *extent = extent_of(file, extent_idx);
	struct vector_extent_head head = {
	        .uuid = file->spec.uuid,
	        .extent_idx = extent_idx,
	        .generation = file->generation,
	        .n_rows = extent_count(file, extent_idx, n_rows),
	        .slots_crc = extent->sums.slots_crc,
	        .rows_crc = extent->sums.rows_crc,
	};

	memcpy(head.magic, vector_extent_magic, sizeof(head.magic));
	vector_page_seal(&head);
	return store_write(file->file, &head, sizeof(head),
	                   vector_layout_extent_at(&file->layout, extent_idx) +
	                           extent->next_head * VECTOR_PAGE_BYTES);
}

static int sync_data(struct vector_file *file)
{
	int r = store_sync(file->file);

	if (r < 0)
		file->sync_error = r;
	return r;
}

/* Makes n_rows the durable count; extents from from_extent on have changed since the last one. */
static int commit(struct vector_file *file, uint64_t n_rows, uint64_t from_extent,
                  const struct uuid *epoch)
{
	uint64_t end = vector_layout_extents(&file->layout, n_rows);
	int r;

	file->generation++;
	for (uint64_t idx = from_extent; idx < end; idx++) {
		r = write_extent_head(file, idx, n_rows);
		if (r < 0)
			return r;
	}
	if (from_extent < end) {
		r = sync_data(file);
		if (r < 0)
			return r;
	}
	r = write_header(file, n_rows, epoch);
	if (r < 0)
		return r;
	r = sync_data(file);
	if (r < 0)
		return r;
	file->next_header ^= 1;
	for (uint64_t idx = from_extent; idx < end; idx++)
		extent_of(file, idx)->next_head ^= 1;
	file->synced_rows = n_rows;
	file->epoch = *epoch;
	return 0;
}

/* Opening. */

static int unsound(const char **ret_why, const char *why)
{
	*ret_why = why;
	return UNSOUND;
}

/* A file that ends early or that the medium cannot read is unsound; other errors are not its
 * fault. */
static int load_bytes(struct vector_file *file, void *buf, size_t n, uint64_t offset,
                      const char **ret_why)
{
	ssize_t got = store_read(file->file, buf, n, offset);

	if (got == -EIO)
		return unsound(ret_why, "it cannot be read");
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : unsound(ret_why, "it is too short");
}

static bool header_fits(const struct vector_header *header, const struct vector_file *file)
{
	return uuid_equal(&header->uuid, &file->spec.uuid) && header->dim == file->spec.dim &&
	       header->metric == file->spec.metric && header->dtype == file->spec.dtype &&
	       header->stride_bytes == file->spec.stride_bytes &&
	       header->extent_rows == file->layout.extent_rows;
}

static int load_header(struct vector_file *file, const char **ret_why)
{
	struct vector_header pages[2];
	const struct vector_header *newest = NULL;

	if (file->size_bytes == 0)
		return unsound(ret_why, "there was none");
	int r = load_bytes(file, pages, sizeof(pages), 0, ret_why);
	if (r != 0)
		return r;
	for (int i = 0; i < 2; i++) {
		if (vector_page_is_sound(&pages[i], vector_header_magic) &&
		    (newest == NULL || pages[i].generation > newest->generation))
			newest = &pages[i];
	}
	if (newest == NULL)
		return unsound(ret_why, "its header is damaged");
	if (newest->version != VECTOR_FILE_VERSION)
		return unsound(ret_why, "it is of another format version");
	if (!header_fits(newest, file))
		return unsound(ret_why, "it was made for another collection");
	if (newest->synced_rows > VECTOR_FILE_ROWS_MAX)
		return unsound(ret_why, "it counts more rows than there may be");
	file->generation = newest->generation;
	file->next_header = newest == &pages[0];
	file->synced_rows = newest->synced_rows;
	file->epoch = newest->epoch;
	return 0;
}

static bool head_fits(const struct vector_extent_head *head, const struct vector_file *file,
                      uint64_t extent_idx)
{
	return vector_page_is_sound(head, vector_extent_magic) &&
	       uuid_equal(&head->uuid, &file->spec.uuid) && head->extent_idx == extent_idx &&
	       head->generation <= file->generation &&
	       head->n_rows == extent_count(file, extent_idx, file->synced_rows);
}

/* What stands before the rows of an extent. */
struct extent_front {
	struct vector_extent_head heads[2];
	uint64_t slots[];
};

static int load_extent(struct vector_file *file, uint64_t extent_idx, struct extent_front *front,
                       const char **ret_why)
{
	uint32_t n = extent_count(file, extent_idx, file->synced_rows);
	struct vector_extent *extent = extent_of(file, extent_idx);
	const struct vector_extent_head *head = NULL;

	int r = load_bytes(file, front, sizeof(*front) + n * sizeof(front->slots[0]),
	                   vector_layout_extent_at(&file->layout, extent_idx), ret_why);
	if (r != 0)
		return r;
	for (int i = 0; i < 2; i++) {
		if (head_fits(&front->heads[i], file, extent_idx) &&
		    (head == NULL || front->heads[i].generation > head->generation))
			head = &front->heads[i];
	}
	if (head == NULL)
		return unsound(ret_why, "the head of an extent is damaged");
	if (crc32c(0, front->slots, n * sizeof(front->slots[0])) != head->slots_crc)
		return unsound(ret_why, "its slots are damaged");
	for (uint32_t i = 0; i < n; i++) {
		if ((extent_idx > 0 || i > 0) && front->slots[i] <= file->last_slot)
			return unsound(ret_why, "its slots do not ascend");
		file->last_slot = front->slots[i];
	}
	extent->sums = (struct vector_sums){head->slots_crc, head->rows_crc};
	extent->next_head = head == &front->heads[0];
	atomic_store_explicit(&extent->unchecked, (uint64_t)n << 32 | head->rows_crc,
	                      memory_order_relaxed);
	return 0;
}

static int load_extents(struct vector_file *file, const char **ret_why)
{
	uint64_t n_extents = vector_layout_extents(&file->layout, file->synced_rows);
	uint64_t end = vector_layout_extent_at(&file->layout, n_extents);
	struct extent_front *front;
	int r;

	if (file->size_bytes < end)
		return unsound(ret_why, "it is shorter than its header says");
	r = vector_windows_cover(&file->windows, file->file, file->synced_rows);
	if (r < 0)
		return r;
	front = malloc(sizeof(*front) + file->layout.extent_rows * sizeof(front->slots[0]));
	if (front == NULL)
		return -ENOMEM;
	for (uint64_t idx = 0; idx < n_extents && r == 0; idx++)
		r = load_extent(file, idx, front, ret_why);
	free(front);
	/* What a lost process wrote behind the count goes: its heads may carry the generations
	 * that come next. */
	return r == 0 && file->size_bytes > end ? resize(file, end) : r;
}

/* The header need not be durable: without it the file starts over once more. The name must be,
 * or the rows of later syncs could vanish with it. */
static int start_over(struct vector_file *file, struct store_io *io, const char *path)
{
	vector_windows_clear(&file->windows, file->file);
	file->generation = 1;
	file->next_header = 0;
	file->synced_rows = 0;
	file->epoch = (struct uuid){0};
	int r = resize(file, 0);
	if (r < 0)
		return r;
	r = resize(file, VECTOR_EXTENTS_AT);
	if (r < 0)
		return r;
	r = write_header(file, 0, &file->epoch);
	if (r < 0)
		return r;
	file->next_header = 1;
	return store_sync_parent(io, path);
}

static int load(struct vector_file *file, struct store_io *io, const char *path,
                const char **ret_why)
{
	const char *why = NULL;

	int r = store_size(file->file, &file->size_bytes);
	if (r < 0)
		return r;
	r = load_header(file, &why);
	if (r == 0)
		r = load_extents(file, &why);
	if (r == UNSOUND)
		r = start_over(file, io, path);
	if (r < 0)
		return r;
	file->n_rows = file->synced_rows;
	*ret_why = why;
	return 0;
}

/* What stands in its place and is no file of ours, a link or a directory, goes. */
static int open_file(struct store_io *io, const char *path, struct store_file **ret,
                     const char **ret_why)
{
	const unsigned flags = STORE_READ | STORE_WRITE | STORE_CREATE;
	int r = store_open(io, path, flags, ret);

	if (r != -ELOOP && r != -EISDIR)
		return r;
	r = store_remove_tree(io, path);
	if (r == 0)
		r = store_open(io, path, flags, ret);
	if (r == 0)
		*ret_why = "something else was in its place";
	return r;
}

int vector_file_open(struct store_io *io, const char *path, const struct vector_file_spec *spec,
                     struct vector_file **ret, const char **ret_why)
{
	struct vector_file *file;
	const char *place_why = NULL;

	if (spec->stride_bytes == 0 || spec->stride_bytes % 64 != 0 ||
	    spec->stride_bytes > VECTOR_FILE_STRIDE_MAX)
		return -EINVAL;
	file = calloc(1, sizeof(*file));
	if (file == NULL)
		return -ENOMEM;
	file->spec = *spec;
	file->layout = vector_layout_for(spec->stride_bytes);
	int r = vector_windows_init(&file->windows, &file->layout, VECTOR_FILE_ROWS_MAX);
	if (r == 0)
		r = open_file(io, path, &file->file, &place_why);
	if (r == 0)
		file->faults = store_faults(file->file);
	if (r == 0)
		r = load(file, io, path, ret_why);
	if (r == 0 && place_why != NULL)
		*ret_why = place_why; /* better than that there was none */
	if (r < 0) {
		vector_file_free(file);
		return r;
	}
	*ret = file;
	return 0;
}

struct vector_file *vector_file_free(struct vector_file *file)
{
	if (file == NULL)
		return NULL;
	vector_windows_clear(&file->windows, file->file);
	vector_windows_release(&file->windows);
	/* What was not synced is written again from the truth by the next one that opens it. */
	(void)store_close(file->file);
	free(file);
	return NULL;
}

/* Using. */

uint32_t vector_file_extent_rows(const struct vector_file *file)
{
	return file->layout.extent_rows;
}

uint64_t vector_file_n_rows(const struct vector_file *file)
{
	return file->n_rows;
}

uint64_t vector_file_synced_rows(const struct vector_file *file)
{
	return file->synced_rows;
}

uint64_t vector_file_last_slot(const struct vector_file *file)
{
	return file->n_rows > 0 ? file->last_slot : 0;
}

const struct uuid *vector_file_epoch(const struct vector_file *file)
{
	return &file->epoch;
}

int vector_file_slots(struct vector_file *file, uint64_t first, uint64_t n, uint64_t *ret_slots)
{
	assert(first <= file->n_rows && n <= file->n_rows - first);
	for (struct piece piece = piece_at(file, first, n, 0); piece.n > 0;
	     piece = piece_next(file, first, n, piece)) {
		size_t n_bytes = piece.n * sizeof(*ret_slots);

		/* Read and not copied from the mapping: a medium's error is an errno this way. */
		ssize_t got = store_read(file->file, ret_slots + piece.done, n_bytes,
		                         piece_slots_at(file, &piece));
		if (got < 0)
			return (int)got;
		if ((size_t)got != n_bytes)
			return -EBADMSG;
	}
	return 0;
}

/* Sums the first n rows of an extent, after checking that all it has are what was written. */
static int sum_prefix(const struct vector_file *file, uint64_t extent_idx, uint32_t n,
                      struct vector_sums *ret_sums)
{
	const struct vector_sums *expected = &extent_of(file, extent_idx)->sums;
	const uint64_t *slots = vector_windows_slots(&file->windows, extent_idx);
	const uint8_t *rows = vector_windows_rows(&file->windows, extent_idx);
	uint32_t n_all = extent_count(file, extent_idx, file->n_rows);
	struct vector_sums prefix = sums_extend(file, (struct vector_sums){0}, slots, rows, n);
	struct vector_sums all = sums_extend(
	        file, prefix, slots + n, rows + n * (size_t)file->layout.stride_bytes, n_all - n);

	if (all.slots_crc != expected->slots_crc || all.rows_crc != expected->rows_crc)
		return -EBADMSG;
	*ret_sums = prefix;
	return 0;
}

/* Before rows from first on are overwritten, no header on the disk may count them: not the last
 * one, nor one whose sync failed. */
static bool must_commit(const struct vector_file *file, uint64_t first)
{
	return first < file->synced_rows || (first == file->synced_rows && file->sync_error != 0);
}

/* After pages of the mapping were gone: the file has its size again, the mapping is the file's
 * again, and every extent is bad until all rows of it that anybody knows were appended again. */
static int mend(struct vector_file *file)
{
	uint64_t n_faults = vector_file_n_faults(file);
	uint64_t end = vector_layout_extents(&file->layout, file->n_rows);

	for (uint64_t idx = 0; idx < end; idx++)
		atomic_store_explicit(&extent_of(file, idx)->unchecked, VECTOR_EXTENT_BAD,
		                      memory_order_relaxed);
	int r = store_truncate(file->file, file->size_bytes);
	if (r == 0)
		r = vector_windows_remap(&file->windows, file->file);
	if (r < 0)
		return r;
	if (file->n_rows > file->lost_rows)
		file->lost_rows = file->n_rows;
	/* Release: who finds it mended finds the extents bad. */
	atomic_store_explicit(&file->n_mended, n_faults, memory_order_release);
	return 0;
}

/* Rows [first, n_rows) were appended: lost extents that are complete again are good. */
static void mend_extents(struct vector_file *file, uint64_t first)
{
	uint32_t extent_rows = file->layout.extent_rows;

	for (uint64_t at = first - first % extent_rows; at < file->n_rows && at < file->lost_rows;
	     at += extent_rows) {
		uint64_t end =
		        at + extent_rows < file->lost_rows ? at + extent_rows : file->lost_rows;

		/* Release: who finds it good finds its rows. */
		if (file->n_rows >= end)
			atomic_store_explicit(&extent_of(file, at / extent_rows)->unchecked,
			                      VECTOR_EXTENT_GOOD, memory_order_release);
	}
	if (file->n_rows >= file->lost_rows)
		file->lost_rows = 0;
}

int vector_file_reset(struct vector_file *file, uint64_t first)
{
	bool is_lost = vector_file_is_lost(file) || file->lost_rows > 0;
	uint64_t extent_idx = first / file->layout.extent_rows;
	uint64_t end = vector_layout_extents(&file->layout, file->n_rows);
	uint32_t n_kept = (uint32_t)(first % file->layout.extent_rows);
	struct vector_sums kept = {0};
	struct vector_sums all = {0};
	uint64_t last_slot = 0;
	int r;

	assert(first <= file->n_rows);
	if (first == file->n_rows && file->sync_error == 0)
		return vector_file_is_lost(file) ? -EBADMSG : 0;
	if (vector_file_is_lost(file)) {
		r = first > 0 ? -EBADMSG : mend(file);
		if (r < 0)
			return r;
	}
	if (first > 0) {
		r = vector_file_slots(file, first - 1, 1, &last_slot);
		if (r < 0)
			return r;
	}
	if (n_kept > 0) {
		r = sum_prefix(file, extent_idx, n_kept, &kept);
		if (r < 0)
			return r;
		all = extent_of(file, extent_idx)->sums;
		extent_of(file, extent_idx)->sums = kept;
	}
	if (must_commit(file, first)) {
		r = commit(file, first, extent_idx, &file->epoch);
		if (r < 0) {
			if (n_kept > 0)
				extent_of(file, extent_idx)->sums = all;
			return r;
		}
		file->sync_error = 0;
	}
	for (uint64_t idx = extent_idx; idx < end && !is_lost; idx++)
		atomic_store_explicit(&extent_of(file, idx)->unchecked, VECTOR_EXTENT_GOOD,
		                      memory_order_relaxed);
	file->n_rows = first;
	file->last_slot = last_slot;
	/* Without rows it need not keep their space; what cannot be cut now is at the next opening.
	 */
	if (first == 0)
		(void)resize(file, VECTOR_EXTENTS_AT);
	return 0;
}

static bool slots_ascend(const struct vector_file *file, uint64_t n, const uint64_t *slots)
{
	if (file->n_rows > 0 && slots[0] <= file->last_slot)
		return false;
	for (uint64_t i = 1; i < n; i++) {
		if (slots[i] <= slots[i - 1])
			return false;
	}
	return true;
}

static int write_piece(struct vector_file *file, const struct piece *piece, const uint64_t *slots,
                       const uint8_t *rows)
{
	int r = store_write(file->file, rows, piece->n * (size_t)file->layout.stride_bytes,
	                    piece_rows_at(file, piece));
	if (r < 0)
		return r;
	return store_write(file->file, slots, piece->n * sizeof(*slots),
	                   piece_slots_at(file, piece));
}

int vector_file_append(struct vector_file *file, uint64_t n, const uint64_t *slots,
                       const void *rows)
{
	const uint8_t *bytes = rows;
	uint64_t first = file->n_rows;

	if (n == 0)
		return 0;
	if (n > VECTOR_FILE_ROWS_MAX - first)
		return -ENOSPC;
	if (!slots_ascend(file, n, slots))
		return -EINVAL;
	int r = grow_to_cover(file, first + n);
	if (r < 0)
		return r;
	for (struct piece piece = piece_at(file, first, n, 0); piece.n > 0;
	     piece = piece_next(file, first, n, piece)) {
		r = write_piece(file, &piece, slots + piece.done,
		                bytes + piece.done * file->layout.stride_bytes);
		if (r < 0)
			return r;
	}
	/* Nothing fails from here on, so sums and count change together. */
	for (struct piece piece = piece_at(file, first, n, 0); piece.n > 0;
	     piece = piece_next(file, first, n, piece)) {
		struct vector_extent *extent = extent_of(file, piece.extent_idx);
		struct vector_sums before =
		        piece.first > 0 ? extent->sums : (struct vector_sums){0};

		extent->sums = sums_extend(file, before, slots + piece.done,
		                           bytes + piece.done * file->layout.stride_bytes, piece.n);
	}
	file->n_rows += n;
	file->last_slot = slots[n - 1];
	mend_extents(file, first);
	return 0;
}

bool vector_file_is_synced(const struct vector_file *file, const struct uuid *epoch)
{
	return file->n_rows == file->synced_rows && uuid_equal(epoch, &file->epoch);
}

int vector_file_sync(struct vector_file *file, const struct uuid *epoch)
{
	uint64_t from_extent = file->synced_rows / file->layout.extent_rows;

	if (vector_file_is_synced(file, epoch))
		return 0;
	/* Only the header is new: it is written whole, so a failure before does not matter. */
	if (file->n_rows == file->synced_rows)
		from_extent = vector_layout_extents(&file->layout, file->n_rows);
	else if (file->sync_error != 0)
		return file->sync_error;
	int r = commit(file, file->n_rows, from_extent, epoch);
	if (r == 0)
		file->sync_error = 0;
	return r;
}

uint64_t vector_file_n_faults(const struct vector_file *file)
{
	return map_faults_n(file->faults);
}

bool vector_file_is_lost(const struct vector_file *file)
{
	return vector_file_n_faults(file) !=
	       atomic_load_explicit(&file->n_mended, memory_order_acquire);
}

int vector_file_extent(struct vector_file *file, uint64_t extent_idx, const void **ret_rows)
{
	if (vector_file_is_lost(file))
		return -EBADMSG;
	_Atomic uint64_t *unchecked = &extent_of(file, extent_idx)->unchecked;
	const uint8_t *rows = vector_windows_rows(&file->windows, extent_idx);
	uint64_t check = atomic_load_explicit(unchecked, memory_order_relaxed);

	while (check != VECTOR_EXTENT_GOOD) {
		if (check == VECTOR_EXTENT_BAD)
			return -EBADMSG;
		size_t n_bytes = (check >> 32) * file->layout.stride_bytes;
		bool is_good = crc32c(0, rows, n_bytes) == (uint32_t)check;
		/* When it fails, another thread was done first or a reset took the rows away. */
		if (atomic_compare_exchange_strong_explicit(
		            unchecked, &check, is_good ? VECTOR_EXTENT_GOOD : VECTOR_EXTENT_BAD,
		            memory_order_relaxed, memory_order_relaxed))
			check = is_good ? VECTOR_EXTENT_GOOD : VECTOR_EXTENT_BAD;
	}
	*ret_rows = rows;
	return 0;
}
