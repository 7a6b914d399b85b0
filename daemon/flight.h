/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A flight: one piece of work on one index, in steps on the loop and on workers. It is the index
 * writer while it lives, it is what `jobs` lists, and who waits for it gets its outcome.
 *
 *   build    declare (truth) ─► vectors (wait until all rows can be read) ─► collect ─► graph
 *            ─► measure ─► swap [─► declare, for a replacement, before the swap]
 *   insert   collect ─► graph ─► cover [─► measure, when it has grown by much]
 *   load     open ─► read ─► check ─► serve
 *   save     write
 *
 * Steps on the loop are short; each step on workers is one job, or for the graph one job for each
 * worker lent. Those jobs come in turns, so that all builds get on however few workers there are.
 * Cancelling sets a flag that every step looks at; the end comes exactly once, through
 * flight_end(), when no job of it is left.
 *
 * Threads: [loop], but what the steps' work() touches.
 */

#include "daemon/generation.h"
#include "daemon/index.h"
#include "daemon/lanes.h"
#include "daemon/reading.h"
#include "daemon/write_queue.h"
#include "storage/reserve.h"
#include "storage/snapshot.h"

enum flight_kind {
	FLIGHT_BUILD,
	FLIGHT_INSERT,
	FLIGHT_LOAD,
	FLIGHT_SAVE
};

/* What a flight is at; people are told the names (flight.c). */
enum flight_phase {
	PHASE_DECLARE,
	PHASE_VECTORS,
	PHASE_COLLECT,
	PHASE_GRAPH,
	PHASE_INSERT,
	PHASE_MEASURE,
	PHASE_OPEN,
	PHASE_READ,
	PHASE_CHECK,
	PHASE_SAVE,
	PHASE_DONE,
	PHASE_FAILED,
	PHASE_N
};

/* Workers that one build may have at once. */
#define FLIGHT_JOBS_MAX 16

/* A worker that is lent to the graph, for one turn after the other. */
struct flight_share {
	struct job job;
	struct flight *flight;
	bool has_more; /* its turn ended before its work did */
	bool waits;    /* memory is short: its next turn comes later */
};

struct measure;

struct flight {
	struct list link; /* in the daemon's flights */
	uint64_t number;  /* the job's, for people */
	enum flight_kind kind;
	struct index *index;
	struct collection *collection; /* a reference */
	struct index_params params;    /* what a build makes */
	struct generation *generation; /* what it works on: a reference */
	enum flight_phase phase;
	uint64_t total; /* of the phase, 0: not known */
	uint64_t started_ns, phase_ns, told_ns;
	struct list waiters; /* struct request.wait_link; those with is_leader began it */
	uint32_t n_waiters;
	bool cancelled;
	bool is_committing; /* a replacement tells the truth of itself: too late to cancel */
	int result;         /* 0, -errno, or an outcome of the step's module */
	char why[192];

	struct write_task task; /* for a step that changes the truth */
	struct job job;
	struct pin pin;
	bool pinned;
	uint64_t oldest_seq; /* that any plan had pinned when the flight's own was */
	/* The graph. */
	struct row_source source;
	struct hnsw_build build;
	struct flight_share shares[FLIGHT_JOBS_MAX];
	uint32_t n_sharing;      /* of them, at work */
	bool has_scratch;        /* workers have marks for it, until it ends */
	uint64_t from_row;       /* collect: the first row to append */
	uint64_t coded_rows;     /* vectors: those that are to have codes before the graph begins */
	struct uuid epoch;       /* save: the pin's; load: the snapshot's */
	struct measure *measure; /* owned; while it is measured */
	/* Load, save: of the snapshot. */
	struct snapshot *snapshot; /* owned; a load that reopens borrows the index's */
	bool reopens;              /* a load of an index whose snapshot is known */
	bool to_grow;              /* a load for what is to be inserted, wherever it fits */
	struct hnsw_head head;
	uint64_t covered_rows;
};

/* Begins one on an idle index; waiters (struct request.wait_link) get its outcome, the first as
 * the one who began it when that is so. -ENOMEM: nothing began, and they are still the caller's.
 * It may have ended when this returns. */
int flight_begin(struct index *index, enum flight_kind kind, const struct index_params *params,
                 struct list *waiters);
/* One more that waits for it. */
void flight_join(struct flight *flight, struct request *request);
/* The steps of each kind; the first is called by flight_begin(). */
void flight_build_start(struct flight *flight);
void flight_insert_start(struct flight *flight);
void flight_load_start(struct flight *flight);
void flight_save_start(struct flight *flight);
/* A build that waits for vectors looks again. */
void flight_build_vectors(struct flight *flight);
/* Workers that wait until memory is not short go on, if they may. */
void flight_resume(struct flight *flight);
/* Measures the recall curve of the flight's generation, and goes on with then(), whatever came of
 * it: without memory, or when it was cancelled, the generation keeps the curve that it had. */
void flight_measure(struct flight *flight, void (*then)(struct flight *flight));
/* A measuring that waits because memory is short goes on, or waits again. Fine for any flight. */
void flight_measure_resume(struct flight *flight);

/* Who would be found again under a later pin: everyone who is not retired at the flight's. */
static inline struct record_view flight_view(const struct flight *flight)
{
	return (struct record_view){.seq = flight->pin.seq, .ns = RECORD_TABLE_ANY_NS};
}

/* What the steps use. */
void flight_enter(struct flight *flight, enum flight_phase phase, uint64_t total);
const char *flight_phase_name(const struct flight *flight);
void flight_submit(struct flight *flight, enum lane lane, const char *what,
                   void (*work)(struct job *job, uint32_t worker), void (*done)(struct job *job));
/* The end: unpins, tells the index, answers the waiters, frees. why: for the log and the waiters,
 * when result is not 0. */
void flight_end(struct flight *flight, int result, const char *why);
/* Asks it to end early, which it may have done when this returns. False: too late. */
bool flight_cancel(struct flight *flight);
/* How far the phase is. */
uint64_t flight_done(const struct flight *flight);
/* What is left takes as long for each as what is done took. 0: not known, or nothing is left. */
double flight_eta_of(uint64_t spent_ns, uint64_t done, uint64_t total);
double flight_eta_s(const struct flight *flight);
/* To those who subscribed, at most some times a second. */
void flight_tell(struct flight *flight);

/* Writes the generation's snapshot: for the save flight and for the close. -ENOSPC too when the
 * reserve is given up meanwhile. [worker] */
int snapshot_save(struct store_io *io, const struct reserve *reserve, const char *dir,
                  const struct record_spec *spec, const struct generation *generation,
                  const struct uuid *epoch, uint64_t seq);
/* Opens the snapshot that was just saved, so that it need not be looked for when the index was
 * evicted; one that cannot be is looked for then. [worker] */
void flight_open_saved(struct flight *flight);
/* Makes the fingerprint that a snapshot of these parameters must have. */
void snapshot_fingerprint_of(const struct record_spec *spec, const struct index_params *params,
                             struct snapshot_fingerprint *ret);
