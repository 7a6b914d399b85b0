/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is written and searched while an index is held in each of its states: every acknowledged
 * write is found, whatever the index is at.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/index_stage.h"

static uint64_t submit_put(struct kith_conn *conn, uint64_t number, uint32_t version)
{
	struct kith_id id = kith_id_number(number);
	float vector[RECORD_DIM];
	char text[RECORD_TEXT_SIZE];
	struct kith_str str = kith_text(record_text(number, version, text));
	struct kith_upsert_params params = {
	        .collection = kith_text(STAGE_COLLECTION),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(number, version, vector), RECORD_DIM),
	        .texts = {&str, 1},
	};
	uint64_t ticket;

	DONE(conn, kith_submit_upsert(conn, &params, &ticket));
	return ticket;
}

static uint64_t submit_search(struct kith_conn *conn, uint64_t number, uint32_t version)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(STAGE_COLLECTION),
	        .vectors = kith_vectors(record_vector(number, version, vector), RECORD_DIM),
	        .k = 3,
	        .include = KITH_INCLUDE_TEXTS,
	};
	uint64_t ticket;

	DONE(conn, kith_submit_search(conn, &params, &ticket));
	return ticket;
}

static void expect_nearest(const struct kith_search_result *found, uint64_t number,
                           uint32_t version)
{
	expect_honest(found);
	assert_true(found->ids.n > 0);
	assert_int_equal(found->ids.v[0].number, number);
	assert_true(found->distances.v[0] == 0.0f);
	assert_true(holds_record(found, number, version));
}

/* Sent in one go: each search finds the write before it. */
static void write_and_search_pipelined(struct kith_conn *conn, uint64_t number, uint32_t version)
{
	uint64_t put = submit_put(conn, number, version);
	uint64_t search = submit_search(conn, number, version);
	struct kith_search_result *found;

	DONE(conn, kith_collect_search(conn, search, KITH_USUAL, &found));
	expect_nearest(found, number, version);
	kith_free(found);
	DONE(conn, kith_collect_upsert(conn, put, KITH_USUAL, NULL));
}

/* The old version is nowhere, not even for a query equal to it and with all records asked for. */
static void expect_gone(struct index_stage *stage, uint64_t number, uint32_t version, uint64_t n)
{
	struct kith_search_result *found =
	        search_near(stage->conn, STAGE_COLLECTION, number, version, 2000, false);

	assert_int_equal(found->ids.n, n);
	assert_false(holds_record(found, number, version));
	assert_true(found->distances.v[0] > 0.0f);
	kith_free(found);
}

/* Two at its ends, in the middle, and new: all that a write can do to an index. */
static void write_everything(struct index_stage *stage, struct kith_conn *other)
{
	uint64_t n = stage->n_records;
	struct kith_search_result *found;

	put_records(stage->conn, STAGE_COLLECTION, n, 3, 1);
	expect_records(stage->conn, STAGE_COLLECTION, n, 3, 1);
	expect_records(other, STAGE_COLLECTION, n, 3, 1);
	put_records(stage->conn, STAGE_COLLECTION, 5, 3, 2);
	expect_records(stage->conn, STAGE_COLLECTION, 5, 3, 2);
	expect_records(other, STAGE_COLLECTION, 5, 3, 2);
	delete_records(stage->conn, STAGE_COLLECTION, 20, 3);
	expect_no_records(stage->conn, STAGE_COLLECTION, 20, 3, 1);
	write_and_search_pipelined(stage->conn, n + 3, 1);
	write_and_search_pipelined(stage->conn, 30, 2);
	/* Replaced twice, and a new one that goes again. */
	put_records(stage->conn, STAGE_COLLECTION, n + 1, 1, 2);
	delete_records(stage->conn, STAGE_COLLECTION, n + 2, 1);
	found = search_near(stage->conn, STAGE_COLLECTION, n + 1, 2, 1, false);
	expect_nearest(found, n + 1, 2);
	kith_free(found);
	stage->n_records = n + 4;
}

