/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A line on stderr that tells how far long work is: bar, rate, time to go. Nothing when stderr is
 * not a terminal. */

#include <stdbool.h>
#include <stdint.h>

#include "client/kith.h"

struct progress {
	const char *unit; /* "rows" */
	char phase[32];   /* "": the work has but one */
	uint64_t total;   /* 0: not known */
	uint64_t first;   /* what was done when the phase began, here */
	double eta_s;     /* said by who does the work; 0: the rate tells */
	int64_t started_ms, phase_ms, drawn_ms;
	bool shown;
};

void progress_begin(struct progress *progress, const char *unit, uint64_t total);
/* The work is in that phase, of which so much is done; a phase has a rate and a total of its
 * own. */
void progress_phase(struct progress *progress, struct kith_str phase, uint64_t done, uint64_t total,
                    double eta_s);
/* Draws, but not more often than eyes can follow. */
void progress_update(struct progress *progress, uint64_t done);
/* Takes the line away. */
void progress_end(struct progress *progress);
/* Seconds since the beginning, at least a millisecond. */
double progress_seconds(const struct progress *progress);
