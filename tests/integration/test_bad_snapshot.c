/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A snapshot that is damaged, cut short or does not hold together is journaled and built again, and
 * answers are right meanwhile. One that cannot be read at present is not.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/index.h"
#include "index/hnsw_graph.h"
#include "storage/snapshot.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/saved_index.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define RECORDS SAVED_INDEX_RECORDS
#define USUAL_M 16u

static const struct ask usual = {.collection = "notes", .wait = true};

/* Damage --------------------------------------------------------------------------------------- */

/* Offsets into a snapshot, from FORMAT.md, on purpose not from the code. */
#define PAGE 4096u
#define TABLE_AT_FIELD 64u
#define N_CHUNKS_FIELD 72u
#define ENTRY_BYTES 32u

static uint64_t le(const unsigned char *at, int n)
{
	uint64_t value = 0;

	for (int i = n - 1; i >= 0; i--)
		value = value << 8 | at[i];
	return value;
}

/* A snapshot of RECORDS records and the daemon that made it, stopped. */
struct damaged {
	struct service_fixture *service;
	char path[DAEMON_PROCESS_PATH_SIZE];
	unsigned char *bytes; /* whole */
	size_t size;
	uint64_t table_at;
	uint32_t n_chunks;
};

static void damaged_begin(struct damaged *damaged, struct service_fixture *service)
{
	char dir[DAEMON_PROCESS_PATH_SIZE];

	damaged->service = service;
	make_saved_index(service->conn, "notes");
	collection_path(service->conn, "notes", service->daemon->cache_dir, dir);
	service_stop(service);
	damaged->bytes = scratch_file_load(snapshot_in(dir, damaged->path), &damaged->size);
	damaged->table_at = le(damaged->bytes + TABLE_AT_FIELD, 8);
	damaged->n_chunks = (uint32_t)le(damaged->bytes + N_CHUNKS_FIELD, 4);
	assert_int_equal(damaged->size, damaged->table_at + damaged->n_chunks * ENTRY_BYTES);
	assert_true(damaged->n_chunks >= 4);
}

/* With these bytes for its snapshot the daemon says so, answers right, and builds another. */
static void expect_rebuilt(struct damaged *damaged, const void *bytes, size_t size)
{
	struct service_fixture *service = damaged->service;
	struct kith_search_result *found;
	uint32_t n_said_before = n_said(service->daemon, "the snapshot is not used: ");

	scratch_file_save(damaged->path, bytes, size);
	service_start(service);
	found = search_near(service->conn, "notes", 7, 1, 5, false);
	assert_true(holds_record(found, 7, 1) && found->distances.v[0] == 0.0f);
	kith_free(found);
	await_settled(service->conn, "notes", NULL);
	assert_int_equal(index_of(service->conn, "notes", NULL).at.builds, 1);
	assert_int_equal(n_said(service->daemon, "the snapshot is not used: "), n_said_before + 1);
	expect_journaled(service->conn, "the snapshot is not used: ");
	found = search_near(service->conn, "notes", 8, 1, 5, false);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	assert_true(holds_record(found, 8, 1));
	kith_free(found);
	expect_records(service->conn, "notes", 0, RECORDS, 1);
	service_stop(service);
}

static void a_flipped_bit_is_found_wherever_it_is(void **state)
{
	struct damaged damaged;

	damaged_begin(&damaged, *state);
	/* In the head page: magic, version, uuid, table, seal. In the table: type, offset, size,
	 * checksum of its last entry. In each chunk: the middle. */
	uint64_t flips[64] = {0,
	                      8,
	                      16,
	                      TABLE_AT_FIELD,
	                      PAGE - 1,
	                      damaged.table_at,
	                      damaged.size - 24,
	                      damaged.size - 16,
	                      damaged.size - 8};
	uint32_t n_flips = 9;
	uint32_t types_seen = 0;

	for (uint32_t i = 0; i < damaged.n_chunks; i++) {
		const unsigned char *entry =
		        damaged.bytes + damaged.table_at + (size_t)i * ENTRY_BYTES;
		uint64_t size = le(entry + 16, 8);

		if (size == 0 || types_seen & 1u << le(entry, 4))
			continue;
		types_seen |= 1u << le(entry, 4);
		flips[n_flips++] = le(entry + 8, 8) + size / 2;
	}
	assert_int_equal(types_seen, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5);
	for (uint32_t i = 0; i < n_flips; i++) {
		unsigned char *bytes = malloc(damaged.size);

		print_message("byte %llu\n", (unsigned long long)flips[i]);
		memcpy(bytes, damaged.bytes, damaged.size);
		bytes[flips[i]] ^= 0x04;
		expect_rebuilt(&damaged, bytes, damaged.size);
		free(bytes);
	}
	free(damaged.bytes);
}

