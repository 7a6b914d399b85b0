/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/log.h"
#include "daemon/spill.h"
#include "index/budget.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

struct fixture {
	struct scratch_dir scratch;
	struct store_twin *twin;
	struct spill_file *file;
	struct spill *spill;
};

static struct fixture fixture;

static int setup(void **state)
{
	(void)state;
	log_open(CONFIG_LOG_ERROR);
	scratch_dir_init(&fixture.scratch);
	fixture.twin = store_twin_new(store_io_posix());
	assert_int_equal(
	        spill_file_new(store_twin_io(fixture.twin), fixture.scratch.path, &fixture.file),
	        0);
	fixture.spill = spill_file_spill(fixture.file);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	spill_file_free(fixture.file);
	store_twin_free(fixture.twin);
	scratch_dir_release(&fixture.scratch);
	return 0;
}

static void slabs_are_apart_and_serve_again(void **state)
{
	void *first = fixture.spill->map(fixture.spill);
	void *second = fixture.spill->map(fixture.spill);

	(void)state;
	assert_non_null(first);
	assert_non_null(second);
	memset(first, 1, SLAB_BYTES);
	memset(second, 2, SLAB_BYTES);
	assert_int_equal(((uint8_t *)first)[SLAB_BYTES - 1], 1);
	assert_int_equal(((uint8_t *)second)[0], 2);
	fixture.spill->unmap(fixture.spill, first);
	first = fixture.spill->map(fixture.spill);
	assert_non_null(first);
	assert_int_equal(((uint8_t *)second)[SLAB_BYTES - 1], 2);
	/* The place of the first was there already. */
	assert_int_equal(store_twin_count(fixture.twin, STORE_TWIN_ALLOCATE, NULL), 2);
	fixture.spill->unmap(fixture.spill, first);
	fixture.spill->unmap(fixture.spill, second);
}

static void nothing_is_mapped_that_the_disk_has_no_room_for(void **state)
{
	void *slab;

	(void)state;
	store_twin_fail(
	        fixture.twin,
	        (struct store_twin_fault){.kind = STORE_TWIN_ALLOCATE, .nth = 1, .err = ENOSPC});
	assert_null(fixture.spill->map(fixture.spill));
	assert_int_equal(store_twin_count(fixture.twin, STORE_TWIN_MAP, NULL), 0);
	store_twin_heal(fixture.twin);
	slab = fixture.spill->map(fixture.spill);
	assert_non_null(slab);
	fixture.spill->unmap(fixture.spill, slab);
}

static void any_operation_may_fail(void **state)
{
	(void)state;
	for (uint64_t nth = 1;; nth++) {
		void *slab;

		store_twin_fail(fixture.twin, (struct store_twin_fault){.nth = nth, .err = EIO});
		slab = fixture.spill->map(fixture.spill);
		if (slab)
			fixture.spill->unmap(fixture.spill, slab);
		if (store_twin_n_failed(fixture.twin) == 0)
			break;
		store_twin_heal(fixture.twin);
		slab = fixture.spill->map(fixture.spill);
		assert_non_null(slab);
		fixture.spill->unmap(fixture.spill, slab);
		spill_file_free(fixture.file);
		assert_int_equal(spill_file_new(store_twin_io(fixture.twin), fixture.scratch.path,
		                                &fixture.file),
		                 0);
		fixture.spill = spill_file_spill(fixture.file);
	}
	store_twin_heal(fixture.twin);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(slabs_are_apart_and_serve_again),
	        TEST(nothing_is_mapped_that_the_disk_has_no_room_for),
	        TEST(any_operation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
