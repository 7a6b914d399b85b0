/* SPDX-License-Identifier: Apache-2.0 */

/* The model of a disk that crash tests stand on: it must not be kinder than a disk is. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/crash_disk.h"
#include "tests/lib/scratch_dir.h"

#define NEW_FILE (STORE_READ | STORE_WRITE | STORE_CREATE)

struct bench {
	struct scratch_dir root, out;
	struct store_twin *twin;
	struct store_io *io;
};

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	scratch_dir_init(&bench->root);
	bench->twin = store_twin_new(store_io_posix());
	store_twin_keep_bytes(bench->twin, true);
	bench->io = store_twin_io(bench->twin);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	scratch_dir_release(&bench->root);
	store_twin_free(bench->twin);
	free(bench);
	return 0;
}

static void write_file(struct bench *bench, const char *name, const char *text, bool synced)
{
	char path[SCRATCH_PATH_SIZE];
	struct store_file *file;

	assert_int_equal(
	        store_open(bench->io, scratch_dir_path(&bench->root, name, path), NEW_FILE, &file),
	        0);
	assert_int_equal(store_write(file, text, strlen(text), 0), 0);
	if (synced)
		assert_int_equal(store_sync(file), 0);
	assert_int_equal(store_close(file), 0);
}

static void rename_file(struct bench *bench, const char *from, const char *to)
{
	char path[SCRATCH_PATH_SIZE], other[SCRATCH_PATH_SIZE];

	assert_int_equal(store_rename(bench->io, scratch_dir_path(&bench->root, from, path),
	                              scratch_dir_path(&bench->root, to, other)),
	                 0);
}

/* What is in the file after the crash; "-" when it is not there. The caller frees it. */
static char *left(struct bench *bench, struct crash crash, const char *name)
{
	char path[SCRATCH_PATH_SIZE];
	unsigned char *bytes;
	size_t n = 1;

	scratch_dir_init(&bench->out);
	crash_disk_save(bench->twin, store_twin_n_ops(bench->twin), bench->root.path,
	                bench->out.path, crash);
	scratch_dir_path(&bench->out, name, path);
	bytes = access(path, F_OK) == 0 ? scratch_file_load(path, &n)
	                                : (unsigned char *)strdup("-");
	assert_non_null(bytes);
	bytes = realloc(bytes, n + 1);
	assert_non_null(bytes);
	bytes[n] = '\0';
	scratch_dir_release(&bench->out);
	return (char *)bytes;
}

static void expect_left(struct bench *bench, enum crash_kind kind, const char *name,
                        const char *text)
{
	char *found = left(bench, (struct crash){kind, 1}, name);

	assert_string_equal(found, text);
	free(found);
}

static void a_name_is_there_once_its_directory_was_synced(void **state)
{
	struct bench *bench = *state;

	write_file(bench, "a", "one", true);
	expect_left(bench, CRASH_KILLED, "a", "one");
	expect_left(bench, CRASH_LOST, "a", "-");
	assert_int_equal(store_sync_dir(bench->io, bench->root.path), 0);
	expect_left(bench, CRASH_LOST, "a", "one");
}

static void content_is_there_once_the_file_was_synced(void **state)
{
	struct bench *bench = *state;

	write_file(bench, "a", "one", true);
	assert_int_equal(store_sync_dir(bench->io, bench->root.path), 0);
	write_file(bench, "a", "two", false);
	expect_left(bench, CRASH_KILLED, "a", "two");
	expect_left(bench, CRASH_LOST, "a", "one");
}

static void a_rename_without_a_sync_may_leave_an_empty_file_or_the_old_one(void **state)
{
	struct bench *bench = *state;

	write_file(bench, "a", "old", true);
	write_file(bench, "a.tmp", "new", false);
	assert_int_equal(store_sync_dir(bench->io, bench->root.path), 0);
	rename_file(bench, "a.tmp", "a");
	expect_left(bench, CRASH_LOST, "a", "old");
	expect_left(bench, CRASH_LOST, "a.tmp", "");
	assert_int_equal(store_sync_dir(bench->io, bench->root.path), 0);
	expect_left(bench, CRASH_LOST, "a", "");
	expect_left(bench, CRASH_LOST, "a.tmp", "-");
}

static void draws_reach_both_outcomes_of_everything_that_was_not_synced(void **state)
{
	struct bench *bench = *state;
	bool seen_old = false, seen_new = false, seen_empty = false;

	write_file(bench, "a", "old", true);
	assert_int_equal(store_sync_dir(bench->io, bench->root.path), 0);
	write_file(bench, "a.tmp", "new", false);
	rename_file(bench, "a.tmp", "a");
	for (uint64_t seed = 0; seed < 64; seed++) {
		char *found = left(bench, (struct crash){CRASH_DRAWN, seed}, "a");

		seen_old |= strcmp(found, "old") == 0;
		seen_new |= strcmp(found, "new") == 0;
		seen_empty |= strcmp(found, "") == 0;
		free(found);
	}
	assert_true(seen_old && seen_new && seen_empty);
}

static void what_was_removed_comes_back_unless_its_directory_was_synced(void **state)
{
	struct bench *bench = *state;
	char dir[SCRATCH_PATH_SIZE], path[SCRATCH_PATH_SIZE];

	scratch_dir_path(&bench->root, "d", dir);
	assert_int_equal(store_make_dirs(bench->io, dir), 0);
	write_file(bench, "d/a", "one", true);
	assert_int_equal(store_sync_dir(bench->io, dir), 0);
	assert_int_equal(store_unlink(bench->io, scratch_dir_path(&bench->root, "d/a", path)), 0);
	expect_left(bench, CRASH_KILLED, "d/a", "-");
	expect_left(bench, CRASH_LOST, "d/a", "one");
	assert_int_equal(store_remove_tree(bench->io, dir), 0);
	expect_left(bench, CRASH_LOST, "d/a", "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(a_name_is_there_once_its_directory_was_synced,
	                                        setup, teardown),
	        cmocka_unit_test_setup_teardown(content_is_there_once_the_file_was_synced, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(
	                a_rename_without_a_sync_may_leave_an_empty_file_or_the_old_one, setup,
	                teardown),
	        cmocka_unit_test_setup_teardown(
	                draws_reach_both_outcomes_of_everything_that_was_not_synced, setup,
	                teardown),
	        cmocka_unit_test_setup_teardown(
	                what_was_removed_comes_back_unless_its_directory_was_synced, setup,
	                teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
