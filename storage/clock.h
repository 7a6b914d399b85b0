/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The seam between Kith and time. What depends on time takes a clock, so that a test can turn it.
 * Threads: any.
 */

#include <stdint.h>

struct clock {
	/* Nanoseconds that never go back, for durations. */
	uint64_t (*monotonic_ns)(struct clock *clock);
	/* Milliseconds since 1970-01-01 UTC, for what people read and what expires. */
	int64_t (*wall_ms)(struct clock *clock);
};

/* The system's clocks. One for the process, needs no release. */
struct clock *clock_system(void);

static inline uint64_t clock_monotonic_ns(struct clock *clock)
{
	return clock->monotonic_ns(clock);
}

static inline int64_t clock_wall_ms(struct clock *clock)
{
	return clock->wall_ms(clock);
}
