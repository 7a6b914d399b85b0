/* SPDX-License-Identifier: Apache-2.0 */

/* Backups, taking them back, checkpoints, looking files through. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/lib/damage.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/saved_index.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define NOTES "notes"
#define MAIL "mail"
#define N_NOTES 60u
#define N_MAIL 20u
#define PATH_SIZE (2 * DAEMON_PROCESS_PATH_SIZE)

struct stage {
	struct store_twin *twin; /* what the disk is, where that is of interest */
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	char place[PATH_SIZE]; /* where backups go */
};

static void begin(struct stage *stage)
{
	stage->conn = connect_to(stage->daemon);
	snprintf(stage->place, sizeof(stage->place), "%s/backup",
	         daemon_thread_root(stage->daemon));
	make_collection(stage->conn, NOTES, KITH_METRIC_L2);
	make_collection(stage->conn, MAIL, KITH_METRIC_L2);
	put_records(stage->conn, NOTES, 0, N_NOTES, 1);
	put_records(stage->conn, NOTES, 0, 10, 2);
	delete_records(stage->conn, NOTES, 50, 10);
	put_records(stage->conn, MAIL, 0, N_MAIL, 1);
}

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	stage->daemon = daemon_thread_new();
	begin(stage);
	*state = stage;
	return 0;
}

static int setup_twin(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	stage->twin = store_twin_new(store_io_posix());
	stage->daemon = daemon_thread_new_with(store_twin_io(stage->twin), NULL, 32);
	begin(stage);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	kith_close(stage->conn);
	daemon_thread_free(stage->daemon);
	store_twin_free(stage->twin);
	free(stage);
	return 0;
}

static int try_backup(struct kith_conn *conn, const char *directory, const char *collection)
{
	struct kith_backup_params params = {.directory = kith_text(directory),
	                                    .collection = kith_text(collection)};

	return kith_backup(conn, &params, NULL);
}

static int try_restore(struct kith_conn *conn, const char *directory, const char *collection)
{
	struct kith_restore_params params = {.directory = kith_text(directory),
	                                     .collection = kith_text(collection)};

	return kith_restore(conn, &params, NULL);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void drop(struct stage *stage, const char *name)
{
	struct kith_drop_collection_params params = {.collection = kith_text(name)};

	DONE(stage->conn, kith_drop_collection(stage->conn, &params, NULL));
}

static void expect_notes(struct kith_conn *conn)
{
	expect_count(conn, NOTES, N_NOTES - 10);
	expect_records(conn, NOTES, 0, 10, 2);
	expect_records(conn, NOTES, 10, 40, 1);
	expect_no_records(conn, NOTES, 50, 10, 1);
}

static void a_backup_is_taken_back_where_nothing_is_overwritten(void **state)
{
	struct stage *stage = *state;
	struct kith_backup_params params = {.directory = kith_text(stage->place)};
	struct kith_backup_result *result;
	char below[PATH_SIZE + 16];
	struct stat st;

	DONE(stage->conn, kith_backup(stage->conn, &params, &result));
	assert_int_equal(result->collections.n, 2);
	assert_true(is_text(result->collections.v[0].name, NOTES));
	assert_int_equal(result->collections.v[0].records, N_NOTES - 10);
	assert_int_equal(result->collections.v[0].seq, 3);
	assert_true(result->collections.v[0].size_bytes > 0);
	assert_int_equal(result->collections.v[1].records, N_MAIL);
	kith_free(result);
	assert_int_equal(stat(stage->place, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);

	put_records(stage->conn, NOTES, 100, 5, 9);
	REFUSED(stage->conn, KITH_ERROR_COLLECTION_EXISTS, "collection",
	        try_restore(stage->conn, stage->place, NULL));
	drop(stage, NOTES);
	/* The other one is still there, so that not even the one that is not is restored. */
	REFUSED(stage->conn, KITH_ERROR_COLLECTION_EXISTS, "collection",
	        try_restore(stage->conn, stage->place, NULL));
	REFUSED(stage->conn, KITH_ERROR_NO_COLLECTION, "collection",
	        try_restore(stage->conn, stage->place, "post"));
	DONE(stage->conn, try_restore(stage->conn, stage->place, NOTES));
	expect_notes(stage->conn);
	expect_count(stage->conn, MAIL, N_MAIL);
	put_records(stage->conn, NOTES, 200, 5, 1);
	kith_close(stage->conn);
	daemon_thread_restart(stage->daemon);
	stage->conn = connect_to(stage->daemon);
	expect_count(stage->conn, NOTES, N_NOTES - 5);
	snprintf(below, sizeof(below), "%s.kith-tmp", stage->place);
	assert_false(is_there(below));
}

/* Whether another process could lock the file: a lock ends when its holder closes any descriptor of
 * the file. */
static bool can_be_locked(const char *path)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int fd = open(path, O_RDWR | O_CLOEXEC);

		_exit(fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) != 0;
}

static void looking_at_a_path_lets_go_of_no_lock(void **state)
{
	struct stage *stage = *state;
	char lock[2 * PATH_SIZE], below[3 * PATH_SIZE];

	snprintf(lock, sizeof(lock), "%s/.lock", daemon_thread_data_dir(stage->daemon));
	snprintf(below, sizeof(below), "%s/backup", lock);
	assert_false(can_be_locked(lock));
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_backup(stage->conn, below, NULL));
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_restore(stage->conn, below, NULL));
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_restore(stage->conn, lock, NULL));
	assert_false(can_be_locked(lock));
}

