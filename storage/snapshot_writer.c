/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a snapshot comes to be whole or not at all. Everything is written to a temporary name:
 * chunks and table as one ascending stream, the header last, over the hole it left at the
 * beginning. Then one sync, the rename, and a sync of the directory. A file that is seen under
 * its name was therefore complete on the medium before it had the name.
 *
 * Checksums are taken from the caller's bytes before anything else touches them, so what goes
 * wrong on the way to the file is found when it is read.
 */

#include "storage/snapshot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/crc32c.h"
#include "storage/snapshot_page.h"

struct snapshot_writer {
	struct store_io *io;
	struct store_file *file; /* NULL once it was closed */
	struct snapshot_page page;
	struct snapshot_entry *entries; /* n_chunks of page */
	size_t max_entries;
	uint64_t end;      /* where the next byte of the stream goes */
	size_t n_buffered; /* bytes of the stream before end that stand in the buffer only */
	int error;         /* the first one */
	char dir[PATH_MAX];
	char path[PATH_MAX];
	char tmp_path[PATH_MAX];
	uint8_t buffer[SNAPSHOT_PIECE_BYTES];
};

static bool has_tmp_suffix(const char *name)
{
	size_t n = strlen(name);
	size_t n_suffix = strlen(SNAPSHOT_TMP_SUFFIX);

	return n >= n_suffix && strcmp(name + n - n_suffix, SNAPSHOT_TMP_SUFFIX) == 0;
}

static int join_path(char path[static PATH_MAX], const char *dir, const char *name,
                     const char *suffix)
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s", dir, name, suffix);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* The stream. */

static int flush(struct snapshot_writer *writer)
{
	size_t n = writer->n_buffered;

	writer->n_buffered = 0;
	return n > 0 ? store_write(writer->file, writer->buffer, n, writer->end - n) : 0;
}

/* At most SNAPSHOT_PIECE_BYTES; a whole piece is not copied. */
static int put(struct snapshot_writer *writer, const void *data, size_t n)
{
	int r = 0;

	if (n > sizeof(writer->buffer) - writer->n_buffered)
		r = flush(writer);
	if (r < 0)
		return r;
	if (n == sizeof(writer->buffer)) {
		r = store_write(writer->file, data, n, writer->end);
	} else if (n > 0) {
		memcpy(writer->buffer + writer->n_buffered, data, n);
		writer->n_buffered += n;
	}
	writer->end += n;
	return r;
}

/* Puts all of it and extends the checksum by it. */
static int put_summed(struct snapshot_writer *writer, const void *data, size_t n, uint32_t *crc)
{
	const uint8_t *at = data;

	while (n > 0) {
		size_t k = n < SNAPSHOT_PIECE_BYTES ? n : SNAPSHOT_PIECE_BYTES;

		*crc = crc32c(*crc, at, k);
		int r = put(writer, at, k);
		if (r < 0)
			return r;
		at += k;
		n -= k;
	}
	return 0;
}

static int put_padding(struct snapshot_writer *writer)
{
	static const uint8_t zeros[SNAPSHOT_PAGE_BYTES];

	return put(writer, zeros, snapshot_page_round_up(writer->end) - writer->end);
}

/* Chunks. */

static int add_entry(struct snapshot_writer *writer, uint32_t type, uint32_t idx)
{
	uint32_t n = writer->page.n_chunks;

	if (n > 0) {
		const struct snapshot_entry *last = &writer->entries[n - 1];

		if (snapshot_key(type, idx) <= snapshot_key(last->type, last->idx))
			return -EINVAL;
	}
	if (n == SNAPSHOT_CHUNKS_MAX)
		return -E2BIG;
	if (n == writer->max_entries) {
		size_t max = n > 0 ? 2 * (size_t)n : 64;
		void *entries = realloc(writer->entries, max * sizeof(*writer->entries));

		if (entries == NULL)
			return -ENOMEM;
		writer->entries = entries;
		writer->max_entries = max;
	}
	writer->entries[n] =
	        (struct snapshot_entry){.type = type, .idx = idx, .offset = writer->end};
	writer->page.n_chunks++;
	return 0;
}

int snapshot_writer_begin_chunk(struct snapshot_writer *writer, uint32_t type, uint32_t idx)
{
	if (writer->error == 0)
		writer->error = put_padding(writer);
	if (writer->error == 0)
		writer->error = add_entry(writer, type, idx);
	return writer->error;
}

