/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/sqlite_vfs.h"
#include "tests/lib/record_fixture.h"
#include "tests/lib/schema_text.h"

static struct record_fixture fixture;

static int setup(void **state)
{
	(void)state;
	record_fixture_init(&fixture);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	record_fixture_release(&fixture);
	return 0;
}

static int open_again(const char *dir)
{
	struct record_store *store = NULL;
	int r = record_store_open(fixture.io, dir, &fixture.spec.uuid, 1 << 20, &store);

	record_store_free(store);
	return r;
}

/* Opening ------------------------------------------------------------------------------------- */

static void a_store_explains_itself(void **state)
{
	(void)state;
	const struct record_spec *spec = record_store_spec(fixture.store);

	assert_true(uuid_equal(&spec->uuid, &fixture.spec.uuid));
	assert_int_equal(spec->dim, FIXTURE_DIM);
	assert_string_equal(spec->space, "model@1");
	assert_int_equal(fixture_state(&fixture).next_slot, 1);
	assert_int_equal(fixture_state(&fixture).seq, 0);
	assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"),
	                 RECORD_STORE_SCHEMA_VERSION);
}

/* What later methods keep (expiry, metadata, indexes, evaluation) has its place from the start. */
static void a_fresh_store_has_all_its_tables(void **state)
{
	(void)state;
	static const char expected[] =
	        "collection: one uuid dim metric dtype space\n"
	        "contents: slot text meta fields\n"
	        "epochs: number epoch seq next_slot\n"
	        "evaluation_queries: evaluation_set query vector text truth\n"
	        "evaluation_sets: evaluation_set name seq k params\n"
	        "fields: field value slot\n"
	        "indexes: name kind params state\n"
	        "namespaces: ns name\n"
	        "records: slot id seq retired_seq ns expires_at\n"
	        "records_live: on records, unique, partial, id\n"
	        "records_retired: on records, partial, retired_seq\n"
	        "retirements: seq slot\n"
	        "state: one seq floor_seq next_slot n_live n_retired n_retirements\n"
	        "trials: trial evaluation_set index_name started_ms params result\n"
	        "vectors: slot vector\n";
	char path[SCRATCH_PATH_SIZE];
	char *schema = schema_text(scratch_dir_path(&fixture.scratch, "records.db", path));

	assert_string_equal(schema, expected);
	free(schema);
}

static void everything_is_there_after_reopening(void **state)
{
	(void)state;
	struct record_store_state before, after;

	fixture_put(&fixture, "a", 1, "one");
	fixture_put(&fixture, "b", 2, "two");
	fixture_put(&fixture, "a", 3, "three");
	fixture_delete(&fixture, "b");
	before = fixture_state(&fixture);
	record_fixture_reopen(&fixture);
	after = fixture_state(&fixture);
	assert_memory_equal(&before, &after, sizeof(before));
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 3, "three");
	fixture_assert_live(&fixture, "b", FIXTURE_EVERY, 0, NULL);
	assert_int_equal(fixture_put(&fixture, "c", 1, NULL).slot, 4);
}

