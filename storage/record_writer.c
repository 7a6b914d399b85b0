/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups, requests and namespaces. A group is a transaction, a request a savepoint in it. The
 * counters of the state row live in memory and are written once for a group, at its commit; with
 * each savepoint goes a copy of them, so that undoing a request undoes its counts. Namespaces are
 * looked up in their table (once a request), so undoing forgets those too.
 *
 * Some errors (a full disk, out of memory) make SQLite give up the whole transaction under the
 * savepoint, and after a failed sync nobody knows what is on the disk. In both cases the writer
 * is spent: every call gives that error until it is freed, and a new one reads the state afresh.
 * The frames of the failed commit lie beyond the end that SQLite keeps for the WAL, so the next
 * commit overwrites them; the sync that failed is never tried again. If the process dies before
 * that, recovery may find them whole and take the group as committed, though it was not
 * acknowledged.
 *
 * A commit goes to the WAL, and only later to the database. The room that this will take there is
 * taken before the commit: else a disk that is full by then would keep the WAL from ever beginning
 * anew, and what deletes write would have nowhere to go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/record_state.h"
#include "storage/record_writer_private.h"

/* A growing database takes room on the disk in steps of this. */
#define ROOM_BYTES (256 << 10)

static const char *const texts[WRITER_N_STMTS] = {
        [WRITER_BEGIN] = "BEGIN IMMEDIATE",
        [WRITER_COMMIT] = "COMMIT",
        [WRITER_ROLLBACK] = "ROLLBACK",
        [WRITER_SAVEPOINT] = "SAVEPOINT request",
        [WRITER_RELEASE] = "RELEASE request",
        [WRITER_ROLLBACK_TO] = "ROLLBACK TO request",
        [WRITER_COUNT_PAGES] = "PRAGMA page_count",
        [WRITER_PUT_STATE] = "UPDATE state SET seq = ?1, floor_seq = ?2, next_slot = ?3,"
                             " n_live = ?4, n_retired = ?5, n_retirements = ?6",
        [WRITER_ADD_EPOCH] = "INSERT INTO epochs (epoch, seq, next_slot) VALUES (?1, ?2, ?3)",
        [WRITER_TRIM_EPOCHS] = "DELETE FROM epochs"
                               " WHERE number <= (SELECT max(number) FROM epochs) - ?1",
        [WRITER_FIND_NAMESPACE] = "SELECT ns FROM namespaces WHERE name = ?1",
        [WRITER_ADD_NAMESPACE] = "INSERT INTO namespaces (ns, name) VALUES (?1, ?2)",
        [WRITER_FIND_LIVE] = "SELECT slot, ns, expires_at FROM records"
                             " WHERE id = ?1 AND retired_seq IS NULL",
        /* Does nothing when the id is live: most writes are of new ids and need no other lookup. */
        [WRITER_ADD_RECORD] = "INSERT INTO records (slot, id, seq, ns, expires_at)"
                              " VALUES (?1, ?2, ?3, ?4, ?5)"
                              " ON CONFLICT (id) WHERE retired_seq IS NULL DO NOTHING",
        [WRITER_TOUCH_RECORD] = "UPDATE records SET ns = ?2, expires_at = ?3 WHERE slot = ?1",
        [WRITER_RETIRE_RECORD] = "UPDATE records SET retired_seq = ?2 WHERE slot = ?1",
        [WRITER_REMOVE_RECORD] = "DELETE FROM records WHERE slot = ?1",
        [WRITER_GET_VECTOR] = "SELECT vector FROM vectors WHERE slot = ?1",
        [WRITER_ADD_VECTOR] = "INSERT INTO vectors (slot, vector) VALUES (?1, ?2)",
        [WRITER_REMOVE_VECTOR] = "DELETE FROM vectors WHERE slot = ?1",
        [WRITER_GET_CONTENT] = "SELECT text, meta, fields FROM contents WHERE slot = ?1",
        [WRITER_PUT_CONTENT] = "INSERT OR REPLACE INTO contents (slot, text, meta, fields)"
                               " VALUES (?1, ?2, ?3, ?4)",
        [WRITER_REMOVE_CONTENT] = "DELETE FROM contents WHERE slot = ?1",
        /* A list may hold the same element twice. */
        [WRITER_ADD_FIELD] = "INSERT OR IGNORE INTO fields (field, value, slot)"
                             " VALUES (?1, ?2, ?3)",
        [WRITER_REMOVE_FIELD] = "DELETE FROM fields WHERE field = ?1 AND value = ?2 AND slot = ?3",
        [WRITER_LOG_RETIREMENT] = "INSERT INTO retirements (seq, slot) VALUES (?1, ?2)",
        [WRITER_FIND_RETIRED] = "SELECT slot FROM records INDEXED BY records_retired"
                                " WHERE retired_seq <= ?1 ORDER BY retired_seq LIMIT ?2",
        [WRITER_FIND_TRIM] = "SELECT seq FROM retirements ORDER BY seq, slot LIMIT 1 OFFSET ?1",
        [WRITER_TRIM_LOG] = "DELETE FROM retirements WHERE seq <= ?1",
};