static void a_snapshot_cut_short_anywhere_is_built_again(void **state)
{
	struct damaged damaged;

	damaged_begin(&damaged, *state);
	uint64_t cuts[] = {0,
	                   100,
	                   PAGE,
	                   PAGE + 10,
	                   damaged.table_at / 2,
	                   damaged.table_at,
	                   damaged.table_at + ENTRY_BYTES,
	                   damaged.size - 1};

	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		print_message("to %llu bytes\n", (unsigned long long)cuts[i]);
		expect_rebuilt(&damaged, damaged.bytes, cuts[i]);
	}
	free(damaged.bytes);
}

/* Takes node out of lists, each of `capacity` links with no hole. */
static void unlink_node(uint32_t *lists, size_t n_links, uint32_t capacity, uint32_t node)
{
	for (size_t list = 0; list < n_links; list += capacity) {
		uint32_t *links = lists + list, n = 0, at = capacity;

		for (; n < capacity && links[n] != HNSW_NO_LINK; n++) {
			if ((links[n] & ~HNSW_LINK_BRANCH) == node)
				at = n;
		}
		if (at == capacity)
			continue;
		links[at] = links[n - 1];
		links[n - 1] = HNSW_NO_LINK;
	}
}

/* Saves a snapshot anew, sealed as it should be, in which nothing leads to a node any more. */
static void save_without_links_to(const char *dir, uint32_t node)
{
	char path[DAEMON_PROCESS_PATH_SIZE];
	struct snapshot_writer *writer;
	struct snapshot *snapshot;
	const char *why;

	assert_int_equal(snapshot_open(store_io_posix(), snapshot_in(dir, path), &snapshot, &why),
	                 0);
	assert_int_equal(snapshot_writer_begin(store_io_posix(), dir, strrchr(path, '/') + 1,
	                                       snapshot_head(snapshot), &writer),
	                 0);
	for (uint32_t tag = HNSW_CHUNK_HEAD; tag <= HNSW_CHUNK_UPPER; tag++) {
		for (uint32_t i = 0; i < snapshot_n_chunks(snapshot, tag); i++) {
			uint64_t size;
			void *chunk;

			assert_int_equal(snapshot_chunk_size(snapshot, tag, i, &size), 0);
			chunk = malloc(size);
			assert_int_equal(snapshot_read_chunk(snapshot, tag, i, chunk, size), 0);
			if (tag == HNSW_CHUNK_LINKS)
				unlink_node(chunk, size / sizeof(uint32_t), 2 * USUAL_M, node);
			snapshot_writer_chunk(writer, tag, i, chunk, size);
			free(chunk);
		}
	}
	assert_int_equal(snapshot_writer_commit(writer), 0);
	snapshot_close(snapshot);
}

/* Every byte is as it was written, and no link leads out of the graph; but to one node leads none.
 */
static void a_graph_that_does_not_hold_together_is_built_again(void **state)
{
	struct damaged damaged;
	char dir[DAEMON_PROCESS_PATH_SIZE];
	unsigned char *bytes;
	size_t size;

	damaged_begin(&damaged, *state);
	snprintf(dir, sizeof(dir), "%s", damaged.path);
	*strrchr(dir, '/') = '\0';
	save_without_links_to(dir, RECORDS / 2);
	bytes = scratch_file_load(damaged.path, &size);
	/* Without a recall curve: that is no fault. */
	assert_true(size < damaged.size);
	expect_rebuilt(&damaged, bytes, size);
	assert_true(daemon_process_said(damaged.service->daemon,
	                                "some of its nodes cannot be reached"));
	free(bytes);
	free(damaged.bytes);
}

/* While its successor is built, exact search answers. */
static void a_bad_snapshot_is_answered_for_by_exact_search(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	char dir[DAEMON_PROCESS_PATH_SIZE], path[DAEMON_PROCESS_PATH_SIZE];
	struct kith_search_result *found;
	struct gate *gate;

	(void)state;
	make_saved_index(conn, "notes");
	collection_path(conn, "notes", daemon_thread_cache_dir(daemon), dir);
	kith_close(conn);
	daemon_thread_stop(daemon);
	assert_int_equal(truncate(snapshot_in(dir, path), 5000), 0);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	gate = daemon_thread_gate(daemon, "build", "start");
	write_behind_the_snapshot(conn);
	gate_await(gate);
	found = search_near(conn, "notes", 7, 1, 5, false);
	assert_int_equal(found->mode, KITH_MODE_EXACT);
	kith_free(found);
	expect_all_of_it(conn);
	gate_open(gate);
	await_settled(conn, "notes", NULL);
	found = search_near(conn, "notes", 7, 1, 5, false);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	kith_free(found);
	expect_all_of_it(conn);
	kith_close(conn);
	daemon_thread_free(daemon);
}

/* Errors that pass ----------------------------------------------------------------------------- */

/* A daemon with a saved index, stopped, over a twin and a clock that stands still. */
struct hindered {
	struct store_twin *twin;
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn; /* once it was started again */
};

