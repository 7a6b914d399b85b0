/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
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

/* Effects of an upsert ------------------------------------------------------------------------ */

static void an_upsert_of_a_new_id_takes_the_next_slot(void **state)
{
	(void)state;
	struct record_change first = fixture_put(&fixture, "a", 1, "text");
	struct record_change second = fixture_put(&fixture, "b", 2, NULL);

	assert_int_equal(first.effect, RECORD_INSERTED);
	assert_int_equal(first.slot, 1);
	assert_int_equal(second.slot, 2);
	assert_int_equal(fixture_state(&fixture).seq, 2);
	assert_int_equal(fixture_state(&fixture).n_live, 2);
}

static void an_equal_upsert_writes_nothing(void **state)
{
	(void)state;
	struct record_field field = fixture_field("file", "notes");
	struct record record = fixture_record("a", 1, "text");
	uint32_t ns = fixture_namespace(&fixture, "agent");
	struct record_store_state before;
	size_t n_writes;

	record.meta = fixture_meta("meta", &field, 1);
	record.expires_at = 1000;
	fixture_upsert(&fixture, &record, ns);
	before = fixture_state(&fixture);
	n_writes = store_twin_count(fixture.twin, STORE_TWIN_WRITE, NULL);

	struct record_change change = fixture_upsert(&fixture, &record, ns);

	assert_int_equal(change.effect, RECORD_UNCHANGED);
	assert_int_equal(change.slot, 1);
	assert_int_equal(store_twin_count(fixture.twin, STORE_TWIN_WRITE, NULL), n_writes);
	assert_int_equal(fixture_state(&fixture).seq, before.seq);
}

static void another_vector_takes_a_new_slot(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, "text");
	struct record_change change = fixture_put(&fixture, "a", 2, "text");

	assert_int_equal(change.effect, RECORD_REPLACED);
	assert_int_equal(change.slot, 2);
	assert_int_equal(change.retired_slot, 1);
	assert_null(change.vector);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 2, "text");
	assert_int_equal(fixture_state(&fixture).n_live, 1);
	assert_int_equal(fixture_state(&fixture).n_retired, 1);
	assert_int_equal(fixture_query(&fixture, "SELECT seq FROM retirements WHERE slot = 1"), 2);
}

static void another_text_takes_a_new_slot(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, "text");
	struct record_change change = fixture_put(&fixture, "a", 1, "other");

	assert_int_equal(change.effect, RECORD_REPLACED);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, "other");
}

static void an_empty_text_is_not_an_absent_one(void **state)
{
	(void)state;
	assert_int_equal(fixture_put(&fixture, "a", 1, "").effect, RECORD_INSERTED);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, "");
	assert_int_equal(fixture_put(&fixture, "a", 1, "").effect, RECORD_UNCHANGED);
	assert_int_equal(fixture_put(&fixture, "a", 1, NULL).effect, RECORD_REPLACED);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, NULL);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM contents"), 1);
}

static void metadata_namespace_and_expiry_change_in_place(void **state)
{
	(void)state;
	struct record_field field = fixture_field("file", "notes");
	struct record record = fixture_record("a", 1, "text");
	uint32_t ns = fixture_namespace(&fixture, "agent");
	struct record_change change;

	fixture_upsert(&fixture, &record, 0);
	record.meta = fixture_meta("meta", &field, 1);
	change = fixture_upsert(&fixture, &record, 0);
	assert_int_equal(change.effect, RECORD_TOUCHED);
	assert_int_equal(change.slot, 1);
	change = fixture_upsert(&fixture, &record, ns);
	assert_int_equal(change.effect, RECORD_TOUCHED);
	assert_int_equal(change.ns, ns);
	record.expires_at = 77;
	change = fixture_upsert(&fixture, &record, ns);
	assert_int_equal(change.effect, RECORD_TOUCHED);
	assert_int_equal(change.expires_at, 77);
	assert_int_equal(fixture_state(&fixture).seq, 4);
	assert_int_equal(fixture_state(&fixture).n_retired, 0);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields"), 1);
	/* and back to nothing */
	record.meta = (struct record_meta){0};
	record.expires_at = 0;
	assert_int_equal(fixture_upsert(&fixture, &record, ns).effect, RECORD_TOUCHED);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields"), 0);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, "text");
}

/* Ids ----------------------------------------------------------------------------------------- */