/* Life ---------------------------------------------------------------------------------------- */

static int on_commit(void *ctx, sqlite3 *db, const char *name, int n_frames)
{
	struct record_store *store = ctx;
	uint64_t bytes = 32 + (uint64_t)n_frames * (24 + store->page_bytes);

	(void)db;
	(void)name;
	record_store_note_frames(store, bytes);
	return SQLITE_OK;
}

static int read_counters(struct record_writer *writer)
{
	struct record_store_state state;
	int64_t n_namespaces = 0, last_ns = 0;
	int r;

	r = record_state_read(writer->db, &state);
	if (r == 0)
		r = sql_query_int(writer->db, "SELECT count(*) - 1 FROM namespaces", &n_namespaces);
	if (r == 0)
		r = sql_query_int(writer->db, "SELECT max(ns) FROM namespaces", &last_ns);
	if (r < 0)
		return r;
	writer->committed = (struct writer_counters){
	        .seq = state.seq,
	        .floor_seq = state.floor_seq,
	        .next_slot = state.next_slot,
	        .n_live = state.n_live,
	        .n_retired = state.n_retired,
	        .n_retirements = state.n_retirements,
	        .n_namespaces = (uint64_t)n_namespaces,
	        .next_ns = (uint64_t)last_ns + 1,
	};
	writer->current = writer->before_request = writer->committed;
	return uuid_new(&writer->epoch.id);
}

int record_writer_new(struct record_store *store, struct record_writer **ret)
{
	struct record_writer *writer;
	int r;

	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return -ENOMEM;
	writer->store = store;
	writer->vector = malloc(store->vector_bytes);
	if (!writer->vector) {
		record_writer_free(writer);
		return -ENOMEM;
	}
	r = record_store_connect(store, SQLITE_OPEN_READWRITE, &writer->db);
	if (r == 0)
		r = sql_prepare_all(writer->db, texts, WRITER_N_STMTS, writer->stmts);
	if (r == 0)
		r = read_counters(writer);
	if (r < 0) {
		record_writer_free(writer);
		return r;
	}
	sqlite3_wal_hook(writer->db, on_commit, store);
	*ret = writer;
	return 0;
}

struct record_writer *record_writer_free(struct record_writer *writer)
{
	if (!writer)
		return NULL;
	sql_finalize_all(writer->stmts, WRITER_N_STMTS);
	sql_close(writer->db); /* rolls back what is open */
	record_store_look_at_wal(writer->store);
	record_fields_release(&writer->fields);
	free(writer->vector);
	free(writer);
	return NULL;
}

void record_writer_release_memory(struct record_writer *writer)
{
	sqlite3_db_release_memory(writer->db);
}

/* Groups -------------------------------------------------------------------------------------- */

int record_writer_settle(struct record_writer *writer, int r)
{
	if (r < 0 && writer->error == 0 && sqlite3_get_autocommit(writer->db))
		writer->error = r;
	return r;
}

int record_writer_begin(struct record_writer *writer)
{
	if (writer->error < 0)
		return writer->error;
	/* A failure here leaves nothing open and nothing lost. */
	return sql_run(writer->stmts[WRITER_BEGIN]);
}

static int put_state(struct record_writer *writer)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_PUT_STATE];
	const struct writer_counters *counters = &writer->current;

	if (memcmp(counters, &writer->committed, sizeof(*counters)) == 0)
		return 0;
	sql_bind_u64(stmt, 1, counters->seq);
	sql_bind_u64(stmt, 2, counters->floor_seq);
	sql_bind_u64(stmt, 3, counters->next_slot);
	sql_bind_u64(stmt, 4, counters->n_live);
	sql_bind_u64(stmt, 5, counters->n_retired);
	sql_bind_u64(stmt, 6, counters->n_retirements);
	return sql_run(stmt);
}

/* Before the first seq of this writer: in one transaction with it, so that no crash can part
 * them, and a start that writes nothing costs no commit. */
static int begin_epoch(struct record_writer *writer)
{
	sqlite3_stmt *add = writer->stmts[WRITER_ADD_EPOCH];
	sqlite3_stmt *trim = writer->stmts[WRITER_TRIM_EPOCHS];
	struct record_epoch *epoch = &writer->epoch;
	int r;

	epoch->seq = writer->committed.seq;
	epoch->next_slot = writer->committed.next_slot;
	sql_bind_blob(add, 1, epoch->id.bytes, sizeof(epoch->id.bytes));
	sql_bind_u64(add, 2, epoch->seq);
	sql_bind_u64(add, 3, epoch->next_slot);
	r = sql_run(add);
	if (r < 0)
		return r;
	sql_bind_u64(trim, 1, RECORD_EPOCHS_MAX);
	return sql_run(trim);
}

