/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What becomes of a vector file that was damaged, torn, cut short, or whose operations failed:
 * it opens as the last state it promised, or starts over and says so, or names the extent that
 * is bad. It never hands out a row that was not written.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "storage/crc32c.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"
#include "tests/lib/vector_fixture.h"

#define STRIDE 16384u /* 128 rows an extent */
#define NO_EXTENT UINT64_MAX

static struct scratch_dir scratch;
static char path[SCRATCH_PATH_SIZE];
static char path_after[SCRATCH_PATH_SIZE];

static int setup(void **state)
{
	(void)state;
	scratch_dir_init(&scratch);
	scratch_dir_path(&scratch, "vectors", path);
	scratch_dir_path(&scratch, "after", path_after);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_dir_release(&scratch);
	return 0;
}

static struct vector_file *open_at(const char *at, const struct vector_file_spec *spec,
                                   const char **ret_why)
{
	struct vector_file *file;

	assert_int_equal(vector_file_open(store_io_posix(), at, spec, &file, ret_why), 0);
	return file;
}

/* A file of synced rows with mark 1: first n_older, then n_rows in a second sync. */
static void make_file(const struct vector_file_spec *spec, uint64_t n_older, uint64_t n_rows)
{
	const char *why;

	unlink(path);
	struct vector_file *file = open_at(path, spec, &why);
	assert_int_equal(vector_fixture_append(file, spec, n_older, 64, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	assert_int_equal(vector_fixture_append(file, spec, n_rows - n_older, 64, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
}

/* Opens what is at path; it must have that many rows, all of them right, and if it has none
 * because it started over it must say why. */
static void assert_opens(const struct vector_file_spec *spec, uint64_t n_rows, const char *why)
{
	const char *got = "untouched";
	struct vector_file *file = open_at(path, spec, &got);

	if (why != NULL) {
		assert_non_null(got);
		assert_string_equal(got, why);
	} else {
		assert_null(got);
	}
	assert_int_equal(vector_file_n_rows(file), n_rows);
	vector_fixture_check(file, spec, 1, 1, NO_EXTENT);
	vector_file_free(file);
}

/* Offsets of a page worth flipping: all that mean something, some of the zeros, the seal. */
static uint32_t next_offset(uint32_t offset)
{
	return offset < 80 || offset >= FIXTURE_PAGE_BYTES - 8 ? offset + 1 : offset + 61;
}

static void a_flipped_byte_of_the_newest_header_falls_back_to_the_older(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);

	(void)state;
	make_file(&spec, 20, 30);
	/* Page 0 at creation, 1 at the first sync, 0 again at the second. */
	for (uint32_t at = 0; at < FIXTURE_PAGE_BYTES; at = next_offset(at)) {
		vector_fixture_flip(path, at);
		assert_opens(&spec, 20, NULL);
		vector_fixture_flip(path, at);
		assert_opens(&spec, 30, NULL);
	}
}

static void a_flipped_byte_of_the_older_header_changes_nothing(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);

	(void)state;
	make_file(&spec, 20, 30);
	for (uint32_t at = 0; at < FIXTURE_PAGE_BYTES; at = next_offset(at)) {
		vector_fixture_flip(path, FIXTURE_PAGE_BYTES + at);
		assert_opens(&spec, 30, NULL);
	}
}

static void two_damaged_headers_start_over(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);

	(void)state;
	make_file(&spec, 20, 30);
	vector_fixture_flip(path, 0);
	vector_fixture_flip(path, FIXTURE_PAGE_BYTES + 50);
	assert_opens(&spec, 0, "its header is damaged");
	assert_opens(&spec, 0, NULL);
}

static void a_torn_header_falls_back_to_the_older(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);
	uint8_t half[FIXTURE_PAGE_BYTES / 2] = {0};

	(void)state;
	for (unsigned part = 0; part < 2; part++) {
		for (unsigned page = 0; page < 2; page++) {
			make_file(&spec, 20, 30);
			vector_fixture_poke(path, page * FIXTURE_PAGE_BYTES + part * sizeof(half),
			                    half, sizeof(half));
			assert_opens(&spec, page == 0 ? 20 : 30, NULL);
		}
	}
}

