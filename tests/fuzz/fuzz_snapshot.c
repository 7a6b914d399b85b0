/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A snapshot whose bytes were changed, with seals and checksums made right again where the input
 * asks for it: it is not used, or a graph is loaded from it that is sound, and a search of it
 * answers rows that exist. The input: one byte (bit 0: seal the page again, bit 1: the table,
 * bit 2: the chunks), then patches of five bytes each: where in the file (24 bits), the byte that
 * is written there, and 1 when the file is cut there instead.
 */

#include "storage/crc32c.h"
#include "storage/snapshot_page.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/load_graph.h"
#include "tests/lib/hnsw_fixture.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/snapshot_fixture.h"

#include <errno.h>
#include <string.h>

enum {
	N_ROWS = 60,
	DIM = 8,
	PATCH_BYTES = 5,
	SEAL_PAGE = 1,
	SEAL_TABLE = 2,
	SEAL_CHUNKS = 4,
};

static struct hnsw_fixture fixture;
static struct scratch_dir dir;
static char path[SCRATCH_PATH_SIZE];
static const atomic_bool never;
static uint8_t *saved;
static size_t n_saved;

struct file_sink {
	struct hnsw_sink sink;
	struct snapshot_writer *writer;
};

static int sink_write(struct hnsw_sink *base, enum hnsw_chunk tag, uint32_t idx, const void *bytes,
                      size_t n)
{
	struct file_sink *sink = (struct file_sink *)base;

	return snapshot_writer_chunk(sink->writer, (uint32_t)tag, idx, bytes, n);
}

struct file_source {
	struct hnsw_source source;
	struct snapshot *snapshot;
};

static int source_read(struct hnsw_source *base, enum hnsw_chunk tag, uint32_t idx, void *bytes,
                       size_t n)
{
	struct file_source *source = (struct file_source *)base;

	return snapshot_read_chunk(source->snapshot, (uint32_t)tag, idx, bytes, n);
}

static void remove_dir(void)
{
	free(saved);
	hnsw_fixture_close(&fixture);
	scratch_dir_release(&dir);
}

/* What all inputs start from, once. */
static void save_snapshot(void)
{
	const struct hnsw_fixture_spec spec = {
	        .data = HNSW_DATA_CLUSTERED,
	        .dim = DIM,
	        .n_rows = N_ROWS,
	        .n_queries = 2,
	        .params = {.M = 4, .ef_construction = 20, .seed = 5},
	};
	struct snapshot_head head = snapshot_fixture_head(1);
	struct file_sink sink = {.sink = {sink_write}};

	hnsw_fixture_open(&fixture, &spec);
	hnsw_fixture_fill(&fixture, 1);
	scratch_dir_init(&dir);
	atexit(remove_dir);
	FUZZ_CHECK(snapshot_writer_begin(store_io_posix(), dir.path, "saved", &head,
	                                 &sink.writer) == 0);
	FUZZ_CHECK(hnsw_save(fixture.hnsw, &sink.sink) == 0);
	FUZZ_CHECK(snapshot_writer_commit(sink.writer) == 0);
	scratch_dir_path(&dir, "saved", path);
	saved = scratch_file_load(path, &n_saved);
}

/* The table and chunks that the page speaks of, as far as they are inside the file. */
static void seal(uint8_t *bytes, size_t n, uint8_t what)
{
	struct snapshot_page page;
	struct snapshot_entry entry;
	size_t n_table;

	if (n < sizeof(page))
		return;
	memcpy(&page, bytes, sizeof(page));
	n_table = (size_t)page.n_chunks * sizeof(entry);
	if (page.table_at > n || n_table > n - page.table_at)
		n_table = 0;
	for (size_t at = 0; (what & SEAL_CHUNKS) && at < n_table; at += sizeof(entry)) {
		memcpy(&entry, bytes + page.table_at + at, sizeof(entry));
		if (entry.offset > n || entry.size_bytes > n - entry.offset)
			continue;
		entry.crc = crc32c(0, bytes + entry.offset, entry.size_bytes);
		memcpy(bytes + page.table_at + at, &entry, sizeof(entry));
	}
	if ((what & SEAL_TABLE) && n_table > 0)
		page.table_crc = crc32c(0, bytes + page.table_at, n_table);
	if (what & SEAL_PAGE)
		snapshot_page_seal(&page);
	memcpy(bytes, &page, sizeof(page));
}

static void write_patched(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(n_saved);
	size_t n = n_saved;
	uint8_t what = size > 0 ? data[0] : 0;

	FUZZ_CHECK(bytes != NULL);
	memcpy(bytes, saved, n);
	for (size_t i = 1; i + PATCH_BYTES <= size; i += PATCH_BYTES) {
		const uint8_t *patch = data + i;
		size_t at = (size_t)(patch[0] << 16 | patch[1] << 8 | patch[2]) % n_saved;

		if (patch[4] == 1)
			n = at;
		else
			bytes[at] = patch[3];
	}
	seal(bytes, n, what);
	scratch_file_save(path, bytes, n);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file_source source = {.source = {.read = source_read}};
	const char *why = NULL;
	int r;

	if (!saved)
		save_snapshot();
	write_patched(data, size);
	r = snapshot_open(store_io_posix(), path, &source.snapshot, &why);
	FUZZ_CHECK(r >= 0);
	if (r > 0) {
		FUZZ_CHECK(why != NULL);
		return 0;
	}
	r = snapshot_check(source.snapshot, &never);
	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	load_graph(&fixture, &source.source);
	snapshot_close(source.snapshot);
	return 0;
}
