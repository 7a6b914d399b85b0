/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows are read one by one, each by its own key, so that a bad page costs only what is on it:
 * behind a row that cannot be read the next slot is tried, and the next, until one can. They are
 * written as any record is, so that what comes out is an ordinary store, whatever the numbers of
 * the damaged one said.
 */
#include "storage/record_salvage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/record_fields.h"
#include "storage/record_schema.h"
#include "storage/sql.h"

#define FILE_NAME "records.db"
#define SALVAGE_CACHE_BYTES (1 << 20)
/* Records in a transaction. */
#define SALVAGE_BATCH 256u
/* After so many slots in a row that cannot be read there is nothing more: a page holds a few
 * hundred, and a damaged number must not be counted up to. */
#define SALVAGE_GAP_SLOTS (UINT64_C(1) << 22)
#define SALVAGE_NAMESPACES 65536u

enum salvage_stmt {
	SALVAGE_RECORD,
	SALVAGE_VECTOR,
	SALVAGE_CONTENT,
	SALVAGE_NAMESPACE,
	SALVAGE_INDEXES,
	SALVAGE_N_STMTS,
};

static const char *const texts[SALVAGE_N_STMTS] = {
        [SALVAGE_RECORD] = ("SELECT slot, id, ns, expires_at, retired_seq FROM records"
                            " WHERE slot > ?1 ORDER BY slot LIMIT 1"),
        [SALVAGE_VECTOR] = "SELECT vector FROM vectors WHERE slot = ?1",
        [SALVAGE_CONTENT] = "SELECT text, meta, fields FROM contents WHERE slot = ?1",
        [SALVAGE_NAMESPACE] = "SELECT name FROM namespaces WHERE ns = ?1",
        [SALVAGE_INDEXES] = "SELECT name, kind, params FROM indexes",
};

struct salvage {
	sqlite3 *db; /* the damaged one */
	sqlite3_stmt *stmts[SALVAGE_N_STMTS];
	struct record_store *store; /* the new one */
	struct record_writer *writer;
	size_t vector_bytes;
	uint32_t n_batch; /* records in the open transaction */
	struct record_field *fields;
	uint32_t max_fields;
	uint64_t n_seen; /* live rows that were met, whether they could be saved or not */
	struct record_salvage found;
};

/* What is bad is passed over; what else fails ends it. */
static bool is_bad(int r)
{
	return r == -EBADMSG || r == -EIO;
}

static int why_stop(struct record_salvage_watch *watch)
{
	return watch ? watch->why_stop(watch) : 0;
}

/* Writing ------------------------------------------------------------------------------------- */

static int end_batch(struct salvage *salvage)
{
	int r;

	if (salvage->n_batch == 0)
		return 0;
	salvage->n_batch = 0;
	r = record_writer_end_request(salvage->writer, true);
	return r == 0 ? record_writer_commit(salvage->writer) : r;
}

static int put(struct salvage *salvage, const struct record *record, const char *name,
               size_t name_n)
{
	struct record_change change;
	uint64_t seq;
	uint32_t ns = 0;
	bool is_new;
	int r = 0;

	if (salvage->n_batch == 0) {
		r = record_writer_begin(salvage->writer);
		if (r == 0)
			r = record_writer_begin_request(salvage->writer, &seq);
		if (r < 0)
			return r;
	}
	salvage->n_batch++;
	if (name_n > 0)
		r = record_writer_namespace(salvage->writer, name, name_n, SALVAGE_NAMESPACES, &ns,
		                            &is_new);
	if (r == 0)
		r = record_writer_upsert(salvage->writer, record, ns, &change);
	if (r != 0)
		return r < 0 ? r : -EBADMSG;
	salvage->found.n_records += change.effect == RECORD_INSERTED;
	return salvage->n_batch == SALVAGE_BATCH ? end_batch(salvage) : 0;
}

/* Reading ------------------------------------------------------------------------------------- */

static int take_fields(struct salvage *salvage, const uint8_t *data, size_t n,
                       struct record_meta *meta)
{
	int r;

	for (;;) {
		struct record_field field;

		r = record_fields_next(&data, &n, &field);
		if (r != 0)
			break;
		if (meta->n_fields == salvage->max_fields) {
			uint32_t more = 2 * salvage->max_fields + 16;
			struct record_field *fields =
			        realloc(salvage->fields, more * sizeof(*fields));

			if (!fields)
				return -ENOMEM;
			salvage->fields = fields;
			salvage->max_fields = more;
		}
		salvage->fields[meta->n_fields++] = field;
	}
	meta->fields = salvage->fields;
	return r == RECORD_FIELDS_END ? 0 : r;
}