static void hindered_begin(struct hindered *hindered, struct store_twin_fault fault)
{
	hindered->twin = store_twin_new(store_io_posix());
	fake_clock_init(&hindered->clock, INT64_C(1700000000000));
	hindered->daemon =
	        daemon_thread_new_with(store_twin_io(hindered->twin), &hindered->clock.clock, 32);
	hindered->conn = connect_to(hindered->daemon);
	make_saved_index(hindered->conn, "notes");
	kith_close(hindered->conn);
	daemon_thread_stop(hindered->daemon);
	fault.path_part = "hnsw-";
	store_twin_fail(hindered->twin, fault);
	daemon_thread_start(hindered->daemon);
	hindered->conn = connect_to(hindered->daemon);
}

static void hindered_end(struct hindered *hindered)
{
	kith_close(hindered->conn);
	daemon_thread_free(hindered->daemon);
	store_twin_free(hindered->twin);
}

/* Exact search answers; who asks for the index is told, and nothing is built for it. */
static void expect_hindered(struct hindered *hindered)
{
	struct kith_conn *conn = hindered->conn;
	struct kith_optimize_params which = {.collection = kith_text("notes")};
	struct kith_search_result *found;
	struct index_view index;

	ensure_refused(conn, usual, KITH_ERROR_BUILD_FAILED);
	REFUSED(conn, KITH_ERROR_BUILD_FAILED, "index", kith_optimize(conn, &which, NULL));
	found = search_near(conn, "notes", 7, 1, 5, false);
	assert_int_equal(found->mode, KITH_MODE_EXACT);
	assert_true(holds_record(found, 7, 1));
	kith_free(found);
	index = index_of(conn, "notes", NULL);
	assert_int_equal(index.at.state, KITH_INDEX_STATE_DECLARED);
	assert_non_null(strstr(index.error, "cannot be read at present"));
	assert_int_equal(index.at.builds, 0);
}

static void a_snapshot_that_cannot_be_opened_at_present_is_opened_later(void **state)
{
	static const struct store_twin_fault faults[] = {
	        {.kind = STORE_TWIN_OPEN, .nth = 1, .err = EMFILE, .lasting = true},
	        {.kind = STORE_TWIN_OPEN, .nth = 1, .err = ENOMEM, .lasting = true},
	        {.kind = STORE_TWIN_OPEN, .nth = 1, .err = EIO, .lasting = true},
	        {.kind = STORE_TWIN_READ, .nth = 1, .err = EIO, .lasting = true},
	        {.kind = STORE_TWIN_READ, .nth = 3, .err = EIO, .lasting = true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		struct hindered hindered;

		hindered_begin(&hindered, faults[i]);
		expect_hindered(&hindered);
		put_records(hindered.conn, "notes", RECORDS, 5, 1);
		store_twin_heal(hindered.twin);
		while (index_of(hindered.conn, "notes", NULL).at.state == KITH_INDEX_STATE_DECLARED)
			fake_clock_advance_ms(&hindered.clock, 500);
		assert_int_equal(ensure(hindered.conn, usual).outcome, KITH_ENSURED_EXISTING);
		expect_opened_not_built(hindered.conn, RECORDS, 5);
		expect_records(hindered.conn, "notes", 0, RECORDS + 5, 1);
		hindered_end(&hindered);
	}
}

/* No limit to that, unless it is the medium that cannot read it. */
static void a_snapshot_that_the_medium_does_not_read_is_lost_in_the_end(void **state)
{
	static const int errors[] = {EMFILE, EIO};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct store_twin_fault fault = {
		        .kind = STORE_TWIN_OPEN, .nth = 1, .err = errors[i], .lasting = true};
		struct hindered hindered;
		bool is_lost = errors[i] == EIO;

		hindered_begin(&hindered, fault);
		expect_count(hindered.conn, "notes", RECORDS);
		while (store_twin_n_failed(hindered.twin) < INDEX_READ_TRIES + (is_lost ? 0u : 1u))
			fake_clock_advance_ms(&hindered.clock, 500);
		store_twin_heal(hindered.twin);
		while (index_of(hindered.conn, "notes", NULL).at.generation == 0)
			fake_clock_advance_ms(&hindered.clock, 500);
		await_settled(hindered.conn, "notes", NULL);
		assert_int_equal(index_of(hindered.conn, "notes", NULL).at.builds, is_lost);
		expect_records(hindered.conn, "notes", 0, RECORDS, 1);
		hindered_end(&hindered);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(a_flipped_bit_is_found_wherever_it_is,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(a_snapshot_cut_short_anywhere_is_built_again,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(a_graph_that_does_not_hold_together_is_built_again,
	                                        service_setup, service_teardown),
	        cmocka_unit_test(a_bad_snapshot_is_answered_for_by_exact_search),
	        cmocka_unit_test(a_snapshot_that_cannot_be_opened_at_present_is_opened_later),
	        cmocka_unit_test(a_snapshot_that_the_medium_does_not_read_is_lost_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
