/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/record_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/record_schema.h"
#include "storage/record_state.h"
#include "storage/sql.h"

#define FILE_NAME "records.db"
#define CHECK_CACHE_BYTES (1 << 20)

#define TEXT_OF(n) TEXT_OF_(n)
#define TEXT_OF_(n) #n

/* What must hold between the tables: how many rows break it. */
static const struct {
	const char *count, *problem;
} rules[] = {
        {"SELECT (SELECT count(*) FROM records WHERE retired_seq IS NULL) <> n_live FROM state",
         "the number of records is not the one that is kept"},
        {"SELECT (SELECT count(*) FROM records WHERE retired_seq IS NOT NULL) <> n_retired"
         " FROM state",
         "the number of retired rows is not the one that is kept"},
        {"SELECT (SELECT count(*) FROM retirements) <> n_retirements FROM state",
         "the log of retirements is not as long as it says"},
        {"SELECT count(*) FROM records LEFT JOIN vectors USING (slot)"
         " WHERE vector IS NULL OR length(vector) <>"
         " (SELECT dim * CASE dtype WHEN 0 THEN 4 ELSE 2 END FROM collection)",
         "records without a vector of the collection's dimension"},
        {"SELECT count(*) FROM vectors WHERE slot NOT IN (SELECT slot FROM records)",
         "vectors without a record"},
        {"SELECT count(*) FROM contents WHERE slot NOT IN (SELECT slot FROM records)",
         "texts or metadata without a record"},
        {"SELECT count(*) FROM records WHERE ns NOT IN (SELECT ns FROM namespaces)",
         "records in a namespace that is not there"},
        {"SELECT count(*) FROM records, state WHERE slot >= next_slot OR records.seq > state.seq",
         "records from after the last commit"},
};

struct checking {
	sqlite3 *db;
	void (*tell)(void *ctx, const char *problem);
	void *ctx;
	struct record_check found;
};

static void note(struct checking *checking, const char *problem)
{
	if (checking->found.n_problems++ == 0 && !checking->tell)
		(void)sql_fail_because(-EBADMSG, problem);
	if (checking->tell)
		checking->tell(checking->ctx, problem);
}

/* A database that breaks off is what was looked for. */
static int note_failure(struct checking *checking, int r)
{
	char problem[256];

	if (r != -EBADMSG)
		return r;
	snprintf(problem, sizeof(problem), "%s", sql_last_error());
	note(checking, problem);
	return 0;
}

/* SQLite's answer is a line for each problem, some behind a title. */
static void note_lines(struct checking *checking, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		char line[256];

		snprintf(line, sizeof(line), "%.*s", n < 255 ? (int)n : 255, text);
		if (n > 0 && strncmp(line, "***", 3) != 0 && strcmp(line, "ok") != 0)
			note(checking, line);
		text += n + (text[n] == '\n');
	}
}

static int check_pages(struct checking *checking)
{
	sqlite3_stmt *stmt;
	int r = sql_prepare(checking->db,
	                    "PRAGMA integrity_check(" TEXT_OF(RECORD_CHECK_PROBLEMS) ")", &stmt);

	if (r < 0)
		return r;
	while ((r = sql_step(stmt)) == SQL_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);

		if (!text) {
			r = -ENOMEM;
			break;
		}
		note_lines(checking, text);
	}
	sqlite3_finalize(stmt);
	return r;
}

static int check_rule(struct checking *checking, const char *count, const char *problem)
{
	char text[256];
	int64_t n;
	int r = sql_query_int(checking->db, count, &n);

	if (r < 0 || n == 0)
		return r;
	if (n == 1)
		snprintf(text, sizeof(text), "%s", problem);
	else
		snprintf(text, sizeof(text), "%lld %s", (long long)n, problem);
	note(checking, text);
	return 0;
}

static int check_tables(struct checking *checking)
{
	struct record_store_state state;
	struct record_epochs *epochs = malloc(sizeof(*epochs));
	int r = epochs ? record_state_read_epochs(checking->db, epochs) : -ENOMEM;

	free(epochs);
	if (r == 0)
		r = record_state_read(checking->db, &state);
	if (r == 0)
		checking->found.n_records = state.n_live;
	for (size_t i = 0; r == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
		r = check_rule(checking, rules[i].count, rules[i].problem);
	return r;
}

static int check_owner(struct checking *checking, const struct uuid *uuid)
{
	struct record_spec spec;
	int r = record_schema_read_spec(checking->db, &spec);

	if (r == 0 && !uuid_equal(&spec.uuid, uuid))
		note(checking, "it is another collection's");
	return r;
}

/* Both see one commit: the transaction is of the connection. */
static int check_all(struct checking *checking, const struct uuid *uuid)
{
	int version;
	int r = record_schema_check(checking->db, &version);

	if (r == RECORD_STORE_NEWER || r == RECORD_STORE_FOREIGN) {
		note(checking, r == RECORD_STORE_NEWER ? "it was written by a newer Kith"
		                                       : "it is not a record store");
		return 0;
	}
	if (r == 0)
		r = sql_configure(checking->db, CHECK_CACHE_BYTES);
	if (r == 0)
		r = sql_exec(checking->db, "BEGIN");
	if (r == 0)
		r = check_owner(checking, uuid);
	if (r == 0)
		r = check_pages(checking);
	/* Tables with bad pages would only say the same again. */
	if (r == 0 && checking->found.n_problems == 0 && version >= 2)
		r = check_tables(checking);
	return r;
}

int record_check(struct store_io *io, const char *dir, const struct uuid *uuid,
                 const atomic_bool *cancelled, void (*tell)(void *ctx, const char *problem),
                 void *ctx, struct record_check *ret)
{
	struct checking checking = {.tell = tell, .ctx = ctx};
	char *path;
	int r;

	if (asprintf(&path, "%s/" FILE_NAME, dir) < 0)
		return -ENOMEM;
	r = sql_open(io, path, SQLITE_OPEN_READWRITE, &checking.db);
	free(path);
	if (r == -ENOENT || r == -ELOOP) {
		note(&checking,
		     r == -ENOENT ? "the database is missing" : "the database is a symbolic link");
		*ret = checking.found;
		return 0;
	}
	if (r < 0)
		return r;
	sqlite3_db_config(checking.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sql_cancel_by(checking.db, cancelled);
	r = note_failure(&checking, check_all(&checking, uuid));
	sql_close(checking.db); /* ends the transaction */
	if (r == 0)
		*ret = checking.found;
	return r;
}
