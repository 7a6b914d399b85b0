/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sql.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/sqlite_vfs.h"

/* How long a connection waits for a lock that somebody else holds: a restart checkpoint, or a
 * shell that a person opened beside the daemon. */
#define BUSY_TIMEOUT_MS 10000

/* Instructions of SQLite's machine between two looks at a flag: some 50 us. */
#define CANCEL_STEPS 1000

static _Thread_local char last_error[256];

static int errno_of(sqlite3 *db, int rc)
{
	int system_errno;

	if (rc == SQLITE_IOERR_NOMEM)
		return -ENOMEM;
	if (rc == SQLITE_CANTOPEN_SYMLINK)
		return -ELOOP;
	if (rc == SQLITE_IOERR_SHMSIZE) /* the -shm file could not grow */
		return -ENOSPC;
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		/* We never ask for what a sound database would refuse. */
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_INTERRUPT:
		return -ECANCELED;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_TOOBIG:
		return -E2BIG;
	case SQLITE_MISUSE:
	case SQLITE_RANGE:
		return -EINVAL;
	case SQLITE_CANTOPEN:
		system_errno = db ? sqlite3_system_errno(db) : 0;
		return system_errno > 0 ? -system_errno : -EIO;
	default:
		return -EIO;
	}
}

int sql_fail(sqlite3 *db, int rc)
{
	snprintf(last_error, sizeof(last_error), "%s (SQLite code %d)",
	         db ? sqlite3_errmsg(db) : sqlite3_errstr(rc), rc);
	return errno_of(db, rc);
}

int sql_fail_because(int error, const char *why)
{
	snprintf(last_error, sizeof(last_error), "%s", why);
	return error;
}

const char *sql_last_error(void)
{
	return last_error;
}

int sql_open(struct store_io *io, const char *path, int flags, sqlite3 **ret)
{
	const char *vfs;
	sqlite3 *db = NULL;
	int r;

	r = sqlite_vfs_for(io, &vfs);
	if (r < 0)
		return sql_fail_because(r, "cannot register the VFS");
	r = sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
	if (r != SQLITE_OK) {
		r = sql_fail(db, r);
		(void)sqlite3_close_v2(db); /* it was never open */
		return r;
	}
	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	/* A database that was tampered with must not run code of its own. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	*ret = db;
	return 0;
}

int sql_configure(sqlite3 *db, size_t cache_bytes)
{
	char text[384];

	snprintf(text, sizeof(text),
	         "PRAGMA cache_size = -%zu;"
	         "PRAGMA synchronous = FULL;"
	         "PRAGMA wal_autocheckpoint = 0;"
	         "PRAGMA journal_size_limit = %d;"
	         "PRAGMA foreign_keys = OFF;"
	         "PRAGMA temp_store = MEMORY;"
	         /* Freed pages are overwritten only where they are written anyway. */
	         "PRAGMA secure_delete = FAST;"
	         "PRAGMA cell_size_check = ON;",
	         cache_bytes / 1024 + 1, SQL_WAL_KEEP_BYTES);
	return sql_exec(db, text);
}

sqlite3 *sql_close(sqlite3 *db)
{
	/* SQLite keeps it to itself when a file cannot be closed, or its WAL not be moved or
	 * removed. Each commit was synced, and a WAL that is left is read by the next open. */
	(void)sqlite3_close_v2(db);
	return NULL;
}

static int is_cancelled(void *cancelled)
{
	return atomic_load_explicit((const atomic_bool *)cancelled, memory_order_relaxed);
}

void sql_cancel_by(sqlite3 *db, const atomic_bool *cancelled)
{
	sqlite3_progress_handler(db, cancelled ? CANCEL_STEPS : 0, cancelled ? is_cancelled : NULL,
	                         (void *)(uintptr_t)cancelled);
}

