/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "daemon/journal.h"
#include "daemon/log.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

struct bench {
	struct scratch_dir dir;
	struct fake_clock clock;
	struct store_twin *twin;
	struct journal *journal;
};

static void open_journal(struct bench *bench)
{
	assert_int_equal(journal_new(store_twin_io(bench->twin), &bench->clock.clock,
	                             bench->dir.path, &bench->journal),
	                 0);
}

static void reopen(struct bench *bench)
{
	bench->journal = journal_free(bench->journal);
	open_journal(bench);
}

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	scratch_dir_init(&bench->dir);
	fake_clock_init(&bench->clock, 1000);
	bench->twin = store_twin_new(store_io_posix());
	/* Nothing of it is to be seen in the test's output. */
	log_open(CONFIG_LOG_ERROR);
	open_journal(bench);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	journal_free(bench->journal);
	store_twin_free(bench->twin);
	scratch_dir_release(&bench->dir);
	free(bench);
	return 0;
}

static const struct journal_entry *nth(struct bench *bench, uint32_t n)
{
	const struct journal_entry *entry = NULL;

	for (uint32_t i = 0; i <= n; i++) {
		entry = journal_next(bench->journal, entry);
		assert_non_null(entry);
	}
	return entry;
}

static void what_is_logged_is_there_once_with_how_often(void **state)
{
	struct bench *bench = *state;

	log_warning("collection '%s': %s", "notes", "slow");
	fake_clock_advance_ms(&bench->clock, 5);
	log_warning("the disk is odd");
	fake_clock_advance_ms(&bench->clock, 5);
	log_warning("collection '%s': %s", "notes", "slow");
	log_info("all is well");
	assert_int_equal(journal_count(bench->journal), 2);
	assert_string_equal(nth(bench, 0)->text, "the disk is odd");
	assert_int_equal(journal_where(nth(bench, 0)), 0);
	assert_int_equal(nth(bench, 1)->count, 2);
	assert_int_equal(nth(bench, 1)->last_ms - nth(bench, 1)->first_ms, 10);
	assert_true(nth(bench, 1)->is_warning);
	assert_int_equal(journal_where(nth(bench, 1)), strlen("collection 'notes'"));
	assert_null(journal_next(bench->journal, nth(bench, 1)));
}

static void it_is_there_after_a_restart(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 5; i++)
		log_warning("one");
	log_warning("two");
	reopen(bench);
	assert_int_equal(journal_count(bench->journal), 2);
	assert_string_equal(nth(bench, 0)->text, "one");
	assert_int_equal(nth(bench, 0)->count, 5);
	log_warning("one");
	reopen(bench);
	assert_string_equal(nth(bench, 1)->text, "one");
	assert_int_equal(nth(bench, 1)->count, 6);
}

static void the_oldest_goes_when_it_is_full(void **state)
{
	struct bench *bench = *state;

	for (uint32_t i = 0; i <= JOURNAL_ENTRIES; i++)
		log_warning("number %u", i);
	assert_int_equal(journal_count(bench->journal), JOURNAL_ENTRIES);
	assert_string_equal(nth(bench, 0)->text, "number 1");
	reopen(bench);
	assert_int_equal(journal_count(bench->journal), JOURNAL_ENTRIES);
	assert_string_equal(nth(bench, 0)->text, "number 1");
}

static void the_files_have_a_bound(void **state)
{
	struct bench *bench = *state;
	char path[SCRATCH_PATH_SIZE], text[400];
	struct stat st;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (uint32_t round = 0; round < 12; round++) {
		for (uint32_t i = 0; i < JOURNAL_ENTRIES; i++)
			log_warning("%u.%u %s", round, i, text);
		reopen(bench);
	}
	assert_int_equal(stat(scratch_dir_path(&bench->dir, "errors.log", path), &st), 0);
	assert_true(st.st_size <= JOURNAL_FILE_BYTES);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(scratch_dir_path(&bench->dir, "errors.log.1", path), &st), 0);
	assert_true(st.st_size <= JOURNAL_FILE_BYTES);
	assert_int_equal(journal_count(bench->journal), JOURNAL_ENTRIES);
}

