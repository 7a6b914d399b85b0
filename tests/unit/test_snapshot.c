/* SPDX-License-Identifier: Apache-2.0 */

/* What snapshots hold, what they refuse, and what stands where in them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "storage/crc32c.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/snapshot_fixture.h"

static struct scratch_dir scratch;
static char path[SCRATCH_PATH_SIZE];
static char tmp_path[SCRATCH_PATH_SIZE];

static int setup(void **state)
{
	(void)state;
	scratch_dir_init(&scratch);
	scratch_dir_path(&scratch, "vector", path);
	scratch_dir_path(&scratch, "vector.tmp", tmp_path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_dir_release(&scratch);
	return 0;
}

static struct snapshot_writer *begin(void)
{
	struct snapshot_head head = snapshot_fixture_head(1);
	struct snapshot_writer *writer;

	assert_int_equal(
	        snapshot_writer_begin(store_io_posix(), scratch.path, "vector", &head, &writer), 0);
	return writer;
}

static void save(uint64_t mark)
{
	assert_int_equal(snapshot_fixture_save(store_io_posix(), scratch.path, "vector", mark), 0);
}

static struct snapshot *open_whole(void)
{
	struct snapshot *snapshot;
	const char *why = "untouched";

	assert_int_equal(snapshot_open(store_io_posix(), path, &snapshot, &why), 0);
	assert_string_equal(why, "untouched");
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

static void a_snapshot_comes_back_as_it_was_saved(void **state)
{
	uint64_t size;

	(void)state;
	save(7);
	assert_int_equal(access(tmp_path, F_OK), -1);
	snapshot_fixture_assert_whole(store_io_posix(), path, 7);
	struct snapshot *snapshot = open_whole();
	const struct snapshot_fingerprint *got = &snapshot_head(snapshot)->fingerprint;
	assert_string_equal(got->kind, "hnsw");
	assert_string_equal(got->spec.space, "minilm@2");
	assert_int_equal(got->n_params, 5);
	assert_int_equal(got->params[2], 200);
	for (size_t i = 0; i < SNAPSHOT_FIXTURE_CHUNKS; i++) {
		const struct snapshot_fixture_chunk *chunk = &snapshot_fixture_chunks[i];

		assert_int_equal(snapshot_chunk_size(snapshot, chunk->type, chunk->idx, &size), 0);
		assert_int_equal(size, chunk->size);
	}
	assert_int_equal(snapshot_n_chunks(snapshot, 0), 1);
	assert_int_equal(snapshot_n_chunks(snapshot, 1), 3);
	assert_int_equal(snapshot_n_chunks(snapshot, 2), 0);
	assert_int_equal(snapshot_n_chunks(snapshot, 3), 2);
	assert_int_equal(snapshot_n_chunks(snapshot, UINT32_MAX), 1);
	snapshot_close(snapshot);
}

static void what_is_not_there_is_said_to_be_missing(void **state)
{
	static const uint32_t keys[][2] = {{0, 1}, {1, 2}, {2, 0}, {4, 0}, {UINT32_MAX, 0}};
	const void *mapped = NULL;
	uint64_t size = 77;
	uint8_t byte;

	(void)state;
	assert_outcome(SNAPSHOT_MISSING, "there is none");
	save(1);
	struct snapshot *snapshot = open_whole();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		uint32_t type = keys[i][0];
		uint32_t idx = keys[i][1];

		assert_int_equal(snapshot_chunk_size(snapshot, type, idx, &size), -ENOENT);
		assert_int_equal(size, 77);
		assert_int_equal(snapshot_read_chunk(snapshot, type, idx, &byte, 1), -EBADMSG);
		assert_int_equal(snapshot_map_chunk(snapshot, type, idx, &mapped), -EBADMSG);
		assert_null(mapped);
	}
	/* The chunk is there, but of another size than the caller's other numbers say. */
	uint8_t bytes[5001];
	assert_int_equal(snapshot_read_chunk(snapshot, 1, 0, bytes, 4999), -EBADMSG);
	assert_int_equal(snapshot_read_chunk(snapshot, 1, 0, bytes, 5001), -EBADMSG);
	assert_int_equal(snapshot_read_chunk(snapshot, 1, 0, bytes, 5000), 0);
	snapshot_close(snapshot);
}

