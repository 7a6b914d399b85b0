/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An index outlives its daemon: what kill -9 leaves behind is opened, never built again, and shows
 * no record that is gone and misses none that was acknowledged. A cache directory that is older
 * than the truth, newer, of another history or collection, or gone costs time at most.
 */

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

#include "tests/lib/fake_clock.h"
#include "tests/lib/saved_index.h"

#define RECORDS SAVED_INDEX_RECORDS

static const struct ask usual = {.collection = "notes", .wait = true};

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
	char opened[128];

	make_saved_index(service->conn, "notes");
	put_records(service->conn, "notes", RECORDS, 5, 1);
	optimize(service->conn, "notes", NULL);
	delete_records(service->conn, "notes", 0, 5);
	service_stop_and_start(service);
	expect_count(service->conn, "notes", RECORDS);
	await_settled(service->conn, "notes", NULL);
	snprintf(opened, sizeof(opened),
	         "index 'notes/vector' (hnsw, M=16): opened, %u of %u slots, 0 pending", RECORDS,
	         RECORDS);
	assert_true(daemon_process_said(service->daemon, opened));
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
	char command[4 * DAEMON_PROCESS_PATH_SIZE + 128];
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
	assert_int_equal(index.at.nodes, SAVED_INDEX_LEFT);
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
	expect_journaled(service->conn, "no snapshot; it is built");
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

/* The clock stands: no pause makes them durable. Of a fifth of the nodes that has no rows any more
 * the index would be built again. */
static void the_rows_that_a_snapshot_stands_on_outlive_a_kill(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	const char *root;

	(void)state;
	fake_clock_init(&clock, 0);
	daemon = daemon_thread_new_with(store_io_posix(), &clock.clock, 32);
	root = daemon_thread_root(daemon);
	conn = connect_to(daemon);
	make_saved_index(conn, "notes");
	/* Its end looks what there is to do; that goes before the group that comes then. */
	expect_count(conn, "notes", RECORDS);
	delete_records(conn, "notes", 0, RECORDS / 4);
	/* What kill -9 leaves: all that was written, whether it was synced or not. */
	run("cp -a '%s/data' '%s/data.killed' && cp -a '%s/cache' '%s/cache.killed'", root, root,
	    root, root);
	kith_close(conn);
	daemon_thread_stop(daemon);
	run("cd '%s' && rm -r data cache && mv data.killed data && mv cache.killed cache", root);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	expect_count(conn, "notes", RECORDS - RECORDS / 4);
	await_settled(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	expect_records(conn, "notes", RECORDS / 4, RECORDS - RECORDS / 4, 1);
	expect_no_records(conn, "notes", 0, RECORDS / 4, 1);
	kith_close(conn);
	daemon_thread_free(daemon);
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
	        cmocka_unit_test(the_rows_that_a_snapshot_stands_on_outlive_a_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
