/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An index outlives its daemon: what kill -9 leaves behind is opened, never built again, and shows
 * no record that is gone and misses none that was acknowledged. A snapshot that is older than the
 * truth, of another collection, damaged or cut short costs time at most.
 */

#include <dirent.h>
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

#include <sqlite3.h>

#include "daemon/index.h"
#include "index/hnsw_graph.h"
#include "storage/snapshot.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define RECORDS 400u
#define USUAL_M 16u

static const struct ask usual = {.collection = "notes", .wait = true};

/* The story ------------------------------------------------------------------------------------ */

/* What the snapshot holds: records 0 to RECORDS, version 1. */
static void make_saved_index(struct kith_conn *conn, const char *collection)
{
	make_collection(conn, collection, KITH_METRIC_L2);
	put_records(conn, collection, 0, RECORDS, 1);
	ensure(conn, (struct ask){.collection = collection, .wait = true});
	await_settled(conn, collection, NULL);
}

/* What it does not hold: all of this is acknowledged. */
static void write_behind_the_snapshot(struct kith_conn *conn)
{
	put_records(conn, "notes", RECORDS, 30, 1); /* new */
	put_records(conn, "notes", 10, 20, 2);      /* replaced */
	delete_records(conn, "notes", 50, 20);
	put_records(conn, "notes", RECORDS + 5, 5, 2); /* new and replaced */
	delete_records(conn, "notes", RECORDS + 20, 5);
	put_records(conn, "notes", 60, 5, 3); /* gone and back */
}

#define LEFT (RECORDS + 30 - 20 - 5 + 5)

/* Asked for by its own vector and with all records wanted, that version is not there. */
static void expect_nowhere(struct kith_conn *conn, uint64_t number, uint32_t version)
{
	static const uint32_t ks[] = {1, 10, 100, RECORDS * 2};

	for (size_t i = 0; i < sizeof(ks) / sizeof(*ks); i++) {
		struct kith_search_result *found =
		        search_near(conn, "notes", number, version, ks[i], false);

		assert_int_equal(found->ids.n, ks[i] < LEFT ? ks[i] : LEFT);
		assert_false(holds_record(found, number, version));
		assert_true(found->distances.v[0] > 0.0f);
		kith_free(found);
	}
}

static void expect_all_of_it(struct kith_conn *conn)
{
	expect_count(conn, "notes", LEFT);
	expect_records(conn, "notes", 0, 10, 1);
	expect_records(conn, "notes", 10, 20, 2);
	expect_records(conn, "notes", 30, 20, 1);
	expect_records(conn, "notes", 60, 5, 3);
	expect_records(conn, "notes", 70, RECORDS - 70, 1);
	expect_records(conn, "notes", RECORDS, 5, 1);
	expect_records(conn, "notes", RECORDS + 5, 5, 2);
	expect_records(conn, "notes", RECORDS + 10, 10, 1);
	expect_records(conn, "notes", RECORDS + 25, 5, 1);
	for (uint64_t i = 0; i < 20; i += 3) {
		expect_nowhere(conn, 10 + i, 1);
		expect_nowhere(conn, 50 + i, 1);
	}
	expect_nowhere(conn, RECORDS + 7, 1);
	expect_nowhere(conn, RECORDS + 22, 1);
}

/* Nothing was built since the daemon came up, and what it folds in is what the snapshot lacked. */
static void expect_opened_not_built(struct kith_conn *conn, uint64_t nodes_saved, uint64_t lacking)
{
	struct kith_optimize_result result;
	struct index_view index;

	await_state(conn, "notes", NULL, KITH_INDEX_STATE_SERVING);
	result = optimize(conn, "notes", NULL);
	assert_true(result.inserted <= lacking);
	index = index_of(conn, "notes", NULL);
	assert_int_equal(index.at.nodes, nodes_saved + lacking);
	assert_int_equal(index.at.builds, 0);
	assert_int_equal(index.at.pending, 0);
	assert_true(index.at.coverage == 1.0);
}

