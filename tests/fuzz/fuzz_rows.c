/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A row of a record store as somebody else may have left it: it is read as it stands or refused,
 * and can be taken away. The input: flags, then the lengths of vector, id, text and packed fields,
 * one byte each, then the bytes of these; what is left is the metadata.
 */

#include "protocol/meta.h"
#include "storage/record_fields.h"
#include "storage/record_store.h"
#include "storage/sql.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/scratch_dir.h"

#include <errno.h>
#include <string.h>

#define DIM 4
#define SLOT 1
#define WANT_ALL (RECORD_WANT_VECTOR | RECORD_WANT_TEXT | RECORD_WANT_META | RECORD_WANT_NAMESPACE)

enum flag {
	FLAG_ID_NUMBER = 1 << 0, /* otherwise text */
	FLAG_ID_BLOB = 1 << 1,
	FLAG_NO_VECTOR = 1 << 2,
	FLAG_NO_TEXT = 1 << 3,
	FLAG_NO_META = 1 << 4,
	FLAG_NO_FIELDS = 1 << 5,
	FLAG_NO_NAMESPACE = 1 << 6, /* the row has one that nobody knows */
	FLAG_NO_CONTENT = 1 << 7,
};

enum part {
	PART_VECTOR,
	PART_ID,
	PART_TEXT,
	PART_FIELDS,
	PART_META,
	N_PARTS
};

struct row {
	uint8_t flags;
	struct {
		const uint8_t *data;
		size_t n;
	} parts[N_PARTS];
};

static struct scratch_dir dir;
static struct record_store *store;
static struct record_reader *reader;
static struct record_writer *writer;
static sqlite3 *db; /* for what our own code would not write */

static void close_store(void)
{
	record_reader_free(reader);
	record_writer_free(writer);
	record_store_free(store);
	sql_close(db);
	scratch_dir_release(&dir);
}

static void make_store(void)
{
	const struct record_spec spec = {.uuid = {{7}}, .dim = DIM, .space = "model@1"};
	char path[SCRATCH_PATH_SIZE];

	scratch_dir_init(&dir);
	FUZZ_CHECK(record_store_create(store_io_posix(), dir.path, &spec) == 0);
	FUZZ_CHECK(record_store_open(store_io_posix(), dir.path, &spec.uuid, 1 << 20, &store) == 0);
	FUZZ_CHECK(record_reader_new(store, &reader) == 0);
	FUZZ_CHECK(record_writer_new(store, &writer) == 0);
	scratch_dir_path(&dir, "records.db", path);
	FUZZ_CHECK(sql_open(store_io_posix(), path, SQLITE_OPEN_READWRITE, &db) == 0);
	FUZZ_CHECK(sql_configure(db, 1 << 20) == 0);
	FUZZ_CHECK(sql_exec(db, "PRAGMA wal_autocheckpoint = 100") == 0);
	atexit(close_store);
}

static struct row take_input(const uint8_t *data, size_t size)
{
	struct row row = {.flags = size > 0 ? data[0] : 0};
	size_t at = N_PARTS < size ? N_PARTS : size;

	for (size_t i = 0; i < N_PARTS; i++) {
		size_t left = size - at;
		size_t n = i + 1 < size ? data[i + 1] : 0;

		row.parts[i].data = data + at;
		row.parts[i].n = i == PART_META || n > left ? left : n;
		at += row.parts[i].n;
	}
	return row;
}

static void run(const char *text, const struct row *row)
{
	sqlite3_stmt *stmt;
	const uint8_t *id = row->parts[PART_ID].data;
	size_t n_id = row->parts[PART_ID].n;
	int64_t number = 0;

	memcpy(&number, id, n_id < sizeof(number) ? n_id : sizeof(number));
	FUZZ_CHECK(sql_prepare(db, text, &stmt) == 0);
	if (row->flags & FLAG_ID_NUMBER)
		sqlite3_bind_int64(stmt, 1, number);
	else if (row->flags & FLAG_ID_BLOB)
		sql_bind_blob(stmt, 1, id, n_id);
	else
		sql_bind_text(stmt, 1, (const char *)id, n_id);
	sqlite3_bind_int(stmt, 2, row->flags & FLAG_NO_NAMESPACE ? 9 : 0);
	sqlite3_bind_int64(stmt, 3, number);
	sql_bind_blob(stmt, 4, row->parts[PART_VECTOR].data, row->parts[PART_VECTOR].n);
	sql_bind_text(stmt, 5,
	              row->flags & FLAG_NO_TEXT ? NULL : (const char *)row->parts[PART_TEXT].data,
	              row->parts[PART_TEXT].n);
	sql_bind_blob(stmt, 6, row->flags & FLAG_NO_META ? NULL : row->parts[PART_META].data,
	              row->parts[PART_META].n);
	sql_bind_blob(stmt, 7, row->flags & FLAG_NO_FIELDS ? NULL : row->parts[PART_FIELDS].data,
	              row->parts[PART_FIELDS].n);
	FUZZ_CHECK(sql_run(stmt) == 0);
	sqlite3_finalize(stmt);
}

