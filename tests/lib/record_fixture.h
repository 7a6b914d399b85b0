/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A record store of a test's own in a scratch directory, over a twin, with its writer and a
 * reader open, and writes of one line. Failures are failed assertions of cmocka.
 */

#include "storage/record_store.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define FIXTURE_DIM 4
#define FIXTURE_CACHE_BYTES (1u << 20) /* of each connection's pages */
#define FIXTURE_EVERY UINT64_MAX       /* a seq that sees what is live now */

struct record_fixture {
	struct scratch_dir scratch;
	struct store_twin *twin;
	struct store_io *io;
	struct record_spec spec;
	struct record_store *store;
	struct record_writer *writer;
	struct record_reader *reader;
};

void record_fixture_init(struct record_fixture *fixture);
void record_fixture_release(struct record_fixture *fixture);
/* Closes what init() opened, opens it, or both. */
void record_fixture_close(struct record_fixture *fixture);
void record_fixture_open(struct record_fixture *fixture);
void record_fixture_reopen(struct record_fixture *fixture);

/* A record with a text id and the vector {v, v, v, v}; valid as long as its arguments are. */
struct record fixture_record(const char *id, float v, const char *text);
struct record_id fixture_id(const char *text);
struct record_id fixture_number(uint64_t number);
/* Metadata whose blob is the literal. */
struct record_meta fixture_meta(const char *blob, const struct record_field *fields,
                                uint32_t n_fields);
struct record_field fixture_field(const char *name, const char *value);

/* One request in a group of its own. The change's vector is not valid any more. */
struct record_change fixture_upsert(struct record_fixture *fixture, const struct record *record,
                                    uint32_t ns);
struct record_change fixture_update(struct record_fixture *fixture, const struct record *record,
                                    uint32_t ns, unsigned parts);
struct record_change fixture_delete(struct record_fixture *fixture, const char *id);
uint32_t fixture_namespace(struct record_fixture *fixture, const char *name);
/* Upserts fixture_record(id, v, text). */
struct record_change fixture_put(struct record_fixture *fixture, const char *id, float v,
                                 const char *text);

struct record_store_state fixture_state(struct record_fixture *fixture);
/* Asserts what is live under the id at seq: its text, or nothing when text is NULL and v is 0. */
void fixture_assert_live(struct record_fixture *fixture, const char *id, uint64_t seq, float v,
                         const char *text);
/* The number that an SQL query over the store's file gives. */
int64_t fixture_query(struct record_fixture *fixture, const char *sql);
/* How long the database's file is. */
uint64_t fixture_file_bytes(struct record_fixture *fixture);
/* Runs SQL on it, for damage. */
void fixture_exec(struct record_fixture *fixture, const char *sql);
