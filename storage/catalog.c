/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/catalog.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/sql.h"

#define FILE_NAME "catalog.db"
/* "Kthc" */
#define APPLICATION_ID 0x4b746863
#define SCHEMA_VERSION 2
/* Tens of collections fit into a few pages. */
#define CACHE_BYTES (64 << 10)

/* steps[v] leads from version v to v + 1. A dropped collection's name is free at once. */
static const char *const steps[SCHEMA_VERSION] = {
        "CREATE TABLE collections ("
        " uuid BLOB PRIMARY KEY,"
        " name TEXT NOT NULL,"
        " state INTEGER NOT NULL,"
        " dim INTEGER NOT NULL,"
        " metric INTEGER NOT NULL,"
        " dtype INTEGER NOT NULL,"
        " space TEXT NOT NULL,"
        " created_ms INTEGER NOT NULL"
        ") STRICT, WITHOUT ROWID;"
        "CREATE UNIQUE INDEX collections_name ON collections (name) WHERE state < 2;",
        "ALTER TABLE collections ADD COLUMN bulk INTEGER NOT NULL DEFAULT 0;",
};

_Static_assert(CATALOG_DROPPED == 2, "the index of names depends on it");

enum catalog_stmt {
	CATALOG_STMT_EACH,
	CATALOG_STMT_BEGIN,
	CATALOG_STMT_COMMIT,
	CATALOG_STMT_GIVE_UP,
	CATALOG_STMT_ADD,
	CATALOG_STMT_SET_STATE,
	CATALOG_STMT_RENAME,
	CATALOG_STMT_SET_BULK,
	CATALOG_STMT_REMOVE,
	CATALOG_N_STMTS,
};

static const char *const texts[CATALOG_N_STMTS] = {
        [CATALOG_STMT_EACH] = "SELECT uuid, name, state, dim, metric, dtype, space, created_ms,"
                              " bulk FROM collections ORDER BY created_ms, uuid",
        [CATALOG_STMT_BEGIN] = "BEGIN IMMEDIATE",
        [CATALOG_STMT_COMMIT] = "COMMIT",
        [CATALOG_STMT_GIVE_UP] = "UPDATE collections SET state = 2 WHERE name = ?1 AND state = 0",
        [CATALOG_STMT_ADD] = "INSERT INTO collections"
                             " (uuid, name, state, dim, metric, dtype, space, created_ms,"
                             " bulk) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        [CATALOG_STMT_SET_STATE] = "UPDATE collections SET state = ?2"
                                   " WHERE uuid = ?1 AND state < ?2",
        [CATALOG_STMT_RENAME] = "UPDATE collections SET name = ?2 WHERE uuid = ?1 AND state < 2",
        [CATALOG_STMT_SET_BULK] = "UPDATE collections SET bulk = ?2 WHERE uuid = ?1 AND state < 2",
        [CATALOG_STMT_REMOVE] = "DELETE FROM collections WHERE uuid = ?1",
};

struct catalog {
	sqlite3 *db;
	sqlite3_stmt *stmts[CATALOG_N_STMTS];
};

/* Opening ------------------------------------------------------------------------------------- */

/* 0 with the version (0: just made), CATALOG_FOREIGN, CATALOG_NEWER. */
static int check(sqlite3 *db, int64_t *ret_version)
{
	int64_t application_id, version, n_objects;
	int r;

	r = sql_query_int(db, "PRAGMA application_id", &application_id);
	if (r == -EBADMSG && (sqlite3_errcode(db) & 0xff) == SQLITE_NOTADB)
		return CATALOG_FOREIGN;
	if (r == 0)
		r = sql_query_int(db, "PRAGMA user_version", &version);
	if (r == 0)
		r = sql_query_int(db, "SELECT count(*) FROM sqlite_schema", &n_objects);
	if (r < 0)
		return r;
	if (application_id == 0 && version == 0 && n_objects == 0) {
		*ret_version = 0;
		return 0;
	}
	if (application_id != APPLICATION_ID || version < 1)
		return CATALOG_FOREIGN;
	if (version > SCHEMA_VERSION)
		return CATALOG_NEWER;
	*ret_version = version;
	return 0;
}

