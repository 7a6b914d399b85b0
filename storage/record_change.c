/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record's write. An upsert first tries to insert; only when the id turns out to be live is
 * the stored version read and compared, and just as far as needed: the vector, then the text,
 * then the rest. What differs decides:
 *
 *   vector or text                  a new slot, the old one is retired     RECORD_REPLACED
 *   metadata, namespace or expiry   the slot stays and its row is changed  RECORD_TOUCHED
 *   nothing                         nothing is written                     RECORD_UNCHANGED
 *
 * An update is compared in the same way after the parts that it does not carry were filled in
 * from what is stored.
 */
#include <errno.h>
#include <string.h>

#include "storage/record_writer_private.h"

/* The live version of an id. */
struct live {
	uint64_t slot;
	uint32_t ns;
	int64_t expires_at;
};

/* What a version is made of beside id and vector. */
struct version {
	uint32_t ns;
	int64_t expires_at;
	const char *text;
	uint32_t text_n;
	const void *meta;
	size_t meta_n;
	const void *fields; /* packed */
	size_t fields_n;
};

static bool same_bytes(const void *a, size_t a_n, const void *b, size_t b_n)
{
	return !a == !b && a_n == b_n && (a_n == 0 || memcmp(a, b, a_n) == 0);
}

static bool same_text(const struct version *a, const struct version *b)
{
	return same_bytes(a->text, a->text_n, b->text, b->text_n);
}

static bool same_meta(const struct version *a, const struct version *b)
{
	return same_bytes(a->meta, a->meta_n, b->meta, b->meta_n);
}

/* Reading what is stored ---------------------------------------------------------------------- */

/* SQL_ROW, 0 when the id is not live, or an error. */
static int find_live(struct record_writer *writer, const struct record_id *id, struct live *ret)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_FIND_LIVE];
	int r;

	sql_bind_id(stmt, 1, id);
	r = sql_step(stmt);
	if (r == SQL_ROW)
		*ret = (struct live){
		        .slot = sql_column_u64(stmt, 0),
		        .ns = (uint32_t)sql_column_u64(stmt, 1),
		        .expires_at = sqlite3_column_int64(stmt, 2),
		};
	sqlite3_reset(stmt);
	return r;
}

/* Copies the slot's vector to writer->vector. */
static int get_vector(struct record_writer *writer, uint64_t slot)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_GET_VECTOR];
	const void *vector;
	size_t n;
	int r;

	sql_bind_u64(stmt, 1, slot);
	r = sql_step(stmt);
	if (r == SQL_ROW) {
		vector = sql_column_blob(stmt, 0, &n);
		r = 0;
		if (n != writer->store->vector_bytes)
			r = sql_fail_because(-EBADMSG, "a stored vector has the wrong length");
		else
			memcpy(writer->vector, vector, n);
	} else if (r == 0) {
		r = sql_fail_because(-EBADMSG, "a live record has no vector");
	}
	sqlite3_reset(stmt);
	return r;
}

/* Fills *ret with what the live version is made of; valid until forget_version(). */
static int get_version(struct record_writer *writer, const struct live *live, struct version *ret)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_GET_CONTENT];
	int r;

	*ret = (struct version){.ns = live->ns, .expires_at = live->expires_at};
	sql_bind_u64(stmt, 1, live->slot);
	r = sql_step(stmt);
	if (r != SQL_ROW)
		return r; /* a record without text and metadata has no row */
	ret->text = sql_column_text(stmt, 0, &ret->text_n);
	ret->meta = sql_column_blob(stmt, 1, &ret->meta_n);
	ret->fields = sql_column_blob(stmt, 2, &ret->fields_n);
	return 0;
}

static void forget_version(struct record_writer *writer)
{
	sqlite3_reset(writer->stmts[WRITER_GET_CONTENT]);
}

/* Writing rows -------------------------------------------------------------------------------- */

/* How a scalar is stored (FORMAT.md): a boolean as a blob of one byte, so that true is not 1. */
static int bind_field_value(sqlite3_stmt *stmt, int idx, const struct record_field *field)
{
	static const uint8_t booleans[2] = {0, 1};

	switch (field->kind) {
	case RECORD_FIELD_INT:
		return sql_bind_u64(stmt, idx, (uint64_t)field->integer);
	case RECORD_FIELD_FLOAT:
		return sqlite3_bind_double(stmt, idx, field->real) == SQLITE_OK ? 0 : -ENOMEM;
	case RECORD_FIELD_BOOL:
		return sql_bind_blob(stmt, idx, &booleans[field->boolean], 1);
	case RECORD_FIELD_TEXT:
		return sql_bind_text(stmt, idx, field->text.data, field->text.n);
	}
	return -EINVAL;
}

