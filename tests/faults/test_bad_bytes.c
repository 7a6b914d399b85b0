/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every bad byte, below the daemon: the bytes of headers and tables are flipped in turn and the
 * file is opened as the daemon opens it, thousands of times in a second or two. What a daemon then
 * makes of it is test_bad_files.c's, with fewer bytes; $KITH_FLIP_STRIDE=1 leaves none out.
 *
 * file     | flipped                           | link   | EACCES | empty   | foreign
 * ---------|-----------------------------------|--------|--------|---------|--------
 * catalog  | refused, or right (first page)    | -ELOOP | error  | made    | FOREIGN
 * records  | refused, or right (first page)    | -ELOOP | error  | FOREIGN | FOREIGN
 * its WAL  | ends before that commit           |        |        |         |
 * vectors  | over, older header, or bad extent | over   | error  | over    | over
 * snapshot | BAD, or its chunk is bad          | BAD    | error  | BAD     | BAD
 *
 * "over": the file starts over and is filled from the truth. Files of a newer version are in the
 * unit tests of each.
 *
 * Of the truth, "right" means that the flip hit nothing in use. An empty catalog is one that was
 * not made yet: the daemon makes it, and leaves directories alone that it does not know.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/catalog.h"
#include "storage/snapshot.h"
#include "storage/sqlite_vfs.h"
#include "tests/lib/children.h"
#include "tests/lib/record_fixture.h"
#include "tests/lib/snapshot_fixture.h"
#include "tests/lib/vector_fixture.h"

#define N_IDS 6u
#define STRIDE 64u
#define N_ROWS 8u
#define N_NAMES 3u
#define USUAL_STRIDE 7u
#define SQLITE_HEADER_BYTES 100u
#define WAL_HEADER_BYTES 32u
#define WAL_FRAME_HEADER_BYTES 24u
#define SQLITE_PAGE_BYTES 4096u

/* Files that come back ------------------------------------------------------------------------- */

struct kept {
	char path[SCRATCH_PATH_SIZE];
	uint8_t *bytes;
	size_t n;
};

static struct kept keep(const struct scratch_dir *dir, const char *name)
{
	struct kept kept;

	scratch_dir_path(dir, name, kept.path);
	kept.bytes = scratch_file_load(kept.path, &kept.n);
	assert_true(kept.n > 0);
	return kept;
}

/* Puts it back, with a bit of that byte flipped; at == n: as it was. */
static void put_back(const struct kept *kept, size_t at)
{
	scratch_file_save(kept->path, kept->bytes, kept->n);
	if (at < kept->n)
		vector_fixture_flip(kept->path, at);
}

static void remove_beside(const struct kept *kept, const char *suffix)
{
	char path[SCRATCH_PATH_SIZE + 8];

	snprintf(path, sizeof(path), "%s%s", kept->path, suffix);
	unlink(path);
}

/* After at: the next one of the first n_dense bytes, each of which counts, or of the others, of
 * which a bounded run takes some; $KITH_FLIP_STRIDE=1: all. */
static size_t next_byte(size_t at, size_t n_dense)
{
	const char *told = getenv("KITH_FLIP_STRIDE");
	size_t stride = told ? strtoul(told, NULL, 10) : USUAL_STRIDE * CHILDREN_STRIDE;

	assert_true(stride > 0);
	return at + (at < n_dense ? CHILDREN_STRIDE : stride);
}

/* What came of the flips of one file. */
struct tally {
	unsigned n_tried, n_refused, n_right;
};

static void print_tally(const char *what, const struct tally *tally)
{
	print_message("%s: %u bytes flipped, %u found, %u without effect\n", what, tally->n_tried,
	              tally->n_refused, tally->n_right);
}

/* The truth ------------------------------------------------------------------------------------ */

static const char *const ids[N_IDS] = {"a", "bb", "ccc", "dddd", "eeeee", "ffffff"};

static void fill_records(struct record_fixture *fixture)
{
	for (unsigned i = 0; i < N_IDS; i++)
		fixture_put(fixture, ids[i], (float)(i + 1), ids[N_IDS - 1 - i]);
}

