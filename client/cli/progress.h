/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A line on stderr that tells how far long work is: bar, rate, time to go. Nothing when stderr is
 * not a terminal. */

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *unit; /* "rows" */
	uint64_t total;   /* 0: not known */
	int64_t started_ms, drawn_ms;
	bool shown;
};

void progress_begin(struct progress *progress, const char *unit, uint64_t total);
/* Draws, but not more often than eyes can follow. */
void progress_update(struct progress *progress, uint64_t done);
/* Takes the line away. */
void progress_end(struct progress *progress);
/* Seconds since the beginning, at least a millisecond. */
double progress_seconds(const struct progress *progress);
