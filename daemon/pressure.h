/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory pressure: whether the machine, or the control group that the daemon is in, is short of
 * memory. The kernel or the service manager says so through a descriptor, and the loop polls it:
 * the protocol is that of MEMORY_PRESSURE_WATCH (systemd's MEMORY_PRESSURE document, and the
 * kernel's PSI triggers).
 *
 *      calm ── a word comes ──► pressed ── none for PRESSURE_HOLD_MS ──► calm
 *
 * While pressed (daemon.c): at each word what nobody used lately leaves the cache; loads get no
 * more memory than what is left then, and are mapped, so that what went does not come back at once;
 * SQLite's caches and what the heaps hold go back too, and builds, inserts and measuring pause, up
 * to PRESSURE_PAUSE_MAX_MS. Then they go on though it lasts: what they hold is given back by their
 * end, not by waiting.
 *
 * Threads: all [loop] but pressure_pauses() [any].
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "storage/clock.h"

/* Twice the time that a trigger of ours looks at, and as long as what is used counts as used
 * lately: the next word can find what was used before. */
#define PRESSURE_HOLD_MS 10000
#define PRESSURE_PAUSE_MAX_MS 60000
/* What a kernel is asked to tell: tasks waited for memory for 200 ms of 2 s, systemd's default. An
 * unprivileged process may only ask for multiples of 2 s. */
#define PRESSURE_TRIGGER "some 200000 2000000"

/* Where to listen. */
struct pressure_source {
	/* MEMORY_PRESSURE_WATCH; NULL: the control group's or the system's. */
	const char *watch;
	/* MEMORY_PRESSURE_WRITE, in base64; NULL: nothing, or PRESSURE_TRIGGER. */
	const char *write;
};

struct pressure {
	uv_loop_t *loop;
	struct clock *clock;
	/* A word came. */
	void (*pressed)(struct pressure *pressure);
	uv_poll_t poll;
	int fd; /* < 0: nobody says */
	int events;
	const char *from; /* for people: "manager", "cgroup", "system", "" */
	bool on;
	uint64_t since_ns, last_ns;
	/* Orders nothing: who sees it late works a turn more. */
	atomic_bool pauses;
	/* Figures. */
	uint64_t n_times; /* that it came to be pressed */
	uint64_t n_words;
	uint64_t freed_bytes;
};

/* source: NULL: nobody says, and nothing is logged of it. Else a source that cannot be had is said
 * once in the log, and then nobody says either. */
void pressure_open(struct pressure *pressure, uv_loop_t *loop, struct clock *clock,
                   const struct pressure_source *source,
                   void (*pressed)(struct pressure *pressure));
/* Fine to call twice, and on one that is all zero. */
void pressure_close(struct pressure *pressure);
/* From the tick: true when it has just ended. */
bool pressure_look(struct pressure *pressure);
/* Whether long work waits. [any] */
static inline bool pressure_pauses(const struct pressure *pressure)
{
	return atomic_load_explicit(&pressure->pauses, memory_order_relaxed);
}
