/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading. Every query of rows gives the same columns in the same places; what was not asked for
 * is a literal NULL and its table is not joined. The texts are composed from the kind of query
 * and the wanted parts and prepared when first used, so that a worker keeps just the few that its
 * work needs.
 *
 * A walk and a lookup have a statement each, so that lookups may happen during a walk. The rows of
 * each point into its statement, which is reset by the next call of its own.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/record_state.h"
#include "storage/record_store_private.h"
#include "storage/sql.h"

enum query {
	QUERY_LIVE,    /* ?1 id */
	QUERY_RETIRED, /* ?1 id, ?2 seq */
	QUERY_SLOT,    /* ?1 slot */
	QUERY_SCAN,    /* ?1 after_slot, ?2 seq */
	QUERY_SCAN_NS, /* ?1 after_slot, ?2 seq, ?3 ns */
	QUERY_N,
};

static const struct {
	const char *from;
	const char *where;
} queries[QUERY_N] = {
        [QUERY_LIVE] = {"records r", "r.id = ?1 AND r.retired_seq IS NULL"},
        /* Versions that were retired after a seq that is pinned are few. */
        [QUERY_RETIRED] = {"records r INDEXED BY records_retired",
                           "r.id = ?1 AND r.retired_seq > ?2 AND r.seq <= ?2"},
        [QUERY_SLOT] = {"records r", "r.slot = ?1"},
        [QUERY_SCAN] = {"records r NOT INDEXED",
                        "r.slot > ?1 AND r.seq <= ?2"
                        " AND (r.retired_seq IS NULL OR r.retired_seq > ?2)"
                        " ORDER BY r.slot"},
        [QUERY_SCAN_NS] = {"records r NOT INDEXED",
                           "r.slot > ?1 AND r.seq <= ?2"
                           " AND (r.retired_seq IS NULL OR r.retired_seq > ?2)"
                           " AND r.ns = ?3 ORDER BY r.slot"},
};

enum column {
	COLUMN_SLOT,
	COLUMN_ID,
	COLUMN_SEQ,
	COLUMN_NS,
	COLUMN_EXPIRES_AT,
	COLUMN_VECTOR,
	COLUMN_TEXT,
	COLUMN_META,
	COLUMN_NS_NAME,
};

#define WANT_ALL (RECORD_WANT_VECTOR | RECORD_WANT_TEXT | RECORD_WANT_META | RECORD_WANT_NAMESPACE)

enum reader_stmt {
	READER_BEGIN,
	READER_COMMIT,
	READER_NAMESPACES,
	READER_VECTORS,
	READER_N_STMTS,
};

static const char *const texts[READER_N_STMTS] = {
        [READER_BEGIN] = "BEGIN",
        [READER_COMMIT] = "COMMIT",
        [READER_NAMESPACES] = "SELECT ns, name FROM namespaces WHERE ns > 0 ORDER BY ns",
        [READER_VECTORS] = ("SELECT slot, vector FROM vectors WHERE slot BETWEEN ?1 AND ?2"
                            " ORDER BY slot"),
};

struct record_reader {
	struct record_store *store;
	sqlite3 *db;
	sqlite3_stmt *stmts[READER_N_STMTS];
	sqlite3_stmt *queries[QUERY_N][WANT_ALL + 1]; /* NULL until used */
	sqlite3_stmt *lookup;                         /* whose row is handed out, or NULL */
	sqlite3_stmt *walk;                           /* NULL: none, or at its end */
	unsigned walk_want;
	uint64_t walk_slot; /* that it is behind */
};

/* Life ---------------------------------------------------------------------------------------- */

int record_reader_new(struct record_store *store, struct record_reader **ret)
{
	struct record_reader *reader;
	int r;

	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->store = store;
	r = record_store_connect(store, SQLITE_OPEN_READONLY, &reader->db);
	if (r == 0)
		r = sql_prepare_all(reader->db, texts, READER_N_STMTS, reader->stmts);
	if (r < 0) {
		record_reader_free(reader);
		return r;
	}
	*ret = reader;
	return 0;
}

struct record_reader *record_reader_free(struct record_reader *reader)
{
	if (!reader)
		return NULL;
	sql_finalize_all(reader->stmts, READER_N_STMTS);
	for (int query = 0; query < QUERY_N; query++)
		sql_finalize_all(reader->queries[query], WANT_ALL + 1);
	sql_close(reader->db);
	free(reader);
	return NULL;
}

static void reset(sqlite3_stmt **stmt)
{
	if (*stmt)
		sqlite3_reset(*stmt);
	*stmt = NULL;
}

