/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bytes in flight: requests that were read and not answered, and answers that were not read. Each
 * of the two has a limit for all connections together (inflight_mb), so that nothing a client
 * sends makes the daemon allocate without bound.
 *
 * Requests: who wants to keep a frame asks first and may have to wait its turn. Large frames may
 * fill half of the limit only, so that bulk work never makes a small request wait for memory.
 * Answers are counted as they come; the reads of a client that is behind with reading do not begin
 * (reading.h). They are no part of what requests wait for: who does not read its answers stops
 * nobody else.
 *
 * Threads: all [loop].
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/list.h"

/* A frame of more bytes than this is large. */
#define INFLIGHT_SMALL_BYTES (64u << 10)

struct inflight {
	uint64_t limit_bytes;
	uint64_t request_bytes;
	uint64_t answer_bytes;
	struct list waiting[2]; /* struct inflight_wait: small ones, large ones; first come first */
	bool granting;
};

struct inflight_wait {
	struct list link;
	uint64_t bytes;
	/* The bytes are taken: go on. */
	void (*granted)(struct inflight_wait *wait);
};

void inflight_init(struct inflight *inflight, uint64_t limit_bytes);
/* True: taken at once. False: wait is queued and granted() will be called, unless
 * inflight_forget() comes first. When nothing else is in flight any frame is granted. */
bool inflight_ask(struct inflight *inflight, struct inflight_wait *wait, uint64_t bytes);
/* Fine when it does not wait (its link must have been initialised). */
void inflight_forget(struct inflight_wait *wait);
/* Whether somebody waits for bytes. */
bool inflight_is_waited_for(const struct inflight *inflight);
/* Gives back what was asked for. */
void inflight_give(struct inflight *inflight, uint64_t bytes);

/* An answer waits for its client to read it; it was read, or never will be. */
void inflight_add_answer(struct inflight *inflight, uint64_t bytes);
void inflight_give_answer(struct inflight *inflight, uint64_t bytes);
/* Whether the answers that wait are as many bytes as may be. */
bool inflight_answers_full(const struct inflight *inflight);
