/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/reserve.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

struct bench {
	struct scratch_dir dir;
	char path[SCRATCH_PATH_SIZE];
	struct store_twin *twin;
	struct reserve *reserve;
};

static int setup(void **state)
{
	static struct bench bench;

	scratch_dir_init(&bench.dir);
	scratch_dir_path(&bench.dir, "reserve", bench.path);
	bench.twin = store_twin_new(store_io_posix());
	assert_int_equal(reserve_new(store_twin_io(bench.twin), bench.dir.path, RESERVE_BYTES,
	                             &bench.reserve),
	                 0);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	reserve_free(bench->reserve);
	store_twin_free(bench->twin);
	scratch_dir_release(&bench->dir);
	return 0;
}

static uint64_t bytes_on_disk(const struct bench *bench)
{
	struct stat st;

	assert_int_equal(stat(bench->path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void fill(struct bench *bench, bool lasting)
{
	store_twin_fail(bench->twin, (struct store_twin_fault){.kind = STORE_TWIN_ALLOCATE,
	                                                       .nth = 1,
	                                                       .err = ENOSPC,
	                                                       .lasting = lasting});
}

static void it_holds_its_bytes_and_gives_them_up_on_a_full_disk(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(reserve_take(bench->reserve), 0);
	assert_false(reserve_is_given_up(bench->reserve));
	assert_true(bytes_on_disk(bench) >= RESERVE_BYTES);
	assert_true(reserve_helps(bench->reserve, -ENOSPC));
	assert_true(reserve_is_given_up(bench->reserve));
	assert_int_equal(bytes_on_disk(bench), 0);
	/* Somebody else may have given it up a moment ago. */
	assert_true(reserve_helps(bench->reserve, -EDQUOT));
}

static void what_failed_otherwise_is_not_helped(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(reserve_take(bench->reserve), 0);
	assert_false(reserve_helps(bench->reserve, 0));
	assert_false(reserve_helps(bench->reserve, -EIO));
	assert_false(reserve_helps(bench->reserve, -ENOMEM));
	assert_false(reserve_is_given_up(bench->reserve));
}

static void there_is_no_room_until_it_can_be_taken_again(void **state)
{
	struct bench *bench = *state;

	assert_false(reserve_lacks_room(bench->reserve));
	assert_true(reserve_helps(bench->reserve, -ENOSPC));
	fill(bench, true);
	assert_true(reserve_lacks_room(bench->reserve));
	assert_true(reserve_lacks_room(bench->reserve));
	assert_int_equal(bytes_on_disk(bench), 0);
	store_twin_heal(bench->twin);
	assert_false(reserve_lacks_room(bench->reserve));
	assert_false(reserve_is_given_up(bench->reserve));
}

/* Nobody gave it up; what adds met the full disk beside it. */
static void room_is_short_until_something_can_be_added(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(reserve_take(bench->reserve), 0);
	assert_false(reserve_is_short(bench->reserve));
	reserve_added(bench->reserve, -EIO);
	assert_false(reserve_is_short(bench->reserve));
	reserve_added(bench->reserve, -ENOSPC);
	reserve_added(bench->reserve, -EIO);
	assert_true(reserve_is_short(bench->reserve));
	assert_false(reserve_is_given_up(bench->reserve));
	reserve_added(bench->reserve, 0);
	assert_false(reserve_is_short(bench->reserve));
	/* It is, too, when it is given up; and not any more when it was taken again. */
	assert_true(reserve_helps(bench->reserve, -ENOSPC));
	reserve_added(bench->reserve, -ENOSPC);
	assert_true(reserve_is_short(bench->reserve));
	assert_int_equal(reserve_take(bench->reserve), 0);
	assert_false(reserve_is_short(bench->reserve));
}

static void what_adds_for_long_ends_when_it_is_given_up(void **state)
{
	struct bench *bench = *state;
	atomic_bool cancelled = false;

	assert_int_equal(reserve_take(bench->reserve), 0);
	assert_int_equal(reserve_why_stop(bench->reserve, &cancelled), 0);
	assert_true(reserve_helps(bench->reserve, -ENOSPC));
	assert_int_equal(reserve_why_stop(bench->reserve, &cancelled), -ENOSPC);
	cancelled = true;
	assert_int_equal(reserve_why_stop(bench->reserve, &cancelled), -ECANCELED);
}

static void a_disk_that_cannot_reserve_does_not_keep_anybody_from_adding(void **state)
{
	struct bench *bench = *state;

	store_twin_fail(bench->twin,
	                (struct store_twin_fault){
	                        .kind = STORE_TWIN_OPEN, .nth = 1, .err = EACCES, .lasting = true});
	assert_int_equal(reserve_take(bench->reserve), -EACCES);
	assert_false(reserve_lacks_room(bench->reserve));
	assert_false(reserve_is_given_up(bench->reserve));
	assert_false(reserve_helps(bench->reserve, -ENOSPC));
}

static void one_that_cannot_be_given_up_helps_nobody(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(reserve_take(bench->reserve), 0);
	store_twin_fail(bench->twin, (struct store_twin_fault){
	                                     .kind = STORE_TWIN_TRUNCATE, .nth = 1, .err = EIO});
	assert_false(reserve_helps(bench->reserve, -ENOSPC));
	assert_false(reserve_is_given_up(bench->reserve));
}

static void the_file_of_an_earlier_life_is_taken_over(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(reserve_take(bench->reserve), 0);
	reserve_free(bench->reserve);
	assert_int_equal(reserve_new(store_twin_io(bench->twin), bench->dir.path, RESERVE_BYTES,
	                             &bench->reserve),
	                 0);
	store_twin_fill(bench->twin, 1);
	assert_int_equal(reserve_take(bench->reserve), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(it_holds_its_bytes_and_gives_them_up_on_a_full_disk,
	                                        setup, teardown),
	        cmocka_unit_test_setup_teardown(what_failed_otherwise_is_not_helped, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(there_is_no_room_until_it_can_be_taken_again, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(room_is_short_until_something_can_be_added, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(what_adds_for_long_ends_when_it_is_given_up, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(
	                a_disk_that_cannot_reserve_does_not_keep_anybody_from_adding, setup,
	                teardown),
	        cmocka_unit_test_setup_teardown(one_that_cannot_be_given_up_helps_nobody, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(the_file_of_an_earlier_life_is_taken_over, setup,
	                                        teardown),
	};

	return cmocka_run_group_tests_name("reserve", tests, NULL, NULL);
}
