/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A clock that stands still until a test turns it. Threads: any.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "storage/clock.h"

struct fake_clock {
	struct clock clock; /* give &fake.clock to what is tested */
	_Atomic uint64_t now_ns;
	_Atomic int64_t wall_offset_ms; /* time of day minus now_ns */
};

/* Starts at 1 s monotonic and the given time of day. */
void fake_clock_init(struct fake_clock *fake, int64_t wall_ms);
/* Moves both clocks forward. */
void fake_clock_advance_ns(struct fake_clock *fake, uint64_t ns);
void fake_clock_advance_ms(struct fake_clock *fake, uint64_t ms);
/* Somebody sets the time of day; durations are not touched. */
void fake_clock_set_wall_ms(struct fake_clock *fake, int64_t wall_ms);