static void no_store_is_told_from_a_broken_one(void **state)
{
	(void)state;
	char path[SCRATCH_PATH_SIZE];

	assert_int_equal(open_again("/nonexistent"), RECORD_STORE_MISSING);
	scratch_dir_path(&fixture.scratch, "other", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(open_again(path), RECORD_STORE_MISSING);
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
	(void)state;
	fixture_exec(&fixture, "PRAGMA user_version = 3");
	assert_int_equal(open_again(fixture.scratch.path), RECORD_STORE_NEWER);
	assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"), 3);
}

static void the_dtype_says_how_long_a_vector_is(void **state)
{
	(void)state;
	fixture_put(&fixture, "wide", 1, NULL);
	assert_int_equal(fixture_query(&fixture, "SELECT length(vector) FROM vectors"),
	                 4 * FIXTURE_DIM);
	fixture_delete(&fixture, "wide");
	fixture_exec(&fixture, "UPDATE collection SET dtype = 1; DELETE FROM vectors");
	record_fixture_reopen(&fixture);
	fixture_put(&fixture, "half", 1, NULL);
	assert_int_equal(fixture_query(&fixture, "SELECT length(vector) FROM vectors"),
	                 2 * FIXTURE_DIM);
	fixture_exec(&fixture, "UPDATE collection SET dtype = 2");
	assert_int_equal(open_again(fixture.scratch.path), -EBADMSG);
}

static void a_foreign_application_is_refused(void **state)
{
	(void)state;
	fixture_exec(&fixture, "PRAGMA application_id = 7");
	assert_int_equal(open_again(fixture.scratch.path), RECORD_STORE_FOREIGN);
}

static void another_collections_store_is_refused(void **state)
{
	(void)state;
	fixture.spec.uuid.bytes[3] ^= 1;
	assert_int_equal(open_again(fixture.scratch.path), RECORD_STORE_FOREIGN);
	fixture.spec.uuid.bytes[3] ^= 1;
	assert_int_equal(open_again(fixture.scratch.path), 0);
}

static void what_is_not_a_database_is_refused(void **state)
{
	(void)state;
	static unsigned char junk[8192] = "not a database";
	char dir[SCRATCH_PATH_SIZE];
	char path[SCRATCH_PATH_SIZE + 16];

	scratch_dir_path(&fixture.scratch, "junk", dir);
	snprintf(path, sizeof(path), "%s/records.db", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	scratch_file_save(path, junk, sizeof(junk));
	assert_int_equal(open_again(dir), RECORD_STORE_FOREIGN);
	scratch_file_save(path, junk, 0);
	assert_int_equal(open_again(dir), RECORD_STORE_FOREIGN);
}

/* Damage -------------------------------------------------------------------------------------- */

static void a_store_without_its_single_rows_is_bad(void **state)
{
	(void)state;
	struct record_writer *writer;
	struct record_store_state row;

	fixture_exec(&fixture, "DELETE FROM state");
	assert_int_equal(record_writer_new(fixture.store, &writer), -EBADMSG);
	assert_int_equal(record_reader_state(fixture.reader, &row), -EBADMSG);
	fixture_exec(&fixture, "DELETE FROM collection");
	assert_int_equal(open_again(fixture.scratch.path), -EBADMSG);
}

/* A copy of the store with one page at a time overwritten: an error or an answer, no crash. */
static void a_damaged_page_never_crashes(void **state)
{
	(void)state;
	char from[SCRATCH_PATH_SIZE], dir[SCRATCH_PATH_SIZE], to[SCRATCH_PATH_SIZE + 16];
	unsigned n_bad = 0;
	size_t n;

	for (int i = 0; i < 40; i++)
		fixture_put(&fixture, i % 2 ? "a" : "b", (float)i + 1, "text");
	record_fixture_reopen(&fixture);
	unsigned char *good =
	        scratch_file_load(scratch_dir_path(&fixture.scratch, "records.db", from), &n);
	scratch_dir_path(&fixture.scratch, "copy", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(to, sizeof(to), "%s/records.db", dir);
	for (size_t page = 0; page < n / 4096; page++) {
		unsigned char *bad = malloc(n);
		struct record_store *store = NULL;
		struct record_reader *reader = NULL;
		struct record_row row;
		int r;

		assert_non_null(bad);
		for (size_t i = 0; i < n; i++)
			bad[i] = i / 4096 == page && i % 4096 >= 100 ? (unsigned char)(i * 7)
			                                             : good[i];
		scratch_file_save(to, bad, n);
		free(bad);
		r = record_store_open(fixture.io, dir, &fixture.spec.uuid, 1 << 20, &store);
		if (r == 0)
			r = record_reader_new(store, &reader);
		if (r == 0)
			r = record_reader_scan(reader, 0, -1, FIXTURE_EVERY,
			                       RECORD_WANT_VECTOR | RECORD_WANT_TEXT);
		while (r == 0)
			r = record_reader_next(reader, &row);
		assert_true(r == RECORD_STORE_END || r == -EBADMSG);
		n_bad += r == -EBADMSG;
		record_reader_free(reader);
		record_store_free(store);
	}
	free(good);
	assert_true(n_bad >= 4);
}

/* Killed -------------------------------------------------------------------------------------- */

static void copy_file(const char *dir, const char *name)
{
	char from[SCRATCH_PATH_SIZE], to[SCRATCH_PATH_SIZE + 32];
	size_t n;
	unsigned char *bytes =
	        scratch_file_load(scratch_dir_path(&fixture.scratch, name, from), &n);

	snprintf(to, sizeof(to), "%s/%s", dir, name);
	scratch_file_save(to, bytes, n);
	free(bytes);
}

static void what_a_killed_process_leaves_holds_every_commit(void **state)
{
	(void)state;
	char dir[SCRATCH_PATH_SIZE];
	struct record record = fixture_record("c", 3, NULL);
	struct record_change change;
	struct record_store *store;
	struct record_reader *reader;
	struct record_store_state found;
	uint64_t seq;

	fixture_put(&fixture, "a", 1, "one");
	fixture_put(&fixture, "b", 2, "two");
	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	assert_int_equal(record_writer_upsert(fixture.writer, &record, 0, &change), 0);

	scratch_dir_path(&fixture.scratch, "copy", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	copy_file(dir, "records.db");
	copy_file(dir, "records.db-wal");
	record_writer_rollback(fixture.writer);

	assert_int_equal(record_store_open(fixture.io, dir, &fixture.spec.uuid, 1 << 20, &store),
	                 0);
	assert_true(record_store_wal_bytes(store) > 0);
	assert_int_equal(record_reader_new(store, &reader), 0);
	assert_int_equal(record_reader_state(reader, &found), 0);
	assert_int_equal(found.seq, 2);
	assert_int_equal(found.n_live, 2);
	assert_int_equal(found.next_slot, 3);
	record_reader_free(reader);
	record_store_free(store);
}

/* Checkpoints --------------------------------------------------------------------------------- */

static void a_restart_checkpoint_begins_the_wal_anew(void **state)
{
	(void)state;
	uint64_t one;

	fixture_put(&fixture, "a", 1, NULL);
	one = record_store_wal_bytes(fixture.store);
	assert_true(one > 0);
	for (int i = 0; i < 5; i++)
		fixture_put(&fixture, "a", (float)i, NULL);
	assert_true(record_store_wal_bytes(fixture.store) > 3 * one);
	assert_int_equal(record_store_checkpoint(fixture.store, true), 0);
	assert_int_equal(record_store_wal_bytes(fixture.store), 0);
	fixture_put(&fixture, "a", 9, NULL);
	assert_true(record_store_wal_bytes(fixture.store) < 2 * one + 8192);
}

/* What a start after a kill would read. */
static void a_restart_leaves_one_frame_in_the_wal(void **state)
{
	uint64_t begin = UINT64_MAX;

	(void)state;
	for (int i = 0; i < 5; i++)
		fixture_put(&fixture, "a", (float)i, NULL);
	store_twin_forget(fixture.twin);
	assert_int_equal(record_store_checkpoint(fixture.store, true), 0);
	for (size_t i = 0; i < store_twin_n_ops(fixture.twin); i++) {
		const struct store_twin_op *op = store_twin_op(fixture.twin, i);

		if (op->kind != STORE_TWIN_WRITE || !strstr(op->path, "-wal"))
			continue;
		begin = op->offset < begin ? op->offset : begin;
		assert_true(op->offset + op->n_bytes < 2 * 4096);
	}
	assert_int_equal(begin, 0);
	assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"),
	                 RECORD_STORE_SCHEMA_VERSION);
}

static void a_passive_checkpoint_lets_the_next_commit_begin_the_wal_anew(void **state)
{
	(void)state;
	for (int i = 1; i <= 20; i++)
		fixture_put(&fixture, "a", (float)i, NULL);
	uint64_t before = record_store_wal_bytes(fixture.store);

	assert_int_equal(record_store_checkpoint(fixture.store, false), 0);
	fixture_put(&fixture, "a", 99, NULL);
	assert_true(record_store_wal_bytes(fixture.store) < before / 2);
}

static void an_open_reader_or_writer_makes_a_restart_busy(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, NULL);
	assert_int_equal(record_reader_begin(fixture.reader), 0);
	fixture_state(&fixture);
	fixture_put(&fixture, "a", 2, NULL);
	uint64_t bytes = record_store_wal_bytes(fixture.store);

	assert_int_equal(record_store_checkpoint(fixture.store, false), 0);
	assert_int_equal(record_store_checkpoint(fixture.store, true), RECORD_STORE_BUSY);
	assert_int_equal(record_store_wal_bytes(fixture.store), bytes);
	record_reader_end(fixture.reader);

	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_store_checkpoint(fixture.store, true), RECORD_STORE_BUSY);
	record_writer_rollback(fixture.writer);
	assert_int_equal(record_store_checkpoint(fixture.store, true), 0);
}

#define LONG_WAL_BYTES (256u << 10)
#define SHORT_WAL_BYTES (32u << 10)

static uint64_t wal_size(void)
{
	char path[SCRATCH_PATH_SIZE];

	return scratch_file_size(scratch_dir_path(&fixture.scratch, "records.db-wal", path));
}

/* A WAL that was long, and has begun anew. */
static void leave_long_wal(void)
{
	static char text[SHORT_WAL_BYTES];

	memset(text, 'x', sizeof(text) - 1);
	for (uint64_t i = 0; record_store_wal_bytes(fixture.store) < LONG_WAL_BYTES; i++)
		fixture_put(&fixture, "a", (float)i, text);
	assert_int_equal(record_store_checkpoint(fixture.store, true), 0);
	assert_int_equal(record_store_wal_bytes(fixture.store), 0);
	assert_true(wal_size() >= LONG_WAL_BYTES);
	assert_int_equal(record_store_wal_file_bytes(fixture.store), wal_size());
}

static void a_wal_is_cut_when_its_room_is_needed(void **state)
{
	(void)state;
	leave_long_wal();
	assert_int_equal(record_store_cut_wal(fixture.store, SHORT_WAL_BYTES), 0);
	assert_int_equal(wal_size(), SHORT_WAL_BYTES);
	assert_int_equal(record_store_wal_file_bytes(fixture.store), SHORT_WAL_BYTES);
	/* At other times it keeps its length. */
	leave_long_wal();
	record_fixture_reopen(&fixture);
	fixture_put(&fixture, "b", 7, NULL);
	fixture_assert_live(&fixture, "b", FIXTURE_EVERY, 7, NULL);
	assert_int_equal(record_store_wal_file_bytes(fixture.store), wal_size());
}

static void a_wal_is_cut_only_when_nobody_needs_it(void **state)
{
	uint64_t bytes;

	(void)state;
	leave_long_wal();
	fixture_put(&fixture, "a", 1, NULL);
	bytes = wal_size();
	assert_int_equal(record_reader_begin(fixture.reader), 0);
	fixture_state(&fixture);
	fixture_put(&fixture, "a", 2, NULL);
	assert_int_equal(record_store_cut_wal(fixture.store, SHORT_WAL_BYTES), RECORD_STORE_BUSY);
	record_reader_end(fixture.reader);
	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_store_cut_wal(fixture.store, SHORT_WAL_BYTES), RECORD_STORE_BUSY);
	record_writer_rollback(fixture.writer);
	assert_int_equal(wal_size(), bytes);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 2, NULL);
	assert_int_equal(record_store_cut_wal(fixture.store, SHORT_WAL_BYTES), 0);
	assert_int_equal(wal_size(), SHORT_WAL_BYTES);
}

