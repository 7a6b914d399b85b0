/* SPDX-License-Identifier: Apache-2.0 */

/* The ceiling for index memory: never passed, never in the way of a write, and given back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/service_fixture.h"

#define N_RECORDS 3000

static struct kith_budget budget_of(struct kith_conn *conn)
{
	struct kith_stats_result *stats;
	struct kith_budget budget;

	DONE(conn, kith_stats(conn, &stats));
	budget = stats->budget;
	kith_free(stats);
	return budget;
}

/* A daemon with that ceiling and a collection of records in it. */
static struct service_fixture *fill(void **state, const char *index_cache_mb)
{
	struct service_fixture *service = *state;

	assert_int_equal(daemon_process_option(service->daemon, "--index-cache-mb", index_cache_mb),
	                 0);
	service_start(service);
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, N_RECORDS, 1);
	return service;
}

static uint32_t source_of_a_search(struct kith_conn *conn)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {.collection = kith_text("notes")};
	struct kith_search_result *result;
	uint32_t source;

	params.vectors = kith_vectors(record_vector(7, 1, vector), RECORD_DIM);
	DONE(conn, kith_search(conn, &params, &result));
	assert_int_equal(result->ids.v[0].number, 7);
	source = result->served_from;
	kith_free(result);
	return source;
}

static void without_a_budget_everything_is_served_mapped(void **state)
{
	struct service_fixture *service = fill(state, "0");
	struct kith_budget budget;

	await_said(service->daemon, "index_cache_mb is 0: everything is served from mapped files");
	expect_records(service->conn, "notes", 0, N_RECORDS, 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(source_of_a_search(service->conn), KITH_SOURCE_MAPPED);
	budget = budget_of(service->conn);
	assert_int_equal(budget.limit_bytes, 0);
	assert_int_equal(budget.used_bytes, 0);
	assert_int_equal(budget.peak_bytes, 0);
	assert_true(budget.spilled_bytes > 0);
	service_kill_and_start(service);
	expect_records(service->conn, "notes", 0, N_RECORDS, 1);
	put_records(service->conn, "notes", 0, N_RECORDS, 2);
	expect_records(service->conn, "notes", 0, N_RECORDS, 2);
}

/* Runs of 64 KiB in a budget of 2 MiB. */
#define N_RUNS 32

static bool is_refused(void *ctx)
{
	return budget_of(ctx).refused > 0;
}

/* Each search asks for room for the vectors again. */
static void what_a_full_budget_refuses_again_and_again_is_counted_once(void **state)
{
	struct service_fixture *service = fill(state, "2");
	struct kith_budget budget;
	char name[32];

	/* The table of each takes a run at least. */
	for (uint32_t i = 0; i < N_RUNS; i++) {
		snprintf(name, sizeof(name), "other%u", i);
		make_collection(service->conn, name, KITH_METRIC_L2);
		put_records(service->conn, name, 0, 1, 1);
	}
	budget = budget_of(service->conn);
	assert_int_equal(budget.used_bytes, budget.limit_bytes);
	assert_int_equal(budget.refused, 0);
	for (int i = 0; i < 20; i++)
		source_of_a_search(service->conn);
	await(is_refused, service->conn, "the vectors have no room");
	for (int i = 0; i < 20; i++)
		source_of_a_search(service->conn);
	assert_int_equal(budget_of(service->conn).refused, 1);
}

static void less_than_a_slab_is_no_budget_and_warned_about(void **state)
{
	struct service_fixture *service = fill(state, "1");

	await_said(service->daemon, "index_cache_mb is 1: everything is served from mapped files");
	expect_records(service->conn, "notes", 0, 50, 1);
	assert_int_equal(budget_of(service->conn).limit_bytes, 0);
	service_stop(service);
	assert_int_equal(daemon_process_option(service->daemon, "--index-cache-mb", "2"), 0);
	service_start(service);
	assert_int_equal(budget_of(service->conn).limit_bytes, 2 << 20);
	assert_false(daemon_process_said(service->daemon, "index_cache_mb is 2"));
}

static void the_config_says_what_keeps_the_cache(void **state)
{
	static const char *const backends[] = {"arena", "mmap"};
	struct service_fixture *service = *state;
	struct kith_stats_result *stats;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		        daemon_process_option(service->daemon, "--cache-backend", backends[i]), 0);
		service_start(service);
		DONE(service->conn, kith_stats(service->conn, &stats));
		assert_true(is_text(stats->cache.backend, backends[i]));
		kith_free(stats);
		service_stop(service);
	}
}

static bool is_resident(void *ctx)
{
	return source_of_a_search(ctx) == KITH_SOURCE_RESIDENT;
}

static bool is_given_back(void *ctx)
{
	struct kith_budget budget = budget_of(ctx);

	return budget.used_bytes == 0 && budget.spilled_bytes == 0 && budget.dirty_bytes == 0;
}

static void what_a_dropped_collection_held_is_given_back(void **state)
{
	struct service_fixture *service = fill(state, "16");
	struct kith_drop_collection_params drop = {.collection = kith_text("notes")};
	struct kith_budget budget;

	await(is_resident, service->conn, "the vectors are resident");
	budget = budget_of(service->conn);
	assert_true(budget.record_tables_bytes >= N_RECORDS * 32);
	assert_true(budget.vectors_bytes >= N_RECORDS * RECORD_DIM * sizeof(float));
	assert_true(budget.used_bytes >= budget.record_tables_bytes + budget.vectors_bytes);
	assert_true(budget.used_bytes <= budget.limit_bytes);
	DONE(service->conn, kith_drop_collection(service->conn, &drop, NULL));
	await(is_given_back, service->conn, "all slabs are purged");
}

static void resident_vectors_leave_room_for_what_cannot_be_mapped(void **state)
{
	struct service_fixture *service = fill(state, "4");
	struct kith_budget budget;

	/* 3 of 4 MiB at most are for codes: 48 runs of 682 rows with 96 bytes each. */
	await(is_resident, service->conn, "the vectors are resident");
	put_records(service->conn, "notes", N_RECORDS, 13000, 1);
	expect_records(service->conn, "notes", N_RECORDS, 100, 1);
	await(is_resident, service->conn, "the vectors are resident again");
	put_records(service->conn, "notes", 20000, 16000, 1);
	put_records(service->conn, "notes", 40000, 16000, 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(source_of_a_search(service->conn), KITH_SOURCE_MAPPED);
	expect_count(service->conn, "notes", N_RECORDS + 45000);
	budget = budget_of(service->conn);
	assert_true(budget.vectors_bytes <= 3u << 20);
	assert_true(budget.peak_bytes <= budget.limit_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(without_a_budget_everything_is_served_mapped,
	                                        service_setup_stopped, service_teardown),
	        cmocka_unit_test_setup_teardown(less_than_a_slab_is_no_budget_and_warned_about,
	                                        service_setup_stopped, service_teardown),
	        cmocka_unit_test_setup_teardown(
	                what_a_full_budget_refuses_again_and_again_is_counted_once,
	                service_setup_stopped, service_teardown),
	        cmocka_unit_test_setup_teardown(the_config_says_what_keeps_the_cache,
	                                        service_setup_stopped, service_teardown),
	        cmocka_unit_test_setup_teardown(what_a_dropped_collection_held_is_given_back,
	                                        service_setup_stopped, service_teardown),
	        cmocka_unit_test_setup_teardown(
	                resident_vectors_leave_room_for_what_cannot_be_mapped,
	                service_setup_stopped, service_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