static void text_and_number_ids_are_distinct(void **state)
{
	(void)state;
	struct record record = fixture_record("5", 1, NULL);
	struct record_row row;

	assert_int_equal(fixture_upsert(&fixture, &record, 0).effect, RECORD_INSERTED);
	record.id = fixture_number(5);
	assert_int_equal(fixture_upsert(&fixture, &record, 0).effect, RECORD_INSERTED);
	assert_int_equal(record_reader_by_id(fixture.reader, &record.id, FIXTURE_EVERY, 0, &row),
	                 0);
	assert_int_equal(row.slot, 2);
	assert_null(row.record.id.text);
	assert_int_equal(row.record.id.number, 5);
}

static void numbers_beyond_the_signed_range_are_kept(void **state)
{
	(void)state;
	static const uint64_t numbers[] = {0, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
	struct record record = fixture_record("", 1, NULL);
	struct record_row row;

	for (size_t i = 0; i < 4; i++) {
		record.id = fixture_number(numbers[i]);
		assert_int_equal(fixture_upsert(&fixture, &record, 0).effect, RECORD_INSERTED);
	}
	for (size_t i = 0; i < 4; i++) {
		record.id = fixture_number(numbers[i]);
		assert_int_equal(
		        record_reader_by_id(fixture.reader, &record.id, FIXTURE_EVERY, 0, &row), 0);
		assert_int_equal(row.slot, i + 1);
		assert_true(row.record.id.number == numbers[i]);
	}
}

static void nul_bytes_in_ids_and_texts_are_kept(void **state)
{
	(void)state;
	struct record record = fixture_record("", 1, NULL);
	struct record_row row;

	record.id = (struct record_id){.text = "a\0b", .n = 3};
	record.text = "x\0y\0";
	record.text_n = 4;
	fixture_upsert(&fixture, &record, 0);
	fixture_put(&fixture, "a", 2, NULL);
	assert_int_equal(record_reader_by_id(fixture.reader, &record.id, FIXTURE_EVERY,
	                                     RECORD_WANT_TEXT, &row),
	                 0);
	assert_int_equal(row.slot, 1);
	assert_int_equal(row.record.id.n, 3);
	assert_memory_equal(row.record.id.text, "a\0b", 3);
	assert_int_equal(row.record.text_n, 4);
	assert_memory_equal(row.record.text, "x\0y\0", 4);
}

/* Update and delete --------------------------------------------------------------------------- */

static void an_update_of_the_text_takes_over_vector_and_the_rest(void **state)
{
	(void)state;
	struct record_field field = fixture_field("file", "notes");
	struct record record = fixture_record("a", 3, "text");
	uint32_t ns = fixture_namespace(&fixture, "agent");
	struct record_change change;
	struct record_row row;
	uint64_t seq;

	record.meta = fixture_meta("meta", &field, 1);
	record.expires_at = 50;
	fixture_upsert(&fixture, &record, ns);

	struct record update = {.id = record.id, .text = "new", .text_n = 3};

	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	assert_int_equal(
	        record_writer_update(fixture.writer, &update, 0, RECORD_PART_TEXT, &change), 0);
	assert_int_equal(change.effect, RECORD_REPLACED);
	assert_memory_equal(change.vector, record.vector, FIXTURE_DIM * sizeof(float));
	assert_int_equal(change.ns, ns);
	assert_int_equal(change.expires_at, 50);
	assert_int_equal(record_writer_end_request(fixture.writer, true), 0);
	assert_int_equal(record_writer_commit(fixture.writer), 0);

	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 3, "new");
	assert_int_equal(record_reader_by_id(fixture.reader, &record.id, FIXTURE_EVERY,
	                                     RECORD_WANT_META | RECORD_WANT_NAMESPACE, &row),
	                 0);
	assert_int_equal(row.record.meta.blob_n, 4);
	assert_memory_equal(row.record.meta.blob, "meta", 4);
	assert_int_equal(row.record.expires_at, 50);
	assert_int_equal(row.ns_name_n, 5);
	assert_memory_equal(row.ns_name, "agent", 5);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields WHERE slot = 2"), 1);
}

static void an_update_of_the_rest_keeps_the_slot(void **state)
{
	(void)state;
	struct record_field field = fixture_field("file", "notes");
	struct record update = fixture_record("a", 9, "text");

	fixture_put(&fixture, "a", 1, "text");
	update.meta = fixture_meta("meta", &field, 1);
	assert_int_equal(fixture_update(&fixture, &update, 0, RECORD_PART_META).effect,
	                 RECORD_TOUCHED);
	assert_int_equal(fixture_update(&fixture, &update, 0, RECORD_PART_META).effect,
	                 RECORD_UNCHANGED);
	assert_int_equal(fixture_update(&fixture, &update, 0, RECORD_PART_TEXT).effect,
	                 RECORD_UNCHANGED);
	update.expires_at = 5;
	assert_int_equal(fixture_update(&fixture, &update, 0, RECORD_PART_EXPIRY).effect,
	                 RECORD_TOUCHED);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, "text");
	assert_int_equal(fixture_state(&fixture).next_slot, 2);
}