int sql_exec(sqlite3 *db, const char *text)
{
	int rc = sqlite3_exec(db, text, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sql_fail(db, rc);
}

int sql_query_int(sqlite3 *db, const char *text, int64_t *ret)
{
	sqlite3_stmt *stmt;
	int64_t value = 0;
	int r;

	r = sql_prepare(db, text, &stmt);
	if (r < 0)
		return r;
	r = sql_step(stmt);
	if (r == SQL_ROW)
		value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	if (r < 0)
		return r;
	*ret = value;
	return 0;
}

int sql_prepare(sqlite3 *db, const char *text, sqlite3_stmt **ret)
{
	int rc = sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return rc == SQLITE_OK ? 0 : sql_fail(db, rc);
}

int sql_prepare_all(sqlite3 *db, const char *const *texts, size_t n, sqlite3_stmt **ret)
{
	for (size_t i = 0; i < n; i++) {
		int r = sql_prepare(db, texts[i], &ret[i]);

		if (r < 0) {
			sql_finalize_all(ret, i);
			return r;
		}
	}
	return 0;
}

void sql_finalize_all(sqlite3_stmt **stmts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sqlite3_finalize(stmts[i]);
		stmts[i] = NULL;
	}
}

int sql_step(sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return SQL_ROW;
	return rc == SQLITE_DONE ? 0 : sql_fail(sqlite3_db_handle(stmt), rc);
}

int sql_run(sqlite3_stmt *stmt)
{
	int r = sql_step(stmt);

	sqlite3_reset(stmt);
	return r < 0 ? r : 0;
}

static int bound(sqlite3_stmt *stmt, int rc)
{
	return rc == SQLITE_OK ? 0 : sql_fail(sqlite3_db_handle(stmt), rc);
}

int sql_bind_u64(sqlite3_stmt *stmt, int idx, uint64_t value)
{
	return bound(stmt, sqlite3_bind_int64(stmt, idx, (int64_t)value));
}

int sql_bind_limit(sqlite3_stmt *stmt, int idx, uint64_t value)
{
	return sql_bind_u64(stmt, idx, value > INT64_MAX ? INT64_MAX : value);
}

int sql_bind_text(sqlite3_stmt *stmt, int idx, const char *data, size_t n)
{
	return bound(stmt, sqlite3_bind_text64(stmt, idx, data, n, SQLITE_STATIC, SQLITE_UTF8));
}

int sql_bind_blob(sqlite3_stmt *stmt, int idx, const void *data, size_t n)
{
	return bound(stmt, sqlite3_bind_blob64(stmt, idx, data, n, SQLITE_STATIC));
}

int sql_bind_id(sqlite3_stmt *stmt, int idx, const struct record_id *id)
{
	return id->text ? sql_bind_text(stmt, idx, id->text, id->n)
	                : sql_bind_u64(stmt, idx, id->number);
}

const char *sql_column_text(sqlite3_stmt *stmt, int idx, uint32_t *ret_n)
{
	const char *data = (const char *)sqlite3_column_text(stmt, idx);

	*ret_n = data ? (uint32_t)sqlite3_column_bytes(stmt, idx) : 0;
	return data;
}

const void *sql_column_blob(sqlite3_stmt *stmt, int idx, size_t *ret_n)
{
	const void *data = sqlite3_column_blob(stmt, idx);

	*ret_n = (size_t)sqlite3_column_bytes(stmt, idx);
	if (!data && sqlite3_column_type(stmt, idx) == SQLITE_BLOB)
		data = ""; /* SQLite gives NULL for an empty one */
	return data;
}

int sql_column_id(sqlite3_stmt *stmt, int idx, struct record_id *ret)
{
	struct record_id id = {0};

	switch (sqlite3_column_type(stmt, idx)) {
	case SQLITE_INTEGER:
		id.number = sql_column_u64(stmt, idx);
		break;
	case SQLITE_TEXT:
		id.text = sql_column_text(stmt, idx, &id.n);
		if (!id.text)
			return sql_fail_because(-ENOMEM, "out of memory");
		break;
	default:
		return sql_fail_because(-EBADMSG, "an id is neither text nor integer");
	}
	*ret = id;
	return 0;
}
