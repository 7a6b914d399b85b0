/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The kinds of care that an open collection gets (upkeep.h): when there is reason for one, and what
 * it does. upkeep.c runs them.
 *
 *   wanted? ──► queued for the turn ──► hold ──► is ready? ──► prepare, work, ended
 *                                         │
 *                                         └── no reason any more: over
 *
 * One that takes no turn, or holds nothing, goes on at once. Care that holds makes others wait from
 * its turn on; its end, or let_go() when it is cancelled before it began, lets them go.
 *
 * work() returns 0, -errno or RECORD_STORE_BUSY, which are logged and tried again after a pause;
 * -EAGAIN, what it waits for did not end, is no failure, but has the same pauses.
 *
 * Threads: all [loop], but work() [worker].
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/upkeep.h"

/* What a care does to a full disk (storage/reserve.h). */
enum care_room {
	CARE_KEEPS_ROOM,
	CARE_TAKES_ROOM, /* waits while what is reserved for deletes is given up */
	CARE_GIVES_ROOM, /* may have that */
};

struct care_kind {
	const char *name;
	bool takes_turn; /* with the groups of writes */
	bool is_urgent;  /* writes wait for it, so it does not wait for builds */
	enum care_room room;
	bool (*wanted)(struct collection *collection, bool paused);
	/* Its turn has come. False: there is no reason any more. */
	bool (*hold)(struct collection *collection);
	/* What was under way when it came to hold has ended, or is not waited for any longer. */
	bool (*is_ready)(const struct collection *collection);
	void (*let_go)(struct collection *collection);
	void (*prepare)(struct collection *collection, struct care_state *care);
	int (*work)(struct collection *collection, struct care_state *care, uint32_t worker);
	void (*ended)(struct collection *collection, struct care_state *care);
};

/* Of the vector file, of memory, of the database. */
extern const struct care_kind reopen_care, restore_care, renew_care, sync_care;
extern const struct care_kind load_care, rest_care;
extern const struct care_kind reap_care, compact_care, checkpoint_care, restart_care;

#define NS_PER_MS UINT64_C(1000000)

/* By the daemon's clock. */
uint64_t care_now_ns(const struct collection *collection);
/* Begins it, or queues it for its turn: collection_kick() comes next when that is true. */
bool care_begin(struct care_state *care);
/* It did what it could; there is no use in trying again at once. */
void care_retry_soon(struct care_state *care);
/* It tried for long enough to begin: a pause, longer each time. */
void care_gave_up(struct care_state *care);
/* A restart found the database in use, and by whom is known: it is wanted again afterwards. */
bool care_met_copy(const struct care_state *care);
/* Reads that were held go on. */
void care_let_reads_go(struct collection *collection);
/* Answers the checkpoint requests: 0, RECORD_STORE_BUSY or -errno. */
void care_answer_checkpoints(struct collection *collection, int result);
