/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When something that failed is tried again: not before a pause, which doubles with each failure
 * in a row up to a bound, and begins anew after a success. A zeroed one may be tried at once.
 *
 * Looks at no clock: who has one says what time it is. Threads: its owner's.
 */

#include <stdbool.h>
#include <stdint.h>

struct retry {
	uint64_t due_ns;   /* not before */
	uint64_t pause_ms; /* the last one after a failure; 0: none since the last success */
};

/* One more failure: the pause is first_ms, or twice the last one, and max_ms at most. */
void retry_failed(struct retry *retry, uint64_t now_ns, uint64_t first_ms, uint64_t max_ms);
/* No failure, but it is not wanted again at once; what comes after the next one stays. */
void retry_put_off(struct retry *retry, uint64_t now_ns, uint64_t pause_ms);
/* It succeeded. */
void retry_succeeded(struct retry *retry);
/* Somebody asks: now, however often it failed. */
void retry_at_once(struct retry *retry);
bool retry_is_due(const struct retry *retry, uint64_t now_ns);
