/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The writer's connection, statements and counters, for the files that hold its operations:
 * record_writer.c (groups, requests, namespaces), record_change.c (one record), record_reap.c.
 */

#include "storage/record_epochs.h"
#include "storage/record_fields.h"
#include "storage/record_store_private.h"
#include "storage/sql.h"

enum writer_stmt {
	WRITER_BEGIN,
	WRITER_COMMIT,
	WRITER_ROLLBACK,
	WRITER_SAVEPOINT,
	WRITER_RELEASE,
	WRITER_ROLLBACK_TO,
	WRITER_COUNT_PAGES,
	WRITER_PUT_STATE,
	WRITER_ADD_EPOCH,
	WRITER_TRIM_EPOCHS,
	WRITER_FIND_NAMESPACE,
	WRITER_ADD_NAMESPACE,
	WRITER_FIND_LIVE,
	WRITER_ADD_RECORD,
	WRITER_TOUCH_RECORD,
	WRITER_RETIRE_RECORD,
	WRITER_REMOVE_RECORD,
	WRITER_GET_VECTOR,
	WRITER_ADD_VECTOR,
	WRITER_REMOVE_VECTOR,
	WRITER_GET_CONTENT,
	WRITER_PUT_CONTENT,
	WRITER_REMOVE_CONTENT,
	WRITER_ADD_FIELD,
	WRITER_REMOVE_FIELD,
	WRITER_LOG_RETIREMENT,
	WRITER_FIND_RETIRED,
	WRITER_FIND_TRIM,
	WRITER_TRIM_LOG,
	WRITER_N_STMTS,
};

/* The state row, and what is counted once at open. All of one type: compared as bytes. */
struct writer_counters {
	uint64_t seq;
	uint64_t floor_seq;
	uint64_t next_slot;
	uint64_t n_live;
	uint64_t n_retired;
	uint64_t n_retirements;
	uint64_t n_namespaces; /* without "" */
	uint64_t next_ns;
};

struct record_writer {
	struct record_store *store;
	sqlite3 *db;
	sqlite3_stmt *stmts[WRITER_N_STMTS];
	struct writer_counters committed;
	struct writer_counters current;
	struct writer_counters before_request;
	bool has_changes; /* the request that is open changed something */
	/* Drawn when the writer is made; the truth has it from the first commit on that raises the
	 * seq, as of the commit before. */
	struct record_epoch epoch;
	bool has_begun_epoch;
	/* Not 0: a commit failed or SQLite gave up the transaction. The writer is spent. */
	int error;
	struct record_fields fields; /* of the record that is being written */
	void *vector;                /* what record_change.vector points to */
};

/* The seq of the request that is open. */
static inline uint64_t record_writer_request_seq(const struct record_writer *writer)
{
	return writer->before_request.seq + 1;
}

/* Passes r on; an error after which SQLite has no transaction any more spends the writer. */
int record_writer_settle(struct record_writer *writer, int r);

/* Removes from the fields table the rows of a packed form, or adds them. */
int record_writer_fields(struct record_writer *writer, enum writer_stmt stmt, uint64_t slot,
                         const void *packed, size_t n_bytes);
