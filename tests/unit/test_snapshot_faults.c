/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What becomes of a snapshot that was damaged, cut short, forged, or whose operations failed: it
 * opens as the whole that was saved, or says that it is bad, or names the chunk that is. It never
 * hands out a byte that was not written, and a save that fails leaves the old one.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "storage/crc32c.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/snapshot_fixture.h"
#include "tests/lib/store_twin.h"

static struct scratch_dir scratch;
static char path[SCRATCH_PATH_SIZE];
static char tmp_path[SCRATCH_PATH_SIZE];
static char path_after[SCRATCH_PATH_SIZE];

static int setup(void **state)
{
	(void)state;
	scratch_dir_init(&scratch);
	scratch_dir_path(&scratch, "vector", path);
	scratch_dir_path(&scratch, "vector.tmp", tmp_path);
	scratch_dir_path(&scratch, "after", path_after);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_dir_release(&scratch);
	return 0;
}

/* A snapshot of mark 1 at path, and its bytes. */
static unsigned char *save_and_load(void)
{
	size_t n;

	assert_int_equal(snapshot_fixture_save(store_io_posix(), scratch.path, "vector", 1), 0);
	unsigned char *bytes = scratch_file_load(path, &n);
	assert_int_equal(n, SNAPSHOT_FIXTURE_BYTES);
	return bytes;
}

static struct snapshot *open_sound(void)
{
	struct snapshot *snapshot;
	const char *why;

	assert_int_equal(snapshot_open(store_io_posix(), path, &snapshot, &why), 0);
	return snapshot;
}

static void assert_outcome(int outcome, const char *why)
{
	struct snapshot *snapshot = NULL;
	const char *got = NULL;

	assert_int_equal(snapshot_open(store_io_posix(), path, &snapshot, &got), outcome);
	assert_null(snapshot);
	assert_string_equal(got, why);
}

static void poke(uint64_t offset, const void *bytes, size_t n)
{
	struct store_file *file;

	assert_int_equal(store_open(store_io_posix(), path, STORE_WRITE, &file), 0);
	assert_int_equal(store_write(file, bytes, n, offset), 0);
	assert_int_equal(store_close(file), 0);
}

static void every_flipped_byte_of_the_header_is_found(void **state)
{
	unsigned char *bytes = save_and_load();

	(void)state;
	for (uint32_t at = 0; at < FIXTURE_PAGE_BYTES; at++) {
		uint8_t flipped = bytes[at] ^ (uint8_t)(1 << at % 8);

		poke(at, &flipped, 1);
		assert_outcome(SNAPSHOT_BAD,
		               at < 8 ? "it is something else" : "its header is damaged");
		poke(at, &bytes[at], 1);
	}
	snapshot_fixture_assert_whole(store_io_posix(), path, 1);
	free(bytes);
}

static void every_flipped_byte_of_the_table_is_found(void **state)
{
	unsigned char *bytes = save_and_load();

	(void)state;
	for (uint32_t at = SNAPSHOT_FIXTURE_TABLE_AT; at < SNAPSHOT_FIXTURE_BYTES; at++) {
		uint8_t flipped = bytes[at] ^ (uint8_t)(1 << at % 8);

		poke(at, &flipped, 1);
		assert_outcome(SNAPSHOT_BAD, "its table is damaged");
		poke(at, &bytes[at], 1);
	}
	snapshot_fixture_assert_whole(store_io_posix(), path, 1);
	free(bytes);
}