static void a_snapshot_of_no_chunks_is_one_page(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(snapshot_writer_commit(begin()), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, FIXTURE_PAGE_BYTES);
	struct snapshot *snapshot = open_whole();
	assert_int_equal(snapshot_n_chunks(snapshot, 0), 0);
	assert_int_equal(snapshot_n_chunks(snapshot, UINT32_MAX), 0);
	assert_int_equal(snapshot_read_chunk(snapshot, 0, 0, NULL, 0), -EBADMSG);
	snapshot_close(snapshot);
}

static void a_chunk_in_pieces_is_the_same_as_in_one(void **state)
{
	static const size_t pieces[] = {1, 4095, 100000, 256 << 10, (1 << 20) + 3, 5 << 20};
	size_t n = 5 << 20;
	uint8_t *bytes = malloc(n);
	unsigned char *whole = NULL;
	size_t n_whole;

	(void)state;
	snapshot_fixture_fill(1, 2, 3, bytes, n);
	struct snapshot_writer *writer = begin();
	assert_int_equal(snapshot_writer_chunk(writer, 1, 0, bytes, 10), 0);
	assert_int_equal(snapshot_writer_chunk(writer, 2, 3, bytes, n), 0);
	assert_int_equal(snapshot_writer_chunk(writer, 9, 0, bytes, 20), 0);
	assert_int_equal(snapshot_writer_commit(writer), 0);
	whole = scratch_file_load(path, &n_whole);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t n_same;

		writer = begin();
		assert_int_equal(snapshot_writer_chunk(writer, 1, 0, bytes, 10), 0);
		assert_int_equal(snapshot_writer_begin_chunk(writer, 2, 3), 0);
		for (size_t at = 0; at < n; at += pieces[i]) {
			size_t k = n - at < pieces[i] ? n - at : pieces[i];

			assert_int_equal(snapshot_writer_append(writer, bytes + at, k), 0);
		}
		assert_int_equal(snapshot_writer_append(writer, NULL, 0), 0);
		assert_int_equal(snapshot_writer_begin_chunk(writer, 9, 0), 0);
		assert_int_equal(snapshot_writer_append(writer, bytes, 20), 0);
		assert_int_equal(snapshot_writer_commit(writer), 0);
		unsigned char *same = scratch_file_load(path, &n_same);
		assert_int_equal(n_same, n_whole);
		assert_int_equal(memcmp(same, whole, n_whole), 0);
		free(same);
	}
	free(whole);
	free(bytes);
}

static uint64_t number_at(const unsigned char *bytes, size_t offset, size_t n)
{
	uint64_t value = 0;

	for (size_t i = n; i-- > 0;)
		value = value << 8 | bytes[offset + i];
	return value;
}

