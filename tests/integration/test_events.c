/* SPDX-License-Identifier: Apache-2.0 */

/* What subscribers are told. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/service_fixture.h"

static struct kith_event *next_event(struct kith_conn *conn)
{
	struct kith_event *event;

	DONE(conn, kith_next_event(conn, KITH_USUAL, &event));
	assert_int_equal(event->lost, 0);
	return event;
}

/* The next event is that change; returns its seq. */
static uint64_t expect_change(struct kith_conn *conn, uint32_t what, const char *collection)
{
	struct kith_event *event = next_event(conn);
	uint64_t seq = event->change.seq;

	assert_int_equal(event->type, KITH_EVENT_CHANGE);
	assert_string_equal(kith_change_name(event->change.what), kith_change_name(what));
	assert_true(is_text(event->change.collection, collection));
	assert_int_equal(event->change.uuid.n, 36);
	kith_free(event);
	return seq;
}

/* Nothing has come: events that a request causes come before its answer on the same connection,
 * and so before that of a ping behind it. */
static void expect_no_event(struct kith_conn *conn)
{
	struct kith_event *event;

	DONE(conn, kith_ping(conn));
	assert_int_equal(kith_next_event(conn, 0, &event), -ETIMEDOUT);
}

static void every_change_is_told_in_order(void **state)
{
	struct service_fixture *service = *state;
	struct kith_conn *listener = service_client(service);
	struct kith_rename_collection_params rename = {kith_text("notes"), kith_text("papers")};
	struct kith_drop_collection_params drop = {.collection = kith_text("papers")};
	uint64_t seq = 0;

	DONE(listener, kith_subscribe(listener, KITH_TOPIC_CHANGES));
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	expect_change(listener, KITH_CHANGE_CREATED, "notes");
	for (uint32_t version = 1; version <= 5; version++) {
		struct kith_upsert_result counts;
		uint64_t told;

		DONE(service->conn,
		     try_put_records(service->conn, "notes", 0, 10, version, &counts));
		told = expect_change(listener, KITH_CHANGE_WRITTEN, "notes");
		assert_true(told > seq);
		assert_int_equal(told, counts.seq);
		seq = told;
		/* Whoever was told sees it. */
		expect_records(listener, "notes", 0, 10, version);
	}
	delete_records(service->conn, "notes", 0, 1);
	assert_true(expect_change(listener, KITH_CHANGE_WRITTEN, "notes") > seq);
	DONE(service->conn, kith_rename_collection(service->conn, &rename));
	expect_change(listener, KITH_CHANGE_RENAMED, "papers");
	DONE(service->conn, kith_drop_collection(service->conn, &drop, NULL));
	expect_change(listener, KITH_CHANGE_DROPPED, "papers");
	expect_no_event(listener);
	kith_close(listener);
}

static void what_changes_nothing_is_not_told(void **state)
{
	struct service_fixture *service = *state;
	struct kith_conn *conn = service->conn;
	struct kith_create_collection_params create = {
	        .name = kith_text("notes"), .dim = RECORD_DIM, .exist_ok = true};
	struct kith_drop_collection_params drop = {kith_text("none"), true};

	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 10, 1);
	DONE(conn, kith_subscribe(conn, KITH_TOPIC_CHANGES));
	put_records(conn, "notes", 0, 10, 1);
	delete_records(conn, "notes", 20, 10);
	DONE(conn, kith_create_collection(conn, &create, NULL));
	DONE(conn, kith_drop_collection(conn, &drop, NULL));
	create.exist_ok = false;
	REFUSED(conn, KITH_ERROR_COLLECTION_EXISTS, "name",
	        kith_create_collection(conn, &create, NULL));
	expect_records(conn, "notes", 0, 10, 1);
	expect_no_event(conn);
	put_records(conn, "notes", 0, 10, 2);
	expect_change(conn, KITH_CHANGE_WRITTEN, "notes");
	expect_no_event(conn);
}

static void a_subscription_replaces_the_one_before(void **state)
{
	struct service_fixture *service = *state;
	struct kith_conn *conn = service->conn;
	struct kith_conn *silent = service_client(service);

	make_collection(conn, "notes", KITH_METRIC_L2);
	DONE(conn, kith_subscribe(conn, KITH_TOPIC_CHANGES | KITH_TOPIC_JOBS));
	put_records(conn, "notes", 0, 1, 1);
	expect_change(conn, KITH_CHANGE_WRITTEN, "notes");
	DONE(conn, kith_subscribe(conn, KITH_TOPIC_JOBS));
	put_records(conn, "notes", 0, 1, 2);
	expect_no_event(conn);
	DONE(conn, kith_subscribe(conn, KITH_TOPIC_CHANGES));
	put_records(conn, "notes", 0, 1, 3);
	expect_change(conn, KITH_CHANGE_WRITTEN, "notes");
	DONE(conn, kith_subscribe(conn, 0));
	put_records(conn, "notes", 0, 1, 4);
	expect_no_event(conn);
	expect_no_event(silent);
	kith_close(silent);
}

static void jobs_tell_how_a_vector_file_comes_back(void **state)
{
	struct service_fixture *service = *state;
	struct kith_count_params count = {.collection = kith_text("notes")};
	uint64_t done = 0;

	make_collection(service->conn, "notes", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, 2000, 1);
	service_stop(service);
	assert_int_equal(daemon_process_clear_cache(service->daemon), 0);
	service_start(service);
	DONE(service->conn, kith_subscribe(service->conn, KITH_TOPIC_JOBS));
	DONE(service->conn, kith_count(service->conn, &count, NULL));
	while (done < 2000) {
		struct kith_event *event = next_event(service->conn);

		assert_int_equal(event->type, KITH_EVENT_JOB);
		assert_true(is_text(event->job.collection, "notes"));
		assert_true(is_text(event->job.phase, "restore"));
		assert_int_equal(event->job.total, 2000);
		assert_true(event->job.done > done);
		done = event->job.done;
		kith_free(event);
	}
	assert_int_equal(done, 2000);
	assert_int_equal(usage_of(service->conn, "notes").mapped_rows, 2000);
}

static void many_listeners_are_all_told(void **state)
{
	struct service_fixture *service = *state;
	enum {
		N = 40
	};
	struct kith_conn *listeners[N];

	make_collection(service->conn, "notes", KITH_METRIC_L2);
	for (uint32_t i = 0; i < N; i++) {
		listeners[i] = service_client(service);
		DONE(listeners[i], kith_subscribe(listeners[i], KITH_TOPIC_CHANGES));
	}
	/* Some leave without a word. */
	for (uint32_t i = 0; i < N; i += 4)
		kith_close(listeners[i]);
	for (uint32_t version = 1; version <= 20; version++)
		put_records(service->conn, "notes", 0, 1, version);
	for (uint32_t i = 0; i < N; i++) {
		if (i % 4 == 0)
			continue;
		for (uint32_t version = 1; version <= 20; version++)
			expect_change(listeners[i], KITH_CHANGE_WRITTEN, "notes");
		expect_no_event(listeners[i]);
		kith_close(listeners[i]);
	}
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, service_setup, service_teardown)
	const struct CMUnitTest tests[] = {
	        FRESH(every_change_is_told_in_order),
	        FRESH(what_changes_nothing_is_not_told),
	        FRESH(a_subscription_replaces_the_one_before),
	        FRESH(jobs_tell_how_a_vector_file_comes_back),
	        FRESH(many_listeners_are_all_told),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