/* How often the daemon has said that it built something, over all its lives. */
static uint32_t n_said(const struct daemon_process *daemon, const char *text)
{
	size_t size;
	unsigned char *log = scratch_file_load(daemon->log, &size);
	uint32_t n = 0;

	for (size_t i = 0; i + strlen(text) <= size; i++)
		n += memcmp(log + i, text, strlen(text)) == 0;
	free(log);
	return n;
}

#define SAID_BUILT ": built, "

static void after_kill_9_all_is_there_and_nothing_is_built(void **state)
{
	struct service_fixture *service = *state;

	make_saved_index(service->conn, "notes");
	write_behind_the_snapshot(service->conn);
	service_kill_and_start(service);
	expect_all_of_it(service->conn);
	/* 30 new ones, of which 5 went and 5 were replaced; 20 and 5 new versions of old ones. */
	expect_opened_not_built(service->conn, RECORDS, 25 + 25);
	expect_all_of_it(service->conn);
	assert_int_equal(n_said(service->daemon, SAID_BUILT), 1);
	/* And again, with what was folded in saved: then nothing is left to do. */
	service_kill_and_start(service);
	expect_opened_not_built(service->conn, RECORDS + 50, 0);
	expect_all_of_it(service->conn);
	assert_int_equal(ensure(service->conn, usual).outcome, KITH_ENSURED_EXISTING);
	assert_int_equal(n_said(service->daemon, SAID_BUILT), 1);
	assert_true(daemon_process_said(service->daemon, "already exists, skipping creation"));
	service_stop_and_start(service);
	expect_opened_not_built(service->conn, RECORDS + 50, 0);
	expect_all_of_it(service->conn);
	assert_int_equal(n_said(service->daemon, SAID_BUILT), 1);
}

static void a_clean_stop_leaves_nothing_to_fold_in(void **state)
{
	struct service_fixture *service = *state;

	make_saved_index(service->conn, "notes");
	put_records(service->conn, "notes", RECORDS, 5, 1);
	optimize(service->conn, "notes", NULL);
	delete_records(service->conn, "notes", 0, 5);
	service_stop_and_start(service);
	expect_count(service->conn, "notes", RECORDS);
	await_settled(service->conn, "notes", NULL);
	assert_true(daemon_process_said(service->daemon, "opened, 405 of 400 slots, 0 pending"));
	assert_int_equal(index_of(service->conn, "notes", NULL).at.dead, 5);
	expect_no_records(service->conn, "notes", 0, 5, 1);
	assert_int_equal(n_said(service->daemon, SAID_BUILT), 1);
}

/* Killed while it builds: nothing is there to be opened, so it is built, once. */
static void killed_while_it_builds_it_is_built_by_the_next(void **state)
{
	struct service_fixture *service = *state;

	make_collection(service->conn, "notes", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, RECORDS, 1);
	put_records(service->conn, "notes", RECORDS, 1000, 1);
	ensure(service->conn, (struct ask){.collection = "notes"});
	service_kill_and_start(service);
	expect_count(service->conn, "notes", RECORDS + 1000);
	ensure(service->conn, usual);
	assert_true(index_of(service->conn, "notes", NULL).at.builds <= 1);
	expect_records(service->conn, "notes", 0, RECORDS + 1000, 1);
}

/* Cache directories ---------------------------------------------------------------------------- */

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *format, ...)
{
	char command[2 * DAEMON_PROCESS_PATH_SIZE + 64];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	assert_int_equal(system(command), 0);
}

/* A directory beside the daemon's own. */
static char *aside(const struct daemon_process *daemon, char path[static DAEMON_PROCESS_PATH_SIZE])
{
	assert_true(snprintf(path, DAEMON_PROCESS_PATH_SIZE, "%s/aside", daemon->root) <
	            DAEMON_PROCESS_PATH_SIZE);
	return path;
}