/* The store with that row alone. */
static void put_row(const struct row *row)
{
	FUZZ_CHECK(sql_exec(db, "BEGIN IMMEDIATE; DELETE FROM records; DELETE FROM vectors;"
	                        "DELETE FROM contents; DELETE FROM fields;"
	                        "DELETE FROM retirements;"
	                        "UPDATE state SET seq = 1, floor_seq = 0, next_slot = 2,"
	                        " n_live = 1, n_retired = 0, n_retirements = 0") == 0);
	run("INSERT INTO records VALUES (1, ?1, 1, NULL, ?2, ?3)", row);
	if (!(row->flags & FLAG_NO_VECTOR))
		run("INSERT INTO vectors VALUES (1, ?4)", row);
	if (!(row->flags & FLAG_NO_CONTENT))
		run("INSERT INTO contents VALUES (1, ?5, ?6, ?7)", row);
	FUZZ_CHECK(sql_exec(db, "COMMIT") == 0);
}

static int each_scalar(void *ctx, const struct wire_scalar *scalar, bool in_list)
{
	(void)scalar;
	(void)in_list;
	++*(unsigned *)ctx;
	return 0;
}

static void look_at(const struct record_row *found, const struct row *row)
{
	const struct record *record = &found->record;
	unsigned n = 0;
	int r;

	FUZZ_CHECK(found->slot == SLOT && !(row->flags & FLAG_NO_VECTOR));
	FUZZ_CHECK(row->parts[PART_VECTOR].n == DIM * sizeof(float));
	FUZZ_CHECK(memcmp(record->vector, row->parts[PART_VECTOR].data, DIM * sizeof(float)) == 0);
	FUZZ_CHECK(found->ns_name != NULL && found->ns_name_n == 0);
	if (record->meta.blob) {
		r = wire_meta_each(
		        (struct wire_bin){record->meta.blob, (uint32_t)record->meta.blob_n},
		        each_scalar, &n);
		FUZZ_CHECK(r == 0 || r == -EBADMSG);
	}
}

static void read_row(const struct row *row)
{
	struct record_row found;
	struct record_id id;
	int r;

	FUZZ_CHECK(record_reader_begin(reader) == 0);
	r = record_reader_by_slot(reader, SLOT, WANT_ALL, &found);
	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	if (r == 0) {
		look_at(&found, row);
		id = found.record.id;
		FUZZ_CHECK(record_reader_scan(reader, 0, -1, 1, WANT_ALL) == 0);
		FUZZ_CHECK(record_reader_next(reader, &found) == 0);
		look_at(&found, row);
		FUZZ_CHECK(record_reader_next(reader, &found) == RECORD_STORE_END);
		/* id points into the row that a lookup would let go. */
		if (id.text == NULL)
			FUZZ_CHECK(record_reader_by_id(reader, &id, 1, WANT_ALL, &found) == 0);
	}
	record_reader_end(reader);
}

static void read_fields(const struct row *row)
{
	const uint8_t *data = row->parts[PART_FIELDS].data;
	size_t n = row->parts[PART_FIELDS].n;
	struct record_field field;
	int r;

	while ((r = record_fields_next(&data, &n, &field)) == 0)
		FUZZ_CHECK(n < row->parts[PART_FIELDS].n);
	FUZZ_CHECK(r == RECORD_FIELDS_END || r == -EBADMSG);
}

static int take_away(const struct record_id *id)
{
	struct record_change change;
	uint64_t seq;
	uint32_t n;
	int r, r_end;

	r = record_writer_begin(writer);
	if (r == 0)
		r = record_writer_begin_request(writer, &seq);
	if (r < 0)
		return r;
	r = record_writer_delete(writer, id, &change);
	r_end = record_writer_end_request(writer, r == 0);
	if (r < 0 || r_end < 0) {
		record_writer_rollback(writer);
		return r < 0 ? r : r_end;
	}
	r = record_writer_commit(writer);
	return r < 0 ? r : record_writer_reap(writer, UINT64_MAX, 10, 1, &n);
}

static void remove_row(const struct row *row)
{
	struct record_id id = {0};
	int r;

	if (row->flags & FLAG_ID_NUMBER) {
		size_t n = row->parts[PART_ID].n;

		memcpy(&id.number, row->parts[PART_ID].data, n < 8 ? n : 8);
		if (id.number > INT64_MAX)
			return;
	} else {
		id.text = (const char *)row->parts[PART_ID].data;
		id.n = (uint32_t)row->parts[PART_ID].n;
	}
	r = take_away(&id);
	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	if (r == 0)
		return;
	writer = record_writer_free(writer);
	FUZZ_CHECK(record_writer_new(store, &writer) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct row row;

	if (size < N_PARTS)
		return 0;
	if (!store)
		make_store();
	row = take_input(data, size);
	put_row(&row);
	read_fields(&row);
	read_row(&row);
	remove_row(&row);
	return 0;
}
