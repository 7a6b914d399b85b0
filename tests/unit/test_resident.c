/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/resident.h"
#include "index/vector.h"
#include "tests/lib/scratch_dir.h"

static void a_mean_of_few_rows_is_outgrown_by_many_codes(void **state)
{
	struct resident resident = {.n_rows = 799, .n_mean_rows = 100};

	(void)state;
	assert_false(resident_is_outgrown(&resident));
	resident.n_rows = 800;
	assert_true(resident_is_outgrown(&resident));
	/* Begun anew, and there are no codes yet. */
	resident = (struct resident){0};
	assert_false(resident_is_outgrown(&resident));
}

/* However many more rows there are than codes: else they would be made again without end. */
static void what_was_begun_anew_is_not_outgrown(void **state)
{
	struct resident resident;

	(void)state;
	for (uint64_t n = 1; n <= 1u << 20; n *= 2) {
		resident = (struct resident){.n_rows = n, .n_mean_rows = n};
		assert_false(resident_is_outgrown(&resident));
	}
}

static void a_mean_of_a_whole_sample_is_never_outgrown(void **state)
{
	struct resident resident = {.n_rows = 1u << 22, .n_mean_rows = CODES_MEAN_ROWS};

	(void)state;
	assert_false(resident_is_outgrown(&resident));
}

/* A file of n rows of one dimension: 0, 1, 2, ... */
static struct vector_file *make_file(const char *path, uint64_t n)
{
	struct vector_file_spec spec = {
	        .stride_bytes = vector_stride_bytes(1, DTYPE_F32), .dim = 1, .metric = METRIC_L2};
	struct vector_file *file;
	const char *why;

	assert_int_equal(vector_file_open(store_io_posix(), path, &spec, &file, &why), 0);
	for (uint64_t i = 0; i < n; i++) {
		float row[16] __attribute__((aligned(64))) = {(float)i};
		uint64_t slot = i + 1;

		assert_int_equal(vector_file_append(file, 1, &slot, row), 0);
	}
	return file;
}

/* Rows for which there is no room now may have it later. */
static void the_mean_is_that_of_all_rows_whether_they_have_room_or_not(void **state)
{
	struct scratch_dir scratch;
	char path[SCRATCH_PATH_SIZE];
	struct resident resident;
	struct budget *budget;
	uint64_t extent;

	(void)state;
	scratch_dir_init(&scratch);
	struct vector_file *file = make_file(scratch_dir_path(&scratch, "vectors", path), 101);
	assert_int_equal(budget_new(4 * SLAB_BYTES, NULL, &budget), 0);
	resident_init(&resident, METRIC_L2, 1, DTYPE_F32, budget);
	assert_int_equal(resident_reserve(&resident, 10), 10);
	assert_int_equal(resident_encode(&resident, file, 0, 10, 101, &extent), 0);
	assert_true(resident.codes.mean[0] == 50.0f);
	assert_int_equal(resident.n_mean_rows, 101);
	resident_release(&resident);
	budget_free(budget);
	vector_file_free(file);
	scratch_dir_release(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_mean_of_few_rows_is_outgrown_by_many_codes),
	        cmocka_unit_test(what_was_begun_anew_is_not_outgrown),
	        cmocka_unit_test(a_mean_of_a_whole_sample_is_never_outgrown),
	        cmocka_unit_test(the_mean_is_that_of_all_rows_whether_they_have_room_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