static void a_flipped_byte_makes_its_chunk_bad_and_no_other(void **state)
{
	unsigned char *bytes = save_and_load();

	(void)state;
	for (unsigned i = 0; i < SNAPSHOT_FIXTURE_CHUNKS; i++) {
		const struct snapshot_fixture_chunk *chunk = &snapshot_fixture_chunks[i];
		/* The first byte, the last, and some between. */
		for (size_t part = 0; part <= 9 && chunk->size > 0; part++) {
			size_t k = (chunk->size - 1) * part / 9;
			uint64_t at = chunk->offset + k;
			uint8_t flipped = bytes[at] ^ (uint8_t)(1 << k % 8);

			poke(at, &flipped, 1);
			struct snapshot *snapshot = open_sound();
			assert_int_equal(snapshot_fixture_check(snapshot, 1), 1u << i);
			/* The verdict on the mapped one stays. */
			poke(at, &bytes[at], 1);
			const void *mapped = NULL;
			assert_int_equal(
			        snapshot_map_chunk(snapshot, chunk->type, chunk->idx, &mapped),
			        -EBADMSG);
			assert_null(mapped);
			snapshot_close(snapshot);
		}
	}
	snapshot_fixture_assert_whole(store_io_posix(), path, 1);
	free(bytes);
}

static void a_flipped_byte_between_chunks_means_nothing(void **state)
{
	unsigned char *bytes = save_and_load();
	static const uint32_t between[] = {4096 + 5000, 12287, 16385, 20479, 622591, 638975};

	(void)state;
	for (size_t i = 0; i < sizeof(between) / sizeof(between[0]); i++) {
		assert_int_equal(bytes[between[i]], 0);
		poke(between[i], "x", 1);
	}
	snapshot_fixture_assert_whole(store_io_posix(), path, 1);
	free(bytes);
}

static void a_file_of_any_other_size_is_bad(void **state)
{
	unsigned char *bytes = save_and_load();
	static const uint32_t sizes[] = {
	        0,
	        1,
	        8,
	        FIXTURE_PAGE_BYTES - 1,
	        FIXTURE_PAGE_BYTES,
	        FIXTURE_PAGE_BYTES + 1,
	        12288,
	        20480,
	        300000,
	        622592,
	        622592 + 12289,
	        SNAPSHOT_FIXTURE_TABLE_AT - 1,
	        SNAPSHOT_FIXTURE_TABLE_AT,
	        SNAPSHOT_FIXTURE_TABLE_AT + 1,
	        SNAPSHOT_FIXTURE_TABLE_AT + FIXTURE_ENTRY_BYTES,
	        SNAPSHOT_FIXTURE_BYTES - 5,
	        SNAPSHOT_FIXTURE_BYTES - 1,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		scratch_file_save(path, bytes, sizes[i]);
		assert_outcome(SNAPSHOT_BAD, "it is cut short");
		/* With zeros in place of the end, as some file systems leave it; the last four
		 * were zeros before. */
		if (sizes[i] < SNAPSHOT_FIXTURE_TABLE_AT || sizes[i] >= SNAPSHOT_FIXTURE_BYTES - 4)
			continue;
		assert_int_equal(truncate(path, SNAPSHOT_FIXTURE_BYTES), 0);
		assert_outcome(SNAPSHOT_BAD, "its table is damaged");
	}
	scratch_file_save(path, bytes, SNAPSHOT_FIXTURE_BYTES);
	assert_int_equal(truncate(path, SNAPSHOT_FIXTURE_BYTES + 1), 0);
	assert_outcome(SNAPSHOT_BAD, "it is longer than its header says");
	free(bytes);
}

static void a_chunk_that_is_zeros_now_is_bad(void **state)
{
	unsigned char *bytes = save_and_load();

	(void)state;
	memset(bytes + 20480, 0, 622592 - 20480);
	scratch_file_save(path, bytes, SNAPSHOT_FIXTURE_BYTES);
	struct snapshot *snapshot = open_sound();
	assert_int_equal(snapshot_fixture_check(snapshot, 1), 1u << 4);
	snapshot_close(snapshot);
	free(bytes);
}

static void a_file_cut_while_it_is_open_is_an_error_and_no_crash(void **state)
{
	(void)state;
	free(save_and_load());
	struct snapshot *snapshot = open_sound();
	assert_int_equal(truncate(path, 300000), 0);
	assert_int_equal(snapshot_fixture_check(snapshot, 1), 1u << 4 | 1u << 6);
	snapshot_close(snapshot);
}

static void put_number(unsigned char *bytes, uint64_t value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(value >> 8 * i);
}