static void a_damaged_file_costs_its_damaged_lines_only(void **state)
{
	struct bench *bench = *state;
	static const char damaged[] =
	        "1 2 3 E one\n1 2 0 E none\nx\n\n1 2 3 Q bad\n1 2 3 E\n"
	        "1 2 7 W t\001w\377o\n99999999999999999999999 1 1 E \n1 2 3 E cut";
	char path[SCRATCH_PATH_SIZE];

	bench->journal = journal_free(bench->journal);
	scratch_file_save(scratch_dir_path(&bench->dir, "errors.log", path), damaged,
	                  sizeof(damaged));
	open_journal(bench);
	assert_int_equal(journal_count(bench->journal), 3);
	assert_string_equal(nth(bench, 0)->text, "one");
	assert_string_equal(nth(bench, 1)->text, "t?w?o");
	assert_int_equal(nth(bench, 1)->count, 7);
	assert_string_equal(nth(bench, 2)->text, "cut");
}

static void a_link_is_not_followed(void **state)
{
	struct bench *bench = *state;
	char path[SCRATCH_PATH_SIZE], other[SCRATCH_PATH_SIZE];

	scratch_file_save(scratch_dir_path(&bench->dir, "precious", other), "", 0);
	assert_int_equal(symlink(other, scratch_dir_path(&bench->dir, "errors.log", path)), 0);
	log_warning("one");
	bench->journal = journal_free(bench->journal);
	free(scratch_file_load(other, &(size_t){0}));
	assert_int_equal(unlink(path), 0);
	open_journal(bench);
	assert_int_equal(journal_count(bench->journal), 0);
}

/* The job -------------------------------------------------------------------------------------- */

static void nothing(void *ctx)
{
	(void)ctx;
}

/* Lets the journal look once, and the loop run until nothing is under way. */
static void look(struct bench *bench)
{
	const uint32_t threads[LANE_N] = {1, 1, 1};
	struct lanes *lanes;
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(lanes_new(&loop, threads, NULL, NULL, &lanes), 0);
	journal_look(bench->journal, lanes, nothing, NULL);
	while (journal_is_writing(bench->journal))
		uv_run(&loop, UV_RUN_ONCE);
	lanes_close(lanes, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static size_t n_writes(struct bench *bench)
{
	return store_twin_count(bench->twin, STORE_TWIN_WRITE, "errors.log");
}

static void a_flood_of_the_same_is_written_as_often_as_it_doubles(void **state)
{
	struct bench *bench = *state;

	for (int i = 0; i < 100; i++) {
		log_warning("again");
		look(bench);
	}
	assert_int_equal(n_writes(bench), 7); /* at 1, 2, 4, ... 64 */
}

static void what_could_not_be_written_is_tried_again_later(void **state)
{
	struct bench *bench = *state;

	store_twin_fail(bench->twin, (struct store_twin_fault){.kind = STORE_TWIN_WRITE,
	                                                       .nth = 1,
	                                                       .err = ENOSPC,
	                                                       .lasting = true});
	log_warning("one");
	look(bench);
	log_warning("two");
	look(bench);
	assert_int_equal(n_writes(bench), 1);
	store_twin_heal(bench->twin);
	fake_clock_advance_ms(&bench->clock, 60000);
	look(bench);
	assert_int_equal(n_writes(bench), 2);
	reopen(bench);
	assert_int_equal(journal_count(bench->journal), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(what_is_logged_is_there_once_with_how_often),
	        TEST(it_is_there_after_a_restart),
	        TEST(the_oldest_goes_when_it_is_full),
	        TEST(the_files_have_a_bound),
	        TEST(a_damaged_file_costs_its_damaged_lines_only),
	        TEST(a_link_is_not_followed),
	        TEST(a_flood_of_the_same_is_written_as_often_as_it_doubles),
	        TEST(what_could_not_be_written_is_tried_again_later),
#undef TEST
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
