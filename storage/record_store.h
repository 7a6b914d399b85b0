/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The truth of one collection: an SQLite database (schema in FORMAT.md) behind plain values, so
 * that another SQL server can take its place.
 *
 * Words: a slot is one version of a record's indexed content (vector and text) and is never used
 * again; a slot that was replaced or deleted is retired at a seq and its row stays until reap()
 * is told that nobody can see it. The seq counts the requests that changed something.
 *
 * Threads: a writer belongs to the one write job that runs; a reader to its worker; maintenance
 * calls to the one background job that runs them. Three connections, three owners, no lock here.
 * All functions are [worker] and block.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/record.h"
#include "storage/record_epochs.h"
#include "storage/store_io.h"

#define RECORD_STORE_SCHEMA_VERSION 2

/* Outcomes. */
enum {
	RECORD_STORE_NEWER = 1,   /* open: written by a newer Kith */
	RECORD_STORE_MISSING = 2, /* open: no database there */
	RECORD_STORE_FOREIGN = 3, /* open: not a record store, or of another collection */
	RECORD_STORE_END = 4,     /* next: no more rows */
	RECORD_STORE_BUSY = 5,    /* checkpoint: readers or a writer stand in the way */
	RECORD_STORE_NAMESPACES_FULL = 6,
};

struct record_store; /* paths, spec, and what the three kinds of connection share */
struct record_writer;
struct record_reader;

/* Opening ------------------------------------------------------------------------------------- */

/* Creates dir/records.db (dir exists and is empty) and makes it durable. */
int record_store_create(struct store_io *io, const char *dir, const struct record_spec *spec);
/* Opens dir/records.db and runs the migrations its version lacks. uuid: whose it must be.
 * cache_bytes: page cache of each connection. */
int record_store_open(struct store_io *io, const char *dir, const struct uuid *uuid,
                      size_t cache_bytes, struct record_store **ret);
/* After every writer and reader was freed. NULL is fine; returns NULL. */
struct record_store *record_store_free(struct record_store *store);
const struct record_spec *record_store_spec(const struct record_store *store);
/* What went wrong last on the calling thread, for the log: SQLite's words. Valid until the next
 * call on that thread. */
const char *record_store_last_error(void);

/* Writing ------------------------------------------------------------------------------------- */

/* What one record's write did. */
enum record_effect {
	RECORD_UNCHANGED, /* upsert or update equal to what is stored */
	RECORD_INSERTED,
	RECORD_REPLACED, /* a new slot took the place of retired_slot */
	RECORD_TOUCHED,  /* metadata, namespace or expiry changed, the slot stayed */
	RECORD_DELETED,
	RECORD_MISSING, /* update or delete of an id that is not there */
};

struct record_change {
	enum record_effect effect;
	uint64_t slot;         /* inserted, replaced: the new one; touched, unchanged: its own */
	uint64_t retired_slot; /* replaced, deleted */
	uint32_t ns;           /* inserted, replaced, touched: number of its namespace */
	int64_t expires_at;
	/* replaced by update() without a vector: the vector that the new slot took over, valid
	 * until the next call on the writer; else NULL. */
	const void *vector;
};

/* Which parts an update carries. */
enum record_parts {
	RECORD_PART_TEXT = 1 << 0,
	RECORD_PART_META = 1 << 1,
	RECORD_PART_NAMESPACE = 1 << 2,
	RECORD_PART_EXPIRY = 1 << 3,
};

int record_writer_new(struct record_store *store, struct record_writer **ret);
/* Rolls back what is open. NULL is fine; returns NULL. */
struct record_writer *record_writer_free(struct record_writer *writer);

/* A group: one transaction, one sync at commit. A request: a savepoint in it, with its own seq.
 *
 * Whatever a writer's function returned < 0 for, its request must be ended with keep = false; the
 * group's other requests are untouched by that. When the error cost the whole group (a failed
 * commit; a full disk or no memory, after which SQLite has no transaction any more) the writer is
 * spent: every call from then on, that end_request() too, gives the error. Then rollback(), free
 * and make a new one. A sync that failed is not tried again. */
