/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What keeps an open collection in shape, off the request path: one job at a time for each care,
 * begun from the tick or after a group when there is reason to.
 *
 *   reopen      a vector file that could not be opened, or made, is tried again
 *   restore     rows that the vector file lacks are written again from the truth
 *   renew       dead rows leave the vector file and the record table (renewal.h), while all who
 *               come wait as for an opening
 *   load        rows of the vector file get their resident codes
 *   sync        the vector file becomes durable in a pause, when much is not, or when a snapshot
 *               stands on what is not
 *   reap        rows that nobody can see any more leave the truth
 *   compact     free pages leave the database, when they are many
 *   checkpoint  the WAL moves into the database, beside the writes
 *   restart     past a bound, or in a pause, writes and new reads wait for that, so that the WAL
 *               begins anew
 *   rest        nobody came for a while, or memory is short: what the database keeps in memory is
 *               given back
 *
 * reopen, restore, renew, sync, reap, compact, restart and rest take turns with the groups of
 * writes (write_queue.h).
 *
 * Failures are logged once and tried again later, with growing pauses.
 *
 * Threads: all [loop]; each care's work() on a worker with what it was given.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/lanes.h"
#include "daemon/reading.h"
#include "daemon/retry.h"
#include "daemon/write_queue.h"

struct collection;

enum care {
	CARE_REOPEN,
	CARE_RESTORE,
	CARE_RENEW,
	CARE_LOAD,
	CARE_SYNC,
	CARE_REAP,
	CARE_COMPACT,
	CARE_CHECKPOINT,
	CARE_RESTART,
	CARE_REST,
	CARE_N
};

/* Bounds. */
#define UPKEEP_WAL_PASSIVE_BYTES (8u << 20)  /* checkpoint beside the writes from here on */
#define UPKEEP_WAL_RESTART_BYTES (24u << 20) /* stop writes and new reads, begin the WAL anew */
#define UPKEEP_WAL_IDLE_BYTES (1u << 20)     /* more is not left in a pause: a start reads it */
#define UPKEEP_REAP_ROWS 512              /* a transaction of the reaper, at least, and at most */
#define UPKEEP_REAP_ROWS_MAX 16384        /* when groups do not retire more (upkeep_reap_rows) */
#define UPKEEP_REAP_BACKLOG 4096          /* retired rows that do not wait for a pause */
#define UPKEEP_FREE_BYTES (8u << 20)      /* free pages beside as many in use that are left alone */
#define UPKEEP_IDLE_FREE_BYTES (1u << 20) /* the same in a pause, beside a quarter */
#define UPKEEP_COMPACT_PAGES 512          /* a transaction of the compaction, */
#define UPKEEP_FULL_COMPACT_PAGES 64      /* and one on a full disk */
#define UPKEEP_LOG_ROWS 65536             /* retirements that the log keeps */
#define UPKEEP_PAUSE_MS 500               /* nothing was written for so long: a pause */
#define UPKEEP_SYNC_BYTES (64u << 20)     /* unsynced vectors that do not wait for a pause */
#define UPKEEP_SYNC_MS 5000               /* nor do any that are older than this */
#define UPKEEP_RESTORE_BYTES (8u << 20)   /* rows that one job restores */
#define UPKEEP_RENEW_MS 1000              /* a renewal holds all so long for readings, */
#define UPKEEP_RENEW_FLIGHTS_MS 10000     /* and keeps flights from beginning, for others */
#define UPKEEP_LOAD_BYTES (256u << 10)    /* less is not worth a job, unless it is all */
#define UPKEEP_REST_MS 2000               /* nobody came for so long: a rest */
#define UPKEEP_RETRY_MS 500               /* first pause after a failure; doubles up to */
#define UPKEEP_RETRY_MAX_MS 60000

struct care_state {
	struct job job;
	struct write_task task;
	struct collection *collection;
	bool active;  /* queued or at work; holds a reference then */
	bool started; /* its job was submitted */
	int result;
	uint64_t from, to;           /* restore, load: rows */
	uint64_t n_rows;             /* load: that the file has */
	uint32_t n;                  /* reap: rows that went */
	uint64_t seq;                /* reap: up to which */
	uint64_t bad_extent;         /* load: the one that is damaged */
	struct vector_file *vectors; /* reopen: the new file */
	struct renewal *renewal;     /* renew: NULL when it could not begin */
	struct retry retry;
	bool told; /* a failure since the last success was logged */
};

struct upkeep {
	struct care_state care[CARE_N];
	uint64_t written_ns;      /* when the last group ended */
	uint64_t read_ns;         /* when the last reading ended */
	uint64_t rested_ns;       /* when the last rest ended */
	uint64_t synced_ns;       /* when the vector file was last seen synced */
	uint64_t searched;        /* searches since open: the codes wait for the first */
	bool wants_codes;         /* or for a build */
	uint64_t n_retired;       /* rows for the reaper */
	uint64_t n_retired_new;   /* of them, those since its last turn */
	uint64_t lost_row;        /* the vector file is of no use from here on; UINT64_MAX: it is */
	uint64_t checkpointed_at; /* WAL bytes when the last checkpoint ended */
	bool shrinks;             /* pages left the database: a restart cuts its file */
	struct list checkpoints;  /* struct request.wait_link: they wait for a restart */
	bool holds_reads;         /* a restart waits or runs: reads that need SQL wait */
	bool rests;               /* all reads wait */
	bool wants_renewal;       /* nothing begins that nobody asked for, and that it waits for */
	uint64_t renew_ns;        /* since when a renewal waits for flights, or holds */
	bool copied;              /* the truth was read from elsewhere since a restart held */
	bool stopped;
};

void upkeep_init(struct upkeep *upkeep, struct collection *collection);
/* Begins what there is reason for. */
void upkeep_look(struct collection *collection);
/* Rows from `row` on cannot be read from the vector file: restore them. */
void upkeep_lost_vectors(struct collection *collection, uint64_t row);
/* It was opened without a vector file, for that error. */
void upkeep_no_vectors(struct collection *collection, int error);
/* Whether rows [0, n_rows) have their codes, as far as there is room; else they get them. */
bool upkeep_has_codes(struct collection *collection, uint64_t n_rows);
/* Why the vector file cannot have all rows at present: -errno when it could not be made, or when
 * restoring it failed and is tried again later. 0: it has them, or is on the way. */
int upkeep_vectors_error(const struct collection *collection);
/* A reading ended; one that uses SQL: a restart checkpoint may have waited for it. */
void upkeep_read_ended(struct collection *collection);
/* Has the WAL moved into the database as soon as may be, then answers the checkpoint request. */
void upkeep_checkpoint(struct request *request);
/* So many rows more are for the reaper. */
void upkeep_retired(struct collection *collection, uint64_t n_rows);
/* How many rows the reaper takes in its turn, of n_retired, of which n_new came since the last:
 * half of them, and no fewer than came when it is behind. It has a turn between any two groups
 * while there is a backlog, so no more rows wait than two groups retire, or UPKEEP_REAP_BACKLOG. */
uint32_t upkeep_reap_rows(uint64_t n_retired, uint64_t n_new);
/* Nothing new is begun from now on. */
void upkeep_stop(struct collection *collection);