static void a_backup_refuses_places_that_are_none(void **state)
{
	struct stage *stage = *state;
	const char *root = daemon_thread_root(stage->daemon);
	char path[PATH_SIZE + 32], link[PATH_SIZE + 32];

	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_backup(stage->conn, "backup", NULL));
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory", try_backup(stage->conn, "/", NULL));
	snprintf(path, sizeof(path), "%s/../backup", root);
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_backup(stage->conn, path, NULL));
	snprintf(path, sizeof(path), "%s/nowhere/backup", root);
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_backup(stage->conn, path, NULL));
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_backup(stage->conn, root, NULL));
	snprintf(link, sizeof(link), "%s/link", root);
	assert_int_equal(symlink(root, link), 0);
	snprintf(path, sizeof(path), "%s/link/backup", root);
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_backup(stage->conn, path, NULL));
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_backup(stage->conn, link, NULL));
	assert_false(is_there(stage->place));
	REFUSED(stage->conn, KITH_ERROR_NO_COLLECTION, "collection",
	        try_backup(stage->conn, stage->place, "post"));
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        try_restore(stage->conn, stage->place, NULL));
	assert_false(is_there(stage->place));
}

struct absence {
	const char *path;
};

static bool is_absent(void *ctx)
{
	return !is_there(((struct absence *)ctx)->path);
}

static bool can_back_up(void *ctx)
{
	struct stage *stage = ctx;

	return try_backup(stage->conn, stage->place, NULL) == 0;
}

/* The gate stands before the second collection's copy: the first one's is on the disk. */
static void a_client_that_goes_takes_its_backup_along(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "backup", "start");
	struct kith_conn *other = connect_to(stage->daemon);
	char tmp[PATH_SIZE + 16];

	snprintf(tmp, sizeof(tmp), "%s.kith-tmp", stage->place);
	DONE(other, kith_set_timeout(other, 1));
	assert_int_equal(try_backup(other, stage->place, NULL), -ETIMEDOUT);
	gate_await(gate);
	gate_pass(gate);
	gate_await(gate);
	gate_pass(gate);
	gate_await(gate);
	assert_true(is_there(tmp));
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, NULL,
	        try_backup(stage->conn, stage->place, NULL));
	/* Others write and read, and the log is left alone. */
	put_records(stage->conn, NOTES, 100, 5, 1);
	expect_records(stage->conn, NOTES, 100, 5, 1);
	kith_close(other);
	gate_open(gate);
	await(is_absent, &(struct absence){tmp}, "what was written is removed");
	await(can_back_up, stage, "its place is free again");
	assert_true(is_there(stage->place));
}