static void a_wal_that_cannot_be_cut_is_told_of(void **state)
{
	(void)state;
	leave_long_wal();
	store_twin_fail(fixture.twin, (struct store_twin_fault){.kind = STORE_TWIN_TRUNCATE,
	                                                        .path_part = "-wal",
	                                                        .nth = 1,
	                                                        .err = EIO});
	assert_int_equal(record_store_cut_wal(fixture.store, SHORT_WAL_BYTES), -EIO);
	assert_int_equal(store_twin_n_failed(fixture.twin), 1);
	store_twin_heal(fixture.twin);
	assert_int_equal(record_store_cut_wal(fixture.store, SHORT_WAL_BYTES), 0);
	assert_int_equal(wal_size(), SHORT_WAL_BYTES);
}

/* Its pages reach the WAL before the commit does. */
static void what_a_failed_group_wrote_to_the_wal_is_known(void **state)
{
	static char text[SHORT_WAL_BYTES];
	struct record record;
	struct record_change change;
	uint64_t seq, before = record_store_wal_file_bytes(fixture.store);

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	for (uint64_t i = 0; i < 3 * FIXTURE_CACHE_BYTES / sizeof(text); i++) {
		record = fixture_record("", 1, text);
		record.id = fixture_number(i);
		assert_int_equal(record_writer_upsert(fixture.writer, &record, 0, &change), 0);
	}
	record_writer_rollback(fixture.writer);
	fixture.writer = record_writer_free(fixture.writer);
	assert_true(record_store_wal_file_bytes(fixture.store) > before + FIXTURE_CACHE_BYTES);
	assert_int_equal(record_writer_new(fixture.store, &fixture.writer), 0);
}

