/* SPDX-License-Identifier: Apache-2.0 */

/* Many requests at once, on one connection and on several. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/raw_client.h"
#include "tests/lib/service_fixture.h"

static int notes_setup(void **state)
{
	struct service_fixture *service;

	service_setup(state);
	service = *state;
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	return 0;
}

/* Submits the upsert of one numbered record, without its text. */
static uint64_t submit_record(struct kith_conn *conn, uint64_t number, uint32_t version)
{
	const struct kith_id id = kith_id_number(number);
	float vector[RECORD_DIM];
	struct kith_upsert_params params = {
	        .collection = kith_text("notes"),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(number, version, vector), RECORD_DIM),
	};
	uint64_t ticket;

	DONE(conn, kith_submit_upsert(conn, &params, &ticket));
	return ticket;
}

static uint64_t submit_search(struct kith_conn *conn, uint64_t number, uint32_t version)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text("notes"),
	        .vectors = kith_vectors(record_vector(number, version, vector), RECORD_DIM),
	        .k = 1,
	};
	uint64_t ticket;

	DONE(conn, kith_submit_search(conn, &params, &ticket));
	return ticket;
}

static void expect_upserted(struct kith_conn *conn, uint64_t ticket, uint64_t *seq)
{
	struct kith_upsert_result *result;

	DONE(conn, kith_collect_upsert(conn, ticket, KITH_USUAL, &result));
	assert_true(result->seq > *seq);
	*seq = result->seq;
	kith_free(result);
}

static void expect_exact_hit(struct kith_conn *conn, uint64_t ticket, uint64_t number, uint64_t seq)
{
	struct kith_search_result *result;

	DONE(conn, kith_collect_search(conn, ticket, KITH_USUAL, &result));
	assert_true(result->seq >= seq);
	assert_int_equal(result->ids.n, 1);
	assert_int_equal(result->ids.v[0].number, number);
	assert_true(result->distances.v[0] == 0.0f);
	kith_free(result);
}

static void a_search_behind_an_upsert_finds_it_without_waiting(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	enum {
		N = 100
	};
	uint64_t upserts[N], searches[N], seq = 0;

	for (uint32_t i = 0; i < N; i++) {
		upserts[i] = submit_record(conn, i, 1);
		searches[i] = submit_search(conn, i, 1);
	}
	for (uint32_t i = 0; i < N; i++) {
		expect_upserted(conn, upserts[i], &seq);
		expect_exact_hit(conn, searches[i], i, seq);
	}
}

static void a_search_behind_a_replacement_finds_the_new_version_only(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	uint64_t seq = 0;

	for (uint32_t version = 0; version < 60; version++) {
		uint64_t upsert = submit_record(conn, 7, version);
		uint64_t new = submit_search(conn, 7, version);
		uint64_t old = submit_search(conn, 7, version - 1);
		struct kith_search_result *result;

		expect_upserted(conn, upsert, &seq);
		expect_exact_hit(conn, new, 7, seq);
		DONE(conn, kith_collect_search(conn, old, KITH_USUAL, &result));
		assert_int_equal(result->ids.n, 1);
		assert_true(result->distances.v[0] > 0.0f);
		kith_free(result);
	}
}

static void every_read_behind_a_delete_misses_what_is_gone(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;

	put_records(conn, "notes", 0, 40, 1);
	for (uint64_t number = 0; number < 40; number++) {
		const struct kith_id id = kith_id_number(number);
		struct kith_delete_params delete = {kith_text("notes"), {&id, 1}};
		struct kith_get_params get = {.collection = kith_text("notes"), .ids = {&id, 1}};
		struct kith_count_params count = {.collection = kith_text("notes")};
		struct kith_scan_params scan = {.collection = kith_text("notes")};
		struct kith_get_result *got;
		struct kith_count_result *counted;
		struct kith_scan_result *scanned;
		uint64_t tickets[4];

		DONE(conn, kith_submit_delete(conn, &delete, &tickets[0]));
		DONE(conn, kith_submit_get(conn, &get, &tickets[1]));
		DONE(conn, kith_submit_count(conn, &count, &tickets[2]));
		DONE(conn, kith_submit_scan(conn, &scan, &tickets[3]));
		DONE(conn, kith_collect_scan(conn, tickets[3], KITH_USUAL, &scanned));
		DONE(conn, kith_collect_count(conn, tickets[2], KITH_USUAL, &counted));
		DONE(conn, kith_collect_get(conn, tickets[1], KITH_USUAL, &got));
		DONE(conn, kith_collect_delete(conn, tickets[0], KITH_USUAL, NULL));
		assert_int_equal(scanned->ids.n, 39 - number);
		assert_int_equal(counted->count, 39 - number);
		assert_int_equal(got->positions.n, 0);
		kith_free(scanned);
		kith_free(counted);
		kith_free(got);
	}
}

static void pipelined_writes_keep_their_order(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	enum {
		N = 200
	};
	uint64_t tickets[N], seq = 0;
	const struct kith_id id = kith_id_number(7);
	struct kith_delete_params delete = {kith_text("notes"), {&id, 1}};

	for (uint32_t i = 0; i < N; i++)
		tickets[i] = submit_record(conn, 7, i);
	for (uint32_t i = 0; i < N; i++)
		expect_upserted(conn, tickets[i], &seq);
	expect_exact_hit(conn, submit_search(conn, 7, N - 1), 7, seq);
	expect_count(conn, "notes", 1);
	/* Written and deleted in turns: the last word counts. */
	for (uint32_t i = 0; i < N; i += 2) {
		tickets[i] = submit_record(conn, 7, N + i);
		DONE(conn, kith_submit_delete(conn, &delete, &tickets[i + 1]));
	}
	for (uint32_t i = 0; i < N; i += 2) {
		struct kith_delete_result *deleted;

		expect_upserted(conn, tickets[i], &seq);
		DONE(conn, kith_collect_delete(conn, tickets[i + 1], KITH_USUAL, &deleted));
		assert_int_equal(deleted->deleted, 1);
		assert_true(deleted->seq > seq);
		seq = deleted->seq;
		kith_free(deleted);
	}
	expect_count(conn, "notes", 0);
}

