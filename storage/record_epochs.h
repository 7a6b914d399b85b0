/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The epochs of a truth: which histories it has been through. Seqs and slots only grow, but a
 * database that came back from an older copy gives the same numbers out again, to other records.
 * So each writer that changes something begins an epoch, a random id, and the truth keeps the
 * latest of them with the seq and the slot at which they began. Each was written by one process,
 * so (epoch, seq) names one state of all records and (epoch, slot) one version of one, whichever
 * copy of the database is looked at.
 *
 * A derived file says under which epoch it was written. It is of this history when the truth knows
 * that epoch and the file is not ahead of where the truth left it. (FORMAT.md, "Epochs".)
 *
 * Threads: values; who has one guards it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "storage/uuid.h"

/* Older ones are forgotten, and a derived file that nobody brought up to date for so many epochs
 * is begun anew. Each is a start of the daemon that wrote something. */
#define RECORD_EPOCHS_MAX 256u

/* An epoch and what the truth had when it began; or any later point of it. */
struct record_epoch {
	struct uuid id;
	uint64_t seq;       /* of the last commit */
	uint64_t next_slot; /* lower ones were given out */
};

struct record_epochs {
	uint32_t n; /* at least 1 once they were read */
	struct record_epoch
	        v[RECORD_EPOCHS_MAX]; /* oldest first, with the points where they began */
};

static inline const struct uuid *record_epochs_last(const struct record_epochs *epochs)
{
	return &epochs->v[epochs->n - 1].id;
}

/* Appends it, over the oldest when there is no room, unless it is the last already. */
void record_epochs_add(struct record_epochs *epochs, const struct record_epoch *epoch);
/* Where the truth left the epoch: where the next one began, or `now` when it is the last. False
 * when the epoch is none of them. */
bool record_epochs_end(const struct record_epochs *epochs, const struct uuid *id,
                       const struct record_epoch *now, struct record_epoch *ret);
/* Whether the epoch will be forgotten before long: what was written under it should be anew. */
bool record_epochs_is_old(const struct record_epochs *epochs, const struct uuid *id);
