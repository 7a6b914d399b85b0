/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/record_fixture.h"

#define LOG_MAX 1000

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

static uint32_t reap(uint64_t seq, uint32_t max_rows, uint32_t max_log)
{
	uint32_t n;

	assert_int_equal(record_writer_reap(fixture.writer, seq, max_rows, max_log, &n), 0);
	return n;
}

static void only_what_was_retired_by_the_seq_goes(void **state)
{
	(void)state;
	struct record_row row;

	for (int i = 1; i <= 4; i++) /* slots 1, 2, 3 retired at 2, 3, 4 */
		fixture_put(&fixture, "a", (float)i, "text");
	assert_int_equal(reap(1, 100, LOG_MAX), 0);
	assert_int_equal(reap(3, 100, LOG_MAX), 2);
	assert_int_equal(record_reader_by_slot(fixture.reader, 2, 0, &row), RECORD_STORE_MISSING);
	fixture_assert_live(&fixture, "a", 3, 3, "text");
	fixture_assert_live(&fixture, "a", 4, 4, "text");
	assert_int_equal(fixture_state(&fixture).n_retired, 1);
	assert_int_equal(fixture_state(&fixture).seq, 4);
	assert_int_equal(reap(UINT64_MAX, 100, LOG_MAX), 1);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM records"), 1);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM vectors"), 1);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM contents"), 1);
}

static void a_slots_fields_go_with_it(void **state)
{
	(void)state;
	struct record_field fields[] = {fixture_field("file", "notes"), fixture_field("k", "v")};
	struct record record = fixture_record("a", 1, NULL);

	record.meta = fixture_meta("meta", fields, 2);
	fixture_upsert(&fixture, &record, 0);
	fixture_put(&fixture, "a", 2, NULL);
	record.id = fixture_id("b");
	fixture_upsert(&fixture, &record, 0);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields"), 4);
	assert_int_equal(reap(UINT64_MAX, 100, LOG_MAX), 1);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields"), 2);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields WHERE slot = 3"), 2);
}

static void a_step_takes_the_oldest_and_no_more_than_asked(void **state)
{
	(void)state;
	for (int i = 1; i <= 6; i++)
		fixture_put(&fixture, "a", (float)i, NULL);
	assert_int_equal(reap(UINT64_MAX, 2, LOG_MAX), 2);
	assert_int_equal(fixture_query(&fixture, "SELECT min(slot) FROM records"), 3);
	assert_int_equal(reap(UINT64_MAX, 2, LOG_MAX), 2);
	assert_int_equal(reap(UINT64_MAX, 2, LOG_MAX), 1);
	assert_int_equal(reap(UINT64_MAX, 2, LOG_MAX), 0);
}

static void slots_are_not_used_again_after_delete_reap_and_reopen(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, NULL);
	fixture_put(&fixture, "b", 2, NULL);
	fixture_delete(&fixture, "b");
	fixture_delete(&fixture, "a");
	assert_int_equal(reap(UINT64_MAX, 100, 0), 2);
	record_fixture_reopen(&fixture);
	assert_int_equal(fixture_put(&fixture, "a", 1, NULL).slot, 3);
	assert_int_equal(fixture_state(&fixture).seq, 5);
}

static void the_log_is_cut_between_seqs(void **state)
{
	(void)state;
	struct record_change change;
	char id[16];
	uint64_t seq;

	for (int i = 0; i < 6; i++) { /* seqs 1 to 6 */
		snprintf(id, sizeof(id), "%d", i);
		fixture_put(&fixture, id, 1, NULL);
	}
	for (int group = 0; group < 2; group++) { /* three retirements each at seqs 7 and 8 */
		assert_int_equal(record_writer_begin(fixture.writer), 0);
		assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
		for (int i = 3 * group; i < 3 * group + 3; i++) {
			snprintf(id, sizeof(id), "%d", i);
			struct record_id record_id = fixture_id(id);
			assert_int_equal(record_writer_delete(fixture.writer, &record_id, &change),
			                 0);
		}
		assert_int_equal(record_writer_end_request(fixture.writer, true), 0);
		assert_int_equal(record_writer_commit(fixture.writer), 0);
	}
	reap(0, 100, 6);
	assert_int_equal(fixture_state(&fixture).floor_seq, 0);
	reap(0, 100, 5); /* one too many, but its seq holds three */
	assert_int_equal(fixture_state(&fixture).floor_seq, 7);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM retirements"), 3);
	record_fixture_reopen(&fixture);
	reap(0, 1, 0); /* in steps of one row, too */
	assert_int_equal(fixture_state(&fixture).floor_seq, 8);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM retirements"), 0);
	assert_int_equal(fixture_state(&fixture).n_retired, 6);
}

