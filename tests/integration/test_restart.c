/* SPDX-License-Identifier: Apache-2.0 */

/* What a daemon finds when it comes back: after a stop, after kill -9, without its cache. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/lib/service_fixture.h"

static int notes_setup(void **state)
{
	struct service_fixture *service;

	service_setup(state);
	service = *state;
	make_collection(service->conn, "notes", KITH_METRIC_COSINE);
	return 0;
}

/* What is told of the collection; the strings in it are not valid. */
static struct kith_describe_collection_result describe(struct kith_conn *conn)
{
	struct kith_describe_collection_params params = {kith_text("notes")};
	struct kith_describe_collection_result *result, description;

	DONE(conn, kith_describe_collection(conn, &params, &result));
	description = *result;
	kith_free(result);
	return description;
}

/* Every field of a record survives, and so do the seq, the spec and what is not there. */
static void expect_all_back(struct service_fixture *service,
                            void (*again)(struct service_fixture *))
{
	struct kith_meta_builder *meta = kith_meta_new();
	const struct kith_id id = kith_id_text("whole");
	const struct kith_str text = kith_text_n("t\0xt", 4);
	struct kith_meta metas;
	float vector[RECORD_DIM];
	struct kith_upsert_params params = {
	        .collection = kith_text("notes"),
	        .namespace_ = kith_text("books"),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(1000000, 1, vector), RECORD_DIM),
	        .texts = {&text, 1},
	        .metas = {&metas, 1},
	};
	struct kith_describe_collection_result before, after;
	struct kith_upsert_result *counts;

	kith_meta_text(meta, "file", kith_text("a.md"));
	kith_meta_float(meta, "score", 0.5);
	metas = kith_meta_end(meta);
	put_records(service->conn, "notes", 0, 500, 1);
	put_records(service->conn, "notes", 100, 100, 2);
	delete_records(service->conn, "notes", 300, 50);
	DONE(service->conn, kith_upsert(service->conn, &params, NULL));
	before = describe(service->conn);

	again(service);
	after = describe(service->conn);
	assert_int_equal(after.seq, before.seq);
	assert_int_equal(after.records, 451);
	assert_int_equal(after.namespaces, before.namespaces);
	assert_int_equal(after.collection.created_ms, before.collection.created_ms);
	assert_int_equal(after.collection.metric, KITH_METRIC_COSINE);
	expect_records(service->conn, "notes", 0, 100, 1);
	expect_records(service->conn, "notes", 100, 100, 2);
	expect_records(service->conn, "notes", 200, 100, 1);
	expect_no_records(service->conn, "notes", 300, 50, 1);
	expect_records(service->conn, "notes", 350, 150, 1);
	/* Stored again it is what it was, to the last field. */
	DONE(service->conn, kith_upsert(service->conn, &params, &counts));
	assert_int_equal(counts->unchanged, 1);
	assert_int_equal(counts->seq, before.seq);
	kith_free(counts);
	DONE(service->conn, try_put_records(service->conn, "notes", 0, 1, 2, NULL));
	assert_true(describe(service->conn).seq > before.seq);
	kith_meta_free(meta);
}

static void everything_is_back_after_a_stop(void **state)
{
	expect_all_back(*state, service_stop_and_start);
}

static void everything_is_back_after_kill_9(void **state)
{
	expect_all_back(*state, service_kill_and_start);
}

static void everything_is_back_after_many_lives(void **state)
{
	struct service_fixture *service = *state;

	for (uint32_t life = 0; life < 12; life++) {
		put_records(service->conn, "notes", life * 20, 20, 1);
		if (life % 3 == 1)
			service_stop_and_start(service);
		else
			service_kill_and_start(service);
		if (life % 4 == 3)
			delete_records(service->conn, "notes", life * 20, 20);
	}
	expect_count(service->conn, "notes", 180);
	for (uint32_t life = 0; life < 12; life++) {
		if (life % 4 == 3)
			expect_no_records(service->conn, "notes", life * 20, 20, 1);
		else
			expect_records(service->conn, "notes", life * 20, 20, 1);
	}
}