/* What an earlier one left: a directory with files in it, a file, a link. */
static void what_a_cut_backup_left_is_in_nobodys_way(void **state)
{
	struct stage *stage = *state;
	char tmp[PATH_SIZE + 16], below[PATH_SIZE + 64];

	snprintf(tmp, sizeof(tmp), "%s.kith-tmp", stage->place);
	snprintf(below, sizeof(below), "%s/half", tmp);
	assert_int_equal(mkdir(tmp, 0700), 0);
	assert_int_equal(mkdir(below, 0700), 0);
	snprintf(below, sizeof(below), "%s/half/records.db", tmp);
	scratch_file_save(below, "half", 4);
	snprintf(below, sizeof(below), "%s/catalog.db-journal", tmp);
	scratch_file_save(below, "half", 4);
	DONE(stage->conn, try_backup(stage->conn, stage->place, NULL));
	assert_false(is_there(tmp));

	assert_int_equal(rename(stage->place, tmp), 0);
	snprintf(below, sizeof(below), "%s/aside", daemon_thread_root(stage->daemon));
	assert_int_equal(rename(tmp, below), 0);
	assert_int_equal(symlink(below, tmp), 0);
	DONE(stage->conn, try_backup(stage->conn, stage->place, NULL));
	assert_false(is_there(tmp));
	/* What the link led to is another's. */
	drop(stage, NOTES);
	DONE(stage->conn, try_restore(stage->conn, below, NOTES));
	expect_notes(stage->conn);
}

/* A full disk --------------------------------------------------------------------------------- */

struct backing_up {
	struct stage *stage;
	pthread_t thread;
	struct gate *gate;
	int result;
};

static void *backup_main(void *ctx)
{
	struct backing_up *backing_up = ctx;
	struct kith_conn *conn = connect_to(backing_up->stage->daemon);

	backing_up->result = try_backup(conn, backing_up->stage->place, NULL);
	kith_close(conn);
	return NULL;
}

/* It stands where it would copy its first collection; from then on the disk is full. */
static void begin_backup_on_full_disk(struct backing_up *backing_up)
{
	struct stage *stage = backing_up->stage;

	backing_up->gate = daemon_thread_gate(stage->daemon, "backup", "start");
	assert_int_equal(pthread_create(&backing_up->thread, NULL, backup_main, backing_up), 0);
	gate_await(backing_up->gate);
	gate_pass(backing_up->gate);
	gate_await(backing_up->gate);
	store_twin_fill(stage->twin, 1);
}

/* It left nothing, and when there is room again, it is made. */
static void expect_no_backup(struct backing_up *backing_up)
{
	struct stage *stage = backing_up->stage;
	char tmp[PATH_SIZE + 16];

	gate_open(backing_up->gate);
	assert_int_equal(pthread_join(backing_up->thread, NULL), 0);
	assert_int_equal(backing_up->result, KITH_ERROR_STORAGE_FULL);
	snprintf(tmp, sizeof(tmp), "%s.kith-tmp", stage->place);
	assert_false(is_there(tmp));
	assert_false(is_there(stage->place));
}

static void expect_backup_with_room(struct stage *stage)
{
	store_twin_heal(stage->twin);
	put_records(stage->conn, NOTES, 0, 5, 7);
	DONE(stage->conn, try_backup(stage->conn, stage->place, NULL));
}

static void a_backup_that_fills_the_disk_goes_and_deletes_go_on(void **state)
{
	struct stage *stage = *state;
	struct backing_up backing_up = {.stage = stage, .result = -1};

	begin_backup_on_full_disk(&backing_up);
	expect_no_backup(&backing_up);
	delete_records(stage->conn, NOTES, 0, 20);
	delete_records(stage->conn, MAIL, 0, 10);
	expect_backup_with_room(stage);
}