static void an_older_cache_directory_costs_the_difference_only(void **state)
{
	struct service_fixture *service = *state;
	char older[DAEMON_PROCESS_PATH_SIZE];

	make_saved_index(service->conn, "notes");
	service_stop(service);
	run("cp -a '%s' '%s'", service->daemon->cache_dir, aside(service->daemon, older));
	service_start(service);
	write_behind_the_snapshot(service->conn);
	optimize(service->conn, "notes", NULL);
	expect_all_of_it(service->conn);
	kith_close(service->conn);
	assert_int_equal(daemon_process_kill(service->daemon), 0);
	run("rm -r '%s'", service->daemon->cache_dir);
	run("mv '%s' '%s'", older, service->daemon->cache_dir);
	service_start(service);
	expect_all_of_it(service->conn);
	expect_opened_not_built(service->conn, RECORDS, 50);
	expect_all_of_it(service->conn);
	assert_int_equal(n_said(service->daemon, SAID_BUILT), 1);
}

/* The data directory comes back from an older copy, and the cache is of a future that never was. */
static void a_cache_newer_than_the_database_is_not_used(void **state)
{
	struct service_fixture *service = *state;
	char older[DAEMON_PROCESS_PATH_SIZE];

	make_saved_index(service->conn, "notes");
	service_stop(service);
	run("cp -a '%s' '%s'", service->daemon->data_dir, aside(service->daemon, older));
	service_start(service);
	put_records(service->conn, "notes", 10000, 50, 1);
	optimize(service->conn, "notes", NULL);
	service_stop(service);
	run("rm -r '%s'", service->daemon->data_dir);
	run("mv '%s' '%s'", older, service->daemon->data_dir);
	service_start(service);
	expect_no_records(service->conn, "notes", 10000, 50, 1);
	put_records(service->conn, "notes", 20000, 50, 1);
	expect_records(service->conn, "notes", 20000, 50, 1);
	expect_records(service->conn, "notes", 0, 50, 1);
	service_kill_and_start(service);
	expect_records(service->conn, "notes", 20000, 50, 1);
	expect_no_records(service->conn, "notes", 10000, 50, 1);
	assert_true(daemon_process_said(service->daemon, "it is of another history"));
}

/* The same once the truth has come as far as the cache is, by other records: seqs, slots and counts
 * are equal, and only that they come from another history tells them apart. */
static void a_cache_of_another_history_is_not_used(void **state)
{
	struct service_fixture *service = *state;
	char older[DAEMON_PROCESS_PATH_SIZE], other[DAEMON_PROCESS_PATH_SIZE];

	make_saved_index(service->conn, "notes");
	service_stop(service);
	run("cp -a '%s' '%s'", service->daemon->data_dir, aside(service->daemon, older));
	assert_true((size_t)snprintf(other, sizeof(other), "%s/other", service->daemon->root) <
	            sizeof(other));
	service_start(service);
	put_records(service->conn, "notes", 10000, 50, 1);
	optimize(service->conn, "notes", NULL);
	service_stop(service);
	run("mv '%s' '%s'", service->daemon->cache_dir, other);
	run("rm -r '%s'", service->daemon->data_dir);
	run("mv '%s' '%s'", older, service->daemon->data_dir);
	service_start(service);
	put_records(service->conn, "notes", 20000, 50, 1);
	optimize(service->conn, "notes", NULL);
	service_stop(service);
	run("rm -r '%s'", service->daemon->cache_dir);
	run("mv '%s' '%s'", other, service->daemon->cache_dir);
	service_start(service);
	expect_records(service->conn, "notes", 20000, 50, 1);
	expect_no_records(service->conn, "notes", 10000, 50, 1);
	assert_true(daemon_process_said(service->daemon, "it is of another history"));
	await_settled(service->conn, "notes", NULL);
	assert_int_equal(index_of(service->conn, "notes", NULL).at.builds, 1);
	expect_records(service->conn, "notes", 0, RECORDS, 1);
	expect_records(service->conn, "notes", 20000, 50, 1);
	expect_no_records(service->conn, "notes", 10000, 50, 1);
}

