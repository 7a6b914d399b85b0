/* SPDX-License-Identifier: Apache-2.0 */

/* Which histories a truth has been through: the list by itself, and what the store keeps of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/record_epochs.h"
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

/* The list ------------------------------------------------------------------------------------- */

/* Number i of a history, i < RECORD_EPOCHS_MAX + 2. */
static const struct record_epoch *numbered(uint32_t i)
{
	static struct record_epoch epochs[RECORD_EPOCHS_MAX + 2];

	epochs[i] = (struct record_epoch){.seq = 10 * i, .next_slot = 100 * i};
	memcpy(epochs[i].id.bytes, &i, sizeof(i));
	return &epochs[i];
}

static void an_epoch_ends_where_the_next_begins(void **state)
{
	(void)state;
	static struct record_epochs epochs;
	struct record_epoch now = {.seq = 77, .next_slot = 777}, end;

	for (uint32_t i = 1; i <= 3; i++)
		record_epochs_add(&epochs, numbered(i));
	assert_true(record_epochs_end(&epochs, &numbered(1)->id, &now, &end));
	assert_int_equal(end.seq, 20);
	assert_int_equal(end.next_slot, 200);
	assert_true(record_epochs_end(&epochs, &numbered(3)->id, &now, &end));
	assert_int_equal(end.seq, 77);
	assert_int_equal(end.next_slot, 777);
	assert_false(record_epochs_end(&epochs, &numbered(4)->id, &now, &end));
	assert_false(record_epochs_end(&epochs, &(struct uuid){{0}}, &now, &end));
}

static void a_full_list_forgets_its_oldest(void **state)
{
	(void)state;
	static struct record_epochs epochs;
	struct record_epoch now = {0}, end;

	for (uint32_t i = 1; i <= RECORD_EPOCHS_MAX; i++) {
		record_epochs_add(&epochs, numbered(i));
		record_epochs_add(&epochs, numbered(i)); /* is there already */
		assert_int_equal(epochs.n, i);
		assert_int_equal(record_epochs_is_old(&epochs, &numbered(1)->id),
		                 i > RECORD_EPOCHS_MAX / 2);
		assert_false(record_epochs_is_old(&epochs, &numbered(i)->id));
	}
	assert_true(record_epochs_end(&epochs, &numbered(1)->id, &now, &end));
	record_epochs_add(&epochs, numbered(RECORD_EPOCHS_MAX + 1));
	assert_int_equal(epochs.n, RECORD_EPOCHS_MAX);
	assert_false(record_epochs_end(&epochs, &numbered(1)->id, &now, &end));
	assert_true(record_epochs_end(&epochs, &numbered(2)->id, &now, &end));
	assert_int_equal(end.seq, 30);
	assert_true(uuid_equal(record_epochs_last(&epochs), &numbered(RECORD_EPOCHS_MAX + 1)->id));
}

/* The store ------------------------------------------------------------------------------------ */

static const struct record_epochs *read_epochs(void)
{
	static struct record_epochs epochs;

	assert_int_equal(record_reader_epochs(fixture.reader, &epochs), 0);
	return &epochs;
}

static void the_first_commit_of_each_opening_begins_an_epoch(void **state)
{
	(void)state;
	struct record_epoch epoch;

	assert_int_equal(read_epochs()->n, 1);
	assert_int_equal(read_epochs()->v[0].next_slot, 1);
	assert_false(record_writer_epoch(fixture.writer, &epoch));
	fixture_put(&fixture, "a", 1, NULL);
	fixture_put(&fixture, "b", 1, NULL);
	assert_true(record_writer_epoch(fixture.writer, &epoch));
	assert_int_equal(read_epochs()->n, 2);
	assert_true(uuid_equal(&read_epochs()->v[1].id, &epoch.id));
	assert_int_equal(epoch.seq, 0);
	assert_int_equal(epoch.next_slot, 1);

	record_fixture_reopen(&fixture);
	assert_int_equal(read_epochs()->n, 2);
	fixture_put(&fixture, "b", 1, NULL); /* equal: no effect */
	assert_false(record_writer_epoch(fixture.writer, &epoch));
	assert_int_equal(read_epochs()->n, 2);
	fixture_delete(&fixture, "a");
	assert_int_equal(read_epochs()->n, 3);
	assert_true(record_writer_epoch(fixture.writer, &epoch));
	assert_int_equal(epoch.seq, 2);
	assert_int_equal(epoch.next_slot, 3);
	assert_int_equal(read_epochs()->v[2].seq, 2);
	assert_int_equal(read_epochs()->v[2].next_slot, 3);
}

