/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One collection: its truth, what is derived from it in memory, and what of both is published.
 *
 *            create            first use              stop, drop
 *   CREATING ──────► CLOSED ─────────────► OPENING ───────────────► CLOSING ──► gone
 *                       ▲  ▲                  │ ▲                       ▲
 *                       │  └── cannot open ───┘ └──── OPEN ─────────────┘
 *                       └── (the error is answered; the next use tries again)
 *
 * An open one is RENEWING while it gets rid of its dead rows (renewal.h); that always ends in OPEN.
 *
 * Requests that come while it is created, opened, renewed or dropped wait in `waiting` and are
 * admitted again when that has ended. A drop marks it (`dropped`), takes it out of the registry and
 * lets what runs end; late completions find their own collection through their reference, never a
 * namesake made since.
 *
 * Publishing: a write job changes the truth, then the record table and the vector file behind what
 * readers were told of; then the loop moves seq and n_rows on, in one step, and answers. A reading
 * takes both in one step too (collection_pin), so it sees a commit wholly or not at all.
 *
 * Bulk writing (entry.bulk, in the catalog): while it is on, nothing that was written brings a
 * graph or codes into memory, and no job on an index begins that nobody asked for; searches compare
 * all records. Its end gives each index one job for all that is pending (index_end_bulk).
 *
 * Threads: [loop], except what a job was given.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/cache.h"
#include "daemon/lanes.h"
#include "daemon/list.h"
#include "daemon/namespaces.h"
#include "daemon/reading.h"
#include "daemon/request.h"
#include "daemon/resident.h"
#include "daemon/tally.h"
#include "daemon/upkeep.h"
#include "daemon/write_queue.h"
#include "index/record_table.h"
#include "index/vector.h"
#include "storage/catalog.h"
#include "storage/record_store.h"
#include "storage/vector_file.h"

enum collection_state {
	COLLECTION_CREATING,
	COLLECTION_CLOSED,
	COLLECTION_OPENING,
	COLLECTION_OPEN,
	COLLECTION_RENEWING,
	COLLECTION_CLOSING,
};

#define COLLECTION_PATH_SIZE 1100

struct collection {
	struct daemon *daemon;
	struct list link; /* in the registry */
	uint32_t n_refs;  /* requests, jobs, and the registry */
	struct catalog_entry entry;
	char uuid_text[UUID_TEXT_SIZE];
	char data_dir[COLLECTION_PATH_SIZE];
	char cache_dir[COLLECTION_PATH_SIZE];
	char vectors_path[COLLECTION_PATH_SIZE];
	enum collection_state state;
	bool dropping;       /* its drop is being committed */
	bool dropped;        /* it was; or its creation failed */
	bool is_unmade;      /* that failed before anything of it was there */
	struct list waiting; /* struct request.wait_link */

	/* While open: the truth and what is derived. */
	struct record_store *store;
	struct record_writer *writer;   /* NULL after a failure: see collection_writer() */
	struct record_reader **readers; /* one a worker, opened by it */
	struct vector_file *vectors;    /* NULL when the cache directory does not work */
	struct record_table table;
	struct resident resident;
	struct cache_entry vectors_entry; /* of the resident codes (vectors_cache.h) */
	struct namespaces namespaces;

	/* Published. */
	uint64_t seq, n_rows, n_live;
	struct record_epochs *epochs; /* of the truth at that seq; NULL unless open */
	uint64_t mapped_rows;         /* rows [0, mapped_rows) are in the vector file */

	struct list pins; /* struct pin, oldest first */
	struct write_queue writes;
	struct list gather_link; /* in the daemon's gatherings, while a group gathers */
	struct list held_reads;  /* they need SQL, and a restart checkpoint goes first */
	uint32_t n_sql_reads;    /* under way */
	uint32_t n_copies;       /* readings of the truth that are not ours to hold back: the WAL
	                          * cannot begin anew */
	uint32_t n_row_surveys;  /* long readings of rows, which keep their numbers meanwhile */
	struct upkeep upkeep;
	struct list indexes; /* struct index.link; empty unless open */

