/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tests/lib/record_fixture.h"

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

/* Walks and asserts the slots that come. */
static void assert_scan(uint64_t after_slot, int64_t ns, uint64_t seq, const uint64_t *slots,
                        size_t n)
{
	struct record_row row;

	assert_int_equal(record_reader_scan(fixture.reader, after_slot, ns, seq, 0), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(record_reader_next(fixture.reader, &row), 0);
		assert_int_equal(row.slot, slots[i]);
	}
	assert_int_equal(record_reader_next(fixture.reader, &row), RECORD_STORE_END);
	assert_int_equal(record_reader_next(fixture.reader, &row), RECORD_STORE_END);
}

static void an_older_seq_sees_the_version_of_its_time(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, "one");   /* seq 1 */
	fixture_put(&fixture, "a", 2, "two");   /* seq 2 */
	fixture_put(&fixture, "a", 3, "three"); /* seq 3 */
	fixture_delete(&fixture, "a");          /* seq 4 */
	fixture_put(&fixture, "a", 5, "five");  /* seq 5 */

	fixture_assert_live(&fixture, "a", 0, 0, NULL);
	fixture_assert_live(&fixture, "a", 1, 1, "one");
	fixture_assert_live(&fixture, "a", 2, 2, "two");
	fixture_assert_live(&fixture, "a", 3, 3, "three");
	fixture_assert_live(&fixture, "a", 4, 0, NULL);
	fixture_assert_live(&fixture, "a", 5, 5, "five");
	fixture_assert_live(&fixture, "a", 6, 5, "five");
	fixture_assert_live(&fixture, "b", 5, 0, NULL);
}

static void a_touched_record_is_still_seen_at_the_seq_of_its_content(void **state)
{
	(void)state;
	struct record record = fixture_record("a", 1, "text");

	fixture_upsert(&fixture, &record, 0);
	record.expires_at = 9;
	fixture_upsert(&fixture, &record, 0);
	fixture_assert_live(&fixture, "a", 1, 1, "text");
}

static void a_scan_gives_what_was_live_at_its_seq(void **state)
{
	(void)state;
	uint32_t ns = fixture_namespace(&fixture, "agent");
	struct record b = fixture_record("b", 2, NULL);

	fixture_put(&fixture, "a", 1, NULL); /* seq 1, slot 1 */
	fixture_upsert(&fixture, &b, ns);    /* seq 2, slot 2 */
	fixture_put(&fixture, "c", 3, NULL); /* seq 3, slot 3 */
	fixture_put(&fixture, "a", 4, NULL); /* seq 4, slot 4 */
	fixture_delete(&fixture, "c");       /* seq 5 */

	assert_scan(0, -1, 0, NULL, 0);
	assert_scan(0, -1, 2, (uint64_t[]){1, 2}, 2);
	assert_scan(0, -1, 3, (uint64_t[]){1, 2, 3}, 3);
	assert_scan(0, -1, 4, (uint64_t[]){2, 3, 4}, 3);
	assert_scan(0, -1, FIXTURE_EVERY, (uint64_t[]){2, 4}, 2);
	assert_scan(2, -1, FIXTURE_EVERY, (uint64_t[]){4}, 1);
	assert_scan(4, -1, FIXTURE_EVERY, NULL, 0);
	assert_scan(UINT64_MAX, -1, FIXTURE_EVERY, NULL, 0);
	assert_scan(0, ns, FIXTURE_EVERY, (uint64_t[]){2}, 1);
	assert_scan(0, 0, FIXTURE_EVERY, (uint64_t[]){4}, 1);
	assert_scan(0, 77, FIXTURE_EVERY, NULL, 0);
}

static void a_row_holds_what_was_wanted_and_no_more(void **state)
{
	(void)state;
	struct record record = fixture_record("a", 1, "text");
	struct record_row row;

	record.meta = fixture_meta("meta", NULL, 0);
	record.expires_at = 12;
	fixture_upsert(&fixture, &record, fixture_namespace(&fixture, "agent"));
	for (unsigned want = 0; want < 16; want++) {
		assert_int_equal(record_reader_by_slot(fixture.reader, 1, want, &row), 0);
		assert_int_equal(row.slot, 1);
		assert_int_equal(row.seq, 1);
		assert_int_equal(row.ns, 1);
		assert_int_equal(row.record.expires_at, 12);
		assert_memory_equal(row.record.id.text, "a", 1);
		assert_int_equal(row.record.vector != NULL, (want & RECORD_WANT_VECTOR) != 0);
		assert_int_equal(row.record.text != NULL, (want & RECORD_WANT_TEXT) != 0);
		assert_int_equal(row.record.meta.blob != NULL, (want & RECORD_WANT_META) != 0);
		assert_int_equal(row.ns_name != NULL, (want & RECORD_WANT_NAMESPACE) != 0);
	}
}

static void metadata_of_no_bytes_is_not_absent(void **state)
{
	(void)state;
	struct record record = fixture_record("a", 1, NULL);
	struct record_row row;

	record.meta = fixture_meta("", NULL, 0);
	fixture_upsert(&fixture, &record, 0);
	assert_int_equal(record_reader_by_slot(fixture.reader, 1, RECORD_WANT_META, &row), 0);
	assert_non_null(row.record.meta.blob);
	assert_int_equal(row.record.meta.blob_n, 0);
	assert_int_equal(fixture_upsert(&fixture, &record, 0).effect, RECORD_UNCHANGED);
}

