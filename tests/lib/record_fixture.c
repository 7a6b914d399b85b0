/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <sqlite3.h>

#include "storage/sqlite_vfs.h"
#include "tests/lib/record_fixture.h"

void record_fixture_open(struct record_fixture *fixture)
{
	assert_int_equal(record_store_open(fixture->io, fixture->scratch.path, &fixture->spec.uuid,
	                                   FIXTURE_CACHE_BYTES, &fixture->store),
	                 0);
	assert_int_equal(record_writer_new(fixture->store, &fixture->writer), 0);
	assert_int_equal(record_reader_new(fixture->store, &fixture->reader), 0);
}

void record_fixture_close(struct record_fixture *fixture)
{
	fixture->reader = record_reader_free(fixture->reader);
	fixture->writer = record_writer_free(fixture->writer);
	fixture->store = record_store_free(fixture->store);
}

void record_fixture_init(struct record_fixture *fixture)
{
	*fixture = (struct record_fixture){.spec = {.dim = FIXTURE_DIM, .space = "model@1"}};
	scratch_dir_init(&fixture->scratch);
	fixture->twin = store_twin_new(store_io_posix());
	fixture->io = store_twin_io(fixture->twin);
	assert_int_equal(uuid_new(&fixture->spec.uuid), 0);
	assert_int_equal(record_store_create(fixture->io, fixture->scratch.path, &fixture->spec),
	                 0);
	record_fixture_open(fixture);
}

void record_fixture_release(struct record_fixture *fixture)
{
	record_fixture_close(fixture);
	sqlite_vfs_drop(fixture->io);
	fixture->twin = store_twin_free(fixture->twin);
	scratch_dir_release(&fixture->scratch);
}

void record_fixture_reopen(struct record_fixture *fixture)
{
	record_fixture_close(fixture);
	record_fixture_open(fixture);
}

/* Values -------------------------------------------------------------------------------------- */

struct record_id fixture_id(const char *text)
{
	return (struct record_id){.text = text, .n = (uint32_t)strlen(text)};
}

struct record_id fixture_number(uint64_t number)
{
	return (struct record_id){.number = number};
}

struct record fixture_record(const char *id, float v, const char *text)
{
	static float vectors[64][FIXTURE_DIM];
	static unsigned next;
	float *vector = vectors[next++ % 64];

	for (int i = 0; i < FIXTURE_DIM; i++)
		vector[i] = v;
	return (struct record){
	        .id = fixture_id(id),
	        .vector = vector,
	        .text = text,
	        .text_n = text ? (uint32_t)strlen(text) : 0,
	};
}

struct record_meta fixture_meta(const char *blob, const struct record_field *fields,
                                uint32_t n_fields)
{
	return (struct record_meta){
	        .blob = blob,
	        .blob_n = strlen(blob),
	        .fields = fields,
	        .n_fields = n_fields,
	};
}

struct record_field fixture_field(const char *name, const char *value)
{
	return (struct record_field){
	        .name = name,
	        .name_n = (uint32_t)strlen(name),
	        .kind = RECORD_FIELD_TEXT,
	        .text = {.data = value, .n = (uint32_t)strlen(value)},
	};
}

/* Writes -------------------------------------------------------------------------------------- */

static void begin(struct record_fixture *fixture)
{
	uint64_t seq;

	assert_int_equal(record_writer_begin(fixture->writer), 0);
	assert_int_equal(record_writer_begin_request(fixture->writer, &seq), 0);
}

static void end(struct record_fixture *fixture)
{
	assert_int_equal(record_writer_end_request(fixture->writer, true), 0);
	assert_int_equal(record_writer_commit(fixture->writer), 0);
}

struct record_change fixture_upsert(struct record_fixture *fixture, const struct record *record,
                                    uint32_t ns)
{
	struct record_change change;

	begin(fixture);
	assert_int_equal(record_writer_upsert(fixture->writer, record, ns, &change), 0);
	end(fixture);
	return change;
}

struct record_change fixture_update(struct record_fixture *fixture, const struct record *record,
                                    uint32_t ns, unsigned parts)
{
	struct record_change change;

	begin(fixture);
	assert_int_equal(record_writer_update(fixture->writer, record, ns, parts, &change), 0);
	end(fixture);
	return change;
}

struct record_change fixture_delete(struct record_fixture *fixture, const char *text)
{
	struct record_id id = fixture_id(text);
	struct record_change change;

	begin(fixture);
	assert_int_equal(record_writer_delete(fixture->writer, &id, &change), 0);
	end(fixture);
	return change;
}

uint32_t fixture_namespace(struct record_fixture *fixture, const char *name)
{
	uint32_t ns;
	bool is_new;

	begin(fixture);
	assert_int_equal(
	        record_writer_namespace(fixture->writer, name, strlen(name), 100, &ns, &is_new), 0);
	end(fixture);
	return ns;
}

struct record_change fixture_put(struct record_fixture *fixture, const char *id, float v,
                                 const char *text)
{
	struct record record = fixture_record(id, v, text);

	return fixture_upsert(fixture, &record, 0);
}

/* Looking ------------------------------------------------------------------------------------- */

struct record_store_state fixture_state(struct record_fixture *fixture)
{
	struct record_store_state state;

	assert_int_equal(record_reader_state(fixture->reader, &state), 0);
	return state;
}

void fixture_assert_live(struct record_fixture *fixture, const char *text_id, uint64_t seq, float v,
                         const char *text)
{
	struct record_id id = fixture_id(text_id);
	struct record_row row;
	float vector[FIXTURE_DIM];
	int r = record_reader_by_id(fixture->reader, &id, seq,
	                            RECORD_WANT_VECTOR | RECORD_WANT_TEXT, &row);

	if (v == 0 && !text) {
		assert_int_equal(r, RECORD_STORE_MISSING);
		return;
	}
	assert_int_equal(r, 0);
	memcpy(vector, row.record.vector, sizeof(vector));
	for (int i = 0; i < FIXTURE_DIM; i++)
		assert_true(vector[i] == v);
	assert_int_equal(row.record.id.n, id.n);
	assert_memory_equal(row.record.id.text, id.text, id.n);
	assert_int_equal(!row.record.text, !text);
	if (text) {
		assert_int_equal(row.record.text_n, strlen(text));
		assert_memory_equal(row.record.text, text, strlen(text));
	}
}

static sqlite3 *open_plain(struct record_fixture *fixture)
{
	char path[SCRATCH_PATH_SIZE];
	sqlite3 *db;

	scratch_dir_path(&fixture->scratch, "records.db", path);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	return db;
}

int64_t fixture_query(struct record_fixture *fixture, const char *sql)
{
	sqlite3 *db = open_plain(fixture);
	sqlite3_stmt *stmt;
	int64_t value;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}

void fixture_exec(struct record_fixture *fixture, const char *sql)
{
	sqlite3 *db = open_plain(fixture);

	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

uint64_t fixture_file_bytes(struct record_fixture *fixture)
{
	char path[SCRATCH_PATH_SIZE];

	return scratch_file_size(scratch_dir_path(&fixture->scratch, "records.db", path));
}