static void caches_can_be_given_back_between_jobs(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, "text");
	record_writer_release_memory(fixture.writer);
	record_reader_release_memory(fixture.reader);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, "text");
	assert_int_equal(fixture_put(&fixture, "a", 1, "text").effect, RECORD_UNCHANGED);
}

/* Side by side -------------------------------------------------------------------------------- */

/* What the threads say; cmocka's assertions belong to the test's own. */
struct side_by_side {
	atomic_bool is_over;
	int checkpoint_result;
	int reader_result;
};

static void *checkpoint_until_over(void *ctx)
{
	struct side_by_side *sides = ctx;
	int r = 0;

	for (bool restart = false; r >= 0 && !atomic_load(&sides->is_over); restart = !restart)
		r = record_store_checkpoint(fixture.store, restart);
	sides->checkpoint_result = r < 0 ? r : 0;
	return NULL;
}

/* In each view all of the two records have the same vector, and the state agrees with the rows. */
static int read_one_view(void)
{
	struct record_store_state found;
	struct record_row row;
	float v[2] = {0, 0};
	unsigned n = 0;
	int r = record_reader_begin(fixture.reader);

	if (r == 0)
		r = record_reader_state(fixture.reader, &found);
	if (r == 0)
		r = record_reader_scan(fixture.reader, 0, -1, FIXTURE_EVERY, RECORD_WANT_VECTOR);
	while (r == 0 && (r = record_reader_next(fixture.reader, &row)) == 0 && n < 2)
		memcpy(&v[n++], row.record.vector, sizeof(v[0]));
	record_reader_end(fixture.reader);
	if (r != RECORD_STORE_END)
		return r < 0 ? r : -ERANGE;
	return n == found.n_live && v[0] == v[1] ? 0 : -ERANGE;
}