/* Writes the file with the table and the header sealed anew. */
static void save_forged(unsigned char *bytes)
{
	uint32_t n_table = SNAPSHOT_FIXTURE_CHUNKS * FIXTURE_ENTRY_BYTES;

	put_number(bytes + 76, crc32c(0, bytes + SNAPSHOT_FIXTURE_TABLE_AT, n_table), 4);
	put_number(bytes + 4092, crc32c(0, bytes, 4092), 4);
	scratch_file_save(path, bytes, SNAPSHOT_FIXTURE_BYTES);
}

static void foreign_files_and_other_versions_are_told_apart(void **state)
{
	unsigned char *bytes = save_and_load();

	(void)state;
	memcpy(bytes, "KITHVEC\n", 8);
	save_forged(bytes);
	assert_outcome(SNAPSHOT_BAD, "it is something else");
	memcpy(bytes, "KITHSNP\n", 8);
	/* Version 1 did not say which history it is of. */
	for (uint32_t version = 0; version <= 1; version++) {
		put_number(bytes + 8, version, 4);
		save_forged(bytes);
		assert_outcome(SNAPSHOT_BAD, "it is of no known format version");
	}
	/* A newer one may be anything behind its version. */
	put_number(bytes + 8, 3, 4);
	memset(bytes + 12, 0xff, 4092 - 12);
	put_number(bytes + 4092, crc32c(0, bytes, 4092), 4);
	scratch_file_save(path, bytes, FIXTURE_PAGE_BYTES);
	assert_outcome(SNAPSHOT_NEWER, "it is of a newer format version");
	put_number(bytes + 8, UINT32_MAX, 4);
	put_number(bytes + 4092, crc32c(0, bytes, 4092), 4);
	scratch_file_save(path, bytes, FIXTURE_PAGE_BYTES);
	assert_outcome(SNAPSHOT_NEWER, "it is of a newer format version");
	free(bytes);
}

struct forgery {
	uint32_t at;
	uint64_t value;
	size_t n;
	const char *why;
};

static void forge_each(const struct forgery *forgeries, size_t n)
{
	unsigned char *bytes = save_and_load();

	for (size_t i = 0; i < n; i++) {
		unsigned char *forged = malloc(SNAPSHOT_FIXTURE_BYTES);

		memcpy(forged, bytes, SNAPSHOT_FIXTURE_BYTES);
		put_number(forged + forgeries[i].at, forgeries[i].value, forgeries[i].n);
		save_forged(forged);
		assert_outcome(SNAPSHOT_BAD, forgeries[i].why);
		free(forged);
	}
	free(bytes);
}

static void a_sealed_header_is_still_not_believed(void **state)
{
	static const struct forgery forgeries[] = {
	        {64, 0, 8, "it is longer than its header says"},
	        {64, SNAPSHOT_FIXTURE_TABLE_AT - 4096, 8, "it is longer than its header says"},
	        {64, SNAPSHOT_FIXTURE_TABLE_AT + 1, 8, "it is cut short"},
	        {64, SNAPSHOT_FIXTURE_BYTES + 1, 8, "it is cut short"},
	        {64, UINT64_MAX, 8, "it is cut short"},
	        {64, UINT64_MAX - 32 * SNAPSHOT_FIXTURE_CHUNKS + 1, 8, "it is cut short"},
	        {72, SNAPSHOT_FIXTURE_CHUNKS - 1, 4, "it is longer than its header says"},
	        {72, SNAPSHOT_FIXTURE_CHUNKS + 1, 4, "it is cut short"},
	        {72, SNAPSHOT_CHUNKS_MAX, 4, "it is cut short"},
	        {72, SNAPSHOT_CHUNKS_MAX + 1, 4, "its header makes no sense"},
	        {72, UINT32_MAX, 4, "its header makes no sense"},
	        {96, SNAPSHOT_PARAMS_BYTES_MAX + 1, 4, "its header makes no sense"},
	        {96, UINT32_MAX, 4, "its header makes no sense"},
	};
	unsigned char *bytes;

	(void)state;
	forge_each(forgeries, sizeof(forgeries) / sizeof(forgeries[0]));
	/* Texts without an end. */
	bytes = save_and_load();
	memset(bytes + 80, 'k', 16);
	save_forged(bytes);
	assert_outcome(SNAPSHOT_BAD, "its header makes no sense");
	memset(bytes + 84, 0, 12);
	memset(bytes + 356, 's', 129);
	save_forged(bytes);
	assert_outcome(SNAPSHOT_BAD, "its header makes no sense");
	free(bytes);
}

