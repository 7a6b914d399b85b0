/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Calls about indexes, one line each, so that a test reads as a story:
 *
 *	ticket = submit_ensure(other, (struct ask){"notes", .wait = true});
 *	gate_await(builds);
 *	assert_int_equal(ensure(conn, (struct ask){"notes"}).outcome, KITH_ENSURED_JOINED);
 *	gate_open(builds);
 *	assert_int_equal(collect_ensure(other, ticket).outcome, KITH_ENSURED_BUILT);
 *
 * Like those of service_fixture.h, whose numbered records go with them, they fail the test when
 * what they say does not come true. Threads: the test's own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "client/kith.h"
#include "tests/lib/daemon_thread.h"
#include "tests/lib/service_fixture.h"

/* A connection to a daemon of this process; the caller closes it. */
struct kith_conn *connect_to(const struct daemon_thread *daemon);
/* The collection's directory below data or cache. */
char *collection_path(struct kith_conn *conn, const char *collection, const char *below,
                      char path[static DAEMON_PROCESS_PATH_SIZE]);

/* Damages the vector of that row in the vector file of the collection's cache directory, which
 * holds numbered records. Not while the daemon runs. */
void spoil_vectors(const char *dir, uint64_t row);

/* Ensuring. ----------------------------------------------------------------------------------- */

/* What ensure_index is called with; 0 and NULL: as usual. */
struct ask {
	const char *collection;
	const char *index;
	uint32_t m;
	bool wait, replace;
	enum kith_quantization quantization;
};

/* The daemon has it, and what was asked on this connection before, when it returns. */
uint64_t submit_ensure(struct kith_conn *conn, struct ask ask);
struct kith_ensure_index_result collect_ensure(struct kith_conn *conn, uint64_t ticket);
struct kith_ensure_index_result ensure(struct kith_conn *conn, struct ask ask);
void collect_ensure_refused(struct kith_conn *conn, uint64_t ticket, enum kith_error error);
void ensure_refused(struct kith_conn *conn, struct ask ask, enum kith_error error);
/* It has no answer, though what was asked on the connection later has. */
void expect_ensure_waits(struct kith_conn *conn, uint64_t ticket);

/* Indexes. ------------------------------------------------------------------------------------ */

struct index_view {
	struct kith_index at; /* its texts are not valid */
	char error[256];
};

/* index NULL: the usual one, here and below. False when there is none of that name. */
bool find_index(struct kith_conn *conn, const char *collection, const char *index,
                struct index_view *ret);
struct index_view index_of(struct kith_conn *conn, const char *collection, const char *index);
void expect_no_index(struct kith_conn *conn, const char *collection, const char *index);
void await_state(struct kith_conn *conn, const char *collection, const char *index,
                 enum kith_index_state state);
/* Whether it serves, holds all records and is saved; and until it is so. */
bool is_settled(const struct index_view *view);
void await_settled(struct kith_conn *conn, const char *collection, const char *index);
int drop_index(struct kith_conn *conn, const char *collection, const char *index);
struct kith_warm_result warm(struct kith_conn *conn, const char *collection, const char *index);
struct kith_evict_result evict(struct kith_conn *conn, const char *collection, const char *index);
struct kith_optimize_result optimize(struct kith_conn *conn, const char *collection,
                                     const char *index);

/* The job at work on the index; its texts are not valid. False when there is none. */
bool find_job(struct kith_conn *conn, const char *collection, const char *index,
              struct kith_work *ret, char phase[static 32]);
void await_no_jobs(struct kith_conn *conn);
/* What cancel_job answers. */
int cancel_job(struct kith_conn *conn, uint64_t job);

/* Searches. ----------------------------------------------------------------------------------- */

/* The k nearest to the vector of a numbered record, with texts. The caller frees it. */
struct kith_search_result *search_near(struct kith_conn *conn, const char *collection,
                                       uint64_t number, uint32_t version, uint32_t k, bool exact);
/* Whether an answer keeps its promises: no id twice, distances in order, coverage within 0 and 1,
 * comparisons exactly when an index was used, which then has a generation. */
void expect_honest(const struct kith_search_result *result);
/* Record `number` is in it, with the text of that version. */
bool holds_record(const struct kith_search_result *result, uint64_t number, uint32_t version);
/* Two answers hold the same records at the same distances. */
void expect_same_hits(const struct kith_search_result *a, const struct kith_search_result *b);