static void bytes_stand_where_the_format_says(void **state)
{
	struct snapshot_head head = snapshot_fixture_head(3);
	uint8_t *expected = malloc(600000);
	size_t n;

	(void)state;
	/* What stands behind the ends of texts and parameters is nobody's business. */
	head.fingerprint.kind[6] = 'x';
	head.fingerprint.spec.space[100] = 'y';
	head.fingerprint.params[5] = 99;
	save(3);
	unsigned char *file = scratch_file_load(path, &n);
	assert_int_equal(n, SNAPSHOT_FIXTURE_BYTES);
	assert_memory_equal(file, "KITHSNP\n", 8);
	assert_int_equal(number_at(file, 8, 4), 2);
	assert_int_equal(number_at(file, 12, 4), 784);
	assert_memory_equal(file + 16, head.fingerprint.spec.uuid.bytes, 16);
	assert_int_equal(number_at(file, 32, 4), RECORD_METRIC_COSINE);
	assert_int_equal(number_at(file, 36, 4), RECORD_DTYPE_F32);
	assert_int_equal(number_at(file, 40, 8), 1003);
	assert_int_equal(number_at(file, 48, 8), 3);
	assert_int_equal(number_at(file, 56, 8), 300);
	assert_int_equal(number_at(file, 64, 8), SNAPSHOT_FIXTURE_TABLE_AT);
	assert_int_equal(number_at(file, 72, 4), SNAPSHOT_FIXTURE_CHUNKS);
	const unsigned char *table = file + SNAPSHOT_FIXTURE_TABLE_AT;
	assert_int_equal(number_at(file, 76, 4),
	                 crc32c(0, table, SNAPSHOT_FIXTURE_CHUNKS * FIXTURE_ENTRY_BYTES));
	assert_string_equal((const char *)file + 80, "hnsw");
	assert_int_equal(number_at(file, 96, 4), 5);
	assert_memory_equal(file + 100, head.fingerprint.params, 5);
	assert_string_equal((const char *)file + 356, "minilm@2");
	assert_memory_equal(file + 485, head.epoch.bytes, 16);
	assert_int_equal(number_at(file, 4092, 4), crc32c(0, file, 4092));
	for (size_t i = 0; i < SNAPSHOT_FIXTURE_CHUNKS; i++) {
		const struct snapshot_fixture_chunk *chunk = &snapshot_fixture_chunks[i];
		const unsigned char *entry = table + i * FIXTURE_ENTRY_BYTES;

		assert_int_equal(number_at(entry, 0, 4), chunk->type);
		assert_int_equal(number_at(entry, 4, 4), chunk->idx);
		assert_int_equal(number_at(entry, 8, 8), chunk->offset);
		assert_int_equal(number_at(entry, 16, 8), chunk->size);
		snapshot_fixture_fill(3, chunk->type, chunk->idx, expected, chunk->size);
		assert_memory_equal(file + chunk->offset, expected, chunk->size);
		assert_int_equal(number_at(entry, 24, 4), crc32c(0, expected, chunk->size));
		assert_int_equal(number_at(entry, 28, 4), 0);
	}
	/* The same again from a head with rubbish in it: the same header. */
	struct snapshot_writer *writer;
	assert_int_equal(
	        snapshot_writer_begin(store_io_posix(), scratch.path, "vector", &head, &writer), 0);
	assert_int_equal(snapshot_writer_commit(writer), 0);
	size_t n_bare;
	unsigned char *bare = scratch_file_load(path, &n_bare);
	assert_memory_equal(bare, file, 64);
	assert_memory_equal(bare + 80, file + 80, 4092 - 80);
	free(bare);
	free(file);
	free(expected);
}

static void chunks_out_of_order_fail_the_save_and_keep_the_old(void **state)
{
	static const uint32_t wrong[][2] = {{2, 5}, {2, 4}, {1, 9}, {0, 0}};

	(void)state;
	save(1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct snapshot_writer *writer = begin();

		assert_int_equal(snapshot_writer_chunk(writer, 2, 5, "a", 1), 0);
		assert_int_equal(snapshot_writer_chunk(writer, wrong[i][0], wrong[i][1], "b", 1),
		                 -EINVAL);
		assert_int_equal(snapshot_writer_chunk(writer, 3, 0, "c", 1), -EINVAL);
		assert_int_equal(snapshot_writer_append(writer, "d", 1), -EINVAL);
		assert_int_equal(snapshot_writer_commit(writer), -EINVAL);
		assert_int_equal(access(tmp_path, F_OK), -1);
		snapshot_fixture_assert_whole(store_io_posix(), path, 1);
	}
	struct snapshot_writer *writer = begin();
	assert_int_equal(snapshot_writer_append(writer, "a", 1), -EINVAL);
	assert_null(snapshot_writer_abort(writer));
}

static void there_is_room_for_so_many_chunks_and_no_more(void **state)
{
	uint8_t byte = 0;

	(void)state;
	for (uint32_t extra = 0; extra < 2; extra++) {
		struct snapshot_writer *writer = begin();

		for (uint32_t i = 0; i < SNAPSHOT_CHUNKS_MAX; i++)
			assert_int_equal(snapshot_writer_chunk(writer, 5, i, NULL, 0), 0);
		/* Only the last may have bytes: the file is to stay small. */
		assert_int_equal(snapshot_writer_append(writer, "z", 1), 0);
		if (extra)
			assert_int_equal(snapshot_writer_begin_chunk(writer, 6, 0), -E2BIG);
		assert_int_equal(snapshot_writer_commit(writer), extra ? -E2BIG : 0);
	}
	struct snapshot *snapshot = open_whole();
	assert_int_equal(snapshot_n_chunks(snapshot, 5), SNAPSHOT_CHUNKS_MAX);
	assert_int_equal(snapshot_read_chunk(snapshot, 5, SNAPSHOT_CHUNKS_MAX - 1, &byte, 1), 0);
	assert_int_equal(byte, 'z');
	snapshot_close(snapshot);
}