int snapshot_writer_append(struct snapshot_writer *writer, const void *data, size_t n)
{
	if (writer->error == 0 && writer->page.n_chunks == 0)
		writer->error = -EINVAL;
	if (writer->error == 0) {
		struct snapshot_entry *entry = &writer->entries[writer->page.n_chunks - 1];

		entry->size_bytes += n;
		writer->error = put_summed(writer, data, n, &entry->crc);
	}
	return writer->error;
}

int snapshot_writer_chunk(struct snapshot_writer *writer, uint32_t type, uint32_t idx,
                          const void *data, size_t n)
{
	snapshot_writer_begin_chunk(writer, type, idx);
	return snapshot_writer_append(writer, data, n);
}

/* Beginning and ending. */

static void writer_free(struct snapshot_writer *writer)
{
	/* Still open it is of no use: one that is good was closed before it got its name. */
	(void)store_close(writer->file);
	free(writer->entries);
	free(writer);
}

int snapshot_writer_begin(struct store_io *io, const char *dir, const char *name,
                          const struct snapshot_head *head, struct snapshot_writer **ret)
{
	struct snapshot_page page;
	struct snapshot_writer *writer;

	if (name[0] == '\0' || strchr(name, '/') != NULL || has_tmp_suffix(name) ||
	    !snapshot_page_encode(head, &page))
		return -EINVAL;
	writer = malloc(sizeof(*writer));
	if (writer == NULL)
		return -ENOMEM;
	writer->io = io;
	writer->file = NULL;
	writer->page = page;
	writer->entries = NULL;
	writer->max_entries = 0;
	writer->end = SNAPSHOT_PAGE_BYTES;
	writer->n_buffered = 0;
	writer->error = 0;
	int n = snprintf(writer->dir, sizeof(writer->dir), "%s", dir);
	int r = n < 0 || (size_t)n >= sizeof(writer->dir) ? -ENAMETOOLONG : 0;
	if (r == 0)
		r = join_path(writer->path, dir, name, "");
	if (r == 0)
		r = join_path(writer->tmp_path, dir, name, SNAPSHOT_TMP_SUFFIX);
	if (r == 0)
		r = store_open(io, writer->tmp_path, STORE_WRITE | STORE_CREATE | STORE_TRUNCATE,
		               &writer->file);
	if (r < 0) {
		writer_free(writer);
		return r;
	}
	*ret = writer;
	return 0;
}

/* All that must be on the medium before the file gets its name. */
static int finish(struct snapshot_writer *writer)
{
	struct snapshot_page *page = &writer->page;

	int r = writer->error;
	if (r == 0)
		r = put_padding(writer);
	page->table_at = writer->end;
	if (r == 0)
		r = put_summed(writer, writer->entries, page->n_chunks * sizeof(*writer->entries),
		               &page->table_crc);
	if (r == 0)
		r = flush(writer);
	if (r < 0)
		return r;
	snapshot_page_seal(page);
	r = store_write(writer->file, page, sizeof(*page), 0);
	if (r < 0)
		return r;
	r = store_sync(writer->file);
	if (r < 0)
		return r;
	r = store_close(writer->file);
	writer->file = NULL;
	return r;
}

int snapshot_writer_commit(struct snapshot_writer *writer)
{
	int r = finish(writer);

	if (r == 0)
		r = store_rename(writer->io, writer->tmp_path, writer->path);
	if (r == -EISDIR) { /* not of our making */
		r = store_remove_tree(writer->io, writer->path);
		if (r == 0)
			r = store_rename(writer->io, writer->tmp_path, writer->path);
	}
	if (r < 0) {
		snapshot_writer_abort(writer);
		return r;
	}
	r = store_sync_dir(writer->io, writer->dir);
	writer_free(writer);
	return r;
}

struct snapshot_writer *snapshot_writer_abort(struct snapshot_writer *writer)
{
	if (writer == NULL)
		return NULL;
	/* One that cannot be removed is left to snapshot_collect_tmp(), which tells of it. */
	(void)store_unlink(writer->io, writer->tmp_path);
	writer_free(writer);
	return NULL;
}

struct collection_pass {
	struct store_io *io;
	const char *dir;
	int error; /* the first one */
};

static int collect_entry(void *ctx, const char *name)
{
	struct collection_pass *pass = ctx;
	char path[PATH_MAX];

	if (!has_tmp_suffix(name))
		return 0;
	int r = join_path(path, pass->dir, name, "");
	if (r == 0)
		r = store_unlink(pass->io, path);
	if (r < 0 && r != -ENOENT && pass->error == 0)
		pass->error = r;
	return 0;
}

int snapshot_collect_tmp(struct store_io *io, const char *dir)
{
	struct collection_pass pass = {.io = io, .dir = dir};

	int r = io->ops->list(io, dir, collect_entry, &pass);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return pass.error;
}
