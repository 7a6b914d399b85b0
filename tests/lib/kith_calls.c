/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/kith_calls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/vector.h"
#include "tests/lib/vector_fixture.h"

#define USUAL_INDEX "vector"

struct kith_conn *connect_to(const struct daemon_thread *daemon)
{
	struct kith_options options = {.socket_path = daemon_thread_socket(daemon),
	                               .timeout_ms = DAEMON_PROCESS_PATIENCE_MS};
	struct kith_conn *conn;

	assert_int_equal(kith_connect(&options, &conn), 0);
	return conn;
}

char *collection_path(struct kith_conn *conn, const char *collection, const char *below,
                      char path[static DAEMON_PROCESS_PATH_SIZE])
{
	struct kith_describe_collection_params which = {.collection = kith_text(collection)};
	struct kith_describe_collection_result *what;

	DONE(conn, kith_describe_collection(conn, &which, &what));
	snprintf(path, DAEMON_PROCESS_PATH_SIZE, "%s/%.*s", below, (int)what->collection.uuid.n,
	         what->collection.uuid.data);
	kith_free(what);
	return path;
}

void spoil_vectors(const char *dir, uint64_t row)
{
	uint32_t stride = vector_stride_bytes(RECORD_DIM, DTYPE_F32);
	struct vector_fixture_where where = vector_fixture_where(stride);
	char path[DAEMON_PROCESS_PATH_SIZE + 16];

	assert_true(row < where.extent_rows);
	snprintf(path, sizeof(path), "%s/vectors", dir);
	vector_fixture_flip(path, FIXTURE_EXTENTS_AT + where.rows_at + row * stride);
}

/* Ensuring. ----------------------------------------------------------------------------------- */

/* A graph that is good enough for few records, in a third of the usual time. */
#define TEST_EF_CONSTRUCTION 40u

static struct kith_ensure_index_params params_of(struct ask ask)
{
	return (struct kith_ensure_index_params){
	        .collection = kith_text(ask.collection),
	        .index = kith_text(ask.index),
	        .m = ask.m,
	        .ef_construction = TEST_EF_CONSTRUCTION,
	        .wait = ask.wait,
	        .replace = ask.replace,
	        .quantization = ask.quantization,
	};
}

uint64_t submit_ensure(struct kith_conn *conn, struct ask ask)
{
	struct kith_ensure_index_params params = params_of(ask);
	uint64_t ticket;

	DONE(conn, kith_submit_ensure_index(conn, &params, &ticket));
	DONE(conn, kith_ping(conn));
	return ticket;
}

struct kith_ensure_index_result collect_ensure(struct kith_conn *conn, uint64_t ticket)
{
	struct kith_ensure_index_result *result, copy;

	DONE(conn, kith_collect_ensure_index(conn, ticket, KITH_USUAL, &result));
	copy = *result;
	kith_free(result);
	return copy;
}

struct kith_ensure_index_result ensure(struct kith_conn *conn, struct ask ask)
{
	return collect_ensure(conn, submit_ensure(conn, ask));
}

void collect_ensure_refused(struct kith_conn *conn, uint64_t ticket, enum kith_error error)
{
	REFUSED(conn, error, "index", kith_collect_ensure_index(conn, ticket, KITH_USUAL, NULL));
}

void ensure_refused(struct kith_conn *conn, struct ask ask, enum kith_error error)
{
	collect_ensure_refused(conn, submit_ensure(conn, ask), error);
}

void expect_ensure_waits(struct kith_conn *conn, uint64_t ticket)
{
	DONE(conn, kith_ping(conn));
	assert_int_equal(kith_collect_ensure_index(conn, ticket, 0, NULL), -ETIMEDOUT);
}

/* Indexes. ------------------------------------------------------------------------------------ */

bool find_index(struct kith_conn *conn, const char *collection, const char *index,
                struct index_view *ret)
{
	struct kith_list_indexes_params params = {.collection = kith_text(collection)};
	struct kith_list_indexes_result *result;
	bool found = false;

