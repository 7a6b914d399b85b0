/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Bytes in flight: requests that were read and not answered, and answers that were not read. One
 * limit for all connections (inflight_mb), so that nothing a client sends makes the daemon
 * allocate without bound. Who wants to keep a frame asks first and may have to wait its turn;
 * answers are counted as they come. Large frames may fill half of the limit only, so that bulk
 * work never makes a small request wait for memory.
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
	uint64_t used_bytes;
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
/* Takes without asking. */
void inflight_add(struct inflight *inflight, uint64_t bytes);
void inflight_give(struct inflight *inflight, uint64_t bytes);