/* Whether the row is record i as it was written. */
static bool is_record(const struct record_row *row, unsigned i)
{
	const char *text = ids[N_IDS - 1 - i];
	float vector[FIXTURE_DIM];

	memcpy(vector, row->record.vector, sizeof(vector));
	for (int k = 0; k < FIXTURE_DIM; k++) {
		if (vector[k] != (float)(i + 1))
			return false;
	}
	return row->record.text && row->record.text_n == strlen(text) &&
	       memcmp(row->record.text, text, row->record.text_n) == 0 &&
	       row->record.id.n == strlen(ids[i]) &&
	       memcmp(row->record.id.text, ids[i], row->record.id.n) == 0;
}

#define REFUSED (-1)
#define WRONG (-2)

static int walk(struct record_reader *reader, unsigned n)
{
	const unsigned want = RECORD_WANT_VECTOR | RECORD_WANT_TEXT;
	struct record_row row;
	unsigned n_seen = 0;
	int r = record_reader_scan(reader, 0, -1, FIXTURE_EVERY, want);

	if (r < 0)
		return REFUSED;
	while ((r = record_reader_next(reader, &row)) == 0) {
		if (n_seen == n || !is_record(&row, n_seen++))
			return WRONG;
	}
	if (r < 0)
		return REFUSED;
	return n_seen == n ? (int)n : WRONG;
}

/* How many of the records are there, from the first on and no other: by id, walked, counted. */
static int read_all(struct record_reader *reader)
{
	struct record_store_state state;
	struct record_row row;
	unsigned n = 0;
	int r = 0;

	for (unsigned i = 0; i < N_IDS; i++) {
		struct record_id id = fixture_id(ids[i]);

		r = record_reader_by_id(reader, &id, FIXTURE_EVERY,
		                        RECORD_WANT_VECTOR | RECORD_WANT_TEXT, &row);
		if (r < 0)
			return REFUSED;
		if (r == 0 && (n != i || !is_record(&row, i)))
			return WRONG;
		n += r == 0;
	}
	if (record_reader_state(reader, &state) < 0)
		return REFUSED;
	return state.n_live == n ? walk(reader, n) : WRONG;
}

static int open_and_read(const struct scratch_dir *dir, const struct uuid *uuid)
{
	struct record_reader *reader = NULL;
	struct record_store *store;
	int r = record_store_open(store_io_posix(), dir->path, uuid, 1 << 18, &store);

	if (r != 0) {
		if (r < 0)
			assert_true(strlen(record_store_last_error()) > 0);
		return REFUSED;
	}
	r = record_reader_new(store, &reader);
	r = r < 0 ? REFUSED : read_all(reader);
	record_reader_free(reader);
	record_store_free(store);
	return r;
}

static void a_flipped_byte_of_the_records_first_page_is_refused_or_means_nothing(void **state)
{
	struct record_fixture fixture;
	struct tally tally = {0};
	struct kept kept;

	(void)state;
	record_fixture_init(&fixture);
	fill_records(&fixture);
	record_fixture_close(&fixture);
	kept = keep(&fixture.scratch, "records.db");
	for (size_t at = 0; at < SQLITE_PAGE_BYTES; at = next_byte(at, SQLITE_HEADER_BYTES)) {
		int n;

		put_back(&kept, at);
		n = open_and_read(&fixture.scratch, &fixture.spec.uuid);
		remove_beside(&kept, "-wal");
		tally.n_tried++;
		if (n != REFUSED && n != (int)N_IDS)
			fail_msg("byte %zu of the records: wrong, and not refused", at);
		tally.n_refused += n == REFUSED;
		tally.n_right += n != REFUSED;
	}
	print_tally("records.db", &tally);
	put_back(&kept, kept.n);
	free(kept.bytes);
	record_fixture_open(&fixture);
	record_fixture_release(&fixture);
}