int record_writer_begin(struct record_writer *writer);
int record_writer_commit(struct record_writer *writer);
/* The epoch that the writer's first commit of a request with an effect began; false before it. */
bool record_writer_epoch(const struct record_writer *writer, struct record_epoch *ret);
/* Undoes what is open. Fine when nothing is. */
void record_writer_rollback(struct record_writer *writer);
/* Starts a request; *ret_seq is the seq that its changes will carry if it has any. All writes
 * below happen in a request. */
int record_writer_begin_request(struct record_writer *writer, uint64_t *ret_seq);
/* Ends it: keep, or undo just this request. A kept request with no effect gives its seq back. */
int record_writer_end_request(struct record_writer *writer, bool keep);

/* The number of a namespace, made when it is new (*ret_is_new) and forgotten again when its
 * request is undone. "" is always 0 and not counted. RECORD_STORE_NAMESPACES_FULL when there are
 * max_namespaces already. */
int record_writer_namespace(struct record_writer *writer, const char *name, size_t n,
                            uint32_t max_namespaces, uint32_t *ret_ns, bool *ret_is_new);
/* Stores the record as the live version of its id. What differs from the stored one decides on
 * the effect: vector or text take a new slot; metadata (its blob), namespace and expiry change in
 * place; nothing writes nothing. */
int record_writer_upsert(struct record_writer *writer, const struct record *record, uint32_t ns,
                         struct record_change *ret);
/* Changes the given parts (enum record_parts) of the live record with that id; an absent text or
 * metadata that is carried removes it. The record's vector is not looked at. */
int record_writer_update(struct record_writer *writer, const struct record *record, uint32_t ns,
                         unsigned parts, struct record_change *ret);
int record_writer_delete(struct record_writer *writer, const struct record_id *id,
                         struct record_change *ret);
/* Removes up to max_rows rows that were retired at or before seq, in a transaction of its own;
 * *ret_n is how many went. Takes as many of the oldest entries, at whole seqs, from the log of
 * retirements as long as it has more than max_log. No group may be open. max_rows > 0. */
int record_writer_reap(struct record_writer *writer, uint64_t seq, uint32_t max_rows,
                       uint32_t max_log, uint32_t *ret_n);

/* Moves up to max_pages of the database's last pages into free ones, in a transaction of its own:
 * the next checkpoint that moves the whole WAL cuts the file by as many. No group may be open.
 * After an error the writer is spent, and to be freed. */
int record_writer_compact(struct record_writer *writer, uint32_t max_pages);

/* Reading ------------------------------------------------------------------------------------- */

/* What a reader is to fetch beside slot and id. */
enum record_want {
	RECORD_WANT_VECTOR = 1 << 0,
	RECORD_WANT_TEXT = 1 << 1,
	RECORD_WANT_META = 1 << 2,
	RECORD_WANT_NAMESPACE = 1 << 3,
};

struct record_row {
	uint64_t slot;
	uint64_t seq;
	uint32_t ns;
	const char *ns_name; /* RECORD_WANT_NAMESPACE */
	uint32_t ns_name_n;
	/* Absent what was not asked for; of the metadata the blob only. Valid until the next call
	 * of the same kind (lookup or walk) on the reader, or end(). */
	struct record record;
};

struct record_store_state {
	uint64_t seq;       /* of the last commit */
	uint64_t floor_seq; /* retirements above it are in the log */
	uint64_t next_slot;
	uint64_t n_live;
	uint64_t n_retired;     /* rows waiting for reap */
	uint64_t n_retirements; /* entries in the log */
};

int record_reader_new(struct record_store *store, struct record_reader **ret);
struct record_reader *record_reader_free(struct record_reader *reader);
/* One consistent view until end(). Short: the WAL cannot shrink under it. */
int record_reader_begin(struct record_reader *reader);
void record_reader_end(struct record_reader *reader);

int record_reader_state(struct record_reader *reader, struct record_store_state *ret);
int record_reader_epochs(struct record_reader *reader, struct record_epochs *ret);
/* The version of the id that was live at seq: 0, or RECORD_STORE_MISSING. */
int record_reader_by_id(struct record_reader *reader, const struct record_id *id, uint64_t seq,
                        unsigned want, struct record_row *ret);
/* The row of the slot, retired or not: 0, or RECORD_STORE_MISSING. */
int record_reader_by_slot(struct record_reader *reader, uint64_t slot, unsigned want,
                          struct record_row *ret);