static void *read_until_over(void *ctx)
{
	struct side_by_side *sides = ctx;
	int r = 0;

	while (r == 0 && !atomic_load(&sides->is_over))
		r = read_one_view();
	sides->reader_result = r;
	return NULL;
}

static void writer_reader_and_checkpoints_work_side_by_side(void **state)
{
	(void)state;
	struct side_by_side sides = {.is_over = false};
	pthread_t threads[2];

	assert_int_equal(pthread_create(&threads[0], NULL, checkpoint_until_over, &sides), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, read_until_over, &sides), 0);
	for (int i = 1; i <= 200; i++) {
		struct record a = fixture_record("a", (float)i, NULL);
		struct record b = fixture_record("b", (float)i, NULL);
		struct record_change change;
		uint64_t seq;

		assert_int_equal(record_writer_begin(fixture.writer), 0);
		assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
		assert_int_equal(record_writer_upsert(fixture.writer, &a, 0, &change), 0);
		assert_int_equal(record_writer_upsert(fixture.writer, &b, 0, &change), 0);
		assert_int_equal(record_writer_end_request(fixture.writer, true), 0);
		assert_int_equal(record_writer_commit(fixture.writer), 0);
	}
	atomic_store(&sides.is_over, true);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(sides.checkpoint_result, 0);
	assert_int_equal(sides.reader_result, 0);
	assert_int_equal(record_store_checkpoint(fixture.store, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(a_store_explains_itself),
	        TEST(a_fresh_store_has_all_its_tables),
	        TEST(everything_is_there_after_reopening),
	        TEST(no_store_is_told_from_a_broken_one),
	        TEST(a_newer_schema_is_refused_and_left_alone),
	        TEST(the_dtype_says_how_long_a_vector_is),
	        TEST(a_foreign_application_is_refused),
	        TEST(another_collections_store_is_refused),
	        TEST(what_is_not_a_database_is_refused),
	        TEST(a_store_without_its_single_rows_is_bad),
	        TEST(a_damaged_page_never_crashes),
	        TEST(what_a_killed_process_leaves_holds_every_commit),
	        TEST(a_restart_checkpoint_begins_the_wal_anew),
	        TEST(a_restart_leaves_one_frame_in_the_wal),
	        TEST(a_passive_checkpoint_lets_the_next_commit_begin_the_wal_anew),
	        TEST(an_open_reader_or_writer_makes_a_restart_busy),
	        TEST(writer_reader_and_checkpoints_work_side_by_side),
	        TEST(a_wal_is_cut_when_its_room_is_needed),
	        TEST(a_wal_is_cut_only_when_nobody_needs_it),
	        TEST(a_wal_that_cannot_be_cut_is_told_of),
	        TEST(what_a_failed_group_wrote_to_the_wal_is_known),
	        TEST(caches_can_be_given_back_between_jobs),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