/* A frame that does not fit ends the WAL for SQLite: what was committed before it is there. */
static void a_flipped_byte_of_the_wal_ends_it_between_two_commits(void **state)
{
	struct record_fixture fixture;
	unsigned n_left[N_IDS + 1] = {0}, n_tried = 0, n_refused = 0;
	struct kept db, wal;

	(void)state;
	record_fixture_init(&fixture);
	assert_int_equal(record_store_checkpoint(fixture.store, true), 0);
	fill_records(&fixture);
	db = keep(&fixture.scratch, "records.db");
	wal = keep(&fixture.scratch, "records.db-wal");
	record_fixture_close(&fixture);
	for (size_t at = 0; at < wal.n; at = next_byte(at, WAL_HEADER_BYTES)) {
		size_t in_frame =
		        (at - WAL_HEADER_BYTES) % (WAL_FRAME_HEADER_BYTES + SQLITE_PAGE_BYTES);
		int n;

		/* Of a page's bytes few: one checksum holds them all. */
		if (at >= WAL_HEADER_BYTES && in_frame >= WAL_FRAME_HEADER_BYTES &&
		    in_frame % 509 >= CHILDREN_STRIDE)
			continue;
		put_back(&db, db.n);
		put_back(&wal, at);
		n = open_and_read(&fixture.scratch, &fixture.spec.uuid);
		n_tried++;
		if (n == WRONG)
			fail_msg("byte %zu of the WAL: part of a commit", at);
		if (n == REFUSED)
			n_refused++;
		else
			n_left[n]++;
	}
	assert_true(n_tried > n_refused && n_left[0] > 0 && n_left[1] > 0);
	print_message("records.db-wal: %u bytes flipped, %u refused; left with 0 to %u commits:",
	              n_tried, n_refused, N_IDS);
	for (unsigned i = 0; i <= N_IDS; i++)
		print_message(" %u", n_left[i]);
	print_message("\n");
	put_back(&db, db.n);
	put_back(&wal, wal.n);
	assert_int_equal(open_and_read(&fixture.scratch, &fixture.spec.uuid), N_IDS);
	free(db.bytes);
	free(wal.bytes);
	record_fixture_open(&fixture);
	record_fixture_release(&fixture);
}

/* The catalog ---------------------------------------------------------------------------------- */

static struct catalog_entry entry_of(unsigned i)
{
	struct catalog_entry entry = {
	        .spec = {.uuid = {{(uint8_t)(i + 1)}}, .dim = 8 + i, .space = "model@1"},
	        .created_ms = 1000 + i,
	};

	snprintf(entry.name, sizeof(entry.name), "collection %u", i);
	return entry;
}

static void make_catalog(const struct scratch_dir *dir)
{
	struct catalog *catalog;

	assert_int_equal(catalog_open(store_io_posix(), dir->path, &catalog), 0);
	for (unsigned i = 0; i < N_NAMES; i++) {
		struct catalog_entry entry = entry_of(i);

		assert_int_equal(catalog_add(catalog, &entry), 0);
		assert_int_equal(catalog_set_state(catalog, &entry.spec.uuid, CATALOG_LIVE), 0);
	}
	catalog_close(catalog);
}

/* ctx counts; 1: not what was written. */
static int compare_entry(void *ctx, const struct catalog_entry *entry)
{
	unsigned *n = ctx;
	struct catalog_entry wanted = entry_of(*n);

	++*n;
	return *n > N_NAMES || entry->state != CATALOG_LIVE ||
	       strcmp(entry->name, wanted.name) != 0 || entry->spec.dim != wanted.spec.dim ||
	       !uuid_equal(&entry->spec.uuid, &wanted.spec.uuid) ||
	       entry->created_ms != wanted.created_ms ||
	       strcmp(entry->spec.space, wanted.spec.space) != 0;
}

static int open_and_list(const struct scratch_dir *dir)
{
	struct catalog *catalog;
	unsigned n = 0;
	int r = catalog_open(store_io_posix(), dir->path, &catalog);

	if (r != 0)
		return REFUSED;
	r = catalog_each(catalog, compare_entry, &n);
	catalog_close(catalog);
	if (r < 0)
		return REFUSED;
	return r == 0 && n == N_NAMES ? (int)n : WRONG;
}

