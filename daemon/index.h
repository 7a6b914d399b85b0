/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A declared index of a collection, and the one flight that may be changing it.
 *
 *   DECLARED ──┬─► LOADING    a snapshot may be there: at the open, or tried again
 *              └─► BUILDING   ensured, or no snapshot is of use
 *   BUILDING ──┬─► SERVING
 *              └─► DECLARED   failed, cancelled
 *   LOADING ───┬─► SERVING
 *              ├─► DECLARED   missing, bad, cancelled, not to be read at present
 *              └─► EVICTED    it came from there: cancelled, not to be read at present
 *   EVICTED ─────► LOADING    asked for
 *   SERVING ───┬─► INSERTING  enough is pending
 *              ├─► SAVING     enough is not saved
 *              ├─► REPLACING  other parameters, many dead nodes, or much after bulk writing
 *              ├─► LOADING    to another place
 *              ├─► EVICTED    by the cache, when it is saved
 *              └─► DECLARED   its mapped snapshot cannot be read any more (index_graph_lost)
 *   INSERTING ─┬─► SERVING    also when it failed or was cancelled
 *              └─► DECLARED   it met damaged vectors: the snapshot is loaded again
 *   SAVING ──────► SERVING    also when it failed
 *   REPLACING ─┬─► SERVING    the new one; the old one when it failed or was cancelled
 *              └─► DECLARED   the cache has no memory to keep the new one: it is built again
 *
 * Each state but DECLARED, EVICTED and SERVING is a flight (flight.h), the index writer; there is
 * one at most, and check and begin are one step on the loop. Who asks for what the flight makes
 * joins it, and gets its outcome. A serving generation goes on serving in every state. More of the
 * cache is in index_cache.h.
 *
 *   asked, in   DECLARED   LOADING     BUILDING     SERVING,      REPLACING       EVICTED
 *                                                   INSERTING,
 *                                                   SAVING
 *   ensure,     begins     waits,      joins        existing      joins when it   existing
 *   same        a build    asks again                             makes that,
 *   parameters                                                    else refused
 *   ensure,     refused:   waits,      refused:     refused:      refused:        refused:
 *   other       exists     asks again  build in     exists        build in        exists
 *   parameters                         flight                     flight
 *   with        begins     waits,      queued as    begins, or    queued as the   loaded, and
 *   replace     a build    asks again  the          queued as     successor       replaced
 *                                      successor    the successor                 then
 *   drop        gone       cancelled   cancelled    gone, or      cancelled       gone
 *                                                   cancelled
 *   cancel                 loaded      DECLARED,    SERVING,      SERVING, the
 *                          again       the error    tried again   old one stays
 *                                      to all       later
 *   failure                where it    DECLARED,    SERVING,      SERVING, the
 *                          was, see    the error    tried again   old one stays
 *                          below       to all       later
 *   stop        nothing    cancelled   cancelled    saved at      cancelled       nothing
 *                                                   the close
 *
 * A load that found nothing, or nothing of use, is followed by a build. One that failed for another
 * reason (no descriptor, no memory, a medium that cannot read at present) is no reason to build:
 * who waits is told, and it is tried again, later or when somebody asks; searches compare all
 * records meanwhile. What a medium cannot read after INDEX_READ_TRIES is lost.
 *
 * While bulk writing is on (collection.h) only what is asked for begins: an ensure's build, an
 * optimize, a warm. When it ends, what is pending goes in by one job: a build, which has all
 * workers, or an insert, which has one, whichever is done sooner.
 *
 * After a drop the flight ends on its own; its end finds `dropped` and touches nothing else.
 *
 * Threads: all [loop].
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/generation.h"
#include "daemon/list.h"
#include "daemon/request.h"
#include "daemon/retry.h"
#include "protocol/methods.h"
#include "storage/record_store.h"

struct collection;
struct flight;

#define INDEX_DEFAULT_NAME "vector"
/* A snapshot file is "hnsw-" and the identity in hexadecimal. */
#define INDEX_FILE_PREFIX "hnsw-"
#define INDEX_FILE_SIZE 32

/* When pending rows are folded in: so many, or the first has waited so long. */
#define INDEX_INSERT_ROWS 256
#define INDEX_INSERT_AGE_MS 1000
/* When it is built anew: one node in so many is dead, and at least so many are. Recall does not
 * suffer from dead nodes, which lead on as others do, but they are compared, and take memory: with
 * a third of them a search at the same ef takes 1.4 times the comparisons, with half 1.8 times
 * (3,000 live of bge-base, M 16, ef 64). A build at a third costs two insertions for each record
 * that went. */
#define INDEX_DEAD_SHARE 3
#define INDEX_DEAD_MIN 1024
/* When the graph is saved: a part of it is not, some has not been for so long, or nobody has
 * searched it for idle_unload_s. */
#define INDEX_SAVE_SHARE 10 /* one part in so many */
#define INDEX_SAVE_AGE_MS 30000
/* Pauses after a failure nobody waits for, doubling. */
#define INDEX_RETRY_MS 1000
#define INDEX_RETRY_MAX_MS 60000
/* Loads in a row that the medium fails, over half a minute, before the snapshot counts as lost. */
#define INDEX_READ_TRIES 6

/* What is known of a generation that the cache let go of. */
struct index_left {
	uint64_t number;
	uint64_t covered_rows;
	uint32_t nodes, dead;
	struct recall_curve curve;
};