/* A commit that does not come to be leaves no epoch: the next one begins it. */
static void an_epoch_goes_with_the_commit_that_begins_it(void **state)
{
	(void)state;
	struct record record = fixture_record("a", 1, NULL);
	struct record_change change;
	struct record_epoch epoch;
	uint64_t seq;

	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	assert_int_equal(record_writer_upsert(fixture.writer, &record, 0, &change), 0);
	assert_int_equal(record_writer_end_request(fixture.writer, true), 0);
	record_writer_rollback(fixture.writer);
	assert_false(record_writer_epoch(fixture.writer, &epoch));
	assert_int_equal(read_epochs()->n, 1);
	fixture_put(&fixture, "a", 1, NULL);
	assert_int_equal(read_epochs()->n, 2);
	assert_true(record_writer_epoch(fixture.writer, &epoch));
}

/* Reaping changes counters but no record. */
static void a_reap_begins_no_epoch(void **state)
{
	(void)state;
	uint32_t n;

	fixture_put(&fixture, "a", 1, NULL);
	fixture_delete(&fixture, "a");
	record_fixture_reopen(&fixture);
	assert_int_equal(record_writer_reap(fixture.writer, 2, 10, 10, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(read_epochs()->n, 2);
}

static void the_store_keeps_so_many_epochs(void **state)
{
	(void)state;
	fixture_exec(&fixture, "WITH RECURSIVE i(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM i"
	                       " WHERE n < 256)"
	                       " INSERT INTO epochs SELECT n, randomblob(16), 0, 1 FROM i");
	assert_int_equal(read_epochs()->n, RECORD_EPOCHS_MAX);
	fixture_put(&fixture, "a", 1, NULL);
	assert_int_equal(read_epochs()->n, RECORD_EPOCHS_MAX);
	assert_int_equal(fixture_query(&fixture, "SELECT min(number) FROM epochs"), 2);
	assert_int_equal(fixture_query(&fixture, "SELECT max(number) FROM epochs"), 257);
}

static void a_database_of_version_1_begins_its_first_epoch(void **state)
{
	(void)state;
	fixture_put(&fixture, "a", 1, NULL);
	fixture_put(&fixture, "b", 1, NULL);
	fixture_exec(&fixture, "DROP TABLE epochs; PRAGMA user_version = 1");
	record_fixture_reopen(&fixture);
	assert_int_equal(fixture_query(&fixture, "PRAGMA user_version"), 2);
	assert_int_equal(read_epochs()->n, 1);
	assert_int_equal(read_epochs()->v[0].seq, 2);
	assert_int_equal(read_epochs()->v[0].next_slot, 3);
	fixture_assert_live(&fixture, "b", FIXTURE_EVERY, 1, NULL);
}

static void a_store_without_sound_epochs_is_bad(void **state)
{
	(void)state;
	static struct record_epochs epochs;

	fixture_exec(&fixture, "UPDATE epochs SET epoch = x'0102'");
	assert_int_equal(record_reader_epochs(fixture.reader, &epochs), -EBADMSG);
	fixture_exec(&fixture, "DELETE FROM epochs");
	assert_int_equal(record_reader_epochs(fixture.reader, &epochs), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_epoch_ends_where_the_next_begins),
	        cmocka_unit_test(a_full_list_forgets_its_oldest),
	        cmocka_unit_test_setup_teardown(the_first_commit_of_each_opening_begins_an_epoch,
	                                        setup, teardown),
	        cmocka_unit_test_setup_teardown(an_epoch_goes_with_the_commit_that_begins_it, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(a_reap_begins_no_epoch, setup, teardown),
	        cmocka_unit_test_setup_teardown(the_store_keeps_so_many_epochs, setup, teardown),
	        cmocka_unit_test_setup_teardown(a_database_of_version_1_begins_its_first_epoch,
	                                        setup, teardown),
	        cmocka_unit_test_setup_teardown(a_store_without_sound_epochs_is_bad, setup,
	                                        teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
