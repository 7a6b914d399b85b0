/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/record_schema.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "storage/record_store.h"
#include "storage/sql.h"

/* "Kith" */
#define APPLICATION_ID 0x4b697468

static const char schema_1[] =
        "CREATE TABLE collection ("
        " one INTEGER PRIMARY KEY CHECK (one = 1),"
        " uuid BLOB NOT NULL,"
        " dim INTEGER NOT NULL,"
        " metric INTEGER NOT NULL,"
        " dtype INTEGER NOT NULL,"
        " space TEXT NOT NULL"
        ") STRICT;"

        "CREATE TABLE state ("
        " one INTEGER PRIMARY KEY CHECK (one = 1),"
        " seq INTEGER NOT NULL,"
        " floor_seq INTEGER NOT NULL,"
        " next_slot INTEGER NOT NULL,"
        " n_live INTEGER NOT NULL,"
        " n_retired INTEGER NOT NULL,"
        " n_retirements INTEGER NOT NULL"
        ") STRICT;"
        "INSERT INTO state VALUES (1, 0, 0, 1, 0, 0, 0);"

        "CREATE TABLE records ("
        " slot INTEGER PRIMARY KEY,"
        " id ANY NOT NULL,"
        " seq INTEGER NOT NULL,"
        " retired_seq INTEGER,"
        " ns INTEGER NOT NULL,"
        " expires_at INTEGER"
        ") STRICT;"
        "CREATE UNIQUE INDEX records_live ON records (id) WHERE retired_seq IS NULL;"
        "CREATE INDEX records_retired ON records (retired_seq) WHERE retired_seq IS NOT NULL;"

        "CREATE TABLE vectors ("
        " slot INTEGER PRIMARY KEY,"
        " vector BLOB NOT NULL"
        ") STRICT;"

        "CREATE TABLE contents ("
        " slot INTEGER PRIMARY KEY,"
        " text TEXT,"
        " meta BLOB,"
        " fields BLOB"
        ") STRICT;"

        "CREATE TABLE fields ("
        " field TEXT NOT NULL,"
        " value ANY NOT NULL,"
        " slot INTEGER NOT NULL,"
        " PRIMARY KEY (field, value, slot)"
        ") STRICT, WITHOUT ROWID;"

        "CREATE TABLE namespaces ("
        " ns INTEGER PRIMARY KEY,"
        " name TEXT NOT NULL UNIQUE"
        ") STRICT;"
        "INSERT INTO namespaces VALUES (0, '');"

        "CREATE TABLE retirements ("
        " seq INTEGER NOT NULL,"
        " slot INTEGER NOT NULL,"
        " PRIMARY KEY (seq, slot)"
        ") STRICT, WITHOUT ROWID;"

        "CREATE TABLE indexes ("
        " name TEXT PRIMARY KEY,"
        " kind TEXT NOT NULL,"
        " params BLOB NOT NULL,"
        " state INTEGER NOT NULL"
        ") STRICT, WITHOUT ROWID;"

        "CREATE TABLE evaluation_sets ("
        " evaluation_set INTEGER PRIMARY KEY,"
        " name TEXT NOT NULL UNIQUE,"
        " seq INTEGER NOT NULL,"
        " k INTEGER NOT NULL,"
        " params BLOB NOT NULL"
        ") STRICT;"

        "CREATE TABLE evaluation_queries ("
        " evaluation_set INTEGER NOT NULL,"
        " query INTEGER NOT NULL,"
        " vector BLOB,"
        " text TEXT,"
        " truth BLOB NOT NULL,"
        " PRIMARY KEY (evaluation_set, query)"
        ") STRICT, WITHOUT ROWID;"

        "CREATE TABLE trials ("
        " trial INTEGER PRIMARY KEY,"
        " evaluation_set INTEGER NOT NULL,"
        " index_name TEXT NOT NULL,"
        " started_ms INTEGER NOT NULL,"
        " params BLOB NOT NULL,"
        " result BLOB"
        ") STRICT;";

/* Epochs. What was derived from a database of version 1 says nothing of its history, so the first
 * one begins here. */
static const char schema_2[] = "CREATE TABLE epochs ("
                               " number INTEGER PRIMARY KEY,"
                               " epoch BLOB NOT NULL UNIQUE,"
                               " seq INTEGER NOT NULL,"
                               " next_slot INTEGER NOT NULL"
                               ") STRICT;"
                               "INSERT INTO epochs"
                               " SELECT 1, randomblob(16), seq, next_slot FROM state;";