static void a_file_that_fell_back_goes_on_from_there(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	uint64_t size = FIXTURE_EXTENTS_AT + vector_fixture_where(STRIDE).extent_bytes;
	struct stat st;
	const char *why;

	(void)state;
	make_file(&spec, 20, 300);
	vector_fixture_flip(path, 0);
	struct vector_file *file = open_at(path, &spec, &why);
	assert_null(why);
	/* The extents behind the count went, and their heads of later generations with them. */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_int_equal(vector_fixture_append(file, &spec, 280, 64, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
	assert_opens(&spec, 300, NULL);
}

static void a_flipped_byte_of_an_extent_head_is_never_a_wrong_answer(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);
	unsigned char *pristine;
	size_t n;

	(void)state;
	make_file(&spec, 20, 30);
	pristine = scratch_file_load(path, &n);
	for (uint32_t at = 0; at < FIXTURE_PAGE_BYTES; at = next_offset(at)) {
		/* The first sync's head is not needed any more ... */
		vector_fixture_flip(path, FIXTURE_EXTENTS_AT + at);
		assert_opens(&spec, 30, NULL);
		/* ... the second's is. */
		vector_fixture_flip(path, FIXTURE_EXTENTS_AT + FIXTURE_PAGE_BYTES + at);
		assert_opens(&spec, 0, "the head of an extent is damaged");
		scratch_file_save(path, pristine, n);
	}
	free(pristine);
}

static void a_flipped_slot_starts_over(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	uint64_t extent = vector_fixture_where(STRIDE).extent_bytes;

	(void)state;
	for (uint64_t row = 0; row < 300; row += 37) {
		make_file(&spec, 20, 300);
		vector_fixture_flip(path, FIXTURE_EXTENTS_AT + row / 128 * extent +
		                                  FIXTURE_SLOTS_AT + row % 128 * 8 + row % 8);
		assert_opens(&spec, 0, "its slots are damaged");
	}
}

static void a_flipped_row_makes_its_extent_bad_and_no_other(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct vector_fixture_where where = vector_fixture_where(STRIDE);
	const void *rows = NULL;
	const char *why;

	(void)state;
	for (uint64_t row = 0; row < 300; row += 59) {
		uint64_t bad = row / 128;

		make_file(&spec, 20, 300);
		vector_fixture_flip(path, FIXTURE_EXTENTS_AT + bad * where.extent_bytes +
		                                  where.rows_at + row % 128 * STRIDE + row);
		struct vector_file *file = open_at(path, &spec, &why);
		assert_null(why);
		for (int i = 0; i < 2; i++)
			vector_fixture_check(file, &spec, 1, 1, bad);
		assert_null(rows);
		/* Rows appended to it do not make it good. */
		assert_int_equal(vector_fixture_append(file, &spec, 10, 10, 1), 0);
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
		assert_int_equal(vector_file_extent(file, bad, &rows), -EBADMSG);
		/* Nor can it be kept in part. */
		assert_int_equal(vector_file_reset(file, bad * 128 + 5), -EBADMSG);
		assert_int_equal(vector_file_n_rows(file), 310);
		assert_int_equal(vector_file_synced_rows(file), 310);
		/* Written again, it is good. */
		assert_int_equal(vector_file_reset(file, bad * 128), 0);
		assert_int_equal(vector_fixture_append(file, &spec, 300 - bad * 128, 64, 1), 0);
		vector_fixture_check(file, &spec, 1, 1, NO_EXTENT);
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
		vector_file_free(file);
		assert_opens(&spec, 300, NULL);
	}
}

static void a_row_that_rots_between_append_and_sync_is_found(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	uint32_t rows_at = vector_fixture_where(STRIDE).rows_at;
	const char *why;

	(void)state;
	struct vector_file *file = open_at(path, &spec, &why);
	assert_int_equal(vector_fixture_append(file, &spec, 10, 10, 1), 0);
	vector_fixture_flip(path, FIXTURE_EXTENTS_AT + rows_at + 7);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
	file = open_at(path, &spec, &why);
	assert_null(why);
	vector_fixture_check(file, &spec, 1, 1, 0);
	vector_file_free(file);
}

static void a_file_cut_short_anywhere_starts_over(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct vector_fixture_where where = vector_fixture_where(STRIDE);
	uint64_t last = FIXTURE_EXTENTS_AT + where.extent_bytes;
	const struct {
		uint64_t size;
		const char *why;
	} cuts[] = {
	        {0, "there was none"},
	        {1, "it is too short"},
	        {FIXTURE_PAGE_BYTES, "it is too short"},
	        {2 * FIXTURE_PAGE_BYTES - 1, "it is too short"},
	        {2 * FIXTURE_PAGE_BYTES, "it is shorter than its header says"},
	        {FIXTURE_EXTENTS_AT, "it is shorter than its header says"},
	        {FIXTURE_EXTENTS_AT + FIXTURE_SLOTS_AT, "it is shorter than its header says"},
	        {last, "it is shorter than its header says"},
	        {last + FIXTURE_PAGE_BYTES, "it is shorter than its header says"},
	        {last + FIXTURE_SLOTS_AT + 8, "it is shorter than its header says"},
	        {last + where.rows_at + 1, "it is shorter than its header says"},
	        {last + where.extent_bytes - 1, "it is shorter than its header says"},
	        {last + where.extent_bytes, NULL},
	        {last + where.extent_bytes + 1, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		make_file(&spec, 20, 200);
		assert_int_equal(truncate(path, (off_t)cuts[i].size), 0);
		assert_opens(&spec, cuts[i].why != NULL ? 0 : 200, cuts[i].why);
	}
}

static void a_file_of_another_spec_starts_over(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct vector_file_spec others[5];

	(void)state;
	for (size_t i = 0; i < 5; i++)
		others[i] = spec;
	others[0].uuid.bytes[15] ^= 1;
	others[1].dim++;
	others[2].metric++;
	others[3].dtype++;
	others[4].stride_bytes += 64;
	for (size_t i = 0; i < 5; i++) {
		make_file(&spec, 20, 30);
		assert_opens(&others[i], 0, "it was made for another collection");
		assert_opens(&others[i], 0, NULL);
	}
}

/* Changes a header field at offset and seals the page again. */
static void forge_header(unsigned page, uint32_t offset, const void *value, size_t n)
{
	uint8_t header[FIXTURE_PAGE_BYTES];
	size_t n_file;
	unsigned char *bytes = scratch_file_load(path, &n_file);

	memcpy(header, bytes + page * FIXTURE_PAGE_BYTES, sizeof(header));
	free(bytes);
	memcpy(header + offset, value, n);
	uint32_t crc = crc32c(0, header, sizeof(header) - 4);
	memcpy(header + sizeof(header) - 4, &crc, 4);
	vector_fixture_poke(path, page * FIXTURE_PAGE_BYTES, header, sizeof(header));
}

static void a_sealed_header_is_still_not_believed(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	uint32_t versions[] = {1, 3};
	uint64_t counts[] = {31, 129, VECTOR_FILE_ROWS_MAX, VECTOR_FILE_ROWS_MAX + 1, UINT64_MAX};
	static const char *const whys[] = {
	        "the head of an extent is damaged",      "it is shorter than its header says",
	        "it is shorter than its header says",    "it counts more rows than there may be",
	        "it counts more rows than there may be",
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		make_file(&spec, 20, 30);
		forge_header(0, 8, &versions[i], sizeof(versions[i]));
		assert_opens(&spec, 0, "it is of another format version");
	}
	/* A header older than all heads there are: they belong to no state it knows. */
	make_file(&spec, 20, 30);
	forge_header(0, 56, &(uint64_t){1}, sizeof(uint64_t));
	vector_fixture_flip(path, FIXTURE_PAGE_BYTES);
	assert_opens(&spec, 0, "the head of an extent is damaged");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		make_file(&spec, 20, 30);
		forge_header(0, 48, &counts[i], sizeof(counts[i]));
		assert_opens(&spec, 0, whys[i]);
	}
}

static void a_medium_that_cannot_read_starts_over(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct vector_file *file;
	const char *why;

	(void)state;
	for (uint64_t nth = 1; nth <= 3; nth++) { /* the header and two extents */
		make_file(&spec, 20, 200);
		store_twin_fail(twin, (struct store_twin_fault){
		                              .kind = STORE_TWIN_READ, .nth = nth, .err = EIO});
		assert_int_equal(vector_file_open(store_twin_io(twin), path, &spec, &file, &why),
		                 0);
		assert_string_equal(why, "it cannot be read");
		assert_int_equal(vector_file_n_rows(file), 0);
		vector_file_free(file);
		store_twin_heal(twin);
	}
	store_twin_free(twin);
}

static void every_failing_operation_of_open_is_told_and_harms_nothing(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct store_twin *twin = store_twin_new(store_io_posix());
	uint64_t n_failed = 1;

	(void)state;
	make_file(&spec, 20, 200);
	/* Something behind the count, so that open has to cut it off. */
	assert_int_equal(truncate(path, 1 << 25), 0);
	for (uint64_t nth = 1; n_failed > 0; nth++) {
		struct vector_file *file = NULL;
		const char *why = "untouched";

		store_twin_fail(twin, (struct store_twin_fault){.nth = nth, .err = ENOMEM});
		int r = vector_file_open(store_twin_io(twin), path, &spec, &file, &why);
		n_failed = store_twin_n_failed(twin);
		store_twin_heal(twin);
		if (r == 0) {
			assert_null(why);
			assert_int_equal(vector_file_n_rows(file), 200);
			vector_file_free(file);
			continue;
		}
		assert_int_equal(r, -ENOMEM);
		assert_null(file);
		assert_string_equal(why, "untouched");
	}
	assert_opens(&spec, 200, NULL);
	store_twin_free(twin);
}

static void every_failing_operation_of_a_new_file_is_told(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct vector_file *file = NULL;
	uint64_t nth = 1;
	const char *why;
	int r;

	(void)state;
	do {
		unlink(path);
		store_twin_heal(twin);
		store_twin_fail(twin, (struct store_twin_fault){.nth = nth++, .err = ENOSPC});
		r = vector_file_open(store_twin_io(twin), path, &spec, &file, &why);
		assert_true(r == 0 || r == -ENOSPC);
	} while (r < 0);
	assert_int_equal(store_twin_n_failed(twin), 0);
	assert_true(nth > 5);
	vector_file_free(file);
	store_twin_free(twin);
}

static bool a_sync_has_failed(struct store_twin *twin)
{
	for (size_t i = 0; i < store_twin_n_ops(twin); i++) {
		const struct store_twin_op *op = store_twin_op(twin, i);

		if (op->kind == STORE_TWIN_SYNC && op->result < 0)
			return true;
	}
	return false;
}

/* Appends over an extent's end and syncs, and makes good what fails on the way, once. */
static void append_and_sync(struct vector_file *file, const struct vector_file_spec *spec,
                            struct store_twin *twin)
{
	int r = vector_fixture_append(file, spec, 150, 150, 1);

	if (r < 0) {
		assert_int_equal(vector_file_n_rows(file), 30);
		store_twin_heal(twin);
		assert_int_equal(vector_fixture_append(file, spec, 150, 150, 1), 0);
	}
	assert_int_equal(vector_file_n_rows(file), 180);
	r = vector_file_sync(file, &vector_fixture_epoch);
	if (r == 0)
		return;
	assert_int_equal(vector_file_synced_rows(file), 30);
	store_twin_heal(twin);
	if (!a_sync_has_failed(twin)) {
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
		return;
	}
	/* The medium refused a sync: what it dropped must be written again. */
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), r);
	assert_int_equal(vector_file_reset(file, 100), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), r);
	assert_int_equal(vector_file_reset(file, 30), 0);
	assert_int_equal(vector_fixture_append(file, spec, 150, 150, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
}

static void every_failing_operation_of_append_and_sync_can_be_made_good(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct store_twin *twin = store_twin_new(store_io_posix());
	uint64_t n_tried = 0;
	bool failed = true;
	const char *why;

	(void)state;
	for (uint64_t nth = 1; failed; nth++) {
		struct vector_file *file;

		make_file(&spec, 20, 30);
		assert_int_equal(vector_file_open(store_twin_io(twin), path, &spec, &file, &why),
		                 0);
		store_twin_forget(twin);
		store_twin_fail(twin, (struct store_twin_fault){
		                              .nth = nth, .err = ENOSPC, .torn_bytes = 1000});
		append_and_sync(file, &spec, twin);
		n_tried = store_twin_n_ops(twin);
		failed = nth <= n_tried;
		store_twin_heal(twin);
		assert_int_equal(vector_file_synced_rows(file), 180);
		vector_fixture_check(file, &spec, 1, 1, NO_EXTENT);
		vector_file_free(file);
		assert_opens(&spec, 180, NULL);
	}
	/* A truncation, rows and slots of two pieces, two heads, a sync, a header, a sync. */
	assert_int_equal(n_tried, 10);
	store_twin_free(twin);
}

static void a_process_that_dies_at_any_operation_leaves_a_sound_file(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct store_twin *twin = store_twin_new(store_io_posix());
	bool is_cut = true;
	const char *why;

	(void)state;
	for (uint64_t nth = 1; is_cut; nth++) {
		struct vector_file *file;

		make_file(&spec, 20, 30);
		assert_int_equal(vector_file_open(store_twin_io(twin), path, &spec, &file, &why),
		                 0);
		store_twin_cut(twin, nth, 100);
		int r = vector_fixture_append(file, &spec, 150, 150, 1);
		r = r < 0 ? r : vector_file_sync(file, &vector_fixture_epoch);
		is_cut = r < 0;
		vector_file_free(file);
		store_twin_heal(twin);

		struct vector_file *after = open_at(path, &spec, &why);
		assert_null(why);
		/* The header may have got through before its sync failed. */
		if (vector_file_n_rows(after) != 180) {
			assert_true(is_cut);
			assert_int_equal(vector_file_n_rows(after), 30);
		}
		vector_fixture_check(after, &spec, 1, 1, NO_EXTENT);
		vector_file_free(after);
	}
	store_twin_free(twin);
}

static void every_failing_operation_of_reset_changes_nothing(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct store_twin *twin = store_twin_new(store_io_posix());
	bool failed = true;
	const char *why;

	(void)state;
	for (uint64_t nth = 1; failed; nth++) {
		struct vector_file *file;

		make_file(&spec, 20, 200);
		assert_int_equal(vector_file_open(store_twin_io(twin), path, &spec, &file, &why),
		                 0);
		store_twin_fail(twin, (struct store_twin_fault){.nth = nth, .err = EIO});
		int r = vector_file_reset(file, 50);
		failed = store_twin_n_failed(twin) > 0;
		assert_int_equal(r, failed ? -EIO : 0);
		store_twin_heal(twin);
		assert_int_equal(vector_file_n_rows(file), failed ? 200 : 50);
		assert_int_equal(vector_file_synced_rows(file), failed ? 200 : 50);
		vector_fixture_check(file, &spec, 1, 1, NO_EXTENT);
		/* It goes on as if nothing had been tried. */
		assert_int_equal(vector_fixture_append(file, &spec, 10, 10, 1), 0);
		r = vector_file_sync(file, &vector_fixture_epoch);
		if (r < 0) {
			assert_int_equal(vector_file_reset(file, 50), 0);
			assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
		}
		uint64_t n = vector_file_n_rows(file);
		assert_int_equal(n, !failed ? 60 : r < 0 ? 50 : 210);
		vector_file_free(file);
		assert_opens(&spec, n, NULL);
	}
	store_twin_free(twin);
}

/* A new epoch alone: whatever fails, it is the old or the new one, and the next sync has it. */
static void every_failing_operation_of_a_new_epoch_keeps_all_rows(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(STRIDE);
	struct store_twin *twin = store_twin_new(store_io_posix());
	const struct uuid other = {{0x07, 0x4e, 0x12}};
	bool failed = true;
	const char *why;

	(void)state;
	for (uint64_t nth = 1; failed; nth++) {
		struct vector_file *file;

		make_file(&spec, 20, 200);
		assert_int_equal(vector_file_open(store_twin_io(twin), path, &spec, &file, &why),
		                 0);
		store_twin_fail(twin, (struct store_twin_fault){.nth = nth, .err = EIO});
		int r = vector_file_sync(file, &other);
		failed = store_twin_n_failed(twin) > 0;
		assert_int_equal(r, failed ? -EIO : 0);
		store_twin_heal(twin);
		assert_int_equal(vector_file_is_synced(file, &other), !failed);
		struct vector_file *after = open_at(path, &spec, &why);
		assert_null(why);
		assert_int_equal(vector_file_n_rows(after), 200);
		vector_file_free(after);
		assert_int_equal(vector_file_sync(file, &other), 0);
		assert_true(uuid_equal(vector_file_epoch(file), &other));
		vector_file_free(file);
		after = open_at(path, &spec, &why);
		assert_true(uuid_equal(vector_file_epoch(after), &other));
		vector_fixture_check(after, &spec, 1, 1, NO_EXTENT);
		vector_file_free(after);
	}
	store_twin_free(twin);
}

/* One state the file promised to keep: after so many operations, so many rows. */
struct promise {
	size_t n_ops;
	uint64_t n_rows;
};

static void promise_now(struct promise *promises, size_t *n, struct store_twin *twin,
                        struct vector_file *file)
{
	promises[(*n)++] = (struct promise){store_twin_n_ops(twin), vector_file_synced_rows(file)};
}

/* Three syncs, one of them over an extent's end, then back and other rows in their place. */
static size_t live_a_life(struct store_twin *twin, const struct vector_file_spec *spec,
                          struct promise *promises)
{
	struct vector_file *file;
	const char *why;
	size_t n = 0;

	assert_int_equal(vector_file_open(store_twin_io(twin), path, spec, &file, &why), 0);
	promise_now(promises, &n, twin, file);
	assert_int_equal(vector_fixture_append(file, spec, 5, 2, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	promise_now(promises, &n, twin, file);
	assert_int_equal(vector_fixture_append(file, spec, 3, 3, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	promise_now(promises, &n, twin, file);
	assert_int_equal(vector_fixture_append(file, spec, 34, 34, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	promise_now(promises, &n, twin, file);
	assert_int_equal(vector_file_reset(file, 4), 0);
	promise_now(promises, &n, twin, file);
	assert_int_equal(vector_fixture_append(file, spec, 2, 2, 2), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	promise_now(promises, &n, twin, file);
	vector_file_free(file);
	return n;
}

static void a_power_cut_at_any_operation_keeps_what_was_promised(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(VECTOR_FILE_STRIDE_MAX);
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct promise promises[8];
	size_t n_promises;
	size_t kept = 0;

	(void)state;
	store_twin_keep_bytes(twin, true);
	n_promises = live_a_life(twin, &spec, promises);
	/* Before the first promise there is only the empty file, which may be lost. */
	for (size_t n_ops = promises[0].n_ops; n_ops <= store_twin_n_ops(twin); n_ops++) {
		while (kept + 1 < n_promises && promises[kept + 1].n_ops <= n_ops)
			kept++;
		for (uint64_t seed = 0; seed < 8; seed++) {
			const char *why = NULL;

			store_twin_power_cut(twin, n_ops, path, path_after,
			                     n_ops * 1000 + 2 * seed);
			struct vector_file *file = open_at(path_after, &spec, &why);
			uint64_t n = vector_file_n_rows(file);

			assert_true(why == NULL || kept == 0);
			/* What was promised last, or what was being promised. */
			if (n != promises[kept].n_rows) {
				assert_true(kept + 1 < n_promises);
				assert_int_equal(n, promises[kept + 1].n_rows);
			}
			vector_fixture_check(file, &spec, 1, n <= 6 ? 2 : 1, NO_EXTENT);
			vector_file_free(file);
		}
	}
	assert_int_equal(kept + 1, n_promises);
	store_twin_free(twin);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_flipped_byte_of_the_newest_header_falls_back_to_the_older),
	        TEST(a_flipped_byte_of_the_older_header_changes_nothing),
	        TEST(two_damaged_headers_start_over),
	        TEST(a_torn_header_falls_back_to_the_older),
	        TEST(a_file_that_fell_back_goes_on_from_there),
	        TEST(a_flipped_byte_of_an_extent_head_is_never_a_wrong_answer),
	        TEST(a_flipped_slot_starts_over),
	        TEST(a_flipped_row_makes_its_extent_bad_and_no_other),
	        TEST(a_row_that_rots_between_append_and_sync_is_found),
	        TEST(a_file_cut_short_anywhere_starts_over),
	        TEST(a_file_of_another_spec_starts_over),
	        TEST(a_sealed_header_is_still_not_believed),
	        TEST(a_medium_that_cannot_read_starts_over),
	        TEST(every_failing_operation_of_open_is_told_and_harms_nothing),
	        TEST(every_failing_operation_of_a_new_file_is_told),
	        TEST(every_failing_operation_of_append_and_sync_can_be_made_good),
	        TEST(a_process_that_dies_at_any_operation_leaves_a_sound_file),
	        TEST(every_failing_operation_of_reset_changes_nothing),
	        TEST(every_failing_operation_of_a_new_epoch_keeps_all_rows),
	        TEST(a_power_cut_at_any_operation_keeps_what_was_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