	/* Its closing, which must not want for memory. */
	struct job close_job;
	int close_error, checkpoint_error;

	/* Figures. */
	uint64_t n_searches, n_comparisons, n_writes, n_groups;
	struct tally *tally; /* of searches without an index */
};

struct collection *collection_new(struct daemon *daemon, const struct catalog_entry *entry,
                                  enum collection_state state);
struct collection *collection_ref(struct collection *collection);
/* The last one closes what is open and frees. */
void collection_unref(struct collection *collection);

/* Finds the collection by name for the request (a reference in request->collection) and goes on
 * with `admitted` once it is open, in the order of arrival. Refuses when there is none, or when it
 * cannot be opened. */
void collection_enter(struct request *request, struct wire_str name, request_step admitted);
/* Two ways to go on: a read waits for the writes that its own session sent before it, then for
 * its turn; a write waits for its group. */
void collection_queue_read(struct request *request);
void collection_queue_write(struct request *request);
/* Lets those that waited try again. */
void collection_wake(struct collection *collection);
/* The opening ended; error: 0, or why it cannot be opened. */
void collection_opened(struct collection *collection, const struct wire_error *error);
/* Ends what is pending with `code`: it was dropped, or the daemon stops. */
void collection_refuse_pending(struct collection *collection, enum wire_error_code code,
                               const char *message);
/* Starts whatever may change the collection next (write_queue_next). */
void collection_kick(struct collection *collection);
/* What had the turn to change it has ended; collection_kick() comes next. */
void collection_turn_done(struct collection *collection);

/* The epoch of what is published, which derived files are written under. */
static inline const struct uuid *collection_epoch(const struct collection *collection)
{
	return record_epochs_last(collection->epochs);
}
/* Whether its truth is open, though it may be renewed. */
static inline bool collection_is_open(const struct collection *collection)
{
	return collection->state == COLLECTION_OPEN || collection->state == COLLECTION_RENEWING;
}
/* Whether what was derived at (epoch, seq) is of the published history, which may be ahead. */
bool collection_has_been_at(const struct collection *collection, const struct uuid *epoch,
                            uint64_t seq);
/* The catalog has it so: what is in memory goes as far as it can, or the indexes catch up. */
void collection_set_bulk(struct collection *collection, bool bulk);
/* Whether every published row can be read from the vector file. */
bool collection_has_vectors(const struct collection *collection);
void collection_pin(struct collection *collection, enum pin_kind kind, struct pin *pin);
void collection_unpin(struct collection *collection, struct pin *pin);
/* Makes sure that there is a writer: one that failed was freed, since what a failed commit left in
 * it is not known. For who has the collection's turn. [worker] */
int collection_writer(struct collection *collection);
/* Somebody begins, or ends, to read the truth by other connections than ours. */
void collection_begin_copy(struct collection *collection);
void collection_end_copy(struct collection *collection);
/* Rows that were retired at or before this are seen by nobody. */
uint64_t collection_reap_seq(const struct collection *collection);

static inline enum dtype collection_dtype(const struct collection *collection)
{
	return (enum dtype)collection->entry.spec.dtype;
}
static inline uint32_t collection_stride(const struct collection *collection)
{
	return vector_stride_bytes(collection->entry.spec.dim, collection_dtype(collection));
}

/* Opens it in steps (collection_open.c): then collection_opened(). */
void collection_open(struct collection *collection);
/* Opens the vector file, or makes it; *ret_why as vector_file_open() says. [worker] */
int collection_open_vectors(struct collection *collection, struct vector_file **ret,
                            const char **ret_why);
/* Whether its files, and its entry in the catalog, go when it closes. */
static inline bool collection_leaves_files(const struct collection *collection)
{
	return collection->dropped && !collection->is_unmade;
}
/* Closes what is open, removes the files of a dropped one, frees it. After the last reference. */
void collection_close(struct collection *collection);
/* Runs a group of writes (write_group.c): then publishes, answers and kicks. */
void collection_write(struct collection *collection, struct request **requests, uint32_t n);