/* Text and metadata, if they can be read. They are valid until the statement is reset. */
static int take_content(struct salvage *salvage, uint64_t slot, struct record *record)
{
	sqlite3_stmt *stmt = salvage->stmts[SALVAGE_CONTENT];
	const uint8_t *fields;
	size_t n;
	int r;

	sql_bind_u64(stmt, 1, slot);
	r = sql_step(stmt);
	if (r == 0)
		return 0; /* it has none */
	if (r == SQL_ROW) {
		record->text = sql_column_text(stmt, 0, &record->text_n);
		record->meta.blob = sql_column_blob(stmt, 1, &record->meta.blob_n);
		fields = sql_column_blob(stmt, 2, &n);
		r = take_fields(salvage, fields, n, &record->meta);
	}
	if (is_bad(r)) {
		record->text = NULL;
		record->meta = (struct record_meta){0};
		salvage->found.n_partial++;
		r = 0;
	}
	return r;
}

/* Changes the empty name that it is given. */
static int take_namespace(struct salvage *salvage, uint32_t ns, char other[static 32],
                          const char **ret_name, uint32_t *ret_n)
{
	sqlite3_stmt *stmt = salvage->stmts[SALVAGE_NAMESPACE];
	int r = 0;

	if (ns == 0)
		return 0; /* the empty name, as it came */
	sql_bind_u64(stmt, 1, ns);
	r = sql_step(stmt);
	if (r == SQL_ROW && (*ret_name = sql_column_text(stmt, 0, ret_n)))
		return 0;
	if (r < 0 && !is_bad(r))
		return r;
	/* Its records stay together, and out of the others. */
	*ret_n = (uint32_t)snprintf(other, 32, "namespace-%u", ns);
	*ret_name = other;
	return 0;
}

/* The row that SALVAGE_RECORD stands on. */
static int take_record(struct salvage *salvage, uint64_t slot)
{
	sqlite3_stmt *stmt = salvage->stmts[SALVAGE_RECORD];
	sqlite3_stmt *vector = salvage->stmts[SALVAGE_VECTOR];
	struct record record = {.expires_at = sqlite3_column_int64(stmt, 3)};
	char other[32];
	const char *name = "";
	uint32_t name_n = 0;
	size_t n = 0;
	int r;

	if (sqlite3_column_type(stmt, 4) != SQLITE_NULL)
		return 0; /* retired */
	salvage->n_seen++;
	r = sql_column_id(stmt, 1, &record.id);
	if (r == 0) {
		sql_bind_u64(vector, 1, slot);
		r = sql_step(vector);
	}
	if (r == SQL_ROW)
		record.vector = sql_column_blob(vector, 0, &n);
	if (is_bad(r) || (r >= 0 && (!record.vector || n != salvage->vector_bytes)))
		r = 0; /* it is lost */
	else if (r == SQL_ROW)
		r = take_content(salvage, slot, &record);
	if (r == 0 && record.vector && n == salvage->vector_bytes)
		r = take_namespace(salvage, (uint32_t)sql_column_u64(stmt, 2), other, &name,
		                   &name_n);
	if (r == 0 && record.vector && n == salvage->vector_bytes)
		r = put(salvage, &record, name, name_n);
	sqlite3_reset(vector);
	sqlite3_reset(salvage->stmts[SALVAGE_CONTENT]);
	sqlite3_reset(salvage->stmts[SALVAGE_NAMESPACE]);
	return r;
}

static int take_records(struct salvage *salvage, struct record_salvage_watch *watch)
{
	sqlite3_stmt *stmt = salvage->stmts[SALVAGE_RECORD];
	uint64_t slot = 0, gap = 0;
	int r;

	while (gap < SALVAGE_GAP_SLOTS) {
		r = why_stop(watch);
		if (r < 0)
			return r;
		sql_bind_u64(stmt, 1, slot);
		r = sql_step(stmt);
		/* A page that stands in another's place may lead back to where we were. */
		if (r == SQL_ROW && (int64_t)sql_column_u64(stmt, 0) <= (int64_t)slot)
			r = -EBADMSG;
		if (r == SQL_ROW) {
			gap = 0;
			slot = sql_column_u64(stmt, 0);
			r = take_record(salvage, slot);
		} else if (is_bad(r)) {
			gap++;
			slot++;
			r = 0;
		} else if (r == 0) {
			sqlite3_reset(stmt);
			break;
		}
		sqlite3_reset(stmt);
		if (r < 0)
			return r;
	}
	return end_batch(salvage);
}

