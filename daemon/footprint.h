/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the process holds, as the kernel counts it, and what of the budget requests make grow and
 * shrink. Resident and swapped bytes are cheap to ask for; the proportional share (PSS) is not, for
 * the kernel goes over every mapped page: a background job looks now and then.
 *
 * A request's change of the budget is what it was at its end minus what it was at its begin: with
 * requests beside it, theirs are in it too. What goes by itself, such as unloading, is in none.
 *
 * Threads: [loop].
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/lanes.h"
#include "protocol/methods.h"

/* How often it is looked for the proportional share, while anything happens. */
#define FOOTPRINT_LOOK_NS UINT64_C(10000000000)

struct daemon;

/* Of all requests of a method. */
struct footprint_account {
	uint64_t requests;
	uint64_t grown_bytes, shrunk_bytes; /* summed up */
	uint64_t most_bytes;                /* that one made it grow */
};

struct footprint {
	struct job job;
	uint64_t seen_bytes; /* the job's */
	uint64_t pss_bytes;  /* at the last look that ended */
	uint64_t looked_ns;  /* 0: never */
	/* What had happened by then. */
	uint64_t seen_requests, seen_used_bytes, seen_dirty_bytes;
	bool looking;
	uint64_t logged_ns;
	struct footprint_account accounts[WIRE_N_METHODS];
};

/* From the tick: looks, and logs, when it is time. */
void footprint_tick(struct daemon *daemon, uint64_t now_ns);
/* A request of the method came when so much of the budget was used, and ends now. */
void footprint_note(struct daemon *daemon, enum wire_method_idx method, uint64_t used_before);
struct memory_row footprint_row(const struct daemon *daemon);
/* A row for each method that was called; returns how many. rows: NULL to count only. */
uint32_t footprint_operations(const struct daemon *daemon, struct operation_row *rows);