static int migrate(sqlite3 *db, int64_t version)
{
	char stamp[96];
	int r;

	r = version == 0 ? sql_exec(db, "PRAGMA auto_vacuum = NONE; PRAGMA journal_mode = WAL") : 0;
	for (; r == 0 && version < SCHEMA_VERSION; version++) {
		snprintf(stamp, sizeof(stamp),
		         "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
		         APPLICATION_ID, (int)version + 1);
		r = sql_exec(db, "BEGIN IMMEDIATE");
		if (r == 0)
			r = sql_exec(db, steps[version]);
		if (r == 0)
			r = sql_exec(db, stamp);
	}
	return r; /* closing rolls back */
}

static int prepare(struct catalog *catalog, struct store_io *io, const char *dir)
{
	int64_t version;
	int r;

	r = check(catalog->db, &version);
	if (r != 0)
		return r;
	r = sql_configure(catalog->db, CACHE_BYTES);
	if (r == 0)
		r = migrate(catalog->db, version);
	/* So few pages that a checkpoint inside a commit is never long. */
	if (r == 0)
		r = sql_exec(catalog->db, "PRAGMA wal_autocheckpoint = 100");
	if (r == 0 && version == 0)
		r = store_sync_dir(io, dir);
	if (r == 0)
		r = sql_prepare_all(catalog->db, texts, CATALOG_N_STMTS, catalog->stmts);
	return r;
}

int catalog_open(struct store_io *io, const char *dir, struct catalog **ret)
{
	struct catalog *catalog;
	char *path;
	int r;

	catalog = calloc(1, sizeof(*catalog));
	if (!catalog)
		return -ENOMEM;
	if (asprintf(&path, "%s/" FILE_NAME, dir) < 0) {
		free(catalog);
		return -ENOMEM;
	}
	r = sql_open(io, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &catalog->db);
	free(path);
	if (r == 0)
		r = prepare(catalog, io, dir);
	if (r != 0) {
		catalog_close(catalog);
		return r;
	}
	*ret = catalog;
	return 0;
}

struct catalog *catalog_close(struct catalog *catalog)
{
	if (!catalog)
		return NULL;
	sql_finalize_all(catalog->stmts, CATALOG_N_STMTS);
	sql_close(catalog->db);
	free(catalog);
	return NULL;
}

const char *catalog_last_error(void)
{
	return sql_last_error();
}

/* Entries ------------------------------------------------------------------------------------- */

static int take_entry(sqlite3_stmt *stmt, struct catalog_entry *ret)
{
	struct catalog_entry entry = {
	        .state = (enum catalog_state)sqlite3_column_int(stmt, 2),
	        .spec.dim = (uint32_t)sql_column_u64(stmt, 3),
	        .spec.metric = (uint32_t)sql_column_u64(stmt, 4),
	        .spec.dtype = (uint32_t)sql_column_u64(stmt, 5),
	        .created_ms = sqlite3_column_int64(stmt, 7),
	        .bulk = sqlite3_column_int(stmt, 8) != 0,
	};
	size_t uuid_n;
	uint32_t name_n, space_n;
	const void *uuid = sql_column_blob(stmt, 0, &uuid_n);
	const char *name = sql_column_text(stmt, 1, &name_n);
	const char *space = sql_column_text(stmt, 6, &space_n);

	if (uuid_n != sizeof(entry.spec.uuid.bytes) || !name || name_n >= sizeof(entry.name) ||
	    !space || space_n >= sizeof(entry.spec.space))
		return sql_fail_because(-EBADMSG, "a collection's row makes no sense");
	memcpy(entry.spec.uuid.bytes, uuid, uuid_n);
	memcpy(entry.name, name, name_n);
	memcpy(entry.spec.space, space, space_n);
	*ret = entry;
	return 0;
}