static void retired_rows_are_found_by_slot(void **state)
{
	(void)state;
	struct record_row row;

	fixture_put(&fixture, "a", 1, "one");
	fixture_put(&fixture, "a", 2, "two");
	assert_int_equal(record_reader_by_slot(fixture.reader, 1, RECORD_WANT_TEXT, &row), 0);
	assert_memory_equal(row.record.text, "one", 3);
	assert_int_equal(record_reader_by_slot(fixture.reader, 3, 0, &row), RECORD_STORE_MISSING);
}

static void vectors_of_all_rows_come_by_slot(void **state)
{
	(void)state;
	struct record_row row;
	float vector[FIXTURE_DIM];

	for (int i = 1; i <= 5; i++)
		fixture_put(&fixture, i == 3 ? "b" : "a", (float)i, NULL);
	assert_int_equal(record_reader_vectors(fixture.reader, 2, 4), 0);
	for (uint64_t slot = 2; slot <= 4; slot++) {
		assert_int_equal(record_reader_next(fixture.reader, &row), 0);
		assert_int_equal(row.slot, slot);
		memcpy(vector, row.record.vector, sizeof(vector));
		assert_true(vector[0] == (float)slot);
	}
	assert_int_equal(record_reader_next(fixture.reader, &row), RECORD_STORE_END);
}

static void lookups_do_not_disturb_a_walk(void **state)
{
	(void)state;
	struct record_id id = fixture_id("b");
	struct record_row row;

	fixture_put(&fixture, "a", 1, "a");
	fixture_put(&fixture, "b", 2, "b");
	fixture_put(&fixture, "c", 3, "c");
	assert_int_equal(record_reader_scan(fixture.reader, 0, -1, FIXTURE_EVERY, 0), 0);
	for (uint64_t slot = 1; slot <= 3; slot++) {
		assert_int_equal(record_reader_next(fixture.reader, &row), 0);
		assert_int_equal(row.slot, slot);
		assert_int_equal(record_reader_by_id(fixture.reader, &id, FIXTURE_EVERY, 0, &row),
		                 0);
		assert_int_equal(row.slot, 2);
	}
	assert_int_equal(record_reader_next(fixture.reader, &row), RECORD_STORE_END);
}

static void a_view_does_not_change_until_its_end(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, "one");
	assert_int_equal(record_reader_begin(fixture.reader), 0);
	assert_int_equal(fixture_state(&fixture).seq, 1);
	fixture_put(&fixture, "a", 2, "two");
	assert_int_equal(fixture_state(&fixture).seq, 1);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, "one");
	record_reader_end(fixture.reader);
	assert_int_equal(fixture_state(&fixture).seq, 2);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 2, "two");
}

static int collect(void *ctx, uint32_t ns, const char *name, size_t n)
{
	char *names = ctx;

	assert_int_equal(strlen(names), 2 * (ns - 1));
	strncat(names, name, n);
	strcat(names, ";");
	return ns == 3 ? 42 : 0;
}

static void namespaces_are_told_until_the_caller_stops(void **state)
{
	(void)state;
	char names[16] = "";

	fixture_namespace(&fixture, "a");
	fixture_namespace(&fixture, "b");
	assert_int_equal(record_reader_namespaces(fixture.reader, collect, names), 0);
	assert_string_equal(names, "a;b;");
	fixture_namespace(&fixture, "c");
	fixture_namespace(&fixture, "d");
	names[0] = '\0';
	assert_int_equal(record_reader_namespaces(fixture.reader, collect, names), 42);
	assert_string_equal(names, "a;b;c;");
}

static void a_damaged_row_is_told_and_not_handed_out(void **state)
{
	(void)state;
	struct record_id id = fixture_id("a");
	struct record_row row;

	fixture_put(&fixture, "a", 1, NULL);
	fixture_exec(&fixture, "UPDATE vectors SET vector = x'00'");
	assert_int_equal(
	        record_reader_by_id(fixture.reader, &id, FIXTURE_EVERY, RECORD_WANT_VECTOR, &row),
	        -EBADMSG);
	assert_string_not_equal(record_store_last_error(), "");
	fixture_exec(&fixture, "DELETE FROM vectors");
	assert_int_equal(record_reader_by_slot(fixture.reader, 1, RECORD_WANT_VECTOR, &row),
	                 -EBADMSG);
	fixture_exec(&fixture, "UPDATE records SET ns = 5, id = 0.5");
	assert_int_equal(record_reader_by_slot(fixture.reader, 1, 0, &row), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(an_older_seq_sees_the_version_of_its_time),
	        TEST(a_touched_record_is_still_seen_at_the_seq_of_its_content),
	        TEST(a_scan_gives_what_was_live_at_its_seq),
	        TEST(a_row_holds_what_was_wanted_and_no_more),
	        TEST(metadata_of_no_bytes_is_not_absent),
	        TEST(retired_rows_are_found_by_slot),
	        TEST(vectors_of_all_rows_come_by_slot),
	        TEST(lookups_do_not_disturb_a_walk),
	        TEST(a_view_does_not_change_until_its_end),
	        TEST(namespaces_are_told_until_the_caller_stops),
	        TEST(a_damaged_row_is_told_and_not_handed_out),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