/* steps[v] leads from version v to v + 1. */
static const char *const steps[] = {schema_1, schema_2};

_Static_assert(sizeof(steps) / sizeof(steps[0]) == RECORD_STORE_SCHEMA_VERSION,
               "one step for each version");

int record_schema_check(sqlite3 *db, int *ret_version)
{
	int64_t application_id, version;
	int r;

	r = sql_query_int(db, "PRAGMA application_id", &application_id);
	if (r == -EBADMSG && (sqlite3_errcode(db) & 0xff) == SQLITE_NOTADB)
		return RECORD_STORE_FOREIGN;
	if (r < 0)
		return r;
	if (application_id != APPLICATION_ID)
		return RECORD_STORE_FOREIGN;
	r = sql_query_int(db, "PRAGMA user_version", &version);
	if (r < 0)
		return r;
	if (version > RECORD_STORE_SCHEMA_VERSION)
		return RECORD_STORE_NEWER;
	if (version < 1)
		return RECORD_STORE_FOREIGN;
	*ret_version = (int)version;
	return 0;
}

static int run_step(sqlite3 *db, int from)
{
	char stamp[96];
	int r;

	snprintf(stamp, sizeof(stamp), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
	         APPLICATION_ID, from + 1);
	r = sql_exec(db, "BEGIN IMMEDIATE");
	if (r < 0)
		return r;
	r = sql_exec(db, steps[from]);
	if (r == 0)
		r = sql_exec(db, stamp);
	if (r == 0)
		r = sql_exec(db, "COMMIT");
	if (r < 0 && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int record_schema_migrate(sqlite3 *db, int version)
{
	for (int from = version; from < RECORD_STORE_SCHEMA_VERSION; from++) {
		int r = run_step(db, from);

		if (r < 0)
			return r;
	}
	return 0;
}

int record_schema_write_spec(sqlite3 *db, const struct record_spec *spec)
{
	sqlite3_stmt *stmt;
	int r;

	r = sql_prepare(db, "INSERT INTO collection VALUES (1, ?1, ?2, ?3, ?4, ?5)", &stmt);
	if (r < 0)
		return r;
	sql_bind_blob(stmt, 1, spec->uuid.bytes, sizeof(spec->uuid.bytes));
	sql_bind_u64(stmt, 2, spec->dim);
	sql_bind_u64(stmt, 3, spec->metric);
	sql_bind_u64(stmt, 4, spec->dtype);
	sql_bind_text(stmt, 5, spec->space, strlen(spec->space));
	r = sql_run(stmt);
	sqlite3_finalize(stmt);
	return r;
}

static int decode_spec(sqlite3_stmt *stmt, struct record_spec *ret)
{
	struct record_spec spec = {0};
	size_t uuid_n;
	uint32_t space_n;
	const void *uuid = sql_column_blob(stmt, 0, &uuid_n);
	const char *space = sql_column_text(stmt, 4, &space_n);
	uint64_t dim = sql_column_u64(stmt, 1);

	if (uuid_n != sizeof(spec.uuid.bytes) || !space || space_n >= sizeof(spec.space) ||
	    dim == 0 || dim > UINT32_MAX)
		return sql_fail_because(-EBADMSG, "the collection's row makes no sense");
	memcpy(spec.uuid.bytes, uuid, uuid_n);
	memcpy(spec.space, space, space_n);
	spec.dim = (uint32_t)dim;
	spec.metric = (uint32_t)sqlite3_column_int(stmt, 2);
	spec.dtype = (uint32_t)sqlite3_column_int(stmt, 3);
	*ret = spec;
	return 0;
}

int record_schema_read_spec(sqlite3 *db, struct record_spec *ret)
{
	sqlite3_stmt *stmt;
	int r;

	r = sql_prepare(db, "SELECT uuid, dim, metric, dtype, space FROM collection", &stmt);
	if (r < 0)
		return r;
	r = sql_step(stmt);
	if (r == SQL_ROW)
		r = decode_spec(stmt, ret);
	else if (r == 0)
		r = sql_fail_because(-EBADMSG, "the collection's row is missing");
	sqlite3_finalize(stmt);
	return r;
}