	DONE(conn, kith_list_indexes(conn, &params, &result));
	for (uint32_t i = 0; i < result->indexes.n && !found; i++) {
		const struct kith_index *at = &result->indexes.v[i];

		found = is_text(at->name, index ? index : USUAL_INDEX);
		if (!found)
			continue;
		ret->at = *at;
		ret->at.name = ret->at.error = kith_text(NULL);
		snprintf(ret->error, sizeof(ret->error), "%.*s", (int)at->error.n, at->error.data);
	}
	kith_free(result);
	return found;
}

struct index_view index_of(struct kith_conn *conn, const char *collection, const char *index)
{
	struct index_view view;

	if (!find_index(conn, collection, index, &view))
		fail_msg("there is no index '%s/%s'", collection, index ? index : USUAL_INDEX);
	return view;
}

void expect_no_index(struct kith_conn *conn, const char *collection, const char *index)
{
	struct index_view view;

	if (find_index(conn, collection, index, &view))
		fail_msg("there is an index '%s/%s', %s", collection, index ? index : USUAL_INDEX,
		         kith_index_state_name(view.at.state));
}

struct awaited {
	struct kith_conn *conn;
	const char *collection, *index;
	enum kith_index_state state;
};

static bool is_in_state(void *ctx)
{
	const struct awaited *awaited = ctx;
	struct index_view view;

	return find_index(awaited->conn, awaited->collection, awaited->index, &view) &&
	       view.at.state == awaited->state;
}

void await_state(struct kith_conn *conn, const char *collection, const char *index,
                 enum kith_index_state state)
{
	struct awaited awaited = {conn, collection, index, state};
	char what[64];

	snprintf(what, sizeof(what), "the index is %s", kith_index_state_name(state));
	await(is_in_state, &awaited, what);
}

bool is_settled(const struct index_view *view)
{
	return view->at.state == KITH_INDEX_STATE_SERVING && view->at.pending == 0 &&
	       view->at.saved_nodes == view->at.nodes;
}

static bool comes_to_be_settled(void *ctx)
{
	const struct awaited *awaited = ctx;
	struct index_view view;

	return find_index(awaited->conn, awaited->collection, awaited->index, &view) &&
	       is_settled(&view);
}

void await_settled(struct kith_conn *conn, const char *collection, const char *index)
{
	await(comes_to_be_settled, &(struct awaited){conn, collection, index, 0},
	      "the index is settled");
}

int drop_index(struct kith_conn *conn, const char *collection, const char *index)
{
	struct kith_drop_index_params params = {.collection = kith_text(collection),
	                                        .index = kith_text(index)};

	return kith_drop_index(conn, &params, NULL);
}

struct kith_optimize_result optimize(struct kith_conn *conn, const char *collection,
                                     const char *index)
{
	struct kith_optimize_params params = {.collection = kith_text(collection),
	                                      .index = kith_text(index)};
	struct kith_optimize_result *result, copy;

	DONE(conn, kith_optimize(conn, &params, &result));
	copy = *result;
	kith_free(result);
	return copy;
}

struct kith_warm_result warm(struct kith_conn *conn, const char *collection, const char *index)
{
	struct kith_warm_params params = {.collection = kith_text(collection),
	                                  .index = kith_text(index)};
	struct kith_warm_result *result, copy;

	DONE(conn, kith_warm(conn, &params, &result));
	copy = *result;
	kith_free(result);
	return copy;
}

struct kith_evict_result evict(struct kith_conn *conn, const char *collection, const char *index)
{
	struct kith_evict_params params = {.collection = kith_text(collection),
	                                   .index = kith_text(index)};
	struct kith_evict_result *result, copy;

	DONE(conn, kith_evict(conn, &params, &result));
	copy = *result;
	kith_free(result);
	return copy;
}

