/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/upkeep.h"

/* What of n rows the reaper leaves in its turn. */
static uint64_t reap(uint64_t n, uint64_t n_new)
{
	uint32_t n_rows = upkeep_reap_rows(n, n_new);

	return n > n_rows ? n - n_rows : 0;
}

/* A turn between any two groups, when there is a backlog. */
static void no_more_rows_wait_for_the_reaper_than_two_groups_retire(void **state)
{
	static const uint64_t groups[] = {1, 511, 4096, 16384, 16385, 50000, 1000000};

	(void)state;
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		uint64_t bound = 2 * groups[i] + UPKEEP_REAP_BACKLOG;
		uint64_t n = 0, n_new = 0;

		for (int round = 0; round < 1000; round++) {
			n += groups[i];
			n_new += groups[i];
			assert_true(n <= bound);
			if (n < UPKEEP_REAP_BACKLOG)
				continue;
			n = reap(n, n_new);
			n_new = 0;
		}
	}
}

/* A reading kept all of them for long, and has ended. */
static void what_piled_up_gets_no_more_and_goes_when_groups_are_small(void **state)
{
	static const uint64_t large[] = {16384, 100000};
	const uint64_t piled = 5000000;
	uint64_t n = piled;

	(void)state;
	for (size_t i = 0; i < sizeof(large) / sizeof(*large); i++) {
		for (int round = 0; round < 100; round++)
			n = reap(n + large[i], large[i]);
		assert_true(n <= piled);
	}
	for (int round = 0; round < 1000 && n >= UPKEEP_REAP_BACKLOG; round++)
		n = reap(n + 1000, 1000);
	assert_true(n < UPKEEP_REAP_BACKLOG);
}

/* Nor does a turn hold the writes for longer than it must. */
static void a_turn_of_the_reaper_is_no_longer_than_what_came(void **state)
{
	(void)state;
	assert_int_equal(upkeep_reap_rows(1, 1), UPKEEP_REAP_ROWS);
	assert_int_equal(upkeep_reap_rows(2 * UPKEEP_REAP_ROWS + 2, 0), UPKEEP_REAP_ROWS + 1);
	assert_int_equal(upkeep_reap_rows(2 * UPKEEP_REAP_ROWS_MAX, 0), UPKEEP_REAP_ROWS_MAX);
	assert_int_equal(upkeep_reap_rows(1000000, 0), UPKEEP_REAP_ROWS_MAX);
	assert_int_equal(upkeep_reap_rows(1000000, UPKEEP_REAP_ROWS_MAX + 1),
	                 UPKEEP_REAP_ROWS_MAX + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(no_more_rows_wait_for_the_reaper_than_two_groups_retire),
	        cmocka_unit_test(what_piled_up_gets_no_more_and_goes_when_groups_are_small),
	        cmocka_unit_test(a_turn_of_the_reaper_is_no_longer_than_what_came),
	};

	return cmocka_run_group_tests_name("upkeep", tests, NULL, NULL);
}