/* The one snapshot in the directory. */
static char *snapshot_in(const char *dir, char path[static DAEMON_PROCESS_PATH_SIZE])
{
	DIR *entries = opendir(dir);
	struct dirent *entry;
	int n = 0;

	assert_non_null(entries);
	while ((entry = readdir(entries))) {
		if (strncmp(entry->d_name, "hnsw-", 5) != 0)
			continue;
		assert_true((size_t)snprintf(path, DAEMON_PROCESS_PATH_SIZE, "%s/%s", dir,
		                             entry->d_name) < DAEMON_PROCESS_PATH_SIZE);
		n++;
	}
	closedir(entries);
	assert_int_equal(n, 1);
	return path;
}

/* The truth has been through so many more epochs since. */
static void age(struct service_fixture *service, const char *data_dir, uint32_t n)
{
	char path[2 * DAEMON_PROCESS_PATH_SIZE], text[256];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/records.db", data_dir);
	snprintf(text, sizeof(text),
	         "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < %u)"
	         " INSERT INTO epochs (epoch, seq, next_slot)"
	         " SELECT randomblob(16), seq, next_slot FROM state, i",
	         n);
	service_stop(service);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	/* As it was: the daemon of another test may configure it. */
	assert_int_equal(sqlite3_shutdown(), SQLITE_OK);
	service_start(service);
}

struct awaited_save {
	const char *path;
	ino_t old;
};

static bool is_saved_anew(void *ctx)
{
	const struct awaited_save *save = ctx;
	struct stat now;

	return stat(save->path, &now) == 0 && now.st_ino != save->old;
}

/* Before the epoch of a snapshot is forgotten it is saved anew, so that it can always be opened. */
static void a_snapshot_of_an_old_epoch_is_saved_anew(void **state)
{
	struct service_fixture *service = *state;
	char data_dir[DAEMON_PROCESS_PATH_SIZE], cache_dir[DAEMON_PROCESS_PATH_SIZE];
	char path[DAEMON_PROCESS_PATH_SIZE];
	struct awaited_save save = {.path = path};
	struct stat before;

	make_saved_index(service->conn, "notes");
	collection_path(service->conn, "notes", service->daemon->data_dir, data_dir);
	collection_path(service->conn, "notes", service->daemon->cache_dir, cache_dir);
	snapshot_in(cache_dir, path);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(stat(path, &before), 0);
		save.old = before.st_ino;
		age(service, data_dir, 200);
		expect_records(service->conn, "notes", 0, 10, 1);
		await(is_saved_anew, &save, "the snapshot is saved anew");
	}
	assert_int_equal(n_said(service->daemon, SAID_BUILT), 1);
	assert_false(daemon_process_said(service->daemon, "it is of another history"));
	age(service, data_dir, 256);
	expect_records(service->conn, "notes", 0, RECORDS, 1);
	await_settled(service->conn, "notes", NULL);
	assert_int_equal(n_said(service->daemon, SAID_BUILT), 2);
	assert_true(daemon_process_said(service->daemon, "it is of another history"));
}