/* One that cannot be read is to be ensured again. */
static int take_indexes(struct salvage *salvage)
{
	sqlite3_stmt *stmt = salvage->stmts[SALVAGE_INDEXES];
	int r;

	while ((r = sql_step(stmt)) == SQL_ROW) {
		struct record_index index = {0};
		uint32_t name_n, kind_n;
		size_t n;
		const char *name = sql_column_text(stmt, 0, &name_n);
		const char *kind = sql_column_text(stmt, 1, &kind_n);
		const void *params = sql_column_blob(stmt, 2, &n);

		if (!name || !kind || !params || name_n >= sizeof(index.name) ||
		    kind_n >= sizeof(index.kind) || n > sizeof(index.params))
			continue;
		memcpy(index.name, name, name_n);
		memcpy(index.kind, kind, kind_n);
		memcpy(index.params, params, n);
		index.n_params = (uint32_t)n;
		r = record_writer_declare_index(salvage->writer, &index);
		if (r < 0)
			break;
	}
	sqlite3_reset(stmt);
	return is_bad(r) ? 0 : r;
}

/* ---------------------------------------------------------------------------------------------- */

static int open_damaged(struct salvage *salvage, struct store_io *io, const char *dir)
{
	int version;
	char *path;
	int r;

	if (asprintf(&path, "%s/" FILE_NAME, dir) < 0)
		return -ENOMEM;
	r = sql_open(io, path, SQLITE_OPEN_READWRITE, &salvage->db);
	free(path);
	if (r < 0)
		return r == -ENOENT ? RECORD_STORE_MISSING : r;
	sqlite3_db_config(salvage->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	r = record_schema_check(salvage->db, &version);
	if (r == 0)
		r = sql_configure(salvage->db, SALVAGE_CACHE_BYTES);
	if (r == 0)
		r = sql_exec(salvage->db, "BEGIN");
	if (r == 0)
		r = sql_prepare_all(salvage->db, texts, SALVAGE_N_STMTS, salvage->stmts);
	return r;
}

/* When the row that counts them cannot be read either, there may be more. */
static void count_lost(struct salvage *salvage)
{
	uint64_t n = salvage->n_seen;
	int64_t n_live;

	if (sql_query_int(salvage->db, "SELECT n_live FROM state", &n_live) == 0 && n_live > 0 &&
	    (uint64_t)n_live > n)
		n = (uint64_t)n_live;
	if (n > salvage->found.n_records)
		salvage->found.n_lost = n - salvage->found.n_records;
}

int record_salvage(struct store_io *io, const char *dir, const char *to_dir,
                   const struct record_spec *spec, struct record_salvage_watch *watch,
                   struct record_salvage *ret)
{
	struct salvage salvage = {.vector_bytes =
	                                  spec->dim * (spec->dtype == RECORD_DTYPE_F16 ? 2u : 4u)};
	int r = open_damaged(&salvage, io, dir);

	if (r == 0)
		r = why_stop(watch);
	if (r == 0)
		r = record_store_create(io, to_dir, spec);
	if (r == 0)
		r = record_store_open(io, to_dir, &spec->uuid, SALVAGE_CACHE_BYTES, &salvage.store);
	if (r == 0)
		r = record_writer_new(salvage.store, &salvage.writer);
	if (r == 0)
		r = take_records(&salvage, watch);
	if (r == 0)
		r = take_indexes(&salvage);
	if (r == 0)
		count_lost(&salvage);
	if (r == 0 && salvage.found.n_records == 0 && salvage.found.n_lost > 0)
		r = sql_fail_because(-EBADMSG, "no record can be read");
	record_writer_free(salvage.writer);
	record_store_free(salvage.store);
	sql_finalize_all(salvage.stmts, SALVAGE_N_STMTS);
	sql_close(salvage.db);
	free(salvage.fields);
	if (r == 0)
		*ret = salvage.found;
	return r;
}