/* There would be room for the backup in what the delete has left of the reserve. */
static void a_backup_leaves_what_was_reserved_to_deletes(void **state)
{
	struct stage *stage = *state;
	struct backing_up backing_up = {.stage = stage, .result = -1};

	begin_backup_on_full_disk(&backing_up);
	delete_records(stage->conn, NOTES, 0, 20);
	assert_int_equal(try_put_records(stage->conn, NOTES, 100, 5, 1, NULL),
	                 KITH_ERROR_STORAGE_FULL);
	expect_no_backup(&backing_up);
	delete_records(stage->conn, NOTES, 20, 20);
	delete_records(stage->conn, MAIL, 0, 10);
	expect_backup_with_room(stage);
}

/* A restore ----------------------------------------------------------------------------------- */

struct restoring {
	struct stage *stage;
	int result;
};

static void *restore_main(void *ctx)
{
	struct restoring *restoring = ctx;
	struct kith_conn *conn = connect_to(restoring->stage->daemon);

	restoring->result = try_restore(conn, restoring->stage->place, NOTES);
	kith_close(conn);
	return NULL;
}

/* Until it has looked for its uuid in the catalog. */
static void begin_restore(struct restoring *restoring, pthread_t *ret_thread)
{
	struct gate *looked = daemon_thread_gate(restoring->stage->daemon, "catalog", "end");

	assert_int_equal(pthread_create(ret_thread, NULL, restore_main, restoring), 0);
	gate_await(looked);
	gate_open(looked);
}

/* The dropped one is held before its files are removed; the restore has looked for its uuid. */
static struct gate *begin_a_restore_that_waits(struct restoring *restoring, pthread_t *ret_thread)
{
	struct stage *stage = restoring->stage;
	struct gate *closing;

	DONE(stage->conn, try_backup(stage->conn, stage->place, NULL));
	closing = daemon_thread_gate(stage->daemon, "close", "start");
	drop(stage, NOTES);
	gate_await(closing);
	begin_restore(restoring, ret_thread);
	return closing;
}

static void a_restore_waits_until_what_was_dropped_is_gone(void **state)
{
	struct stage *stage = *state;
	struct restoring restoring = {stage, -1};
	pthread_t thread;
	struct gate *closing = begin_a_restore_that_waits(&restoring, &thread);

	/* Others change the catalog meanwhile, and its name is taken. */
	make_collection(stage->conn, "other", KITH_METRIC_L2);
	gate_open(closing);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(restoring.result, 0);
	expect_notes(stage->conn);
	put_records(stage->conn, NOTES, 200, 5, 1);
	kith_close(stage->conn);
	daemon_thread_restart(stage->daemon);
	stage->conn = connect_to(stage->daemon);
	expect_count(stage->conn, NOTES, N_NOTES - 5);
}

/* The daemon stops while a restore waits: it ends, and nothing of it is there. */
static void a_restore_that_waits_does_not_hold_up_a_stop(void **state)
{
	struct stage *stage = *state;
	struct restoring restoring = {stage, 0};
	pthread_t thread;
	struct gate *closing = begin_a_restore_that_waits(&restoring, &thread);

	make_collection(stage->conn, "other", KITH_METRIC_L2);
	daemon_thread_stop_soon(stage->daemon);
	gate_open(closing);
	kith_close(stage->conn);
	daemon_thread_stop(stage->daemon);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_not_equal(restoring.result, 0);
	daemon_thread_start(stage->daemon);
	stage->conn = connect_to(stage->daemon);
	DONE(stage->conn, try_restore(stage->conn, stage->place, NOTES));
	expect_notes(stage->conn);
}

/* In the place of a path, a link to what was there. */
static void put_link(struct stage *stage, const char *path)
{
	char aside[PATH_SIZE];

	snprintf(aside, sizeof(aside), "%s/aside", daemon_thread_root(stage->daemon));
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(symlink(aside, path), 0);
}

static void take_link(struct stage *stage, const char *path)
{
	char aside[PATH_SIZE];

	snprintf(aside, sizeof(aside), "%s/aside", daemon_thread_root(stage->daemon));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(aside, path), 0);
}