static void update_and_delete_of_a_missing_id_say_so(void **state)
{
	(void)state;
	struct record update = fixture_record("a", 1, "text");

	assert_int_equal(fixture_update(&fixture, &update, 0, RECORD_PART_TEXT).effect,
	                 RECORD_MISSING);
	assert_int_equal(fixture_delete(&fixture, "a").effect, RECORD_MISSING);
	assert_int_equal(fixture_state(&fixture).seq, 0);
}

static void a_deleted_id_can_come_back_in_a_new_slot(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, "text");
	struct record_change change = fixture_delete(&fixture, "a");

	assert_int_equal(change.effect, RECORD_DELETED);
	assert_int_equal(change.retired_slot, 1);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 0, NULL);
	assert_int_equal(fixture_state(&fixture).n_live, 0);
	assert_int_equal(fixture_delete(&fixture, "a").effect, RECORD_MISSING);
	change = fixture_put(&fixture, "a", 1, "text");
	assert_int_equal(change.effect, RECORD_INSERTED);
	assert_int_equal(change.slot, 2);
}

/* Groups and requests ------------------------------------------------------------------------- */

static void one_bad_request_in_a_group_of_eight_fails_alone(void **state)
{
	(void)state;
	struct record_change change;
	uint64_t seq;
	uint32_t ns;
	bool is_new;

	fixture_put(&fixture, "old", 9, NULL);
	assert_int_equal(record_writer_begin(fixture.writer), 0);
	for (int i = 0; i < 8; i++) {
		char id[8] = {'r', (char)('0' + i), 0};
		struct record record = fixture_record(id, (float)i + 1, NULL);
		struct record_id old = fixture_id("old");

		assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
		assert_int_equal(seq, i < 6 ? i + 2 : i + 1);
		assert_int_equal(record_writer_upsert(fixture.writer, &record, 0, &change), 0);
		assert_int_equal(change.slot, i < 6 ? i + 2 : i + 1);
		if (i == 5) {
			assert_int_equal(record_writer_namespace(fixture.writer, "lost", 4, 100,
			                                         &ns, &is_new),
			                 0);
			assert_int_equal(record_writer_delete(fixture.writer, &old, &change), 0);
		}
		assert_int_equal(record_writer_end_request(fixture.writer, i != 5), 0);
	}
	assert_int_equal(record_writer_commit(fixture.writer), 0);

	for (int i = 0; i < 8; i++) {
		char id[8] = {'r', (char)('0' + i), 0};

		fixture_assert_live(&fixture, id, FIXTURE_EVERY, i == 5 ? 0 : (float)i + 1, NULL);
	}
	fixture_assert_live(&fixture, "old", FIXTURE_EVERY, 9, NULL);
	assert_int_equal(fixture_state(&fixture).seq, 8);
	assert_int_equal(fixture_state(&fixture).n_live, 8);
	assert_int_equal(fixture_state(&fixture).n_retired, 0);
	assert_int_equal(fixture_state(&fixture).next_slot, 9);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM namespaces"), 1);
}

static void a_rolled_back_group_leaves_nothing(void **state)
{
	(void)state;
	struct record record = fixture_record("a", 1, "text");
	struct record_change change;
	uint64_t seq;

	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	assert_int_equal(record_writer_upsert(fixture.writer, &record, 0, &change), 0);
	assert_int_equal(record_writer_end_request(fixture.writer, true), 0);
	record_writer_rollback(fixture.writer);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 0, NULL);
	change = fixture_put(&fixture, "a", 1, "text");
	assert_int_equal(change.slot, 1);
	assert_int_equal(fixture_state(&fixture).seq, 1);
}

static void one_id_twice_in_a_request_leaves_the_last(void **state)
{
	(void)state;
	struct record first = fixture_record("a", 1, NULL);
	struct record second = fixture_record("a", 2, NULL);
	struct record_change change;
	uint64_t seq;

	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	assert_int_equal(record_writer_upsert(fixture.writer, &first, 0, &change), 0);
	assert_int_equal(record_writer_upsert(fixture.writer, &second, 0, &change), 0);
	assert_int_equal(change.effect, RECORD_REPLACED);
	assert_int_equal(record_writer_end_request(fixture.writer, true), 0);
	assert_int_equal(record_writer_commit(fixture.writer), 0);
	fixture_assert_live(&fixture, "a", seq, 2, NULL);
	fixture_assert_live(&fixture, "a", seq - 1, 0, NULL);
}