/* Its files under the names of ours: as like ours as they can be, and another collection's. */
static void anothers_cache_directory_is_refused_and_built_again(void **state)
{
	struct service_fixture *service = *state;
	char ours[DAEMON_PROCESS_PATH_SIZE], theirs[DAEMON_PROCESS_PATH_SIZE];
	char our_file[DAEMON_PROCESS_PATH_SIZE], their_file[DAEMON_PROCESS_PATH_SIZE];
	struct index_view index;

	make_saved_index(service->conn, "notes");
	write_behind_the_snapshot(service->conn);
	make_saved_index(service->conn, "mails");
	collection_path(service->conn, "notes", service->daemon->cache_dir, ours);
	collection_path(service->conn, "mails", service->daemon->cache_dir, theirs);
	service_stop(service);
	run("cp '%s' '%s'", snapshot_in(theirs, their_file), snapshot_in(ours, our_file));
	run("cp '%s/vectors' '%s'", theirs, ours);
	service_start(service);
	expect_all_of_it(service->conn);
	await_settled(service->conn, "notes", NULL);
	assert_true(daemon_process_said(service->daemon,
	                                "the snapshot is not used: it is of another index or "
	                                "collection; it is built again"));
	index = index_of(service->conn, "notes", NULL);
	assert_int_equal(index.at.builds, 1);
	assert_int_equal(index.at.nodes, LEFT);
	expect_all_of_it(service->conn);
	assert_int_equal(ensure(service->conn, (struct ask){.collection = "mails"}).outcome,
	                 KITH_ENSURED_EXISTING);
}

static void without_a_cache_directory_the_index_is_built_again(void **state)
{
	struct service_fixture *service = *state;

	make_saved_index(service->conn, "notes");
	write_behind_the_snapshot(service->conn);
	service_stop(service);
	assert_int_equal(daemon_process_clear_cache(service->daemon), 0);
	service_start(service);
	expect_all_of_it(service->conn);
	await_settled(service->conn, "notes", NULL);
	assert_int_equal(index_of(service->conn, "notes", NULL).at.builds, 1);
	assert_true(daemon_process_said(service->daemon, "no snapshot; it is built"));
	expect_all_of_it(service->conn);
}

/* The graph's last nodes are of records that were replaced or deleted, and of these no row is left:
 * what came after them is pending all the same, and folded in. */
static void last_nodes_without_rows_hide_nothing_that_came_later(void **state)
{
	struct service_fixture *service = *state;
	char cache_dir[DAEMON_PROCESS_PATH_SIZE];

	make_saved_index(service->conn, "notes");
	put_records(service->conn, "notes", RECORDS - 5, 4, 2);
	delete_records(service->conn, "notes", RECORDS - 1, 1);
	put_records(service->conn, "notes", RECORDS, 20, 1);
	collection_path(service->conn, "notes", service->daemon->cache_dir, cache_dir);
	kith_close(service->conn);
	assert_int_equal(daemon_process_kill(service->daemon), 0);
	/* A vector file that is made again has rows for live records only. */
	run("rm '%s/vectors'", cache_dir);
	service_start(service);
	expect_opened_not_built(service->conn, RECORDS, 4 + 20);
	expect_count(service->conn, "notes", RECORDS + 19);
	expect_records(service->conn, "notes", 0, RECORDS - 5, 1);
	expect_records(service->conn, "notes", RECORDS - 5, 4, 2);
	expect_records(service->conn, "notes", RECORDS, 20, 1);
	expect_no_records(service->conn, "notes", RECORDS - 1, 1, 1);
}

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
	assert_int_equal(types_seen, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4);
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
	assert_int_equal(size, damaged.size);
	assert_memory_not_equal(bytes, damaged.bytes, size);
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

/* Errors that pass --------------------------------------------------------------------------------
 */

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
	        cmocka_unit_test_setup_teardown(after_kill_9_all_is_there_and_nothing_is_built,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(a_clean_stop_leaves_nothing_to_fold_in,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(killed_while_it_builds_it_is_built_by_the_next,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(an_older_cache_directory_costs_the_difference_only,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(a_cache_newer_than_the_database_is_not_used,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(a_cache_of_another_history_is_not_used,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(a_snapshot_of_an_old_epoch_is_saved_anew,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(anothers_cache_directory_is_refused_and_built_again,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(without_a_cache_directory_the_index_is_built_again,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(
	                last_nodes_without_rows_hide_nothing_that_came_later, service_setup,
	                service_teardown),
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