int catalog_each(struct catalog *catalog, int (*each)(void *ctx, const struct catalog_entry *entry),
                 void *ctx)
{
	sqlite3_stmt *stmt = catalog->stmts[CATALOG_STMT_EACH];
	struct catalog_entry entry;
	int r;

	while ((r = sql_step(stmt)) == SQL_ROW) {
		r = take_entry(stmt, &entry);
		if (r == 0)
			r = each(ctx, &entry);
		if (r != 0)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

static bool is_name_taken(struct catalog *catalog, int r)
{
	return r == -EBADMSG && sqlite3_extended_errcode(catalog->db) == SQLITE_CONSTRAINT_UNIQUE;
}

/* Runs a change of one entry. */
static int change(struct catalog *catalog, sqlite3_stmt *stmt)
{
	int r = sql_run(stmt);

	if (is_name_taken(catalog, r))
		return CATALOG_EXISTS;
	if (r < 0)
		return r;
	return sqlite3_changes(catalog->db) == 0 ? CATALOG_MISSING : 0;
}

/* Runs a change that gives the name to an entry. One that was begun under it, and could be neither
 * finished nor taken back, is given up: the next start removes it. */
static int take_name(struct catalog *catalog, const char *name, sqlite3_stmt *stmt)
{
	sqlite3_stmt *give_up = catalog->stmts[CATALOG_STMT_GIVE_UP];
	int r = sql_run(catalog->stmts[CATALOG_STMT_BEGIN]);

	sql_bind_text(give_up, 1, name, strlen(name));
	if (r == 0)
		r = sql_run(give_up);
	if (r == 0)
		r = change(catalog, stmt);
	if (r == 0)
		r = sql_run(catalog->stmts[CATALOG_STMT_COMMIT]);
	if (r != 0 && !sqlite3_get_autocommit(catalog->db))
		sqlite3_exec(catalog->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int catalog_add(struct catalog *catalog, const struct catalog_entry *entry)
{
	sqlite3_stmt *stmt = catalog->stmts[CATALOG_STMT_ADD];

	sql_bind_blob(stmt, 1, entry->spec.uuid.bytes, sizeof(entry->spec.uuid.bytes));
	sql_bind_text(stmt, 2, entry->name, strlen(entry->name));
	sql_bind_u64(stmt, 3, CATALOG_CREATING);
	sql_bind_u64(stmt, 4, entry->spec.dim);
	sql_bind_u64(stmt, 5, entry->spec.metric);
	sql_bind_u64(stmt, 6, entry->spec.dtype);
	sql_bind_text(stmt, 7, entry->spec.space, strlen(entry->spec.space));
	sqlite3_bind_int64(stmt, 8, entry->created_ms);
	sqlite3_bind_int(stmt, 9, entry->bulk);
	return take_name(catalog, entry->name, stmt);
}

int catalog_set_state(struct catalog *catalog, const struct uuid *uuid, enum catalog_state state)
{
	sqlite3_stmt *stmt = catalog->stmts[CATALOG_STMT_SET_STATE];

	assert(state > CATALOG_CREATING);
	sql_bind_blob(stmt, 1, uuid->bytes, sizeof(uuid->bytes));
	sql_bind_u64(stmt, 2, state);
	return change(catalog, stmt);
}

int catalog_rename(struct catalog *catalog, const struct uuid *uuid, const char *name)
{
	sqlite3_stmt *stmt = catalog->stmts[CATALOG_STMT_RENAME];

	sql_bind_blob(stmt, 1, uuid->bytes, sizeof(uuid->bytes));
	sql_bind_text(stmt, 2, name, strlen(name));
	return take_name(catalog, name, stmt);
}

int catalog_set_bulk(struct catalog *catalog, const struct uuid *uuid, bool bulk)
{
	sqlite3_stmt *stmt = catalog->stmts[CATALOG_STMT_SET_BULK];

	sql_bind_blob(stmt, 1, uuid->bytes, sizeof(uuid->bytes));
	sqlite3_bind_int(stmt, 2, bulk);
	return change(catalog, stmt);
}

int catalog_remove(struct catalog *catalog, const struct uuid *uuid)
{
	sqlite3_stmt *stmt = catalog->stmts[CATALOG_STMT_REMOVE];

	sql_bind_blob(stmt, 1, uuid->bytes, sizeof(uuid->bytes));
	return change(catalog, stmt);
}