static void a_summed_table_is_still_not_believed(void **state)
{
#define ENTRY(i, field) (SNAPSHOT_FIXTURE_TABLE_AT + (i)*FIXTURE_ENTRY_BYTES + (field))
	static const char why[] = "its table makes no sense";
	static const struct forgery forgeries[] = {
	        /* Out of order, or twice the same. */
	        {ENTRY(1, 0), 0, 4, why},
	        {ENTRY(2, 0), 0, 4, why},
	        {ENTRY(2, 4), 0, 4, why},
	        {ENTRY(4, 0), UINT32_MAX, 4, why},
	        /* In the header, over another chunk, over the table, outside, nowhere. */
	        {ENTRY(0, 8), 0, 8, why},
	        {ENTRY(1, 8), 4097, 8, why},
	        {ENTRY(2, 8), 4096, 8, why},
	        {ENTRY(3, 8), 20480, 8, why},
	        {ENTRY(6, 8), SNAPSHOT_FIXTURE_TABLE_AT, 8, why},
	        {ENTRY(6, 8), UINT64_MAX - 4095, 8, why},
	        /* Too long by little, by much, by so much that it wraps; too short. */
	        {ENTRY(0, 16), 1, 8, why},
	        {ENTRY(1, 16), 8193, 8, why},
	        {ENTRY(1, 16), 4096, 8, why},
	        {ENTRY(6, 16), 16385, 8, why},
	        {ENTRY(6, 16), 12288, 8, why},
	        {ENTRY(6, 16), UINT64_MAX, 8, why},
	        {ENTRY(1, 16), UINT64_MAX - 4095, 8, why},
	};
#undef ENTRY

	(void)state;
	forge_each(forgeries, sizeof(forgeries) / sizeof(forgeries[0]));
}

static void a_size_that_leads_back_is_bad(void **state)
{
	unsigned char *bytes = save_and_load();
	unsigned char *entry = bytes + SNAPSHOT_FIXTURE_TABLE_AT + 5 * FIXTURE_ENTRY_BYTES;

	(void)state;
	/* 4096 less than nothing, so that the last chunk overlaps the one before and fits. */
	put_number(entry + 16, UINT64_MAX - 4095, 8);
	put_number(entry + FIXTURE_ENTRY_BYTES + 8, 622592 - 4096, 8);
	put_number(entry + FIXTURE_ENTRY_BYTES + 16, 16384 + 4096, 8);
	save_forged(bytes);
	assert_outcome(SNAPSHOT_BAD, "its table makes no sense");
	free(bytes);
}

static void a_table_that_is_not_on_a_page_is_bad(void **state)
{
	uint32_t n_table = SNAPSHOT_FIXTURE_CHUNKS * FIXTURE_ENTRY_BYTES;
	unsigned char *bytes = save_and_load();
	/* The last chunk ends on the table's old place, where rounding it up would go behind. */
	unsigned char *entry = bytes + SNAPSHOT_FIXTURE_TABLE_AT + n_table - FIXTURE_ENTRY_BYTES;
	unsigned char *moved = calloc(1, SNAPSHOT_FIXTURE_BYTES + 8);

	(void)state;
	for (uint64_t extra = 0; extra <= 8; extra += 8) {
		put_number(entry + 16, SNAPSHOT_FIXTURE_TABLE_AT - 622592 + extra, 8);
		memcpy(moved, bytes, SNAPSHOT_FIXTURE_TABLE_AT);
		memcpy(moved + SNAPSHOT_FIXTURE_TABLE_AT + 8, bytes + SNAPSHOT_FIXTURE_TABLE_AT,
		       n_table);
		put_number(moved + 64, SNAPSHOT_FIXTURE_TABLE_AT + 8, 8);
		put_number(moved + 76, crc32c(0, bytes + SNAPSHOT_FIXTURE_TABLE_AT, n_table), 4);
		put_number(moved + 4092, crc32c(0, moved, 4092), 4);
		scratch_file_save(path, moved, SNAPSHOT_FIXTURE_BYTES + 8);
		assert_outcome(SNAPSHOT_BAD, "its table makes no sense");
	}
	free(moved);
	free(bytes);
}