/* Walks: one at a time; lookups may happen in between.
 * Starts a walk over the rows that were live at seq with slot > after_slot, by slot; of namespace
 * ns only, or of all (ns < 0). Then next() until RECORD_STORE_END. */
int record_reader_scan(struct record_reader *reader, uint64_t after_slot, int64_t ns, uint64_t seq,
                       unsigned want);
/* Starts a walk over the vectors of all rows, retired too, with first <= slot <= last. */
int record_reader_vectors(struct record_reader *reader, uint64_t first, uint64_t last);
int record_reader_next(struct record_reader *reader, struct record_row *ret);
/* Calls each(ctx, ns, name, n) for every namespace but 0. */
int record_reader_namespaces(struct record_reader *reader,
                             int (*each)(void *ctx, uint32_t ns, const char *name, size_t n),
                             void *ctx);

/* Declared indexes ---------------------------------------------------------------------------- */

/* Which indexes there are to be is part of the truth; the indexes themselves are derived. */
#define RECORD_INDEX_NAME_SIZE 65
#define RECORD_INDEX_KIND_SIZE 16
#define RECORD_INDEX_PARAMS_MAX 64

struct record_index {
	char name[RECORD_INDEX_NAME_SIZE];
	char kind[RECORD_INDEX_KIND_SIZE];
	uint8_t params[RECORD_INDEX_PARAMS_MAX]; /* in the kind's own encoding */
	uint32_t n_params;
};

/* Adds it or takes the place of the one of that name; durable when it returns. */
int record_writer_declare_index(struct record_writer *writer, const struct record_index *index);
/* Fine when there is none; durable when it returns. */
int record_writer_undeclare_index(struct record_writer *writer, const char *name);
/* Calls each(ctx, index) for all, by name. */
int record_reader_indexes(struct record_reader *reader,
                          int (*each)(void *ctx, const struct record_index *index), void *ctx);

/* Maintenance --------------------------------------------------------------------------------- */

/* How far the WAL's frames reach, as of the last commit: what a checkpoint has to move, and what
 * the WAL's bound is kept on. Begins again when a commit begins the WAL anew, which it does once a
 * checkpoint moved everything and no reader needs the old frames. The file itself is as long as it
 * ever had to be and is cut back to 24 MiB when the WAL begins anew after growing beyond; after
 * open() the answer is the file's size, until the first commit. Cheap after each commit. [any] */
uint64_t record_store_wal_bytes(struct record_store *store);
/* What the WAL's file takes on the disk, with what frames that are not of use any more left. [any]
 */
uint64_t record_store_wal_file_bytes(struct record_store *store);
/* The pages of the database file, in use and free, as of the writer's last reap or compact. Free
 * ones are used again before it grows. */
struct record_space {
	uint64_t used_bytes, free_bytes;
	bool is_compactable; /* false: compact() does nothing. Made so before it could be. */
};
struct record_space record_store_space(struct record_store *store); /* [any] */
/* Of the database in dir, what the live records take: its pages in use, by the share of rows that
 * are live. Outcomes and errors as those of open(). */
int record_store_live_bytes(struct store_io *io, const char *dir, uint64_t *ret_bytes);
/* Moves the WAL into the database, as far as readers allow. restart: all of it, and then
 * begins the WAL anew, so that a start after a kill has next to nothing to read; this needs that
 * nobody writes and no reader is open (RECORD_STORE_BUSY, at once); a writer that begins
 * meanwhile waits for it. */
int record_store_checkpoint(struct record_store *store, bool restart);
/* A restart checkpoint after which the WAL's file is no longer than keep_bytes, for when its room
 * is needed: frames to come have to grow it again. RECORD_STORE_BUSY too when a writer began the
 * WAL anew before it could. */
int record_store_cut_wal(struct record_store *store, uint64_t keep_bytes);
/* Its end leaves the WAL for the next open, instead of moving it. */
void record_store_keep_wal(struct record_store *store);
/* Give back what the connection's page cache holds; by its owner, with nothing open. (SQLite can
 * do this for the whole process only where it was built for it, and Debian's was not.) */
void record_writer_release_memory(struct record_writer *writer);
void record_reader_release_memory(struct record_reader *reader);