static int take_room(struct record_writer *writer)
{
	sqlite3_stmt *count = writer->stmts[WRITER_COUNT_PAGES];
	int64_t n_pages;
	int r = sql_step(count);

	n_pages = r == SQL_ROW ? sqlite3_column_int64(count, 0) : 0;
	sqlite3_reset(count);
	return r < 0 ? r : record_store_take_room(writer->store, writer->db, n_pages, ROOM_BYTES);
}

int record_writer_commit(struct record_writer *writer)
{
	bool begins_epoch = !writer->has_begun_epoch && writer->current.seq > writer->committed.seq;
	int r;

	if (writer->error < 0)
		return writer->error;
	r = begins_epoch ? begin_epoch(writer) : 0;
	if (r == 0)
		r = put_state(writer);
	if (r == 0)
		r = take_room(writer);
	if (r == 0)
		r = sql_run(writer->stmts[WRITER_COMMIT]);
	if (r < 0) {
		writer->error = r;
		return r;
	}
	writer->committed = writer->current;
	writer->has_begun_epoch |= begins_epoch;
	return 0;
}

bool record_writer_epoch(const struct record_writer *writer, struct record_epoch *ret)
{
	if (writer->has_begun_epoch)
		*ret = writer->epoch;
	return writer->has_begun_epoch;
}

void record_writer_rollback(struct record_writer *writer)
{
	if (!sqlite3_get_autocommit(writer->db))
		sql_run(writer->stmts[WRITER_ROLLBACK]);
	writer->current = writer->committed;
}

/* Requests ------------------------------------------------------------------------------------ */

int record_writer_begin_request(struct record_writer *writer, uint64_t *ret_seq)
{
	int r;

	if (writer->error < 0)
		return writer->error;
	r = sql_run(writer->stmts[WRITER_SAVEPOINT]);
	if (r < 0)
		return record_writer_settle(writer, r);
	writer->before_request = writer->current;
	writer->has_changes = false;
	*ret_seq = record_writer_request_seq(writer);
	return 0;
}

int record_writer_end_request(struct record_writer *writer, bool keep)
{
	int r = 0;

	if (writer->error < 0)
		return writer->error;
	if (!keep) {
		r = sql_run(writer->stmts[WRITER_ROLLBACK_TO]);
		writer->current = writer->before_request;
	} else if (writer->has_changes) {
		writer->current.seq = record_writer_request_seq(writer);
	}
	if (r == 0)
		r = sql_run(writer->stmts[WRITER_RELEASE]);
	return record_writer_settle(writer, r);
}

/* Namespaces ---------------------------------------------------------------------------------- */

static int find_namespace(struct record_writer *writer, const char *name, size_t n,
                          uint32_t *ret_ns)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_FIND_NAMESPACE];
	int r;

	sql_bind_text(stmt, 1, name, n);
	r = sql_step(stmt);
	if (r == SQL_ROW)
		*ret_ns = (uint32_t)sql_column_u64(stmt, 0);
	sqlite3_reset(stmt);
	return r;
}

static int add_namespace(struct record_writer *writer, const char *name, size_t n, uint32_t *ret_ns)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_ADD_NAMESPACE];
	int r;

	if (writer->current.next_ns > UINT32_MAX)
		return RECORD_STORE_NAMESPACES_FULL;
	sql_bind_u64(stmt, 1, writer->current.next_ns);
	sql_bind_text(stmt, 2, name, n);
	r = sql_run(stmt);
	if (r < 0)
		return r;
	*ret_ns = (uint32_t)writer->current.next_ns;
	writer->current.next_ns++;
	writer->current.n_namespaces++;
	return 0;
}

int record_writer_namespace(struct record_writer *writer, const char *name, size_t n,
                            uint32_t max_namespaces, uint32_t *ret_ns, bool *ret_is_new)
{
	uint32_t ns = 0;
	bool is_new = false;
	int r;

	if (writer->error < 0)
		return writer->error;
	r = n == 0 ? SQL_ROW : find_namespace(writer, name, n, &ns);
	if (r < 0)
		return record_writer_settle(writer, r);
	if (r == 0) {
		if (writer->current.n_namespaces >= max_namespaces)
			return RECORD_STORE_NAMESPACES_FULL;
		r = add_namespace(writer, name, n, &ns);
		if (r != 0)
			return record_writer_settle(writer, r);
		is_new = true;
	}
	*ret_ns = ns;
	*ret_is_new = is_new;
	return 0;
}