/* Namespaces ---------------------------------------------------------------------------------- */

static void namespaces_are_numbered_once_and_limited(void **state)
{
	(void)state;
	uint64_t seq;
	uint32_t ns = 99;
	bool is_new;

	assert_int_equal(fixture_namespace(&fixture, ""), 0);
	assert_int_equal(fixture_namespace(&fixture, "a"), 1);
	assert_int_equal(fixture_namespace(&fixture, "b"), 2);
	assert_int_equal(fixture_namespace(&fixture, "a"), 1);
	record_fixture_reopen(&fixture);

	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	assert_int_equal(record_writer_namespace(fixture.writer, "c", 1, 3, &ns, &is_new), 0);
	assert_int_equal(ns, 3);
	assert_true(is_new);
	assert_int_equal(record_writer_namespace(fixture.writer, "d", 1, 3, &ns, &is_new),
	                 RECORD_STORE_NAMESPACES_FULL);
	assert_int_equal(ns, 3);
	assert_int_equal(record_writer_namespace(fixture.writer, "b", 1, 3, &ns, &is_new), 0);
	assert_int_equal(ns, 2);
	assert_false(is_new);
	assert_int_equal(record_writer_end_request(fixture.writer, true), 0);
	assert_int_equal(record_writer_commit(fixture.writer), 0);
	/* a request that only made a namespace changed no record */
	assert_int_equal(fixture_state(&fixture).seq, 0);
}

/* Fields -------------------------------------------------------------------------------------- */

static void each_scalar_of_the_metadata_gets_a_row(void **state)
{
	(void)state;
	struct record_field fields[] = {
	        {.name = "n", .name_n = 1, .kind = RECORD_FIELD_INT, .integer = -7},
	        {.name = "x", .name_n = 1, .kind = RECORD_FIELD_FLOAT, .real = 0.5},
	        {.name = "nan", .name_n = 3, .kind = RECORD_FIELD_FLOAT, .real = NAN},
	        {.name = "flag", .name_n = 4, .kind = RECORD_FIELD_BOOL, .boolean = true},
	        fixture_field("tag", "red"),
	        fixture_field("tag", "blue"),
	        fixture_field("tag", "red"),
	        fixture_field("", ""),
	};
	struct record record = fixture_record("a", 1, NULL);

	record.meta = fixture_meta("meta", fields, 8);
	fixture_upsert(&fixture, &record, 0);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields"), 6);
	assert_int_equal(
	        fixture_query(&fixture, "SELECT slot FROM fields WHERE field='n' AND value=-7"), 1);
	assert_int_equal(
	        fixture_query(&fixture, "SELECT slot FROM fields WHERE field='x' AND value=0.5"),
	        1);
	assert_int_equal(fixture_query(&fixture, "SELECT slot FROM fields"
	                                         " WHERE field='flag' AND value=x'01'"),
	                 1);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields WHERE field='tag'"),
	                 2);

	record.meta = fixture_meta("other", &fields[4], 1);
	assert_int_equal(fixture_upsert(&fixture, &record, 0).effect, RECORD_TOUCHED);
	assert_int_equal(fixture_query(&fixture, "SELECT count(*) FROM fields"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(an_upsert_of_a_new_id_takes_the_next_slot),
	        TEST(an_equal_upsert_writes_nothing),
	        TEST(another_vector_takes_a_new_slot),
	        TEST(another_text_takes_a_new_slot),
	        TEST(an_empty_text_is_not_an_absent_one),
	        TEST(metadata_namespace_and_expiry_change_in_place),
	        TEST(text_and_number_ids_are_distinct),
	        TEST(numbers_beyond_the_signed_range_are_kept),
	        TEST(nul_bytes_in_ids_and_texts_are_kept),
	        TEST(an_update_of_the_text_takes_over_vector_and_the_rest),
	        TEST(an_update_of_the_rest_keeps_the_slot),
	        TEST(update_and_delete_of_a_missing_id_say_so),
	        TEST(a_deleted_id_can_come_back_in_a_new_slot),
	        TEST(one_bad_request_in_a_group_of_eight_fails_alone),
	        TEST(a_rolled_back_group_leaves_nothing),
	        TEST(one_id_twice_in_a_request_leaves_the_last),
	        TEST(namespaces_are_numbered_once_and_limited),
	        TEST(each_scalar_of_the_metadata_gets_a_row),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
