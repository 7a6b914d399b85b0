/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Guests: the users besides the owner that allow_uids names, and what each has under way over all
 * its connections. A guest may have so many connections (LIMIT_GUEST_CONNECTIONS), unanswered
 * requests (LIMIT_GUEST_REQUESTS) and bytes of them (LIMIT_GUEST_BYTES), so that no number of its
 * connections takes what the others need. What is over a limit is refused; only a large frame, of
 * which nothing has come yet, waits until its guest has room for it.
 *
 * Threads: all [loop].
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/config.h"
#include "daemon/list.h"
#include "protocol/errors.h"

struct guest {
	uid_t uid;
	uint32_t n_sessions, n_requests;
	uint64_t request_bytes; /* of those, and of frames that come */
	struct list waiting;    /* struct guest_wait.link; first come first */
};

struct guest_wait {
	struct list link;
	uint64_t bytes;
	/* There is room: ask again. */
	void (*roomy)(struct guest_wait *wait);
};

struct guests {
	struct guest guests[CONFIG_UIDS_MAX];
	uint32_t n;
};

void guests_init(struct guests *guests, const struct config_uids *uids);
/* NULL: it is none. */
struct guest *guests_find(struct guests *guests, uid_t uid);

/* Takes bytes for a frame. False: it is a large one and must wait; roomy() will be called, unless
 * guest_forget() comes first. */
bool guest_ask(struct guest *guest, struct guest_wait *wait, uint64_t bytes);
/* Fine when it does not wait (its link must have been initialised). */
void guest_forget(struct guest_wait *wait);
/* Gives back what was asked for. */
void guest_give(struct guest *guest, uint64_t bytes);

/* Whether the request at hand, which is counted already, is one too many; error says why. */
bool guest_is_over(const struct guest *guest, struct wire_error *error);
