/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The vector file is derived: whatever happens to it while the daemon is away, the answers are
 * right at once, the file becomes whole again, and the log says what was wrong.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"
#include "tests/lib/vector_fixture.h"

/* Two extents, the second one partly filled. */
#define N_RECORDS 17000u
#define STRIDE 128u /* of RECORD_DIM floats */

#define BEGUN_ANEW "the vector file is begun anew"
#define CANNOT_BE_USED "the vector file cannot be used from row"

/* One daemon and one good file for all damage. */
static struct service_fixture *service;
static char vectors_path[2 * DAEMON_PROCESS_PATH_SIZE];
static unsigned char *good;
static size_t good_n;

static void find_vectors(const char *collection, char path[static 2 * DAEMON_PROCESS_PATH_SIZE])
{
	struct kith_describe_collection_params params = {kith_text(collection)};
	struct kith_describe_collection_result *about;

	DONE(service->conn, kith_describe_collection(service->conn, &params, &about));
	snprintf(path, 2 * DAEMON_PROCESS_PATH_SIZE, "%s/%.*s/vectors", service->daemon->cache_dir,
	         (int)about->collection.uuid.n, about->collection.uuid.data);
	kith_free(about);
}

static int group_setup(void **state)
{
	service_setup(state);
	service = *state;
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	for (uint32_t first = 0; first < N_RECORDS; first += 4250)
		put_records(service->conn, "notes", first, 4250, 1);
	find_vectors("notes", vectors_path);
	service_stop(service);
	good = scratch_file_load(vectors_path, &good_n);
	return 0;
}

static int group_teardown(void **state)
{
	free(good);
	return service_teardown(state);
}

/* Records from all over, those beside the border of the extents and the last. */
static void expect_answers(void)
{
	expect_records(service->conn, "notes", 0, 3, 1);
	expect_records(service->conn, "notes", 8009, 3, 1);
	expect_records(service->conn, "notes", 16382, 4, 1);
	expect_records(service->conn, "notes", N_RECORDS - 2, 2, 1);
	expect_count(service->conn, "notes", N_RECORDS);
}

/* Starts with the file as it is now; said: what the log must say about it, NULL for nothing. */
static void expect_healed(const char *said)
{
	assert_int_equal(truncate(service->daemon->log, 0), 0);
	service_start(service);
	expect_answers();
	await_mapped(service->conn, "notes");
	expect_answers();
	if (said)
		await_said(service->daemon, said);
	else
		assert_false(daemon_process_said(service->daemon, BEGUN_ANEW) ||
		             daemon_process_said(service->daemon, CANNOT_BE_USED));
	service_stop(service);
	/* What came back is durable: the next life finds all of it. */
	assert_int_equal(truncate(service->daemon->log, 0), 0);
	service_start(service);
	expect_answers();
	assert_true(daemon_process_said(service->daemon, "17000 of 17000 rows in the vector file"));
	assert_false(daemon_process_said(service->daemon, BEGUN_ANEW));
	assert_false(daemon_process_said(service->daemon, CANNOT_BE_USED));
	service_stop(service);
}

static void a_sound_file_is_used_as_it_is(void **state)
{
	(void)state;
	expect_healed(NULL);
}

static void a_deleted_file_comes_back(void **state)
{
	(void)state;
	assert_int_equal(unlink(vectors_path), 0);
	expect_healed("the vector file has all 17000 rows again");
}

static void a_truncated_file_comes_back(void **state)
{
	struct vector_fixture_where where = vector_fixture_where(STRIDE);
	size_t first = FIXTURE_EXTENTS_AT, second = FIXTURE_EXTENTS_AT + where.extent_bytes;
	const size_t sizes[] = {
	        0,
	        1,
	        FIXTURE_PAGE_BYTES - 1,
	        FIXTURE_PAGE_BYTES,
	        2 * FIXTURE_PAGE_BYTES,
	        first,
	        first + 2 * FIXTURE_PAGE_BYTES,
	        first + FIXTURE_SLOTS_AT + 1000,
	        first + where.rows_at + 1000 * STRIDE,
	        second - 1,
	        second,
	        second + FIXTURE_SLOTS_AT,
	        second + where.rows_at + 100 * STRIDE,
	        good_n - 1,
	};

	(void)state;
	assert_true(second < good_n);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		print_message("%zu of %zu bytes\n", sizes[i], good_n);
		scratch_file_save(vectors_path, good, sizes[i]);
		expect_healed(BEGUN_ANEW);
	}
}