/* Who may write where a backup is could have the daemon read what only the daemon may read. */
static void no_link_inside_a_backup_is_followed(void **state)
{
	static const struct {
		bool is_collections;
		const char *name, *field;
	} links[] = {{false, "/catalog.db", "directory"},
	             {true, "", "collection"},
	             {true, "/records.db", "collection"},
	             {true, "/records.db-wal", "collection"}};
	struct stage *stage = *state;
	char path[2 * PATH_SIZE], uuid[DAEMON_PROCESS_PATH_SIZE];

	DONE(stage->conn, try_backup(stage->conn, stage->place, NULL));
	collection_path(stage->conn, NOTES, "", uuid);
	drop(stage, NOTES);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), "%s%s%s", stage->place,
		         links[i].is_collections ? uuid : "", links[i].name);
		if (!is_there(path))
			scratch_file_save(path, "", 0);
		put_link(stage, path);
		REFUSED(stage->conn, KITH_ERROR_DAMAGED, links[i].field,
		        try_restore(stage->conn, stage->place, NOTES));
		take_link(stage, path);
	}
	DONE(stage->conn, try_restore(stage->conn, stage->place, NOTES));
	expect_notes(stage->conn);
}

static bool is_gone(void *ctx)
{
	return !is_there(ctx);
}

/* What a restore that failed had made goes after it was refused: not what the next one makes. */
static void a_restore_waits_until_what_a_failed_one_made_is_gone(void **state)
{
	struct stage *stage = *state;
	struct restoring restoring = {stage, -1};
	char path[2 * PATH_SIZE], uuid[DAEMON_PROCESS_PATH_SIZE];
	char data_dir[DAEMON_PROCESS_PATH_SIZE];
	struct gate *closing;
	pthread_t thread;

	DONE(stage->conn, try_backup(stage->conn, stage->place, NULL));
	snprintf(path, sizeof(path), "%s%s", stage->place,
	         collection_path(stage->conn, NOTES, "", uuid));
	collection_path(stage->conn, NOTES, daemon_thread_data_dir(stage->daemon), data_dir);
	drop(stage, NOTES);
	await(is_gone, data_dir, "the dropped one's files go");
	put_link(stage, path);
	closing = daemon_thread_gate(stage->daemon, "close", "start");
	REFUSED(stage->conn, KITH_ERROR_DAMAGED, "collection",
	        try_restore(stage->conn, stage->place, NOTES));
	gate_await(closing);
	take_link(stage, path);
	begin_restore(&restoring, &thread);
	gate_open(closing);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(restoring.result, 0);
	await_no_jobs(stage->conn);
	expect_notes(stage->conn);
	kith_close(stage->conn);
	daemon_thread_restart(stage->daemon);
	stage->conn = connect_to(stage->daemon);
	expect_notes(stage->conn);
}

static void a_checkpoint_leaves_nothing_in_the_log(void **state)
{
	struct stage *stage = *state;
	struct kith_checkpoint_params params = {.collection = kith_text(NOTES)};
	struct kith_checkpoint_result *result;

	assert_true(usage_of(stage->conn, NOTES).wal_bytes > 0);
	DONE(stage->conn, kith_checkpoint(stage->conn, &params, &result));
	assert_int_equal(result->wal_bytes, 0);
	kith_free(result);
	expect_notes(stage->conn);
}

/* Files --------------------------------------------------------------------------------------- */

static void damaged_records_are_named_and_the_others_serve(void **state)
{
	struct stage *stage = *state;
	char path[2 * PATH_SIZE], dir[DAEMON_PROCESS_PATH_SIZE];

	expect_sound(stage->conn, NOTES, N_NOTES - 10);
	expect_sound(stage->conn, MAIL, N_MAIL);
	DONE(stage->conn, try_backup(stage->conn, stage->place, NULL));
	collection_path(stage->conn, NOTES, daemon_thread_data_dir(stage->daemon), dir);
	kith_close(stage->conn);
	daemon_thread_stop(stage->daemon);
	snprintf(path, sizeof(path), "%s/records.db", dir);
	spoil(path, 3 * 4096, 4096); /* a table's root */
	daemon_thread_start(stage->daemon);
	stage->conn = connect_to(stage->daemon);
	expect_finding(stage->conn, NOTES, "records.db", false);
	expect_journaled(stage->conn, "verify: records.db: ");
	expect_sound(stage->conn, MAIL, N_MAIL);
	/* A backup of it is refused, and one that is damaged is not taken back. */
	snprintf(path, sizeof(path), "%s-2", stage->place);
	REFUSED(stage->conn, KITH_ERROR_DAMAGED, "collection",
	        try_backup(stage->conn, path, NOTES));
	assert_false(is_there(path));
	DONE(stage->conn, try_backup(stage->conn, path, MAIL));
	drop(stage, NOTES);
	DONE(stage->conn, try_restore(stage->conn, stage->place, NOTES));
	expect_notes(stage->conn);
}