/* What write_everything() left. n: records before it. */
static void expect_everything(struct index_stage *stage, uint64_t n)
{
	uint64_t left = n + 4 - 4;

	expect_count(stage->conn, STAGE_COLLECTION, left);
	expect_records(stage->conn, STAGE_COLLECTION, 0, 5, 1);
	expect_records(stage->conn, STAGE_COLLECTION, 5, 3, 2);
	expect_records(stage->conn, STAGE_COLLECTION, 8, 12, 1);
	expect_records(stage->conn, STAGE_COLLECTION, 30, 1, 2);
	expect_records(stage->conn, STAGE_COLLECTION, 31, (uint32_t)n - 31, 1);
	expect_records(stage->conn, STAGE_COLLECTION, n, 1, 1);
	expect_records(stage->conn, STAGE_COLLECTION, n + 1, 1, 2);
	expect_records(stage->conn, STAGE_COLLECTION, n + 3, 1, 1);
	expect_gone(stage, 6, 1, left);
	expect_gone(stage, 21, 1, left);
	expect_gone(stage, 30, 1, left);
	expect_gone(stage, n + 1, 1, left);
	expect_gone(stage, n + 2, 1, left);
}

static enum kith_mode mode_of(enum stage which)
{
	enum kith_index_state state = index_stage_state(which);

	return state >= KITH_INDEX_STATE_SERVING || state == KITH_INDEX_STATE_EVICTED
	               ? KITH_MODE_HNSW
	               : KITH_MODE_EXACT;
}

static void a_search_finds_every_acknowledged_write_in_each_state(void **state)
{
	(void)state;
	for (enum stage which = STAGE_NONE; which < STAGE_N; which++) {
		struct kith_search_result *found;
		struct index_stage stage;
		struct kith_conn *other;
		uint64_t n;

		print_message("%s\n", index_stage_name(which));
		index_stage_enter(&stage, which);
		other = connect_to(stage.daemon);
		n = stage.n_records;
		write_everything(&stage, other);
		expect_everything(&stage, n);
		found = search_near(stage.conn, STAGE_COLLECTION, 1, 1, 5, false);
		assert_int_equal(found->mode, mode_of(which));
		if (found->mode == KITH_MODE_HNSW)
			assert_true(found->coverage < 1.0 && found->scanned > 0);
		kith_free(found);
		index_stage_go(&stage);
		if (stage.has_ticket)
			collect_ensure(stage.starter, stage.ticket);
		expect_everything(&stage, n);
		if (which != STAGE_NONE && which != STAGE_DECLARED) {
			index_stage_fold_in(&stage);
			found = search_near(stage.conn, STAGE_COLLECTION, 1, 1, 5, false);
			assert_int_equal(found->mode, KITH_MODE_HNSW);
			assert_true(found->coverage == 1.0);
			kith_free(found);
			expect_everything(&stage, n);
		}
		kith_close(other);
		index_stage_restart(&stage);
		expect_everything(&stage, n);
		index_stage_leave(&stage);
	}
}

/* Found by the state that a search was planned in, whatever comes between it and that phase. */
static void hold_searches(const char *phase)
{
	static const enum stage stages[] = {STAGE_NONE, STAGE_SERVING, STAGE_INSERTING,
	                                    STAGE_REPLACING};

	for (size_t i = 0; i < sizeof(stages) / sizeof(*stages); i++) {
		struct kith_search_result *found;
		struct index_stage stage;
		struct kith_conn *other;
		struct gate *gate;
		uint64_t ticket;

		print_message("%s\n", index_stage_name(stages[i]));
		index_stage_enter(&stage, stages[i]);
		other = connect_to(stage.daemon);
		gate = daemon_thread_gate_one(stage.daemon, "search", phase);
		ticket = submit_search(other, 6, 1);
		DONE(other, kith_flush(other));
		gate_await(gate);
		put_records(stage.conn, STAGE_COLLECTION, 6, 1, 2);
		index_stage_go(&stage);
		if (stage.has_ticket)
			collect_ensure(stage.starter, stage.ticket);
		if (stages[i] != STAGE_NONE)
			index_stage_fold_in(&stage);
		gate_open(gate);
		DONE(other, kith_collect_search(other, ticket, KITH_USUAL, &found));
		expect_nearest(found, 6, 1);
		kith_free(found);
		expect_gone(&stage, 6, 1, stage.n_records);
		kith_close(other);
		index_stage_leave(&stage);
	}
}

static void a_search_held_before_its_work_answers_for_its_own_time(void **state)
{
	(void)state;
	hold_searches("start");
}

static void a_search_held_before_its_fetch_answers_for_its_own_time(void **state)
{
	(void)state;
	hold_searches("fetch");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_search_finds_every_acknowledged_write_in_each_state),
	        cmocka_unit_test(a_search_held_before_its_work_answers_for_its_own_time),
	        cmocka_unit_test(a_search_held_before_its_fetch_answers_for_its_own_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