static void a_file_of_noise_comes_back(void **state)
{
	unsigned char *noise = malloc(good_n);

	(void)state;
	assert_non_null(noise);
	for (size_t i = 0; i < good_n; i++)
		noise[i] = (unsigned char)((i * 2654435761u) >> 13);
	scratch_file_save(vectors_path, noise, good_n);
	expect_healed(BEGUN_ANEW);
	memcpy(noise + 2 * FIXTURE_PAGE_BYTES, good + 2 * FIXTURE_PAGE_BYTES,
	       good_n - 2 * FIXTURE_PAGE_BYTES);
	scratch_file_save(vectors_path, noise, good_n);
	expect_healed(BEGUN_ANEW);
	memset(noise, 0, good_n);
	scratch_file_save(vectors_path, noise, good_n);
	expect_healed(BEGUN_ANEW);
	free(noise);
}

static void a_flipped_byte_is_found_wherever_it_is(void **state)
{
	struct vector_fixture_where where = vector_fixture_where(STRIDE);
	size_t first = FIXTURE_EXTENTS_AT, second = FIXTURE_EXTENTS_AT + where.extent_bytes;
	const struct {
		size_t offset;
		const char *said;
	} flips[] = {
	        {first + FIXTURE_SLOTS_AT, BEGUN_ANEW},
	        {first + FIXTURE_SLOTS_AT + 8 * 9999 + 3, BEGUN_ANEW},
	        {second + FIXTURE_SLOTS_AT + 8 * 100, BEGUN_ANEW},
	        {first + where.rows_at, CANNOT_BE_USED},
	        {first + where.rows_at + 8010 * STRIDE + 17, CANNOT_BE_USED},
	        {first + where.rows_at + 16383 * STRIDE + 95, CANNOT_BE_USED},
	        {second + where.rows_at, CANNOT_BE_USED},
	        {second + where.rows_at + (N_RECORDS - 1 - 16384) * STRIDE, CANNOT_BE_USED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(flips) / sizeof(*flips); i++) {
		print_message("byte %zu\n", flips[i].offset);
		scratch_file_save(vectors_path, good, good_n);
		vector_fixture_flip(vectors_path, flips[i].offset);
		expect_healed(flips[i].said);
	}
}

/* Of two pages one is the committed one; with either of them gone the file is whole, older, or
 * begun anew, and the answers are right. */
static void a_flipped_head_page_costs_nothing_but_time(void **state)
{
	struct vector_fixture_where where = vector_fixture_where(STRIDE);
	const size_t pages[] = {
	        0,
	        FIXTURE_PAGE_BYTES,
	        FIXTURE_EXTENTS_AT,
	        FIXTURE_EXTENTS_AT + FIXTURE_PAGE_BYTES,
	        FIXTURE_EXTENTS_AT + where.extent_bytes,
	        FIXTURE_EXTENTS_AT + where.extent_bytes + FIXTURE_PAGE_BYTES,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
		for (size_t at = 40; at < FIXTURE_PAGE_BYTES; at += 4055) {
			scratch_file_save(vectors_path, good, good_n);
			vector_fixture_flip(vectors_path, pages[i] + at);
			expect_healed("rows in the vector file");
		}
	}
}

static void the_file_of_another_collection_is_not_used(void **state)
{
	char other_path[2 * DAEMON_PROCESS_PATH_SIZE];
	unsigned char *other;
	size_t n;

	(void)state;
	service_start(service);
	make_collection(service->conn, "others", KITH_METRIC_L2);
	for (uint32_t first = 0; first < N_RECORDS; first += 4250)
		put_records(service->conn, "others", first, 4250, 7);
	find_vectors("others", other_path);
	service_stop(service);
	other = scratch_file_load(other_path, &n);
	scratch_file_save(vectors_path, other, n);
	free(other);
	expect_healed(BEGUN_ANEW);
}

static void an_older_copy_is_brought_up_to_date(void **state)
{
	unsigned char *old;
	size_t n;

	(void)state;
	service_start(service);
	make_collection(service->conn, "aging", KITH_METRIC_L2);
	put_records(service->conn, "aging", 0, 3000, 1);
	find_vectors("aging", vectors_path);
	service_stop(service);
	old = scratch_file_load(vectors_path, &n);
	service_start(service);
	put_records(service->conn, "aging", 1000, 500, 2);
	delete_records(service->conn, "aging", 2000, 500);
	put_records(service->conn, "aging", 3000, 500, 1);
	for (int life = 0; life < 2; life++) {
		service_stop(service);
		scratch_file_save(vectors_path, old, n);
		if (life == 1) /* and one from before there was anything */
			assert_int_equal(truncate(vectors_path, 0), 0);
		service_start(service);
		for (int look = 0; look < 2; look++) {
			expect_records(service->conn, "aging", 0, 1000, 1);
			expect_records(service->conn, "aging", 1000, 500, 2);
			expect_no_records(service->conn, "aging", 2000, 500, 1);
			expect_records(service->conn, "aging", 2500, 1000, 1);
			expect_count(service->conn, "aging", 3000);
			await_mapped(service->conn, "aging");
		}
	}
	service_stop(service);
	free(old);
	service_start(service);
	find_vectors("notes", vectors_path);
	service_stop(service);
}

static void records_written_beside_a_damaged_file_are_found(void **state)
{
	struct vector_fixture_where where = vector_fixture_where(STRIDE);

	(void)state;
	scratch_file_save(vectors_path, good, good_n);
	vector_fixture_flip(vectors_path, FIXTURE_EXTENTS_AT + where.rows_at + 5 * STRIDE);
	service_start(service);
	/* The first is written before anyone has looked at the rows. */
	for (uint32_t i = 0; i < 30; i++) {
		put_records(service->conn, "notes", N_RECORDS + i * 5, 5, 1);
		expect_records(service->conn, "notes", N_RECORDS + i * 5, 5, 1);
		expect_records(service->conn, "notes", 3, 5, 1);
	}
	await_mapped(service->conn, "notes");
	expect_records(service->conn, "notes", N_RECORDS, 150, 1);
	delete_records(service->conn, "notes", N_RECORDS, 150);
	expect_answers();
	service_kill_and_start(service);
	expect_answers();
	expect_no_records(service->conn, "notes", N_RECORDS, 150, 1);
	service_stop(service);
}

static void a_cache_that_cannot_be_used_leaves_the_truth_to_search_in(void **state)
{
	const float query[RECORD_DIM] = {1};
	struct kith_search_params params = {.collection = kith_text("notes"),
	                                    .vectors = kith_vectors(query, RECORD_DIM)};
	const struct kith_ensure_index_params index = {.collection = kith_text("notes"),
	                                               .wait = true};
	const struct kith_drop_index_params drop = {.collection = kith_text("notes")};
	struct kith_search_result *hits;
	char dir[2 * DAEMON_PROCESS_PATH_SIZE];

	(void)state;
	strcpy(dir, vectors_path);
	*strrchr(dir, '/') = '\0';
	assert_int_equal(daemon_process_clear_cache(service->daemon), 0);
	scratch_file_save(dir, "not a directory", 15);
	service_start(service);
	expect_answers();
	put_records(service->conn, "notes", N_RECORDS, 10, 1);
	expect_records(service->conn, "notes", N_RECORDS, 10, 1);
	DONE(service->conn, kith_search(service->conn, &params, &hits));
	assert_int_equal(hits->served_from, KITH_SOURCE_TRUTH);
	kith_free(hits);
	assert_true(daemon_process_said(service->daemon, "cannot use the vector file"));
	delete_records(service->conn, "notes", N_RECORDS, 10);
	/* Nobody waits for a build that cannot begin. */
	REFUSED(service->conn, KITH_ERROR_BUILD_FAILED, "index",
	        kith_ensure_index(service->conn, &index, NULL));
	DONE(service->conn, kith_drop_index(service->conn, &drop, NULL));
	service_stop(service);
	assert_int_equal(unlink(dir), 0);
	service_start(service);
	expect_answers();
	await_mapped(service->conn, "notes");
	expect_answers();
}

/* A search that was planned over the file stands, another one finds the damage: the rows are not
 * written again under the first, which finds it too and answers right. */
static void rows_are_not_restored_under_a_search_that_may_read_them(void **state)
{
	/* Going back writes a header; then no row gets into the file. */
	const struct store_twin_fault no_rows = {.kind = STORE_TWIN_WRITE,
	                                         .path_part = "/vectors",
	                                         .nth = 2,
	                                         .err = ENOSPC,
	                                         .lasting = true};
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct daemon_thread *daemon = daemon_thread_new_with(store_twin_io(twin), NULL, 0);
	struct kith_conn *conn = connect_to(daemon), *held = connect_to(daemon);
	float vector[RECORD_DIM];
	struct kith_search_params search = {
	        .collection = kith_text("notes"),
	        .vectors = kith_vectors(record_vector(5, 1, vector), RECORD_DIM),
	        .k = 1,
	};
	struct kith_search_result *found;
	char dir[DAEMON_PROCESS_PATH_SIZE];
	struct gate *gate;
	uint64_t ticket;

	(void)state;
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 100, 1);
	collection_path(conn, "notes", daemon_thread_cache_dir(daemon), dir);
	kith_close(conn);
	kith_close(held);
	daemon_thread_stop(daemon);
	spoil_vectors(dir, 5);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	held = connect_to(daemon);
	expect_count(conn, "notes", 100);
	store_twin_fail(twin, no_rows);
	gate = daemon_thread_gate_one(daemon, "search", "start");
	DONE(held, kith_submit_search(held, &search, &ticket));
	DONE(held, kith_flush(held));
	gate_await(gate);
	expect_records(conn, "notes", 0, 100, 1);
	/* Whatever the damage began has had its turn when these are answered. */
	put_records(conn, "notes", 100, 1, 1);
	put_records(conn, "notes", 101, 1, 1);
	gate_open(gate);
	DONE(held, kith_collect_search(held, ticket, KITH_USUAL, &found));
	assert_int_equal(found->ids.v[0].number, 5);
	assert_true(found->distances.v[0] == 0.0f);
	kith_free(found);
	while (store_twin_n_failed(twin) == 0)
		DONE(conn, kith_ping(conn));
	expect_records(conn, "notes", 0, 102, 1);
	store_twin_heal(twin);
	await_mapped(conn, "notes");
	expect_records(conn, "notes", 0, 102, 1);
	kith_close(conn);
	kith_close(held);
	daemon_thread_free(daemon);
	store_twin_free(twin);
}