/* Fails operations of a save of mark 2 over mark 1, one after the other or, when lasting, all
 * from one on; with writes torn. */
static void fail_saves(bool lasting, size_t torn_bytes)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	uint64_t n_failed = 1;
	uint64_t nth;

	for (nth = 1; n_failed > 0; nth++) {
		free(save_and_load());
		store_twin_fail(twin, (struct store_twin_fault){.nth = nth,
		                                                .err = ENOSPC,
		                                                .lasting = lasting,
		                                                .torn_bytes = torn_bytes});
		store_twin_forget(twin);
		int r = snapshot_fixture_save(store_twin_io(twin), scratch.path, "vector", 2);
		n_failed = store_twin_n_failed(twin);
		store_twin_heal(twin);
		assert_int_equal(r, n_failed > 0 ? -ENOSPC : 0);
		/* The new one only when it had been renamed, and nothing but a whole one. */
		bool has_new = r == 0 || store_twin_count(twin, STORE_TWIN_SYNC_DIR, NULL) > 0;
		snapshot_fixture_assert_whole(store_io_posix(), path, has_new ? 2 : 1);
		if (!lasting)
			assert_int_equal(access(tmp_path, F_OK), -1);
		assert_int_equal(snapshot_collect_tmp(store_io_posix(), scratch.path), 0);
		assert_int_equal(access(tmp_path, F_OK), -1);
		assert_int_equal(unlink(path), 0);
	}
	/* open, writes of the stream, the header, sync, close, rename, sync of the directory */
	assert_true(nth > 9);
	store_twin_free(twin);
}

static void every_failing_operation_of_a_save_keeps_the_old_or_the_new(void **state)
{
	(void)state;
	fail_saves(false, 0);
	fail_saves(false, 1000);
}

static void a_save_that_loses_the_disk_keeps_the_old_or_the_new(void **state)
{
	(void)state;
	fail_saves(true, 0);
	fail_saves(true, 5000);
}

static void every_failing_operation_of_reading_is_told(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	uint64_t n_failed = 1;

	(void)state;
	free(save_and_load());
	for (uint64_t nth = 1; n_failed > 0; nth++) {
		struct snapshot *snapshot = NULL;
		const char *why = "untouched";
		const void *mapped = NULL;
		uint8_t bytes[5000];

		store_twin_fail(twin, (struct store_twin_fault){.nth = nth, .err = ENOMEM});
		int r = snapshot_open(store_twin_io(twin), path, &snapshot, &why);
		if (r == 0)
			r = snapshot_read_chunk(snapshot, 1, 0, bytes, sizeof(bytes));
		if (r == 0)
			r = snapshot_map_chunk(snapshot, 3, 0, &mapped);
		n_failed = store_twin_n_failed(twin);
		store_twin_heal(twin);
		assert_int_equal(r, n_failed > 0 ? -ENOMEM : 0);
		assert_string_equal(why, "untouched");
		/* A failure to read is no verdict: the next try finds the chunks sound. */
		if (snapshot != NULL)
			assert_int_equal(snapshot_fixture_check(snapshot, 1), 0);
		snapshot_close(snapshot);
	}
	store_twin_free(twin);
}

