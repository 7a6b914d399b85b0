/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_clock.h"

#define NS_PER_S 1000000000u
#define NS_PER_MS 1000000u

static uint64_t fake_monotonic_ns(struct clock *clock)
{
	return atomic_load(&((struct fake_clock *)clock)->now_ns);
}

/* An offset, so that one step of now_ns moves both clocks at once. */
static int64_t fake_wall_ms(struct clock *clock)
{
	struct fake_clock *fake = (struct fake_clock *)clock;

	return atomic_load(&fake->wall_offset_ms) +
	       (int64_t)(atomic_load(&fake->now_ns) / NS_PER_MS);
}

void fake_clock_init(struct fake_clock *fake, int64_t wall_ms)
{
	fake->clock = (struct clock){.monotonic_ns = fake_monotonic_ns, .wall_ms = fake_wall_ms};
	atomic_init(&fake->now_ns, NS_PER_S);
	atomic_init(&fake->wall_offset_ms, 0);
	fake_clock_set_wall_ms(fake, wall_ms);
}

void fake_clock_advance_ns(struct fake_clock *fake, uint64_t ns)
{
	atomic_fetch_add(&fake->now_ns, ns);
}

void fake_clock_advance_ms(struct fake_clock *fake, uint64_t ms)
{
	fake_clock_advance_ns(fake, ms * NS_PER_MS);
}

void fake_clock_set_wall_ms(struct fake_clock *fake, int64_t wall_ms)
{
	atomic_store(&fake->wall_offset_ms,
	             wall_ms - (int64_t)(atomic_load(&fake->now_ns) / NS_PER_MS));
}
