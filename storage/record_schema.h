/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The schema of records.db: its steps from version to version, and who may open what.
 * Nothing outside storage/ includes this.
 */

#include <sqlite3.h>

#include "storage/record.h"

/* Tells whether db is a record store whose version we know: 0, RECORD_STORE_FOREIGN,
 * RECORD_STORE_NEWER. *ret_version is what it has. Writes nothing. */
int record_schema_check(sqlite3 *db, int *ret_version);
/* Runs the steps that version lacks, each in a transaction of its own. 0 makes a new database. */
int record_schema_migrate(sqlite3 *db, int version);

/* The single rows of a new database: its spec and its first state. */
int record_schema_write_spec(sqlite3 *db, const struct record_spec *spec);
int record_schema_read_spec(sqlite3 *db, struct record_spec *ret);