int record_writer_fields(struct record_writer *writer, enum writer_stmt which, uint64_t slot,
                         const void *packed, size_t n_bytes)
{
	sqlite3_stmt *stmt = writer->stmts[which];
	const uint8_t *at = packed;
	struct record_field field;
	int r;

	for (;;) {
		r = record_fields_next(&at, &n_bytes, &field);
		if (r == RECORD_FIELDS_END)
			return 0;
		if (r < 0)
			return sql_fail_because(r, "the packed fields make no sense");
		/* NaN equals nothing, so no row could ever be found by it. */
		if (field.kind == RECORD_FIELD_FLOAT && field.real != field.real)
			continue;
		sql_bind_text(stmt, 1, field.name, field.name_n);
		bind_field_value(stmt, 2, &field);
		sql_bind_u64(stmt, 3, slot);
		r = sql_run(stmt);
		if (r < 0)
			return r;
	}
}

static void bind_expiry(sqlite3_stmt *stmt, int idx, int64_t expires_at)
{
	if (expires_at == 0)
		sqlite3_bind_null(stmt, idx);
	else
		sqlite3_bind_int64(stmt, idx, expires_at);
}

static int put_content(struct record_writer *writer, uint64_t slot, const struct version *version)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_PUT_CONTENT];
	int r;

	sql_bind_u64(stmt, 1, slot);
	sql_bind_text(stmt, 2, version->text, version->text_n);
	sql_bind_blob(stmt, 3, version->meta, version->meta_n);
	sql_bind_blob(stmt, 4, version->fields, version->fields_n);
	r = sql_run(stmt);
	if (r < 0)
		return r;
	return record_writer_fields(writer, WRITER_ADD_FIELD, slot, version->fields,
	                            version->fields_n);
}

/* Takes the next slot for the record. SQL_ROW: the id is live already and nothing was done. */
static int add_version(struct record_writer *writer, const struct record_id *id, const void *vector,
                       const struct version *version, uint64_t *ret_slot)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_ADD_RECORD];
	uint64_t slot = writer->current.next_slot;
	int r;

	sql_bind_u64(stmt, 1, slot);
	sql_bind_id(stmt, 2, id);
	sql_bind_u64(stmt, 3, record_writer_request_seq(writer));
	sql_bind_u64(stmt, 4, version->ns);
	bind_expiry(stmt, 5, version->expires_at);
	r = sql_run(stmt);
	if (r < 0)
		return r;
	if (sqlite3_changes(writer->db) == 0)
		return SQL_ROW;

	stmt = writer->stmts[WRITER_ADD_VECTOR];
	sql_bind_u64(stmt, 1, slot);
	sql_bind_blob(stmt, 2, vector, writer->store->vector_bytes);
	r = sql_run(stmt);
	if (r == 0 && (version->text || version->meta))
		r = put_content(writer, slot, version);
	if (r < 0)
		return r;
	writer->current.next_slot++;
	writer->has_changes = true;
	*ret_slot = slot;
	return 0;
}

static int retire(struct record_writer *writer, uint64_t slot)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_RETIRE_RECORD];
	uint64_t seq = record_writer_request_seq(writer);
	int r;

	sql_bind_u64(stmt, 1, slot);
	sql_bind_u64(stmt, 2, seq);
	r = sql_run(stmt);
	if (r < 0)
		return r;
	stmt = writer->stmts[WRITER_LOG_RETIREMENT];
	sql_bind_u64(stmt, 1, seq);
	sql_bind_u64(stmt, 2, slot);
	r = sql_run(stmt);
	if (r < 0)
		return r;
	writer->current.n_retired++;
	writer->current.n_retirements++;
	writer->has_changes = true;
	return 0;
}

static int replace(struct record_writer *writer, const struct record_id *id,
                   const struct live *live, const void *vector, const struct version *version,
                   struct record_change *ret)
{
	uint64_t slot;
	int r;

	r = retire(writer, live->slot);
	if (r < 0)
		return r;
	r = add_version(writer, id, vector, version, &slot);
	if (r == SQL_ROW)
		r = sql_fail_because(-EBADMSG, "an id is live twice");
	if (r < 0)
		return r;
	*ret = (struct record_change){
	        .effect = RECORD_REPLACED,
	        .slot = slot,
	        .retired_slot = live->slot,
	        .ns = version->ns,
	        .expires_at = version->expires_at,
	};
	return 0;
}

static int replace_meta(struct record_writer *writer, uint64_t slot, const struct version *old,
                        const struct version *version)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_REMOVE_CONTENT];
	int r;

	r = record_writer_fields(writer, WRITER_REMOVE_FIELD, slot, old->fields, old->fields_n);
	if (r < 0)
		return r;
	if (version->text || version->meta)
		return put_content(writer, slot, version);
	sql_bind_u64(stmt, 1, slot);
	return sql_run(stmt);
}

/* Vector and text are equal: changes the rest in place, as far as it differs. */
static int touch(struct record_writer *writer, const struct live *live, const struct version *old,
                 const struct version *version, struct record_change *ret)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_TOUCH_RECORD];
	bool moves = old->ns != version->ns || old->expires_at != version->expires_at;
	bool changes_meta = !same_meta(old, version);
	int r = 0;

	*ret = (struct record_change){
	        .effect = moves || changes_meta ? RECORD_TOUCHED : RECORD_UNCHANGED,
	        .slot = live->slot,
	        .ns = version->ns,
	        .expires_at = version->expires_at,
	};
	if (ret->effect == RECORD_UNCHANGED)
		return 0;
	if (moves) {
		sql_bind_u64(stmt, 1, live->slot);
		sql_bind_u64(stmt, 2, version->ns);
		bind_expiry(stmt, 3, version->expires_at);
		r = sql_run(stmt);
	}
	if (r == 0 && changes_meta)
		r = replace_meta(writer, live->slot, old, version);
	writer->has_changes = true;
	return r;
}

