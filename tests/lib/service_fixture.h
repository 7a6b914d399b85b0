/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The real daemon and a client of it, so that an integration test reads as a story:
 *
 *	make_collection(service->conn, "notes", KITH_METRIC_COSINE);
 *	put_records(service->conn, "notes", 0, 100, 1);        // ids 0 to 99, version 1
 *	service_kill_and_start(service);                       // kill -9
 *	expect_records(service->conn, "notes", 0, 100, 1);     // whole, and found by their vectors
 *
 * A numbered record is made of its number and a version: its id is the number, its vector is drawn
 * with both as the seed, its text names both. So anyone can tell whether it is the one that was
 * written, without keeping it.
 *
 * Every function fails the test when what it says does not come true. Threads: the test's own; the
 * functions named try_ are for others and return what went wrong.
 */

#include <stdbool.h>
#include <stdint.h>

#include "client/kith.h"
#include "tests/lib/daemon_process.h"

#define RECORD_DIM 24u
#define RECORD_TEXT_SIZE 48

struct service_fixture {
	struct daemon_process *daemon;
	struct kith_conn *conn;
};

/* Lives. -------------------------------------------------------------------------------------- */

/* cmocka's setup and teardown: a running daemon with a connection; a clean stop at the end. */
int service_setup(void **state);
int service_teardown(void **state);
/* The same without starting it: for tests of the start. */
int service_setup_stopped(void **state);

/* Starts the daemon and connects. */
void service_start(struct service_fixture *service);
/* Closes the connection, SIGTERM, exit status 0. */
void service_stop(struct service_fixture *service);
void service_stop_and_start(struct service_fixture *service);
void service_kill_and_start(struct service_fixture *service);
/* One more connection; the caller closes it. */
struct kith_conn *service_client(const struct service_fixture *service);

/* Outcomes. ----------------------------------------------------------------------------------- */

/* The call returned 0; if not, the failure says why. */
#define DONE(conn, call) expect_done(conn, call, #call, __FILE__, __LINE__)
/* The call was refused with that error; field: the one at fault, or NULL for none. */
#define REFUSED(conn, error, field, call) \
	expect_refused(conn, call, error, field, #call, __FILE__, __LINE__)

void expect_done(const struct kith_conn *conn, int r, const char *what, const char *file, int line);
void expect_refused(const struct kith_conn *conn, int r, enum kith_error error, const char *field,
                    const char *what, const char *file, int line);
bool is_text(struct kith_str str, const char *terminated);

/* Waiting. ------------------------------------------------------------------------------------ */

int64_t now_ms(void);
/* Asks condition(ctx) again and again until it holds; fails the test when it does not come to
 * that. what: for the failure's message. */
void await(bool (*condition)(void *ctx), void *ctx, const char *what);
/* What the collection uses now. Its name is not valid. */
struct kith_usage usage_of(struct kith_conn *conn, const char *collection);
/* Until the vector file holds all rows of the collection. */
void await_mapped(struct kith_conn *conn, const char *collection);
/* Until the daemon has said text. */
void await_said(const struct daemon_process *daemon, const char *text);

/* Numbered records. --------------------------------------------------------------------------- */

/* Draws dim floats from -1 to 1. */
void draw_vector(uint64_t seed, uint32_t dim, float *ret);
/* Writes the record's vector of RECORD_DIM floats to ret and returns it. */
float *record_vector(uint64_t number, uint32_t version, float *ret);
char *record_text(uint64_t number, uint32_t version, char text[static RECORD_TEXT_SIZE]);

/* RECORD_DIM dimensions. */
void make_collection(struct kith_conn *conn, const char *name, enum kith_metric metric);
/* Upserts records [first, first + n) in one request; the counts in *ret may be NULL. */
int try_put_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                    uint32_t version, struct kith_upsert_result *ret);
void put_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                 uint32_t version);
int try_delete_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n);
void delete_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n);

/* Each is there with that version's text and, bit by bit, its vector, and is the nearest to it. */
void expect_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                    uint32_t version);
/* None of them is there, nor found by the vector of that version. */
void expect_no_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                       uint32_t version);
/* Bytes of requests and answers that wait for memory or for clients to read. */
uint64_t inflight_bytes(struct kith_conn *conn);
void expect_count(struct kith_conn *conn, const char *collection, uint64_t count);

/* Of all that is random in a test: $KITH_SEED, or that one; told, so that a run can be repeated. */
uint64_t seed_of_this_run(uint64_t usual);
