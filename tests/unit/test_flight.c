/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/flight.h"

#define NS_PER_S UINT64_C(1000000000)

static void what_is_left_takes_as_long_as_what_is_done_took(void **state)
{
	(void)state;
	assert_true(flight_eta_of(4 * NS_PER_S, 100, 300) == 8.0);
	assert_true(flight_eta_of(4 * NS_PER_S, 200, 300) == 2.0);
	assert_true(flight_eta_of(NS_PER_S / 2, 1, 2) == 0.5);
	/* A day for a hundredth of four thousand million. */
	assert_true(flight_eta_of(86400 * NS_PER_S, 40000000, 4000000000) == 99 * 86400.0);
}

static void nobody_knows_before_anything_is_done(void **state)
{
	(void)state;
	assert_true(flight_eta_of(0, 0, 300) == 0.0);
	assert_true(flight_eta_of(9 * NS_PER_S, 0, 300) == 0.0);
	/* A phase whose total is not known. */
	assert_true(flight_eta_of(9 * NS_PER_S, 5, 0) == 0.0);
	assert_true(flight_eta_of(9 * NS_PER_S, 0, 0) == 0.0);
}

static void nothing_is_left_when_all_is_done(void **state)
{
	(void)state;
	assert_true(flight_eta_of(9 * NS_PER_S, 300, 300) == 0.0);
	assert_true(flight_eta_of(9 * NS_PER_S, 301, 300) == 0.0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_left_takes_as_long_as_what_is_done_took),
	        cmocka_unit_test(nobody_knows_before_anything_is_done),
	        cmocka_unit_test(nothing_is_left_when_all_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