static void packed_fields_that_make_no_sense_are_told(void **state)
{
	(void)state;
	struct record_field field = fixture_field("file", "notes");
	struct record record = fixture_record("a", 1, NULL);
	uint32_t n;

	record.meta = fixture_meta("meta", &field, 1);
	fixture_upsert(&fixture, &record, 0);
	fixture_delete(&fixture, "a");
	fixture_exec(&fixture, "UPDATE contents SET fields = x'0463'");
	assert_int_equal(record_writer_reap(fixture.writer, UINT64_MAX, 10, 10, &n), -EBADMSG);
	assert_int_equal(fixture_state(&fixture).n_retired, 1);
	/* only that reap was undone: the writer goes on */
	assert_int_equal(fixture_put(&fixture, "b", 1, NULL).effect, RECORD_INSERTED);
	assert_int_equal(fixture_state(&fixture).n_retired, 1);
}

/* Of a text each, so that its pages count. */
#define LONG_TEXT_BYTES 3000
#define MANY 400
#define STEP_PAGES 64

static void put_and_remove_many(void)
{
	static char text[LONG_TEXT_BYTES + 1];
	char id[16];

	memset(text, 'x', LONG_TEXT_BYTES);
	for (int i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "%d", i);
		fixture_put(&fixture, id, (float)i, text);
	}
	/* The last ones stay: their pages are at the end of the file. */
	for (int i = 0; i < MANY - 10; i++) {
		snprintf(id, sizeof(id), "%d", i);
		fixture_delete(&fixture, id);
	}
	assert_int_equal(reap(UINT64_MAX, MANY, 0), MANY - 10);
}

static void free_pages_leave_the_database_in_steps(void **state)
{
	(void)state;
	struct record_space before, after;
	uint64_t size_before;

	put_and_remove_many();
	assert_int_equal(record_store_checkpoint(fixture.store, true), 0);
	size_before = fixture_file_bytes(&fixture);
	before = record_store_space(fixture.store);
	assert_true(before.is_compactable);
	assert_true(before.free_bytes > MANY / 2 * (uint64_t)LONG_TEXT_BYTES);

	assert_int_equal(record_writer_compact(fixture.writer, STEP_PAGES), 0);
	after = record_store_space(fixture.store);
	assert_true(after.free_bytes < before.free_bytes);
	assert_true(before.free_bytes - after.free_bytes <= (STEP_PAGES + 1) * UINT64_C(4096));
	assert_int_equal(record_writer_compact(fixture.writer, MANY * 2), 0);
	assert_int_equal(record_store_space(fixture.store).free_bytes, 0);

	/* The file follows when the WAL has moved into it, and nothing is lost. */
	assert_int_equal(record_store_checkpoint(fixture.store, true), 0);
	assert_true(fixture_file_bytes(&fixture) + before.free_bytes <= size_before);
	record_fixture_reopen(&fixture);
	assert_int_equal(record_store_space(fixture.store).free_bytes, 0);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM contents"), 10);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM pragma_integrity_check"
	                                         " WHERE integrity_check = 'ok'"),
	                 1);
	fixture_put(&fixture, "a", 1, "text");
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, "text");
}

static void a_step_that_fails_changes_nothing(void **state)
{
	(void)state;
	uint64_t free_bytes;

	put_and_remove_many();
	free_bytes = record_store_space(fixture.store).free_bytes;
	store_twin_fail(fixture.twin, (struct store_twin_fault){.kind = STORE_TWIN_SYNC,
	                                                        .path_part = "records.db-wal",
	                                                        .nth = 1,
	                                                        .err = EIO});
	assert_int_equal(record_writer_compact(fixture.writer, STEP_PAGES), -EIO);
	assert_int_equal(record_writer_compact(fixture.writer, STEP_PAGES), -EIO);
	store_twin_heal(fixture.twin);
	record_fixture_reopen(&fixture);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM contents"), 10);
	assert_true(record_store_space(fixture.store).free_bytes <= free_bytes);
	assert_int_equal(record_writer_compact(fixture.writer, STEP_PAGES), 0);
}

/* Its pages are used again, but stay. */
static void a_database_of_before_is_left_as_it_is(void **state)
{
	(void)state;
	struct record_space space;

	record_fixture_close(&fixture);
	fixture_exec(&fixture, "PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM;"
	                       " PRAGMA journal_mode = WAL");
	record_fixture_open(&fixture);
	put_and_remove_many();
	space = record_store_space(fixture.store);
	assert_false(space.is_compactable);
	assert_int_equal(record_writer_compact(fixture.writer, STEP_PAGES), 0);
	assert_int_equal(record_store_space(fixture.store).free_bytes, space.free_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(only_what_was_retired_by_the_seq_goes),
	        TEST(a_slots_fields_go_with_it),
	        TEST(a_step_takes_the_oldest_and_no_more_than_asked),
	        TEST(slots_are_not_used_again_after_delete_reap_and_reopen),
	        TEST(the_log_is_cut_between_seqs),
	        TEST(packed_fields_that_make_no_sense_are_told),
	        TEST(free_pages_leave_the_database_in_steps),
	        TEST(a_step_that_fails_changes_nothing),
	        TEST(a_database_of_before_is_left_as_it_is),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