static void a_damaged_backup_is_not_taken_back(void **state)
{
	struct stage *stage = *state;
	char path[2 * PATH_SIZE], uuid[DAEMON_PROCESS_PATH_SIZE];

	DONE(stage->conn, try_backup(stage->conn, stage->place, NULL));
	collection_path(stage->conn, NOTES, "", uuid);
	snprintf(path, sizeof(path), "%s%s/records.db", stage->place, uuid);
	spoil(path, 3 * 4096, 4096);
	drop(stage, NOTES);
	REFUSED(stage->conn, KITH_ERROR_DAMAGED, "collection",
	        try_restore(stage->conn, stage->place, NOTES));
	/* Nothing of it is there: the name is free. */
	make_collection(stage->conn, NOTES, KITH_METRIC_L2);
	expect_count(stage->conn, NOTES, 0);
	expect_count(stage->conn, MAIL, N_MAIL);
}

static void change_catalog(const char *dir, const char *change)
{
	char path[2 * PATH_SIZE];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/catalog.db", dir);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, change, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A backup is a directory that anybody may have made. */
static void a_backup_whose_catalog_lies_is_not_taken_back(void **state)
{
	static const struct {
		const char *change, *field;
	} lies[] = {{"dim = 4294967295", "directory"}, {"dim = 0", "directory"},
	            {"metric = 3", "directory"},       {"dtype = 2", "directory"},
	            {"dim = 4096", "collection"},      {"dtype = 1", "collection"}};
	struct stage *stage = *state;

	DONE(stage->conn, try_backup(stage->conn, stage->place, NOTES));
	drop(stage, NOTES);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		char change[128];

		snprintf(change, sizeof(change),
		         "UPDATE collections SET dim = %u, metric = 0, dtype = 0;"
		         "UPDATE collections SET %s",
		         RECORD_DIM, lies[i].change);
		change_catalog(stage->place, change);
		REFUSED(stage->conn, KITH_ERROR_DAMAGED, lies[i].field,
		        try_restore(stage->conn, stage->place, NULL));
	}
	expect_count(stage->conn, MAIL, N_MAIL);
}

static void damaged_derived_files_are_named(void **state)
{
	struct stage *stage = *state;
	char dir[DAEMON_PROCESS_PATH_SIZE], path[PATH_SIZE];
	struct kith_disk_usage_result *usage;
	bool has_truth = false;

	ensure(stage->conn, (struct ask){.collection = NOTES, .m = 8, .wait = true});
	await_settled(stage->conn, NOTES, NULL);
	expect_sound(stage->conn, NOTES, N_NOTES - 10);
	collection_path(stage->conn, NOTES, daemon_thread_cache_dir(stage->daemon), dir);
	path[0] = '\0';
	DONE(stage->conn, kith_disk_usage(stage->conn, &usage));
	for (uint32_t i = 0; i < usage->files.n; i++) {
		const struct kith_file *file = &usage->files.v[i];

		assert_true(file->live_bytes <= file->size_bytes);
		has_truth |= file->live_bytes > 0 && is_text(file->collection, MAIL) &&
		             strstr(file->path.data, "/records.db") != NULL;
		if (is_text(file->collection, NOTES) &&
		    memmem(file->path.data, file->path.n, "hnsw-", 5))
			snprintf(path, sizeof(path), "%.*s", (int)file->path.n, file->path.data);
	}
	kith_free(usage);
	assert_true(has_truth);
	assert_true(path[0] != '\0');
	spoil(path, 4096, 8);
	expect_finding(stage->conn, NOTES, "hnsw-", true);
	expect_journaled(stage->conn, "verify: hnsw-");
	assert_int_equal(unlink(path), 0);
	expect_finding(stage->conn, NOTES, "hnsw-", true);
	expect_notes(stage->conn);
}

