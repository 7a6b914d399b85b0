/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "storage/clock.h"
#include "tests/lib/fake_clock.h"

static void system_clock_never_goes_back(void **state)
{
	struct clock *clock = clock_system();
	uint64_t last = clock_monotonic_ns(clock);

	(void)state;
	assert_true(last > 0);
	for (int i = 0; i < 10000; i++) {
		uint64_t now = clock_monotonic_ns(clock);

		assert_true(now >= last);
		last = now;
	}
}

static void system_clock_tells_the_time_of_day(void **state)
{
	int64_t before = (int64_t)time(NULL) * 1000;
	int64_t now = clock_wall_ms(clock_system());
	int64_t after = ((int64_t)time(NULL) + 1) * 1000;

	(void)state;
	/* time() may lag by a tick of the coarse clock. */
	assert_true(now >= before && now <= after + 100);
}

static void fake_clock_stands_still_until_turned(void **state)
{
	struct fake_clock fake;

	(void)state;
	fake_clock_init(&fake, 1700000000000);
	uint64_t start = clock_monotonic_ns(&fake.clock);
	assert_true(start > 0);
	assert_int_equal(clock_wall_ms(&fake.clock), 1700000000000);
	fake_clock_advance_ms(&fake, 250);
	fake_clock_advance_ns(&fake, 7);
	assert_int_equal(clock_monotonic_ns(&fake.clock), start + 250000007);
	assert_int_equal(clock_wall_ms(&fake.clock), 1700000000250);
}

static void setting_the_fake_time_of_day_leaves_durations_alone(void **state)
{
	struct fake_clock fake;

	(void)state;
	fake_clock_init(&fake, 5000);
	fake_clock_advance_ms(&fake, 1);
	uint64_t before = clock_monotonic_ns(&fake.clock);
	fake_clock_set_wall_ms(&fake, 10);
	assert_int_equal(clock_monotonic_ns(&fake.clock), before);
	assert_int_equal(clock_wall_ms(&fake.clock), 10);
	fake_clock_advance_ms(&fake, 5);
	assert_int_equal(clock_wall_ms(&fake.clock), 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(system_clock_never_goes_back),
	        cmocka_unit_test(system_clock_tells_the_time_of_day),
	        cmocka_unit_test(fake_clock_stands_still_until_turned),
	        cmocka_unit_test(setting_the_fake_time_of_day_leaves_durations_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
