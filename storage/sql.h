/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the stores share of SQLite: connections opened the way Kith wants them, statements kept
 * for the life of their owner, and SQLite's results as -errno with the words kept for the log.
 *
 * Invariants: a statement is reset before the function that stepped it returns, unless that
 * function says that its values stay valid; every failure leaves its words for sql_last_error().
 * Threads: a connection and its statements belong to one caller at a time. [worker]
 *
 * Nothing outside storage/ includes this.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "storage/record.h"
#include "storage/store_io.h"

/* Outcomes. */
enum {
	SQL_ROW = 1, /* sql_step(): a row is there; 0 says that there are no more */
};

/* The WAL file is cut back to this size when it is begun anew after it grew beyond. */
#define SQL_WAL_KEEP_BYTES (24 << 20)

/* Errors -------------------------------------------------------------------------------------- */

/* Turns a failed call's result code into -errno and keeps SQLite's words. db may be NULL. */
int sql_fail(sqlite3 *db, int rc);
/* Keeps words of ours and returns error, for what SQLite did not find itself. */
int sql_fail_because(int error, const char *why);
/* The words of the last failure on the calling thread, "" when there was none. Valid until the
 * next failure on that thread. */
const char *sql_last_error(void);

/* Connections --------------------------------------------------------------------------------- */

/* Opens the file over the io's VFS; flags: SQLITE_OPEN_*. Reads nothing of it yet. -ENOENT when it
 * is missing, -ELOOP when it is a symbolic link. */
int sql_open(struct store_io *io, const char *path, int flags, sqlite3 **ret);
/* Sets what each connection of ours has in common: durability, no checkpoint of its own, its share
 * of page cache. Reads the schema: call it after the file was found to be ours. */
int sql_configure(sqlite3 *db, size_t cache_bytes);
/* Closes; all statements were finalized. NULL is fine; returns NULL. */
sqlite3 *sql_close(sqlite3 *db);

/* Statements of the connection end with -ECANCELED soon after the flag became true. It must live as
 * long as the connection; NULL: they cannot be cancelled. */
void sql_cancel_by(sqlite3 *db, const atomic_bool *cancelled);

int sql_exec(sqlite3 *db, const char *text);
/* The first column of the first row as an integer, 0 when there is no row. */
int sql_query_int(sqlite3 *db, const char *text, int64_t *ret);

/* Statements ---------------------------------------------------------------------------------- */

int sql_prepare(sqlite3 *db, const char *text, sqlite3_stmt **ret);
/* Prepares n statements; on failure none is left. */
int sql_prepare_all(sqlite3 *db, const char *const *texts, size_t n, sqlite3_stmt **ret);
void sql_finalize_all(sqlite3_stmt **stmts, size_t n);

/* SQL_ROW, 0 at the end, or an error. Does not reset. */
int sql_step(sqlite3_stmt *stmt);
/* Runs a statement that gives no rows, and resets it. */
int sql_run(sqlite3_stmt *stmt);

/* Binding borrows: the values must live until the statement is reset. Indices count from 1. */
int sql_bind_u64(sqlite3_stmt *stmt, int idx, uint64_t value);
/* For a slot or seq that rows are compared with: SQL's numbers end at INT64_MAX, theirs before. */
int sql_bind_limit(sqlite3_stmt *stmt, int idx, uint64_t value);
/* NULL data binds NULL; empty data does not. */
int sql_bind_text(sqlite3_stmt *stmt, int idx, const char *data, size_t n);
int sql_bind_blob(sqlite3_stmt *stmt, int idx, const void *data, size_t n);
int sql_bind_id(sqlite3_stmt *stmt, int idx, const struct record_id *id);

/* Columns count from 0; pointers are valid until the statement is stepped or reset. */
static inline uint64_t sql_column_u64(sqlite3_stmt *stmt, int idx)
{
	return (uint64_t)sqlite3_column_int64(stmt, idx);
}
/* NULL when the column is NULL, never for an empty value. */
const char *sql_column_text(sqlite3_stmt *stmt, int idx, uint32_t *ret_n);
const void *sql_column_blob(sqlite3_stmt *stmt, int idx, size_t *ret_n);
/* -EBADMSG when it is neither text nor integer. */
int sql_column_id(sqlite3_stmt *stmt, int idx, struct record_id *ret);