static void a_flipped_byte_of_the_catalogs_first_page_is_refused_or_means_nothing(void **state)
{
	struct scratch_dir dir;
	struct tally tally = {0};
	struct kept kept;

	(void)state;
	scratch_dir_init(&dir);
	make_catalog(&dir);
	kept = keep(&dir, "catalog.db");
	for (size_t at = 0; at < SQLITE_PAGE_BYTES; at = next_byte(at, SQLITE_HEADER_BYTES)) {
		int n;

		put_back(&kept, at);
		n = open_and_list(&dir);
		remove_beside(&kept, "-wal");
		if (n == WRONG)
			fail_msg("byte %zu of the catalog: wrong, and not refused", at);
		tally.n_tried++;
		tally.n_refused += n == REFUSED;
		tally.n_right += n != REFUSED;
	}
	print_tally("catalog.db", &tally);
	free(kept.bytes);
	scratch_dir_release(&dir);
}

/* What is derived ------------------------------------------------------------------------------ */

/* Every row that is handed out is right. Returns whether all of them were. */
static bool read_rows(const char *path, const struct vector_file_spec *spec)
{
	uint64_t slots[N_ROWS], n;
	struct vector_file *file;
	const char *why;
	const void *rows;
	bool is_whole;

	assert_int_equal(vector_file_open(store_io_posix(), path, spec, &file, &why), 0);
	n = vector_file_n_rows(file);
	assert_true(n <= N_ROWS);
	is_whole = !why && n == N_ROWS;
	assert_int_equal(vector_file_slots(file, 0, n, slots), 0);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(slots[i], vector_fixture_slot(i));
	if (n > 0) {
		int r = vector_file_extent(file, 0, &rows);

		assert_true(r == 0 || r == -EBADMSG);
		is_whole &= r == 0;
		for (uint64_t i = 0; r == 0 && i < n; i++)
			assert_true(vector_fixture_row_is(spec, (const uint8_t *)rows + i * STRIDE,
			                                  i, 1));
	}
	vector_file_free(file);
	return is_whole;
}

static void flipped_bytes_of_the_vector_file_never_give_a_wrong_row(void **state)
{
	const struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	const struct vector_fixture_where where = vector_fixture_where(STRIDE);
	const struct {
		size_t from, n;
	} pieces[] = {
	        {0, 2 * FIXTURE_PAGE_BYTES},
	        {FIXTURE_EXTENTS_AT, 2 * FIXTURE_PAGE_BYTES + N_ROWS * 8},
	        {FIXTURE_EXTENTS_AT + where.rows_at, N_ROWS * STRIDE},
	};
	struct scratch_dir dir;
	struct vector_file *file;
	struct tally tally = {0};
	struct kept kept;
	const char *why;

	(void)state;
	scratch_dir_init(&dir);
	scratch_dir_path(&dir, "vectors", kept.path);
	assert_int_equal(vector_file_open(store_io_posix(), kept.path, &spec, &file, &why), 0);
	for (unsigned i = 0; i < 2; i++) { /* so that both headers are in use */
		assert_int_equal(vector_fixture_append(file, &spec, N_ROWS / 2, N_ROWS / 2, 1), 0);
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	}
	vector_file_free(file);
	kept = keep(&dir, "vectors");
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		for (size_t k = 0; k < pieces[i].n; k += CHILDREN_STRIDE) {
			size_t at = pieces[i].from + k;
			bool is_whole;

			vector_fixture_flip(kept.path, at);
			is_whole = read_rows(kept.path, &spec);
			tally.n_tried++;
			tally.n_right += is_whole;
			tally.n_refused += !is_whole;
			if (is_whole) {
				vector_fixture_flip(kept.path, at);
				continue;
			}
			for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++)
				vector_fixture_poke(kept.path, pieces[j].from,
				                    kept.bytes + pieces[j].from, pieces[j].n);
			assert_int_equal(truncate(kept.path, (off_t)kept.n), 0);
		}
	}
	assert_true(read_rows(kept.path, &spec));
	print_tally("vectors", &tally);
	free(kept.bytes);
	scratch_dir_release(&dir);
}

#define CHUNK_BYTES 5000u