int record_reader_begin(struct record_reader *reader)
{
	return sql_run(reader->stmts[READER_BEGIN]);
}

void record_reader_end(struct record_reader *reader)
{
	reset(&reader->lookup);
	reset(&reader->walk);
	if (!sqlite3_get_autocommit(reader->db))
		sql_run(reader->stmts[READER_COMMIT]);
}

void record_reader_release_memory(struct record_reader *reader)
{
	sqlite3_db_release_memory(reader->db);
}

/* Queries ------------------------------------------------------------------------------------- */

static int prepare_query(struct record_reader *reader, enum query query, unsigned want,
                         sqlite3_stmt **ret)
{
	bool content = want & (RECORD_WANT_TEXT | RECORD_WANT_META);
	char text[640];
	int n;

	n = snprintf(text, sizeof(text),
	             "SELECT r.slot, r.id, r.seq, r.ns, r.expires_at, %s, %s, %s, %s FROM %s"
	             "%s%s%s WHERE %s",
	             want & RECORD_WANT_VECTOR ? "v.vector" : "NULL",
	             want & RECORD_WANT_TEXT ? "c.text" : "NULL",
	             want & RECORD_WANT_META ? "c.meta" : "NULL",
	             want & RECORD_WANT_NAMESPACE ? "n.name" : "NULL", queries[query].from,
	             want & RECORD_WANT_VECTOR ? " LEFT JOIN vectors v ON v.slot = r.slot" : "",
	             content ? " LEFT JOIN contents c ON c.slot = r.slot" : "",
	             want & RECORD_WANT_NAMESPACE ? " LEFT JOIN namespaces n ON n.ns = r.ns" : "",
	             queries[query].where);
	if (n < 0 || (size_t)n >= sizeof(text))
		return -EOVERFLOW;
	return sql_prepare(reader->db, text, ret);
}

static int get_query(struct record_reader *reader, enum query query, unsigned want,
                     sqlite3_stmt **ret)
{
	sqlite3_stmt **stmt = &reader->queries[query][want & WANT_ALL];
	int r;

	if (!*stmt) {
		r = prepare_query(reader, query, want, stmt);
		if (r < 0)
			return r;
	}
	*ret = *stmt;
	return 0;
}

static int take_vector(struct record_reader *reader, sqlite3_stmt *stmt, int column,
                       const void **ret)
{
	size_t n;
	const void *vector = sql_column_blob(stmt, column, &n);

	if (!vector || n != reader->store->vector_bytes)
		return sql_fail_because(-EBADMSG, "a stored vector is missing or has the wrong "
		                                  "length");
	*ret = vector;
	return 0;
}

static int take_row(struct record_reader *reader, sqlite3_stmt *stmt, unsigned want,
                    struct record_row *ret)
{
	struct record_row row = {
	        .slot = sql_column_u64(stmt, COLUMN_SLOT),
	        .seq = sql_column_u64(stmt, COLUMN_SEQ),
	        .ns = (uint32_t)sql_column_u64(stmt, COLUMN_NS),
	        .record.expires_at = sqlite3_column_int64(stmt, COLUMN_EXPIRES_AT),
	};
	int r;

	r = sql_column_id(stmt, COLUMN_ID, &row.record.id);
	if (r < 0)
		return r;
	if (want & RECORD_WANT_VECTOR) {
		r = take_vector(reader, stmt, COLUMN_VECTOR, &row.record.vector);
		if (r < 0)
			return r;
	}
	if (want & RECORD_WANT_TEXT)
		row.record.text = sql_column_text(stmt, COLUMN_TEXT, &row.record.text_n);
	if (want & RECORD_WANT_META)
		row.record.meta.blob = sql_column_blob(stmt, COLUMN_META, &row.record.meta.blob_n);
	if (want & RECORD_WANT_NAMESPACE) {
		row.ns_name = sql_column_text(stmt, COLUMN_NS_NAME, &row.ns_name_n);
		if (!row.ns_name)
			return sql_fail_because(-EBADMSG, "a record's namespace is unknown");
	}
	*ret = row;
	return 0;
}

/* Lookups ------------------------------------------------------------------------------------- */

int record_reader_state(struct record_reader *reader, struct record_store_state *ret)
{
	return record_state_read(reader->db, ret);
}

int record_reader_epochs(struct record_reader *reader, struct record_epochs *ret)
{
	return record_state_read_epochs(reader->db, ret);
}

/* Hands out the row of the statement that was just stepped with result r. */
static int take_lookup(struct record_reader *reader, sqlite3_stmt *stmt, int r, unsigned want,
                       struct record_row *ret)
{
	reader->lookup = stmt;
	if (r == SQL_ROW)
		return take_row(reader, stmt, want, ret);
	reset(&reader->lookup);
	return r == 0 ? RECORD_STORE_MISSING : r;
}