/* Slots ---------------------------------------------------------------------------------------- */

/* The end of a scan over all. */
static uint64_t last_cursor(struct kith_conn *conn)
{
	struct kith_scan_params params = {.collection = kith_text("notes"), .limit = 10000};
	struct kith_scan_result *page;
	uint64_t cursor;

	DONE(conn, kith_scan(conn, &params, &page));
	assert_true(page->done);
	cursor = page->cursor;
	kith_free(page);
	return cursor;
}

static bool nothing_is_retired(void *ctx)
{
	sqlite3 *database = ctx;
	sqlite3_stmt *statement;
	int n;

	assert_int_equal(sqlite3_prepare_v2(database,
	                                    "SELECT count(*) FROM records "
	                                    "WHERE retired_seq IS NOT NULL",
	                                    -1, &statement, NULL),
	                 SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	n = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return n == 0;
}

/* Until what was deleted has left the database, which a user may read meanwhile. */
static void await_reaped(struct service_fixture *service)
{
	struct kith_describe_collection_params params = {kith_text("notes")};
	struct kith_describe_collection_result *about;
	sqlite3 *database;
	char path[2 * DAEMON_PROCESS_PATH_SIZE];

	DONE(service->conn, kith_describe_collection(service->conn, &params, &about));
	snprintf(path, sizeof(path), "%s/%.*s/records.db", service->daemon->data_dir,
	         (int)about->collection.uuid.n, about->collection.uuid.data);
	kith_free(about);
	assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	await(nothing_is_retired, database, "what was deleted is out of the database");
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void a_place_in_the_order_of_writing_is_never_taken_again(void **state)
{
	struct service_fixture *service = *state;

	put_records(service->conn, "notes", 0, 50, 1);
	for (uint32_t life = 0; life < 4; life++) {
		uint64_t cursor = last_cursor(service->conn);
		struct kith_scan_params params = {.collection = kith_text("notes"),
		                                  .cursor = cursor};
		struct kith_scan_result *page;

		/* The newest go, wholly, and others come in the next life. */
		delete_records(service->conn, "notes", 40 + life * 10, 10);
		if (life < 2)
			await_reaped(service);
		if (life % 2)
			service_kill_and_start(service);
		else
			service_stop_and_start(service);
		put_records(service->conn, "notes", 50 + life * 10, 10, 1);
		DONE(service->conn, kith_scan(service->conn, &params, &page));
		assert_int_equal(page->ids.n, 10);
		assert_int_equal(page->ids.v[0].number, 50 + life * 10);
		assert_true(page->cursor > cursor);
		kith_free(page);
		expect_no_records(service->conn, "notes", 40 + life * 10, 10, 1);
		expect_records(service->conn, "notes", 50 + life * 10, 10, 1);
	}
}

/* The cache ------------------------------------------------------------------------------------ */

struct answers {
	struct kith_conn *conn;
	uint32_t served_from;
	uint64_t ids[20];
	float distances[20];
};

static void ask(struct answers *answers)
{
	float query[RECORD_DIM];
	struct kith_search_params params = {.collection = kith_text("notes"),
	                                    .vectors = kith_vectors(query, RECORD_DIM),
	                                    .k = 20};
	struct kith_search_result *result;

	draw_vector(4711, RECORD_DIM, query);
	DONE(answers->conn, kith_search(answers->conn, &params, &result));
	assert_int_equal(result->ids.n, 20);
	for (uint32_t i = 0; i < 20; i++) {
		answers->ids[i] = result->ids.v[i].number;
		answers->distances[i] = result->distances.v[i];
	}
	answers->served_from = result->served_from;
	assert_int_equal(result->cached, result->served_from == KITH_SOURCE_RESIDENT);
	kith_free(result);
}

static bool are_resident(void *ctx)
{
	struct answers *answers = ctx;

	ask(answers);
	return answers->served_from == KITH_SOURCE_RESIDENT;
}

static void expect_same(const struct answers *a, const struct answers *b)
{
	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(a->ids[i], b->ids[i]);
		assert_true(a->distances[i] == b->distances[i]);
	}
}

static void without_its_cache_it_answers_the_same_out_of_the_truth(void **state)
{
	struct service_fixture *service = *state;
	struct answers before = {.conn = service->conn}, after;

	put_records(service->conn, "notes", 0, 3000, 1);
	delete_records(service->conn, "notes", 1000, 500);
	put_records(service->conn, "notes", 0, 500, 2);
	ask(&before);
	service_stop(service);
	assert_int_equal(daemon_process_clear_cache(service->daemon), 0);
	service_start(service);
	after.conn = service->conn;
	ask(&after);
	assert_int_equal(after.served_from, KITH_SOURCE_TRUTH);
	expect_same(&before, &after);
	/* The file comes back, then the codes, and the answers stay what they are. */
	await_mapped(service->conn, "notes");
	ask(&after);
	assert_int_not_equal(after.served_from, KITH_SOURCE_TRUTH);
	expect_same(&before, &after);
	await(are_resident, &after, "the codes are resident");
	expect_same(&before, &after);
	assert_int_equal(describe(service->conn).vectors, KITH_SOURCE_RESIDENT);
	expect_records(service->conn, "notes", 0, 500, 2);
	expect_no_records(service->conn, "notes", 1000, 500, 1);
}

static void writes_go_on_while_the_cache_comes_back(void **state)
{
	struct service_fixture *service = *state;

	put_records(service->conn, "notes", 0, 4000, 1);
	assert_int_equal(daemon_process_kill(service->daemon), 0);
	assert_int_equal(daemon_process_clear_cache(service->daemon), 0);
	service_kill_and_start(service);
	for (uint32_t i = 0; i < 40; i++) {
		put_records(service->conn, "notes", 4000 + i * 10, 10, 1);
		put_records(service->conn, "notes", i * 10, 10, 2);
		delete_records(service->conn, "notes", 2000 + i * 10, 10);
		expect_records(service->conn, "notes", 4000 + i * 10, 10, 1);
	}
	await_mapped(service->conn, "notes");
	expect_records(service->conn, "notes", 0, 400, 2);
	expect_records(service->conn, "notes", 400, 1600, 1);
	expect_no_records(service->conn, "notes", 2000, 400, 1);
	expect_records(service->conn, "notes", 2400, 2000, 1);
	expect_count(service->conn, "notes", 4000);
}

static void a_budget_of_nothing_still_answers_right(void **state)
{
	struct service_fixture *service = *state;

	service_stop(service);
	assert_int_equal(daemon_process_option(service->daemon, "--index-cache-mb", "0"), 0);
	service_start(service);
	put_records(service->conn, "notes", 0, 3000, 1);
	expect_records(service->conn, "notes", 0, 3000, 1);
	service_kill_and_start(service);
	expect_records(service->conn, "notes", 0, 3000, 1);
	assert_int_equal(usage_of(service->conn, "notes").resident_rows, 0);
}

int main(void)
{
#define ON_NOTES(test) cmocka_unit_test_setup_teardown(test, notes_setup, service_teardown)
	const struct CMUnitTest tests[] = {
	        ON_NOTES(everything_is_back_after_a_stop),
	        ON_NOTES(everything_is_back_after_kill_9),
	        ON_NOTES(everything_is_back_after_many_lives),
	        ON_NOTES(a_place_in_the_order_of_writing_is_never_taken_again),
	        ON_NOTES(without_its_cache_it_answers_the_same_out_of_the_truth),
	        ON_NOTES(writes_go_on_while_the_cache_comes_back),
	        ON_NOTES(a_budget_of_nothing_still_answers_right),
	};

	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
