/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/resident.h"

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
	struct resident resident = {.n_rows = 1u << 22, .n_mean_rows = RESIDENT_MEAN_ROWS};

	(void)state;
	assert_false(resident_is_outgrown(&resident));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_mean_of_few_rows_is_outgrown_by_many_codes),
	        cmocka_unit_test(what_was_begun_anew_is_not_outgrown),
	        cmocka_unit_test(a_mean_of_a_whole_sample_is_never_outgrown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