static int save_snapshot(const char *dir)
{
	struct snapshot_head head = snapshot_fixture_head(1);
	uint8_t bytes[CHUNK_BYTES];
	struct snapshot_writer *writer;

	assert_int_equal(snapshot_writer_begin(store_io_posix(), dir, "saved", &head, &writer), 0);
	for (uint32_t i = 0; i < 2; i++) {
		snapshot_fixture_fill(1, 1, i, bytes, sizeof(bytes));
		snapshot_writer_chunk(writer, 1, i, bytes, sizeof(bytes));
	}
	return snapshot_writer_commit(writer);
}

static bool read_chunks(const char *path)
{
	uint8_t bytes[CHUNK_BYTES], wanted[CHUNK_BYTES];
	struct snapshot *snapshot;
	const char *why = NULL;
	bool is_whole = true;
	int r = snapshot_open(store_io_posix(), path, &snapshot, &why);

	if (r != 0) {
		assert_true(r == SNAPSHOT_BAD || r == SNAPSHOT_NEWER);
		assert_non_null(why);
		return false;
	}
	for (uint32_t i = 0; i < 2; i++) {
		r = snapshot_read_chunk(snapshot, 1, i, bytes, sizeof(bytes));
		assert_true(r == 0 || r == -EBADMSG);
		is_whole &= r == 0;
		snapshot_fixture_fill(1, 1, i, wanted, sizeof(wanted));
		if (r == 0)
			assert_memory_equal(bytes, wanted, sizeof(bytes));
	}
	snapshot_close(snapshot);
	return is_whole;
}

static void no_flipped_byte_of_a_whole_snapshot_gives_a_wrong_chunk(void **state)
{
	struct tally tally = {0};
	struct scratch_dir dir;
	struct kept kept;

	(void)state;
	scratch_dir_init(&dir);
	assert_int_equal(save_snapshot(dir.path), 0);
	kept = keep(&dir, "saved");
	for (size_t at = 0; at < kept.n; at = next_byte(at, FIXTURE_PAGE_BYTES)) {
		bool is_whole;

		vector_fixture_flip(kept.path, at);
		is_whole = read_chunks(kept.path);
		vector_fixture_flip(kept.path, at);
		tally.n_tried++;
		tally.n_right += is_whole;
		tally.n_refused += !is_whole;
	}
	assert_true(read_chunks(kept.path));
	print_tally("snapshot", &tally);
	free(kept.bytes);
	scratch_dir_release(&dir);
}

/* Something else in its place ------------------------------------------------------------------ */

/* Opens the file of a case in dir: 0, an outcome or an error. */
static int open_catalog(struct store_io *io, const char *dir)
{
	struct catalog *catalog;
	int r = catalog_open(io, dir, &catalog);

	if (r == 0)
		catalog_close(catalog);
	return r;
}

static const struct uuid the_uuid = {{7}};

static int open_records(struct store_io *io, const char *dir)
{
	struct record_store *store;
	int r = record_store_open(io, dir, &the_uuid, 1 << 18, &store);

	if (r == 0)
		record_store_free(store);
	return r;
}

#define STARTED_OVER 77

static int open_vectors(struct store_io *io, const char *dir)
{
	const struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	char path[SCRATCH_PATH_SIZE];
	struct vector_file *file;
	const char *why;
	int r;

	snprintf(path, sizeof(path), "%s/vectors", dir);
	r = vector_file_open(io, path, &spec, &file, &why);
	if (r != 0)
		return r;
	vector_file_free(file);
	return why ? STARTED_OVER : 0;
}

static int open_snapshot(struct store_io *io, const char *dir)
{
	char path[SCRATCH_PATH_SIZE];
	struct snapshot *snapshot;
	const char *why;
	int r;

	snprintf(path, sizeof(path), "%s/saved", dir);
	r = snapshot_open(io, path, &snapshot, &why);
	if (r == 0)
		snapshot_close(snapshot);
	return r;
}

