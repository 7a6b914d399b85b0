/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/clock.h"

#include <time.h>

static uint64_t system_monotonic_ns(struct clock *clock)
{
	struct timespec now;

	(void)clock;
	/* Cannot fail: the clock exists and the address is good. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int64_t system_wall_ms(struct clock *clock)
{
	struct timespec now;

	(void)clock;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct clock *clock_system(void)
{
	static struct clock clock = {
	        .monotonic_ns = system_monotonic_ns,
	        .wall_ms = system_wall_ms,
	};

	return &clock;
}