static bool is_sound(void *ctx)
{
	return is_found_sound(ctx, NOTES);
}

/* No reading has met it. */
static void damage_to_vectors_that_is_found_is_mended(void **state)
{
	struct stage *stage = *state;
	char dir[DAEMON_PROCESS_PATH_SIZE];

	collection_path(stage->conn, NOTES, daemon_thread_cache_dir(stage->daemon), dir);
	kith_close(stage->conn);
	daemon_thread_stop(stage->daemon);
	spoil_vectors(dir, 7);
	daemon_thread_start(stage->daemon);
	stage->conn = connect_to(stage->daemon);
	expect_finding(stage->conn, NOTES, "vectors", true);
	await(is_sound, stage->conn, "the vector file is written again");
	expect_notes(stage->conn);
}

static void *ask_for_disk_usage(void *arg)
{
	struct kith_conn *conn = connect_to(arg);
	int r = kith_disk_usage(conn, NULL);

	kith_close(conn);
	return (void *)(intptr_t)r;
}

/* It reads the databases: the log cannot begin anew meanwhile, and that is no failure. */
static void a_checkpoint_waits_for_who_looks_at_the_disk(void **state)
{
	struct stage *stage = *state;
	struct kith_checkpoint_params params = {.collection = kith_text(NOTES)};
	struct gate *gate = daemon_thread_gate(stage->daemon, "disk usage", "start");
	struct kith_errors_result *errors;
	pthread_t thread;
	void *r;

	assert_int_equal(pthread_create(&thread, NULL, ask_for_disk_usage, stage->daemon), 0);
	gate_await(gate);
	DONE(stage->conn, kith_set_timeout(stage->conn, 200));
	assert_int_equal(kith_checkpoint(stage->conn, &params, NULL), -ETIMEDOUT);
	DONE(stage->conn, kith_set_timeout(stage->conn, 0));
	gate_open(gate);
	assert_int_equal(pthread_join(thread, &r), 0);
	assert_null(r);
	DONE(stage->conn, kith_checkpoint(stage->conn, &params, NULL));
	DONE(stage->conn, kith_errors(stage->conn, &errors));
	assert_int_equal(errors->failures.n, 0);
	kith_free(errors);
	expect_notes(stage->conn);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_backup_is_taken_back_where_nothing_is_overwritten),
	        TEST(a_backup_refuses_places_that_are_none),
	        TEST(looking_at_a_path_lets_go_of_no_lock),
	        TEST(a_client_that_goes_takes_its_backup_along),
	        TEST(what_a_cut_backup_left_is_in_nobodys_way),
	        cmocka_unit_test_setup_teardown(a_backup_that_fills_the_disk_goes_and_deletes_go_on,
	                                        setup_twin, teardown),
	        cmocka_unit_test_setup_teardown(a_backup_leaves_what_was_reserved_to_deletes,
	                                        setup_twin, teardown),
	        TEST(a_restore_waits_until_what_was_dropped_is_gone),
	        TEST(a_restore_that_waits_does_not_hold_up_a_stop),
	        TEST(no_link_inside_a_backup_is_followed),
	        TEST(a_restore_waits_until_what_a_failed_one_made_is_gone),
	        TEST(a_checkpoint_leaves_nothing_in_the_log),
	        TEST(damaged_records_are_named_and_the_others_serve),
	        TEST(a_damaged_backup_is_not_taken_back),
	        TEST(a_backup_whose_catalog_lies_is_not_taken_back),
	        TEST(damaged_derived_files_are_named),
	        TEST(damage_to_vectors_that_is_found_is_mended),
	        TEST(a_checkpoint_waits_for_who_looks_at_the_disk),
	};

	return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
