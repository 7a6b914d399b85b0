/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "storage/catalog.h"
#include "storage/sqlite_vfs.h"
#include "tests/lib/schema_text.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

static struct scratch_dir scratch;
static struct store_twin *twin;
static struct catalog *catalog;

static void reopen(void)
{
	catalog_close(catalog);
	assert_int_equal(catalog_open(store_twin_io(twin), scratch.path, &catalog), 0);
}

static int setup(void **state)
{
	(void)state;
	scratch_dir_init(&scratch);
	twin = store_twin_new(store_io_posix());
	catalog = NULL;
	reopen();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	catalog = catalog_close(catalog);
	sqlite_vfs_drop(store_twin_io(twin));
	twin = store_twin_free(twin);
	scratch_dir_release(&scratch);
	return 0;
}

static struct catalog_entry entry(const char *name)
{
	static int64_t now;
	struct catalog_entry made = {
	        .spec = {.dim = 784, .metric = RECORD_METRIC_COSINE, .space = "model@1"},
	        .created_ms = ++now,
	};

	assert_int_equal(uuid_new(&made.spec.uuid), 0);
	snprintf(made.name, sizeof(made.name), "%s", name);
	return made;
}

static int list(void *ctx, const struct catalog_entry *found)
{
	char *text = ctx;

	sprintf(text + strlen(text), "%s:%d ", found->name, (int)found->state);
	return strcmp(found->name, "stop") == 0 ? 42 : 0;
}

static void assert_list(const char *expected)
{
	char text[256] = "";

	assert_int_equal(catalog_each(catalog, list, text), 0);
	assert_string_equal(text, expected);
}

static int copy_entry(void *ctx, const struct catalog_entry *found)
{
	*(struct catalog_entry *)ctx = *found;
	return 0;
}