struct index {
	struct collection *collection;
	struct list link; /* in the collection's indexes */
	char name[RECORD_INDEX_NAME_SIZE];
	struct index_params params;
	enum wire_index_state state;
	bool declared; /* in the truth */
	bool dropped;
	bool may_have_snapshot;     /* not looked for yet, or it could not be read at present */
	uint32_t n_failed_loads;    /* in a row */
	int close_error;            /* of the snapshot that a clean stop saves */
	bool wants_build;           /* a snapshot was of no use: build it though nobody asks */
	struct generation *serving; /* the cache's reference: NULL when it lets go of it */
	struct flight *flight;
	/* How it comes back when it is evicted (index_cache.h). */
	struct snapshot *snapshot; /* what was saved or loaded last, open; NULL: look for it */
	struct hnsw_head head;     /* of its graph, when there is one */
	struct index_left left;
	bool to_grow;            /* the next load is for an insert */
	bool ends_bulk;          /* what bulk writing left is to go in, though it be evicted */
	struct cache_load *load; /* that the load flight is for, or NULL */
	int load_error;          /* why it could not come back, which was said; 0: it did */
	struct list evicting;    /* requests that wait until it may be evicted */
	/* The build that comes after the flight, with what it is for. */
	bool has_successor;
	struct index_params successor;
	struct list successor_waiters;
	struct list waiting;    /* requests that ask again when the flight has ended */
	struct list optimizing; /* requests that wait until nothing is pending or unsaved */
	uint64_t generations;   /* numbers given out */
	uint64_t n_pending;  /* live rows that the serving, or evicted, generation does not cover */
	uint64_t pending_ns; /* since when rows are pending; 0: none are */
	uint64_t unsaved_ns;
	struct retry retry;                  /* of what nobody waits for */
	uint64_t place_ns;                   /* a mapped one is not loaded into memory before */
	char error[WIRE_ERROR_MESSAGE_SIZE]; /* of the last flight, "" after success */
	/* Figures. */
	uint64_t n_builds, n_inserted;
	uint64_t n_rebuilds; /* builds that only left dead nodes behind */
	struct tally *tally; /* a reference */
	uint64_t n_hits, n_misses, n_loads, n_evictions;
};

/* Adds an index to the collection: one that the truth declares, or a new one. -ENOMEM. */
int index_new(struct collection *collection, const char *name, const struct index_params *params,
              bool declared, struct index **ret);
/* Takes it out: waiters are refused with code, the flight is cancelled. Freed when that ended. */
void index_drop(struct index *index, enum wire_error_code code, const char *message);
/* One that was dropped, when no flight is left. */
void index_free(struct index *index);
/* All of a collection: it was dropped, or is closed. */
void indexes_drop(struct collection *collection, enum wire_error_code code, const char *message);
/* The daemon stops: waiters are refused, flights cancelled; what serves stays until the close. */
void indexes_stop(struct collection *collection);
struct index *index_find(struct collection *collection, struct wire_str name);
uint32_t index_count(const struct collection *collection);

/* Ends those that wait in the list (struct request.wait_link) with that error. */
void index_refuse(struct list *list, enum wire_error_code code, const char *message);
/* Whether the drawing has that arrow. */
bool index_may_move(enum wire_index_state from, enum wire_index_state to);
/* Moves to a state that the drawing allows. */
void index_move(struct index *index, enum wire_index_state state);
/* Begins the flight that there is reason for, when none is under way. */
void index_look(struct index *index);
/* The same for somebody who asks: a snapshot that is to be tried again is, now. */
void index_look_again(struct index *index);
/* The flight has ended (flight_end): its outcome, and what comes next. */
void index_flight_ended(struct index *index, struct flight *flight);
/* A build of `params` is to come; the request waits for it. */
void index_begin_build(struct index *index, const struct index_params *params,
                       struct request *request);
/* The number of the generation that serves, or was evicted; 0: there is none. */
uint64_t index_generation(const struct index *index);
/* It serves, or will without a build that nobody asked for. */
bool index_will_serve(const struct index *index);
bool index_same_graph(const struct index_params *a, const struct index_params *b);

/* The generation, which serves or will, covers so many rows. */
void index_cover(struct index *index, struct generation *generation, uint64_t covered_rows);
/* Of all indexes of the collection: n_new rows were published; and a row is retired. */
void indexes_note_new(struct collection *collection, uint64_t n_new);
void indexes_note_retired(struct collection *collection, uint64_t row);
/* Bulk writing has ended: what is pending goes into each index of the collection by one job. */
void indexes_end_bulk(struct collection *collection);
/* Rows that are pending and that anyone can see. */
uint64_t index_n_pending(const struct index *index);
double index_coverage(const struct index *index);
/* Nodes of the serving generation whose records are gone. */
uint32_t index_n_dead(const struct index *index);
/* Covered nodes that no snapshot has. */
uint32_t index_n_unsaved(const struct index *index);
/* "<collection>/<index>" for the log. */
const char *index_title(const struct index *index, char title[static 256]);
/* The name of its snapshot in the collection's cache directory. */
void index_file(const struct index_params *params, char name[static INDEX_FILE_SIZE]);
/* Removes the snapshot of a declaration that is no more, in the background. */
void index_forget_file(struct collection *collection, const struct index_params *params);
/* Parameters as the truth and the snapshot's fingerprint keep them. */
void index_params_encode(const struct index_params *params, struct record_index *ret);
/* -EBADMSG. */
int index_params_decode(const struct record_index *record, struct index_params *ret);
