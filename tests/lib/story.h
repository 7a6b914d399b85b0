/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of a daemon that does everything which touches a disk once: first start, create, upserts
 * one by one and in groups, update, delete, replace, build, save, bulk writing, insert, another
 * graph in the place of the first, reap, checkpoint, rename, drop, the drop of an index, a clean
 * stop and a second start. It is told over a store_twin, with a ledger of what was promised.
 *
 *	story_init(&story, twin);
 *	story_tell(&story);
 *	... every crash that the twin's record allows ...
 *	story_release(&story);
 *
 * On a disk that is full (store_twin_fill) what deletes and drops must be done all the same.
 *
 * With faults the story goes on: a request that is refused is looked up, and must have happened
 * wholly or not at all.
 *
 * Threads: the test's own.
 */

#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/ledger.h"
#include "tests/lib/store_twin.h"

struct story {
	struct store_twin *twin;
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	struct ledger ledger;
	bool faulty; /* faults are armed: a refusal is no failure */
	uint32_t n_refused;
	/* Of story_tell_upkeep(): what its backup holds, and when it was begun and acknowledged. */
	struct ledger_state backed_up;
	uint64_t backup_begun, backup_acknowledged;
};

/* The backup's directory, below the daemon's root. */
#define STORY_BACKUP "backup"

/* Borrows twin, which has recorded nothing yet. Its daemon is not started. */
void story_init(struct story *story, struct store_twin *twin);
/* Stops the daemon when it runs and removes its directories. */
void story_release(struct story *story);
/* From the first start to the end, without a stop when it is faulty: then the daemon runs on. */
void story_tell(struct story *story);
/* Another life, of what a daemon does now and then: thousands of rows are replaced, so that they
 * are reaped, the database compacted and the vector file renewed while it is open; a backup, a
 * drop, a restore, a repair; a stop and a start. */
void story_tell_upkeep(struct story *story);
/* The disk is full, and stays so: the daemon holds what the ledger says, searches, deletes, also
 * after a stop and a start. */
void story_expect_deletes(struct story *story);
/* All faults are healed: the daemon holds what the ledger says, writes, reads, builds and searches
 * as if nothing had been, holds that after a stop and a start too, and leaves nothing over. */
void story_expect_alive(struct story *story);

/* Nothing stands in the directories but what the collections of that state need. */
void expect_tidy(const struct daemon_thread *daemon, const struct ledger_state *state);