static void exec_plain(const char *sql)
{
	char path[SCRATCH_PATH_SIZE];
	sqlite3 *db;

	assert_int_equal(sqlite3_open(scratch_dir_path(&scratch, "catalog.db", path), &db),
	                 SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void a_fresh_catalog_has_its_table(void **state)
{
	(void)state;
	char path[SCRATCH_PATH_SIZE];
	char *schema = schema_text(scratch_dir_path(&scratch, "catalog.db", path));

	assert_string_equal(schema,
	                    "collections: uuid name state dim metric dtype space created_ms bulk\n"
	                    "collections_name: on collections, unique, partial, name\n");
	free(schema);
}

static void an_entry_comes_back_as_it_was(void **state)
{
	(void)state;
	struct catalog_entry made = entry("n\xc3\xb6te");
	struct catalog_entry found;

	made.spec.uuid.bytes[0] = 0;
	made.bulk = true;
	assert_int_equal(catalog_add(catalog, &made), 0);
	reopen();
	assert_int_equal(catalog_each(catalog, copy_entry, &found), 0);
	assert_memory_equal(&found, &made, sizeof(made));
}

static void a_collection_is_made_and_dropped_in_two_steps_each(void **state)
{
	(void)state;
	struct catalog_entry a = entry("a");
	struct catalog_entry b = entry("b");

	assert_int_equal(catalog_add(catalog, &a), 0);
	assert_int_equal(catalog_add(catalog, &b), 0);
	assert_list("a:0 b:0 ");
	assert_int_equal(catalog_set_state(catalog, &a.spec.uuid, CATALOG_LIVE), 0);
	reopen();
	assert_list("a:1 b:0 ");
	assert_int_equal(catalog_set_state(catalog, &a.spec.uuid, CATALOG_DROPPED), 0);
	assert_list("a:2 b:0 ");
	assert_int_equal(catalog_remove(catalog, &a.spec.uuid), 0);
	reopen();
	assert_list("b:0 ");
}

static void a_state_never_goes_back(void **state)
{
	(void)state;
	struct catalog_entry a = entry("a");

	assert_int_equal(catalog_add(catalog, &a), 0);
	assert_int_equal(catalog_set_state(catalog, &a.spec.uuid, CATALOG_DROPPED), 0);
	assert_int_equal(catalog_set_state(catalog, &a.spec.uuid, CATALOG_LIVE), CATALOG_MISSING);
	assert_int_equal(catalog_set_state(catalog, &a.spec.uuid, CATALOG_DROPPED),
	                 CATALOG_MISSING);
	assert_list("a:2 ");
}

static void a_name_is_taken_until_it_is_dropped(void **state)
{
	(void)state;
	struct catalog_entry first = entry("a");
	struct catalog_entry second = entry("a");

	assert_int_equal(catalog_add(catalog, &first), 0);
	assert_int_equal(catalog_set_state(catalog, &first.spec.uuid, CATALOG_LIVE), 0);
	assert_int_equal(catalog_add(catalog, &second), CATALOG_EXISTS);
	assert_int_equal(catalog_set_state(catalog, &first.spec.uuid, CATALOG_DROPPED), 0);
	assert_int_equal(catalog_add(catalog, &second), 0);
	assert_int_equal(catalog_set_state(catalog, &second.spec.uuid, CATALOG_DROPPED), 0);
	assert_list("a:2 a:2 ");
}

/* The disk may be too full to take back what it was too full for. */
static void one_that_was_never_finished_gives_its_name_up(void **state)
{
	(void)state;
	struct catalog_entry unfinished = entry("a"), next = entry("a"), other = entry("b");

	assert_int_equal(catalog_add(catalog, &unfinished), 0);
	assert_int_equal(catalog_add(catalog, &next), 0);
	assert_list("a:2 a:0 ");
	assert_int_equal(catalog_add(catalog, &other), 0);
	assert_int_equal(catalog_set_state(catalog, &other.spec.uuid, CATALOG_LIVE), 0);
	assert_int_equal(catalog_rename(catalog, &other.spec.uuid, "a"), 0);
	assert_list("a:2 a:2 a:1 ");
}

static void a_uuid_twice_is_a_fault_and_not_a_taken_name(void **state)
{
	(void)state;
	struct catalog_entry a = entry("a");

	assert_int_equal(catalog_add(catalog, &a), 0);
	snprintf(a.name, sizeof(a.name), "b");
	assert_int_equal(catalog_add(catalog, &a), -EBADMSG);
}

static void renaming_keeps_names_unique(void **state)
{
	(void)state;
	struct catalog_entry a = entry("a");
	struct catalog_entry b = entry("b");

	assert_int_equal(catalog_add(catalog, &a), 0);
	assert_int_equal(catalog_rename(catalog, &b.spec.uuid, "c"), CATALOG_MISSING);
	assert_int_equal(catalog_add(catalog, &b), 0);
	assert_int_equal(catalog_set_state(catalog, &b.spec.uuid, CATALOG_LIVE), 0);
	assert_int_equal(catalog_rename(catalog, &a.spec.uuid, "b"), CATALOG_EXISTS);
	assert_int_equal(catalog_rename(catalog, &a.spec.uuid, "c"), 0);
	assert_int_equal(catalog_rename(catalog, &b.spec.uuid, "a"), 0);
	assert_list("c:0 a:1 ");
	assert_int_equal(catalog_set_state(catalog, &a.spec.uuid, CATALOG_DROPPED), 0);
	assert_int_equal(catalog_rename(catalog, &a.spec.uuid, "d"), CATALOG_MISSING);
}

static void bulk_is_set_until_it_is_dropped(void **state)
{
	(void)state;
	struct catalog_entry a = entry("a"), found;

	assert_int_equal(catalog_set_bulk(catalog, &a.spec.uuid, true), CATALOG_MISSING);
	assert_int_equal(catalog_add(catalog, &a), 0);
	for (int i = 1; i >= 0; i--) {
		assert_int_equal(catalog_set_bulk(catalog, &a.spec.uuid, i), 0);
		assert_int_equal(catalog_set_bulk(catalog, &a.spec.uuid, i), 0);
		reopen();
		assert_int_equal(catalog_each(catalog, copy_entry, &found), 0);
		assert_int_equal(found.bulk, i);
	}
	assert_int_equal(catalog_set_state(catalog, &a.spec.uuid, CATALOG_DROPPED), 0);
	assert_int_equal(catalog_set_bulk(catalog, &a.spec.uuid, true), CATALOG_MISSING);
}

/* Version 1 had no column for it. */
static void an_older_catalog_is_brought_up_to_date(void **state)
{
	(void)state;
	struct catalog_entry a = entry("a"), found;

	assert_int_equal(catalog_add(catalog, &a), 0);
	assert_int_equal(catalog_set_bulk(catalog, &a.spec.uuid, true), 0);
	catalog = catalog_close(catalog);
	exec_plain("ALTER TABLE collections DROP COLUMN bulk; PRAGMA user_version = 1");
	reopen();
	assert_int_equal(catalog_each(catalog, copy_entry, &found), 0);
	assert_memory_equal(&found, &a, sizeof(a));
	assert_int_equal(catalog_set_bulk(catalog, &a.spec.uuid, true), 0);
}

static void a_caller_can_stop_the_walk(void **state)
{
	(void)state;
	static const char *const names[] = {"a", "stop", "b"};
	char text[64] = "";

	for (int i = 0; i < 3; i++) {
		struct catalog_entry made = entry(names[i]);
		assert_int_equal(catalog_add(catalog, &made), 0);
	}
	assert_int_equal(catalog_each(catalog, list, text), 42);
	assert_string_equal(text, "a:0 stop:0 ");
}

static void newer_and_foreign_files_are_refused(void **state)
{
	(void)state;
	static const char junk[4096] = "not a database";
	struct catalog *none = NULL;
	char path[SCRATCH_PATH_SIZE];

	catalog = catalog_close(catalog);
	exec_plain("PRAGMA user_version = 3");
	assert_int_equal(catalog_open(store_twin_io(twin), scratch.path, &none), CATALOG_NEWER);
	exec_plain("PRAGMA user_version = 1; PRAGMA application_id = 3");
	assert_int_equal(catalog_open(store_twin_io(twin), scratch.path, &none), CATALOG_FOREIGN);
	/* somebody's own database without any marks is not taken over */
	exec_plain("PRAGMA user_version = 0; PRAGMA application_id = 0");
	assert_int_equal(catalog_open(store_twin_io(twin), scratch.path, &none), CATALOG_FOREIGN);
	scratch_file_save(scratch_dir_path(&scratch, "catalog.db", path), junk, sizeof(junk));
	assert_int_equal(catalog_open(store_twin_io(twin), scratch.path, &none), CATALOG_FOREIGN);
	assert_null(none);
}

/* Each operation of making the catalog and one entry fails in its turn. */
static void a_failed_operation_leaves_a_catalog_that_opens(void **state)
{
	(void)state;
	struct catalog_entry made = entry("a");

	for (uint64_t nth = 1;; nth++) {
		struct catalog *victim = NULL;
		struct scratch_dir dir;
		bool has_failed;
		int r;

		scratch_dir_init(&dir);
		store_twin_fail(twin, (struct store_twin_fault){.nth = nth, .err = EIO});
		r = catalog_open(store_twin_io(twin), dir.path, &victim);
		if (r == 0)
			r = catalog_add(victim, &made);
		if (r == 0)
			r = catalog_set_state(victim, &made.spec.uuid, CATALOG_LIVE);
		catalog_close(victim);
		assert_true(r <= 0);
		has_failed = store_twin_n_failed(twin) > 0;
		store_twin_heal(twin);

		victim = NULL;
		assert_int_equal(catalog_open(store_twin_io(twin), dir.path, &victim), 0);
		char text[64] = "";
		assert_int_equal(catalog_each(victim, list, text), 0);
		if (r == 0)
			assert_string_equal(text, "a:1 ");
		catalog_close(victim);
		scratch_dir_release(&dir);
		if (!has_failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(a_fresh_catalog_has_its_table),
	        TEST(an_entry_comes_back_as_it_was),
	        TEST(a_collection_is_made_and_dropped_in_two_steps_each),
	        TEST(a_state_never_goes_back),
	        TEST(a_name_is_taken_until_it_is_dropped),
	        TEST(one_that_was_never_finished_gives_its_name_up),
	        TEST(a_uuid_twice_is_a_fault_and_not_a_taken_name),
	        TEST(renaming_keeps_names_unique),
	        TEST(bulk_is_set_until_it_is_dropped),
	        TEST(an_older_catalog_is_brought_up_to_date),
	        TEST(a_caller_can_stop_the_walk),
	        TEST(newer_and_foreign_files_are_refused),
	        TEST(a_failed_operation_leaves_a_catalog_that_opens),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
