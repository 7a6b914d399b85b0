/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An index brought to a state and held there, by gates and a clock that stands still: nothing
 * begins by itself until it is let go.
 *
 *	index_stage_enter(&stage, STAGE_INSERTING);
 *	... whatever is asked now meets an index that is inserting ...
 *	index_stage_go(&stage);
 *	... what was asked is answered ...
 *	index_stage_leave(&stage);
 *
 * The collection is STAGE_COLLECTION, with numbered records (service_fixture.h) from 0 on, all of
 * version 1. A program enters thirty stages or so: what a daemon reserved for its indexes is
 * the process's until it ends, and there is no more of it than for 60 starts.
 *
 * Threads: the test's own.
 */

#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"

#define STAGE_COLLECTION "notes"
#define STAGE_RECORDS 300u
#define STAGE_M 8u       /* what the index is made with */
#define STAGE_OTHER_M 5u /* what REPLACING makes in its place */

enum stage {
	STAGE_NONE,       /* no index */
	STAGE_DECLARED,   /* its build was cancelled */
	STAGE_LOADING,    /* after a restart */
	STAGE_BUILDING,   /* the first time */
	STAGE_REBUILDING, /* the same, after a restart with a bad snapshot */
	STAGE_SERVING,    /* settled */
	STAGE_EVICTED,    /* settled, and then evicted */
	STAGE_PENDING,    /* serving, with one record that it does not hold */
	STAGE_INSERTING,  /* with STAGE_INSERTED more records, which it does not hold */
	STAGE_SAVING,     /* after the first build */
	STAGE_REPLACING,  /* with STAGE_OTHER_M */
	STAGE_N
};

#define STAGE_INSERTED 256u /* INDEX_INSERT_ROWS: so many begin an insert */

struct index_stage {
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;    /* the test's, free to use */
	struct kith_conn *starter; /* asked for the flight that is held, if anyone did */
	bool has_ticket;           /* of that, not answered yet */
	uint64_t ticket;
	struct gate *gate; /* holds the flight; NULL when there is none */
	uint64_t n_records;
};

void index_stage_enter(struct index_stage *stage, enum stage which);
/* The same on another io, and with another cache (daemon_thread_set_cache). */
void index_stage_enter_on(struct index_stage *stage, enum stage which, struct store_io *io,
                          int (*make_cache)(struct cache_backend **ret));
/* Lets the flight go, now and later. */
void index_stage_go(struct index_stage *stage);
/* The daemon starts again, without its snapshots going anywhere. */
void index_stage_restart(struct index_stage *stage);
void index_stage_leave(struct index_stage *stage);

/* Brings what waits to be folded in into the graph, and the graph into the snapshot, where the
 * clock would have. */
void index_stage_fold_in(struct index_stage *stage);
/* It comes to an index that serves all records, saved; m: its own. */
void index_stage_expect_sound(struct index_stage *stage, uint32_t m);
/* And so after a restart, which builds nothing. */
void index_stage_expect_sound_for_good(struct index_stage *stage, uint32_t m);

enum kith_index_state index_stage_state(enum stage which);
const char *index_stage_name(enum stage which);