static const struct case_of {
	const char *name;
	int (*open)(struct store_io *io, const char *dir);
	int link, denied, empty, foreign;
} cases[] = {
        {"catalog.db", open_catalog, -ELOOP, -EACCES, 0, CATALOG_FOREIGN},
        {"records.db", open_records, -ELOOP, -EACCES, RECORD_STORE_FOREIGN, RECORD_STORE_FOREIGN},
        {"vectors", open_vectors, STARTED_OVER, -EACCES, STARTED_OVER, STARTED_OVER},
        {"saved", open_snapshot, SNAPSHOT_BAD, -EACCES, SNAPSHOT_BAD, SNAPSHOT_BAD},
};

static void make_all(const struct scratch_dir *dir)
{
	const struct record_spec spec = {.uuid = the_uuid, .dim = 4, .space = "model@1"};
	const struct vector_file_spec vectors = vector_fixture_spec(STRIDE);
	char path[SCRATCH_PATH_SIZE];
	struct vector_file *file;
	const char *why;

	make_catalog(dir);
	assert_int_equal(record_store_create(store_io_posix(), dir->path, &spec), 0);
	assert_int_equal(save_snapshot(dir->path), 0);
	scratch_dir_path(dir, "vectors", path);
	assert_int_equal(vector_file_open(store_io_posix(), path, &vectors, &file, &why), 0);
	assert_int_equal(vector_fixture_append(file, &vectors, 4, 4, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
}

static void expect(const struct case_of *one, struct store_io *io, const struct scratch_dir *dir,
                   const char *what, int wanted)
{
	int r = one->open(io, dir->path);

	if (r != wanted)
		fail_msg("%s, %s: %d, not %d", one->name, what, r, wanted);
}

static void try_case(const struct case_of *one)
{
	static const char text[] = "This is somebody's diary, and none of your business.\n";
	struct store_twin *twin = store_twin_new(store_io_posix());
	char path[SCRATCH_PATH_SIZE], aside[SCRATCH_PATH_SIZE];
	struct scratch_dir dir;
	struct kept kept;
	unsigned char *after;
	size_t n_after;

	scratch_dir_init(&dir);
	make_all(&dir);
	scratch_dir_path(&dir, one->name, path);
	scratch_dir_path(&dir, "aside", aside);
	kept = keep(&dir, one->name);
	expect(one, store_io_posix(), &dir, "as it was", 0);
	store_twin_fail(twin, (struct store_twin_fault){.kind = STORE_TWIN_ANY,
	                                                .path_part = one->name,
	                                                .nth = 1,
	                                                .err = EACCES,
	                                                .lasting = true});
	expect(one, store_twin_io(twin), &dir, "not to be opened", one->denied);
	store_twin_heal(twin);
	sqlite_vfs_drop(store_twin_io(twin));
	store_twin_free(twin);
	scratch_file_save(path, text, sizeof(text));
	expect(one, store_io_posix(), &dir, "foreign", one->foreign);
	scratch_file_save(path, "", 0);
	expect(one, store_io_posix(), &dir, "empty", one->empty);
	unlink(path);
	scratch_file_save(aside, kept.bytes, kept.n);
	assert_int_equal(symlink(aside, path), 0);
	expect(one, store_io_posix(), &dir, "a link", one->link);
	/* And what the link leads to is untouched. */
	after = scratch_file_load(aside, &n_after);
	assert_int_equal(n_after, kept.n);
	assert_memory_equal(after, kept.bytes, kept.n);
	free(after);
	free(kept.bytes);
	scratch_dir_release(&dir);
}

static void what_stands_in_a_files_place_is_told_from_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		try_case(&cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(
	                a_flipped_byte_of_the_records_first_page_is_refused_or_means_nothing),
	        cmocka_unit_test(a_flipped_byte_of_the_wal_ends_it_between_two_commits),
	        cmocka_unit_test(
	                a_flipped_byte_of_the_catalogs_first_page_is_refused_or_means_nothing),
	        cmocka_unit_test(flipped_bytes_of_the_vector_file_never_give_a_wrong_row),
	        cmocka_unit_test(no_flipped_byte_of_a_whole_snapshot_gives_a_wrong_chunk),
	        cmocka_unit_test(what_stands_in_a_files_place_is_told_from_it),
	};

	/* The disk of this machine would only be slow. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests_name("bad bytes", tests, NULL, NULL);
}