static void of_pipelined_writes_the_bad_one_fails_alone(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id id = kith_id_number(1000);
	const float bad[RECORD_DIM] = {1, __builtin_nanf("")};
	struct kith_upsert_params params = {.collection = kith_text("notes"),
	                                    .ids = {&id, 1},
	                                    .vectors = kith_vectors(bad, RECORD_DIM)};
	uint64_t tickets[8], seq = 0;

	for (uint32_t i = 0; i < 8; i++) {
		if (i == 4)
			DONE(conn, kith_submit_upsert(conn, &params, &tickets[i]));
		else
			tickets[i] = submit_record(conn, i, 1);
	}
	for (uint32_t i = 0; i < 8; i++) {
		if (i == 4)
			REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors",
			        kith_collect_upsert(conn, tickets[i], KITH_USUAL, NULL));
		else
			expect_upserted(conn, tickets[i], &seq);
	}
	expect_count(conn, "notes", 7);
}

static void answers_are_collected_in_any_order(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	enum {
		N = 900 /* more than a session may have unanswered */
	};
	static uint64_t tickets[N];

	put_records(conn, "notes", 0, 100, 1);
	for (uint32_t i = 0; i < N; i++)
		tickets[i] = submit_search(conn, i % 100, 1);
	for (uint32_t i = N; i-- > 0;)
		expect_exact_hit(conn, tickets[i], i % 100, 1);
}

static void a_ping_overtakes_a_search(void **state)
{
	struct service_fixture *service = *state;
	struct wire_buf both;
	struct ping_result ping;
	struct search_result found;
	struct raw_client raw;
	float *queries = calloc(256 * RECORD_DIM, sizeof(float));
	struct search_params search = {
	        .collection = {"notes", 5},
	        .vectors = {queries, 128 * RECORD_DIM * sizeof(float)},
	        .k = 10,
	};
	struct ping_params nothing = {0};

	assert_non_null(queries);
	put_records(service->conn, "notes", 0, 5000, 1);
	wire_buf_init(&both);
	assert_int_equal(message_encode_request(&both, 1, WIRE_METHOD_search, &search), 0);
	assert_int_equal(message_encode_request(&both, 2, WIRE_METHOD_ping, &nothing), 0);
	raw_greet(service->daemon, &raw);
	raw_send(&raw, both.data, both.n);
	raw_expect_result(&raw, 2, WIRE_METHOD_ping, &ping);
	raw_expect_result(&raw, 1, WIRE_METHOD_search, &found);
	assert_int_equal(found.ids.n, 1280);
	raw_close(&raw);
	wire_buf_release(&both);
	free(queries);
}

static void what_one_connection_was_told_the_other_one_sees(void **state)
{
	struct service_fixture *service = *state;
	struct kith_conn *other = service_client(service);
	uint64_t seq = 0;

	for (uint64_t number = 0; number < 100; number++) {
		struct kith_conn *writer = number % 2 ? other : service->conn;
		struct kith_conn *reader = number % 2 ? service->conn : other;

		expect_upserted(writer, submit_record(writer, number, 1), &seq);
		expect_exact_hit(reader, submit_search(reader, number, 1), number, seq);
	}
	kith_close(other);
}

static void connections_that_write_at_once_each_read_their_own(void **state)
{
	struct service_fixture *service = *state;
	enum {
		N_CONNS = 8,
		N = 50
	};
	struct kith_conn *conns[N_CONNS];
	uint64_t upserts[N_CONNS][N], searches[N_CONNS][N];

	for (uint32_t c = 0; c < N_CONNS; c++)
		conns[c] = service_client(service);
	for (uint32_t i = 0; i < N; i++) {
		for (uint32_t c = 0; c < N_CONNS; c++) {
			upserts[c][i] = submit_record(conns[c], c * 1000 + i, 1);
			searches[c][i] = submit_search(conns[c], c * 1000 + i, 1);
			DONE(conns[c], kith_flush(conns[c]));
		}
	}
	for (uint32_t c = 0; c < N_CONNS; c++) {
		uint64_t seq = 0;

		for (uint32_t i = 0; i < N; i++) {
			expect_upserted(conns[c], upserts[c][i], &seq);
			expect_exact_hit(conns[c], searches[c][i], c * 1000 + i, seq);
		}
		kith_close(conns[c]);
	}
	expect_count(service->conn, "notes", N_CONNS * N);
}

int main(void)
{
#define ON_NOTES(test) cmocka_unit_test_setup_teardown(test, notes_setup, service_teardown)
	const struct CMUnitTest tests[] = {
	        ON_NOTES(a_search_behind_an_upsert_finds_it_without_waiting),
	        ON_NOTES(a_search_behind_a_replacement_finds_the_new_version_only),
	        ON_NOTES(every_read_behind_a_delete_misses_what_is_gone),
	        ON_NOTES(pipelined_writes_keep_their_order),
	        ON_NOTES(of_pipelined_writes_the_bad_one_fails_alone),
	        ON_NOTES(answers_are_collected_in_any_order),
	        ON_NOTES(a_ping_overtakes_a_search),
	        ON_NOTES(what_one_connection_was_told_the_other_one_sees),
	        ON_NOTES(connections_that_write_at_once_each_read_their_own),
	};

	return cmocka_run_group_tests_name("pipelining", tests, NULL, NULL);
}
