/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VACUUM INTO reads one snapshot and writes a new database page by page, over the same VFS.
 * Rejected: SQLite's backup API, which begins again when somebody writes between its steps, or
 * holds the snapshot just as long, and copies free pages too.
 */
#include "storage/record_copy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/record_check.h"
#include "storage/record_schema.h"
#include "storage/record_state.h"
#include "storage/sql.h"

#define FILE_NAME "records.db"
/* It reads each page once. */
#define COPY_CACHE_BYTES (1 << 20)
/* Of SQLite's machine, between two looks at why to stop: some dozens of records. */
#define COPY_STEPS 100

struct stop {
	const atomic_bool *cancelled;
	const struct reserve *reserve;
};

static int is_to_stop(void *ctx)
{
	const struct stop *stop = ctx;

	return reserve_why_stop(stop->reserve, stop->cancelled) != 0;
}

static int vacuum_into(sqlite3 *db, const char *path)
{
	sqlite3_stmt *stmt;
	int r = sql_prepare(db, "VACUUM main INTO ?1", &stmt);

	if (r < 0)
		return r;
	r = sqlite3_bind_text(stmt, 1, path, -1, SQLITE_STATIC) == SQLITE_OK ? sql_run(stmt)
	                                                                     : -ENOMEM;
	sqlite3_finalize(stmt);
	return r;
}

/* The copy of a database that was made before free pages could leave it is better than that. */
static int make_compactable(sqlite3 *db)
{
	int64_t mode;
	int r = sql_query_int(db, "PRAGMA auto_vacuum", &mode);

	/* Writes to the database, but for one without: there it is what VACUUM is to make. */
	return r == 0 && mode == 0 ? sql_exec(db, "PRAGMA auto_vacuum = INCREMENTAL") : r;
}

/* Who reads the copy has its sizes from elsewhere: from a catalog. */
static bool is_same(const struct record_spec *a, const struct record_spec *b)
{
	return uuid_equal(&a->uuid, &b->uuid) && a->dim == b->dim && a->metric == b->metric &&
	       a->dtype == b->dtype && strcmp(a->space, b->space) == 0;
}

static int write_copy(struct store_io *io, const char *from, const char *to,
                      const struct record_spec *wanted, struct stop *stop)
{
	struct record_spec spec;
	sqlite3 *db;
	int version;
	int r = sql_open(io, from, SQLITE_OPEN_READWRITE, &db);

	if (r < 0)
		return r == -ENOENT ? RECORD_STORE_MISSING : r;
	sqlite3_progress_handler(db, COPY_STEPS, is_to_stop, stop);
	r = record_schema_check(db, &version);
	if (r == 0)
		r = sql_configure(db, COPY_CACHE_BYTES);
	if (r == 0)
		r = record_schema_read_spec(db, &spec);
	if (r == 0 && !is_same(&spec, wanted))
		r = RECORD_STORE_FOREIGN;
	if (r == 0)
		r = make_compactable(db);
	if (r == 0)
		r = vacuum_into(db, to);
	sql_close(db);
	/* SQLite does not tell why it was stopped, and the reserve may be held again. */
	if (r == -ECANCELED && !atomic_load_explicit(stop->cancelled, memory_order_relaxed))
		return -ENOSPC;
	return r;
}

/* A new database keeps no WAL yet, and was not synced. */
static int settle(struct store_io *io, const char *path, struct record_copy *ret)
{
	struct record_store_state state;
	struct store_file *file;
	sqlite3 *db;
	int r = sql_open(io, path, SQLITE_OPEN_READWRITE, &db);
	int r_close;

	if (r < 0)
		return r;
	r = sql_configure(db, COPY_CACHE_BYTES);
	if (r == 0)
		r = sql_exec(db, "PRAGMA journal_mode = WAL");
	if (r == 0)
		r = record_state_read(db, &state);
	sql_close(db);
	if (r == 0)
		r = store_open(io, path, STORE_READ | STORE_WRITE, &file);
	if (r < 0)
		return r;
	r = store_sync(file);
	if (r == 0)
		r = store_size(file, &ret->size_bytes);
	r_close = store_close(file);
	if (r == 0)
		r = r_close;
	ret->seq = state.seq;
	ret->n_records = state.n_live;
	return r;
}

/* The words of the first problem stay for the log. */
static int expect_sound(struct store_io *io, const char *dir, const struct uuid *uuid,
                        const atomic_bool *cancelled)
{
	struct record_check check;
	int r = record_check(io, dir, uuid, cancelled, NULL, NULL, &check);

	if (r < 0)
		return r;
	return check.n_problems > 0 ? -EBADMSG : 0;
}

int record_copy(struct store_io *io, const char *dir, const char *to_dir,
                const struct record_spec *spec, const atomic_bool *cancelled,
                const struct reserve *reserve, struct record_copy *ret)
{
	struct stop stop = {cancelled, reserve};
	char *from = NULL, *to = NULL;
	int r = reserve_why_stop(reserve, cancelled);

	if (r < 0)
		return r;
	if (asprintf(&from, "%s/" FILE_NAME, dir) < 0)
		return -ENOMEM;
	if (asprintf(&to, "%s/" FILE_NAME, to_dir) < 0) {
		free(from);
		return -ENOMEM;
	}
	r = write_copy(io, from, to, spec, &stop);
	if (r == 0)
		r = expect_sound(io, to_dir, &spec->uuid, cancelled);
	if (r == 0)
		r = settle(io, to, ret);
	if (r == 0)
		r = store_sync_dir(io, to_dir);
	if (r == 0)
		r = reserve_why_stop(reserve, cancelled);
	free(from);
	free(to);
	return r;
}