/* The file that could not be made is made later, under a search that was planned without it. */
static void a_file_that_is_made_late_serves_who_comes_after_it(void **state)
{
	const struct store_twin_fault no_file = {.kind = STORE_TWIN_OPEN,
	                                         .path_part = "/vectors",
	                                         .nth = 1,
	                                         .err = ENOSPC,
	                                         .lasting = true};
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn, *held;
	float vector[RECORD_DIM];
	struct kith_search_params search = {
	        .collection = kith_text("notes"),
	        .vectors = kith_vectors(record_vector(5, 1, vector), RECORD_DIM),
	        .k = 1,
	};
	struct kith_search_result *found;
	struct gate *gate;
	uint64_t ticket;

	(void)state;
	fake_clock_init(&clock, INT64_C(1700000000000));
	daemon = daemon_thread_new_with(store_twin_io(twin), &clock.clock, 0);
	conn = connect_to(daemon);
	held = connect_to(daemon);
	store_twin_fail(twin, no_file);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 100, 1);
	delete_records(conn, "notes", 90, 10);
	expect_records(conn, "notes", 0, 90, 1);
	gate = daemon_thread_gate_one(daemon, "search", "start");
	DONE(held, kith_submit_search(held, &search, &ticket));
	DONE(held, kith_flush(held));
	gate_await(gate);
	/* It has been tried again, in vain. */
	while (store_twin_n_failed(twin) < 2)
		fake_clock_advance_ms(&clock, 500);
	store_twin_heal(twin);
	while (usage_of(conn, "notes").mapped_rows < 100)
		fake_clock_advance_ms(&clock, 500);
	put_records(conn, "notes", 5, 1, 2);
	DONE(conn, kith_search(conn, &search, &found));
	assert_int_not_equal(found->served_from, KITH_SOURCE_TRUTH);
	assert_true(found->distances.v[0] > 0.0f);
	kith_free(found);
	gate_open(gate);
	DONE(held, kith_collect_search(held, ticket, KITH_USUAL, &found));
	assert_int_equal(found->served_from, KITH_SOURCE_TRUTH);
	assert_int_equal(found->ids.v[0].number, 5);
	assert_true(found->distances.v[0] == 0.0f);
	kith_free(found);
	expect_records(conn, "notes", 0, 5, 1);
	expect_records(conn, "notes", 5, 1, 2);
	expect_no_records(conn, "notes", 90, 10, 1);
	kith_close(conn);
	kith_close(held);
	daemon_thread_free(daemon);
	store_twin_free(twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_sound_file_is_used_as_it_is),
	        cmocka_unit_test(a_deleted_file_comes_back),
	        cmocka_unit_test(a_truncated_file_comes_back),
	        cmocka_unit_test(a_file_of_noise_comes_back),
	        cmocka_unit_test(a_flipped_byte_is_found_wherever_it_is),
	        cmocka_unit_test(a_flipped_head_page_costs_nothing_but_time),
	        cmocka_unit_test(the_file_of_another_collection_is_not_used),
	        cmocka_unit_test(an_older_copy_is_brought_up_to_date),
	        cmocka_unit_test(records_written_beside_a_damaged_file_are_found),
	        cmocka_unit_test(a_cache_that_cannot_be_used_leaves_the_truth_to_search_in),
	        cmocka_unit_test(rows_are_not_restored_under_a_search_that_may_read_them),
	        cmocka_unit_test(a_file_that_is_made_late_serves_who_comes_after_it),
	};

	return cmocka_run_group_tests_name("vector_file", tests, group_setup, group_teardown);
}
