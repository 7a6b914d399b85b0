/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "index/chunk_dir.h"

static char bytes[2 * CHUNK_DIR_LEAF + 1]; /* addresses to keep */

static void what_was_set_is_found(void **state)
{
	struct chunk_dir dir = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(chunk_dir_set(&dir, i, &bytes[i]), 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_ptr_equal(chunk_dir_get(&dir, i), &bytes[i]);
	chunk_dir_release(&dir);
}

static void growing_moves_nothing(void **state)
{
	struct chunk_dir dir = {0};

	(void)state;
	assert_int_equal(chunk_dir_set(&dir, 0, &bytes[0]), 0);
	void **leaf = dir.top[0];
	assert_int_equal(chunk_dir_reserve(&dir, CHUNK_DIR_MAX), 0);
	assert_ptr_equal(dir.top[0], leaf);
	assert_ptr_equal(chunk_dir_get(&dir, 0), &bytes[0]);
	chunk_dir_release(&dir);
}

static void reserve_makes_the_leaves_of_the_first_n(void **state)
{
	struct chunk_dir dir = {0};

	(void)state;
	assert_int_equal(chunk_dir_reserve(&dir, 0), 0);
	assert_null(dir.top[0]);
	assert_int_equal(chunk_dir_reserve(&dir, CHUNK_DIR_LEAF), 0);
	assert_non_null(dir.top[0]);
	assert_null(dir.top[1]);
	assert_int_equal(chunk_dir_reserve(&dir, CHUNK_DIR_LEAF + 1), 0);
	assert_non_null(dir.top[1]);
	assert_null(dir.top[2]);
	chunk_dir_release(&dir);
}

static void the_last_entry_fits_and_one_more_does_not(void **state)
{
	struct chunk_dir dir = {0};

	(void)state;
	assert_int_equal(chunk_dir_set(&dir, CHUNK_DIR_MAX - 1, &bytes[1]), 0);
	assert_ptr_equal(chunk_dir_get(&dir, CHUNK_DIR_MAX - 1), &bytes[1]);
	assert_int_equal(chunk_dir_set(&dir, CHUNK_DIR_MAX, &bytes[1]), -ENOSPC);
	assert_int_equal(chunk_dir_reserve(&dir, CHUNK_DIR_MAX + 1), -ENOSPC);
	assert_null(dir.top[0]);
	chunk_dir_release(&dir);
}

static void release_leaves_an_empty_directory(void **state)
{
	struct chunk_dir dir = {0};

	(void)state;
	chunk_dir_release(&dir);
	assert_int_equal(chunk_dir_set(&dir, 7, &bytes[7]), 0);
	chunk_dir_release(&dir);
	chunk_dir_release(&dir);
	assert_int_equal(chunk_dir_set(&dir, 0, &bytes[0]), 0);
	assert_null(chunk_dir_get(&dir, 7));
	chunk_dir_release(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_set_is_found),
	        cmocka_unit_test(growing_moves_nothing),
	        cmocka_unit_test(reserve_makes_the_leaves_of_the_first_n),
	        cmocka_unit_test(the_last_entry_fits_and_one_more_does_not),
	        cmocka_unit_test(release_leaves_an_empty_directory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