static void names_and_heads_that_are_none_are_refused(void **state)
{
	static const char *const names[] = {"", "a/b", "/", ".tmp", "vector.tmp"};
	struct snapshot_writer *writer = NULL;
	struct snapshot_head heads[3];
	char *dir = malloc(5000);

	(void)state;
	for (size_t i = 0; i < 3; i++)
		heads[i] = snapshot_fixture_head(1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(snapshot_writer_begin(store_io_posix(), scratch.path, names[i],
		                                       &heads[0], &writer),
		                 -EINVAL);
	heads[0].fingerprint.n_params = SNAPSHOT_PARAMS_BYTES_MAX + 1;
	memset(heads[1].fingerprint.kind, 'k', sizeof(heads[1].fingerprint.kind));
	memset(heads[2].fingerprint.spec.space, 's', sizeof(heads[2].fingerprint.spec.space));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(snapshot_writer_begin(store_io_posix(), scratch.path, "vector",
		                                       &heads[i], &writer),
		                 -EINVAL);
	heads[0] = snapshot_fixture_head(1);
	memset(dir, 'd', 4999);
	dir[4999] = '\0';
	assert_int_equal(snapshot_writer_begin(store_io_posix(), dir, "v", &heads[0], &writer),
	                 -ENAMETOOLONG);
	dir[4093] = '\0'; /* room for "/v", none for "/v.tmp" */
	assert_int_equal(snapshot_writer_begin(store_io_posix(), dir, "v", &heads[0], &writer),
	                 -ENAMETOOLONG);
	free(dir);
	assert_null(writer);
	assert_int_equal(access(tmp_path, F_OK), -1);
}

static void a_head_at_its_limits_comes_back(void **state)
{
	struct snapshot_head head = snapshot_fixture_head(1);
	struct snapshot_fingerprint *of = &head.fingerprint;
	struct snapshot_writer *writer;

	(void)state;
	of->n_params = SNAPSHOT_PARAMS_BYTES_MAX;
	memset(of->params, 0xee, sizeof(of->params));
	memset(of->kind, 'k', sizeof(of->kind) - 1);
	memset(of->spec.space, 's', sizeof(of->spec.space) - 1);
	head.seq = head.generation = head.n_nodes = UINT64_MAX;
	assert_int_equal(
	        snapshot_writer_begin(store_io_posix(), scratch.path, "vector", &head, &writer), 0);
	assert_int_equal(snapshot_writer_commit(writer), 0);
	struct snapshot *snapshot = open_whole();
	assert_true(snapshot_fingerprint_equal(&snapshot_head(snapshot)->fingerprint, of));
	assert_true(snapshot_head(snapshot)->seq == UINT64_MAX);
	assert_true(snapshot_head(snapshot)->n_nodes == UINT64_MAX);
	snapshot_close(snapshot);
}

static void fingerprints_differ_by_any_field(void **state)
{
	struct snapshot_fingerprint of = snapshot_fixture_head(1).fingerprint;
	struct snapshot_fingerprint others[8];

	(void)state;
	for (size_t i = 0; i < 8; i++)
		others[i] = of;
	others[0].spec.uuid.bytes[15] ^= 1;
	others[1].spec.dim++;
	others[2].spec.metric++;
	others[3].spec.dtype++;
	others[4].spec.space[0] ^= 1;
	others[5].kind[0] ^= 1;
	others[6].n_params++;
	others[7].params[4] ^= 1;
	for (size_t i = 0; i < 8; i++) {
		assert_false(snapshot_fingerprint_equal(&of, &others[i]));
		assert_true(snapshot_fingerprint_equal(&others[i], &others[i]));
	}
	others[0] = of;
	others[0].params[5] = 1;
	others[0].kind[8] = 'x';
	assert_true(snapshot_fingerprint_equal(&of, &others[0]));
}

static void an_open_snapshot_outlives_its_replacement(void **state)
{
	(void)state;
	save(1);
	struct snapshot *old = open_whole();
	save(2);
	assert_int_equal(snapshot_fixture_check(old, 1), 0);
	snapshot_fixture_assert_whole(store_io_posix(), path, 2);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(snapshot_fixture_check(old, 1), 0);
	assert_null(snapshot_close(old));
	assert_null(snapshot_close(NULL));
}

static void an_aborted_save_leaves_nothing(void **state)
{
	(void)state;
	save(1);
	struct snapshot_writer *writer = begin();
	assert_int_equal(snapshot_writer_chunk(writer, 1, 0, "abc", 3), 0);
	assert_int_equal(access(tmp_path, F_OK), 0);
	assert_null(snapshot_writer_abort(writer));
	assert_null(snapshot_writer_abort(NULL));
	assert_int_equal(access(tmp_path, F_OK), -1);
	snapshot_fixture_assert_whole(store_io_posix(), path, 1);
}

static void a_save_goes_over_what_a_lost_one_left(void **state)
{
	unsigned char *junk = malloc(2 * SNAPSHOT_FIXTURE_BYTES);

	(void)state;
	memset(junk, 0xab, 2 * SNAPSHOT_FIXTURE_BYTES);
	scratch_file_save(tmp_path, junk, 2 * SNAPSHOT_FIXTURE_BYTES);
	free(junk);
	save(4);
	snapshot_fixture_assert_whole(store_io_posix(), path, 4);
}

static void only_temporaries_are_collected(void **state)
{
	static const char *const names[] = {"a.tmp", ".tmp", "b.tmpx", "tmp", "vector.tmp"};
	char at[SCRATCH_PATH_SIZE];
	char elsewhere[SCRATCH_PATH_SIZE];

	(void)state;
	save(1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		scratch_file_save(scratch_dir_path(&scratch, names[i], at), "x", 1);
	/* A link goes, what it names stays. */
	scratch_dir_path(&scratch, "l.tmp", elsewhere);
	assert_int_equal(symlink(path, elsewhere), 0);
	assert_int_equal(snapshot_collect_tmp(store_io_posix(), scratch.path), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(access(scratch_dir_path(&scratch, names[i], at), F_OK),
		                 i == 2 || i == 3 ? 0 : -1);
	assert_int_equal(access(elsewhere, F_OK), -1);
	snapshot_fixture_assert_whole(store_io_posix(), path, 1);
	assert_int_equal(
	        snapshot_collect_tmp(store_io_posix(), scratch_dir_path(&scratch, "none", at)), 0);
	/* What cannot be removed does not keep the others. */
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	scratch_file_save(tmp_path, "x", 1);
	assert_true(snapshot_collect_tmp(store_io_posix(), scratch.path) < 0);
	assert_int_equal(access(tmp_path, F_OK), -1);
	assert_int_equal(rmdir(elsewhere), 0);
}

static void a_link_or_directory_in_its_place_is_bad(void **state)
{
	char elsewhere[SCRATCH_PATH_SIZE];

	(void)state;
	save(1);
	scratch_dir_path(&scratch, "elsewhere", elsewhere);
	assert_int_equal(rename(path, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, path), 0);
	assert_outcome(SNAPSHOT_BAD, "it is a symbolic link");
	/* The next save replaces the link, not what it names. */
	save(2);
	snapshot_fixture_assert_whole(store_io_posix(), path, 2);
	snapshot_fixture_assert_whole(store_io_posix(), elsewhere, 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_outcome(SNAPSHOT_BAD, "it is a directory");
}

static void *check_it_all(void *snapshot)
{
	return (void *)(uintptr_t)snapshot_fixture_check(snapshot, 1);
}

static void threads_share_an_open_snapshot(void **state)
{
	pthread_t threads[4];

	(void)state;
	save(1);
	struct snapshot *snapshot = open_whole();
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, check_it_all, snapshot), 0);
	for (size_t i = 0; i < 4; i++) {
		void *bad;

		assert_int_equal(pthread_join(threads[i], &bad), 0);
		assert_null(bad);
	}
	snapshot_close(snapshot);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_snapshot_comes_back_as_it_was_saved),
	        TEST(what_is_not_there_is_said_to_be_missing),
	        TEST(a_snapshot_of_no_chunks_is_one_page),
	        TEST(a_chunk_in_pieces_is_the_same_as_in_one),
	        TEST(bytes_stand_where_the_format_says),
	        TEST(chunks_out_of_order_fail_the_save_and_keep_the_old),
	        TEST(there_is_room_for_so_many_chunks_and_no_more),
	        TEST(names_and_heads_that_are_none_are_refused),
	        TEST(a_head_at_its_limits_comes_back),
	        TEST(fingerprints_differ_by_any_field),
	        TEST(an_open_snapshot_outlives_its_replacement),
	        TEST(an_aborted_save_leaves_nothing),
	        TEST(a_save_goes_over_what_a_lost_one_left),
	        TEST(only_temporaries_are_collected),
	        TEST(a_link_or_directory_in_its_place_is_bad),
	        TEST(threads_share_an_open_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