static void a_medium_that_cannot_read_is_not_the_files_fault(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct snapshot *snapshot = NULL;
	const char *why = NULL;
	uint8_t byte;

	(void)state;
	free(save_and_load());
	for (uint64_t nth = 1; nth <= 2; nth++) { /* the header and the table */
		store_twin_fail(twin, (struct store_twin_fault){
		                              .kind = STORE_TWIN_READ, .nth = nth, .err = EIO});
		assert_int_equal(snapshot_open(store_twin_io(twin), path, &snapshot, &why), -EIO);
		assert_null(why);
		assert_null(snapshot);
		store_twin_heal(twin);
	}
	assert_int_equal(snapshot_open(store_twin_io(twin), path, &snapshot, &why), 0);
	store_twin_fail(twin,
	                (struct store_twin_fault){.kind = STORE_TWIN_READ, .nth = 1, .err = EIO});
	assert_int_equal(snapshot_read_chunk(snapshot, 1, 7, &byte, 1), -EIO);
	snapshot_close(snapshot);
	store_twin_free(twin);
}

/* Whatever stands there: a whole snapshot of mark 2, a bad one, or a sound frame around chunks of
 * which each is right or bad. */
static void assert_no_wrong_answer(const char *at)
{
	struct snapshot *snapshot = NULL;
	const char *why = NULL;
	int r = snapshot_open(store_io_posix(), at, &snapshot, &why);

	if (r == 0) {
		assert_int_equal(snapshot_head(snapshot)->generation, 2);
		snapshot_fixture_check(snapshot, 2);
		snapshot_close(snapshot);
	} else {
		assert_int_equal(r, SNAPSHOT_BAD);
		assert_non_null(why);
	}
}

static void a_power_cut_at_any_moment_keeps_the_old_or_the_new(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	bool has_written = false;
	bool has_new_name = false;

	(void)state;
	free(save_and_load());
	store_twin_keep_bytes(twin, true);
	assert_int_equal(snapshot_fixture_save(store_twin_io(twin), scratch.path, "vector", 2), 0);
	size_t n_ops = store_twin_n_ops(twin);
	for (size_t n = 1; n <= n_ops; n++) {
		const struct store_twin_op *op = store_twin_op(twin, n - 1);

		/* The old name's file is not touched but by the rename. */
		assert_string_not_equal(op->path, path);
		has_written = has_written || op->kind == STORE_TWIN_WRITE;
		has_new_name = has_new_name || op->kind == STORE_TWIN_RENAME;
		for (uint64_t seed = 1; has_written && seed <= 20; seed++) {
			store_twin_power_cut(twin, n, tmp_path, path_after, seed * 2654435761u);
			/* A disk that has the new name has all that was synced before it. */
			if (has_new_name)
				snapshot_fixture_assert_whole(store_io_posix(), path_after, 2);
			else
				assert_no_wrong_answer(path_after);
		}
	}
	assert_true(has_new_name);
	assert_int_equal(store_twin_op(twin, n_ops - 1)->kind, STORE_TWIN_SYNC_DIR);
	assert_string_equal(store_twin_op(twin, n_ops - 1)->path, scratch.path);
	store_twin_free(twin);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(every_flipped_byte_of_the_header_is_found),
	        TEST(every_flipped_byte_of_the_table_is_found),
	        TEST(a_flipped_byte_makes_its_chunk_bad_and_no_other),
	        TEST(a_flipped_byte_between_chunks_means_nothing),
	        TEST(a_file_of_any_other_size_is_bad),
	        TEST(a_chunk_that_is_zeros_now_is_bad),
	        TEST(a_file_cut_while_it_is_open_is_an_error_and_no_crash),
	        TEST(foreign_files_and_other_versions_are_told_apart),
	        TEST(a_sealed_header_is_still_not_believed),
	        TEST(a_summed_table_is_still_not_believed),
	        TEST(a_size_that_leads_back_is_bad),
	        TEST(a_table_that_is_not_on_a_page_is_bad),
	        TEST(every_failing_operation_of_a_save_keeps_the_old_or_the_new),
	        TEST(a_save_that_loses_the_disk_keeps_the_old_or_the_new),
	        TEST(every_failing_operation_of_reading_is_told),
	        TEST(a_medium_that_cannot_read_is_not_the_files_fault),
	        TEST(a_power_cut_at_any_moment_keeps_the_old_or_the_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