/* The operations ------------------------------------------------------------------------------ */

static void take_meta(struct record_writer *writer, const struct record_meta *meta,
                      struct version *version)
{
	version->meta = meta->blob;
	version->meta_n = meta->blob ? meta->blob_n : 0;
	version->fields = writer->fields.n_bytes > 0 ? writer->fields.data : NULL;
	version->fields_n = writer->fields.n_bytes;
}

static void take_text(const struct record *record, struct version *version)
{
	version->text = record->text;
	version->text_n = record->text ? record->text_n : 0;
}

static int upsert_live(struct record_writer *writer, const struct record *record,
                       const struct version *version, struct record_change *ret)
{
	struct version old;
	struct live live;
	int r;

	r = find_live(writer, &record->id, &live);
	if (r == 0)
		r = sql_fail_because(-EBADMSG, "an id is live in the index alone");
	if (r < 0)
		return r;
	r = get_vector(writer, live.slot);
	if (r < 0)
		return r;
	if (memcmp(writer->vector, record->vector, writer->store->vector_bytes) != 0)
		return replace(writer, &record->id, &live, record->vector, version, ret);
	r = get_version(writer, &live, &old);
	if (r == 0 && same_text(&old, version))
		r = touch(writer, &live, &old, version, ret);
	else if (r == 0)
		r = replace(writer, &record->id, &live, record->vector, version, ret);
	forget_version(writer);
	return r;
}

int record_writer_upsert(struct record_writer *writer, const struct record *record, uint32_t ns,
                         struct record_change *ret)
{
	struct version version = {.ns = ns, .expires_at = record->expires_at};
	struct record_change change = {0};
	uint64_t slot;
	int r;

	if (writer->error < 0)
		return writer->error;
	r = record_fields_pack(&writer->fields, &record->meta);
	if (r < 0)
		return r;
	take_text(record, &version);
	take_meta(writer, &record->meta, &version);
	r = add_version(writer, &record->id, record->vector, &version, &slot);
	if (r == SQL_ROW) {
		r = upsert_live(writer, record, &version, &change);
	} else if (r == 0) {
		writer->current.n_live++;
		change = (struct record_change){
		        .effect = RECORD_INSERTED,
		        .slot = slot,
		        .ns = ns,
		        .expires_at = record->expires_at,
		};
	}
	if (r < 0)
		return record_writer_settle(writer, r);
	*ret = change;
	return 0;
}

static int update_live(struct record_writer *writer, const struct record *record, uint32_t ns,
                       unsigned parts, const struct live *live, struct record_change *ret)
{
	struct version old, version;
	int r;

	r = get_version(writer, live, &old);
	if (r < 0)
		return r;
	version = old;
	if (parts & RECORD_PART_TEXT)
		take_text(record, &version);
	if (parts & RECORD_PART_META)
		take_meta(writer, &record->meta, &version);
	if (parts & RECORD_PART_NAMESPACE)
		version.ns = ns;
	if (parts & RECORD_PART_EXPIRY)
		version.expires_at = record->expires_at;
	if (same_text(&old, &version))
		return touch(writer, live, &old, &version, ret);
	r = get_vector(writer, live->slot);
	if (r == 0)
		r = replace(writer, &record->id, live, writer->vector, &version, ret);
	if (r == 0)
		ret->vector = writer->vector;
	return r;
}

int record_writer_update(struct record_writer *writer, const struct record *record, uint32_t ns,
                         unsigned parts, struct record_change *ret)
{
	struct record_change change = {.effect = RECORD_MISSING};
	struct live live;
	int r;

	if (writer->error < 0)
		return writer->error;
	if (parts & RECORD_PART_META) {
		r = record_fields_pack(&writer->fields, &record->meta);
		if (r < 0)
			return r;
	}
	r = find_live(writer, &record->id, &live);
	if (r == SQL_ROW) {
		r = update_live(writer, record, ns, parts, &live, &change);
		forget_version(writer);
	}
	if (r < 0)
		return record_writer_settle(writer, r);
	*ret = change;
	return 0;
}

int record_writer_delete(struct record_writer *writer, const struct record_id *id,
                         struct record_change *ret)
{
	struct record_change change = {.effect = RECORD_MISSING};
	struct live live;
	int r;

	if (writer->error < 0)
		return writer->error;
	r = find_live(writer, id, &live);
	if (r == SQL_ROW) {
		r = retire(writer, live.slot);
		if (r == 0) {
			writer->current.n_live--;
			change.effect = RECORD_DELETED;
			change.retired_slot = live.slot;
		}
	}
	if (r < 0)
		return record_writer_settle(writer, r);
	*ret = change;
	return 0;
}