bool find_job(struct kith_conn *conn, const char *collection, const char *index,
              struct kith_work *ret, char phase[static 32])
{
	struct kith_jobs_result *jobs;
	bool found = false;

	DONE(conn, kith_jobs(conn, &jobs));
	for (uint32_t i = 0; i < jobs->jobs.n && !found; i++) {
		const struct kith_work *at = &jobs->jobs.v[i];

		found = is_text(at->collection, collection) &&
		        is_text(at->index, index ? index : USUAL_INDEX);
		if (!found)
			continue;
		*ret = *at;
		snprintf(phase, 32, "%.*s", (int)at->phase.n, at->phase.data);
		ret->collection = ret->index = ret->phase = kith_text(NULL);
	}
	kith_free(jobs);
	return found;
}

static bool has_no_jobs(void *ctx)
{
	struct kith_jobs_result *jobs;
	uint32_t n;

	DONE(ctx, kith_jobs(ctx, &jobs));
	n = jobs->jobs.n;
	kith_free(jobs);
	return n == 0;
}

void await_no_jobs(struct kith_conn *conn)
{
	await(has_no_jobs, conn, "no job is under way");
}

int cancel_job(struct kith_conn *conn, uint64_t job)
{
	return kith_cancel_job(conn, &(struct kith_cancel_job_params){.job = job}, NULL);
}

/* Searches. ----------------------------------------------------------------------------------- */

struct kith_search_result *search_near(struct kith_conn *conn, const char *collection,
                                       uint64_t number, uint32_t version, uint32_t k, bool exact)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(collection),
	        .vectors = kith_vectors(record_vector(number, version, vector), RECORD_DIM),
	        .k = k,
	        .exact = exact,
	        .include = KITH_INCLUDE_TEXTS,
	};
	struct kith_search_result *result;

	DONE(conn, kith_search(conn, &params, &result));
	expect_honest(result);
	return result;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void expect_no_id_twice(const struct kith_id *ids, uint32_t n)
{
	uint64_t *numbers = calloc(n + 1, sizeof(*numbers));

	assert_non_null(numbers);
	for (uint32_t i = 0; i < n; i++)
		numbers[i] = ids[i].number;
	qsort(numbers, n, sizeof(*numbers), compare_ids);
	for (uint32_t i = 1; i < n; i++) {
		if (numbers[i - 1] == numbers[i])
			fail_msg("record %llu is in an answer twice",
			         (unsigned long long)numbers[i]);
	}
	free(numbers);
}

void expect_honest(const struct kith_search_result *result)
{
	uint32_t at = 0;

	assert_true(result->coverage >= 0.0 && result->coverage <= 1.0);
	assert_int_equal(result->mode == KITH_MODE_HNSW, result->comparisons > 0);
	assert_int_equal(result->mode == KITH_MODE_HNSW, result->generation > 0);
	for (uint32_t q = 0; q < result->counts.n; q++) {
		uint32_t n = result->counts.v[q];

		expect_no_id_twice(result->ids.v + at, n);
		for (uint32_t i = at + 1; i < at + n; i++)
			assert_true(result->distances.v[i - 1] <= result->distances.v[i]);
		at += n;
	}
	assert_int_equal(at, result->ids.n);
}

bool holds_record(const struct kith_search_result *result, uint64_t number, uint32_t version)
{
	char text[RECORD_TEXT_SIZE];

	record_text(number, version, text);
	for (uint32_t i = 0; i < result->ids.n; i++) {
		if (result->ids.v[i].number == number)
			return is_text(result->texts.v[i], text);
	}
	return false;
}

void expect_same_hits(const struct kith_search_result *a, const struct kith_search_result *b)
{
	assert_int_equal(a->ids.n, b->ids.n);
	for (uint32_t i = 0; i < a->ids.n; i++) {
		assert_int_equal(a->ids.v[i].number, b->ids.v[i].number);
		assert_memory_equal(&a->distances.v[i], &b->distances.v[i], sizeof(float));
	}
}