int record_reader_by_id(struct record_reader *reader, const struct record_id *id, uint64_t seq,
                        unsigned want, struct record_row *ret)
{
	sqlite3_stmt *stmt;
	int r;

	reset(&reader->lookup);
	r = get_query(reader, QUERY_LIVE, want, &stmt);
	if (r < 0)
		return r;
	sql_bind_id(stmt, 1, id);
	r = sql_step(stmt);
	if (r < 0 || (r == SQL_ROW && sql_column_u64(stmt, COLUMN_SEQ) <= seq))
		return take_lookup(reader, stmt, r, want, ret);
	sqlite3_reset(stmt);

	r = get_query(reader, QUERY_RETIRED, want, &stmt);
	if (r < 0)
		return r;
	sql_bind_id(stmt, 1, id);
	sql_bind_limit(stmt, 2, seq);
	r = sql_step(stmt);
	return take_lookup(reader, stmt, r, want, ret);
}

int record_reader_by_slot(struct record_reader *reader, uint64_t slot, unsigned want,
                          struct record_row *ret)
{
	sqlite3_stmt *stmt;
	int r;

	reset(&reader->lookup);
	r = get_query(reader, QUERY_SLOT, want, &stmt);
	if (r < 0)
		return r;
	sql_bind_limit(stmt, 1, slot);
	r = sql_step(stmt);
	return take_lookup(reader, stmt, r, want, ret);
}

/* Walks --------------------------------------------------------------------------------------- */

int record_reader_scan(struct record_reader *reader, uint64_t after_slot, int64_t ns, uint64_t seq,
                       unsigned want)
{
	sqlite3_stmt *stmt;
	int r;

	reset(&reader->walk);
	r = get_query(reader, ns < 0 ? QUERY_SCAN : QUERY_SCAN_NS, want, &stmt);
	if (r < 0)
		return r;
	sql_bind_limit(stmt, 1, after_slot);
	sql_bind_limit(stmt, 2, seq);
	if (ns >= 0)
		sql_bind_u64(stmt, 3, (uint64_t)ns);
	reader->walk = stmt;
	reader->walk_want = want;
	reader->walk_slot = after_slot;
	return 0;
}

int record_reader_vectors(struct record_reader *reader, uint64_t first, uint64_t last)
{
	sqlite3_stmt *stmt = reader->stmts[READER_VECTORS];

	reset(&reader->walk);
	sql_bind_limit(stmt, 1, first);
	sql_bind_limit(stmt, 2, last);
	reader->walk = stmt;
	reader->walk_slot = first > 0 ? first - 1 : 0;
	return 0;
}

static int take_vector_row(struct record_reader *reader, struct record_row *ret)
{
	struct record_row row = {.slot = sql_column_u64(reader->walk, 0)};
	int r = take_vector(reader, reader->walk, 1, &row.record.vector);

	if (r == 0)
		*ret = row;
	return r;
}

int record_reader_next(struct record_reader *reader, struct record_row *ret)
{
	int r;

	if (!reader->walk)
		return RECORD_STORE_END;
	r = sql_step(reader->walk);
	if (r == SQL_ROW)
		r = reader->walk == reader->stmts[READER_VECTORS]
		            ? take_vector_row(reader, ret)
		            : take_row(reader, reader->walk, reader->walk_want, ret);
	else if (r == 0)
		r = RECORD_STORE_END;
	/* A page that stands in another's place: what follows comes twice, or never ends. */
	if (r == 0 && ret->slot <= reader->walk_slot)
		r = sql_fail_because(-EBADMSG, "records are not in their order");
	if (r == 0)
		reader->walk_slot = ret->slot;
	else
		reset(&reader->walk);
	return r;
}

int record_reader_namespaces(struct record_reader *reader,
                             int (*each)(void *ctx, uint32_t ns, const char *name, size_t n),
                             void *ctx)
{
	sqlite3_stmt *stmt = reader->stmts[READER_NAMESPACES];
	const char *name;
	uint32_t n;
	int r;

	while ((r = sql_step(stmt)) == SQL_ROW) {
		name = sql_column_text(stmt, 1, &n);
		r = name ? each(ctx, (uint32_t)sql_column_u64(stmt, 0), name, n) : -ENOMEM;
		if (r != 0)
			break;
	}
	sqlite3_reset(stmt);
	return r;
}

sqlite3 *record_reader_db(struct record_reader *reader)
{
	return reader->db;
}
