/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "storage/sqlite_vfs.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

static struct scratch_dir scratch;
static struct store_twin *twin;
static char path[SCRATCH_PATH_SIZE];
static sqlite3 *db;

static void open_db(void)
{
	const char *name;

	assert_int_equal(sqlite_vfs_for(store_twin_io(twin), &name), 0);
	assert_int_equal(
	        sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, name),
	        SQLITE_OK);
	sqlite3_extended_result_codes(db, 1);
}

static int setup(void **state)
{
	(void)state;
	scratch_dir_init(&scratch);
	scratch_dir_path(&scratch, "test.db", path);
	twin = store_twin_new(store_io_posix());
	open_db();
	assert_int_equal(sqlite3_exec(db,
	                              "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
	                              "PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)",
	                              NULL, NULL, NULL),
	                 SQLITE_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sqlite3_close(db);
	sqlite_vfs_drop(store_twin_io(twin));
	twin = store_twin_free(twin);
	scratch_dir_release(&scratch);
	return 0;
}

static int exec(const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int64_t query(sqlite3 *from, const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t value = -1;

	if (sqlite3_prepare_v2(from, sql, -1, &stmt, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

static sqlite3_file *main_file(void)
{
	sqlite3_file *file = NULL;

	sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	assert_non_null(file);
	return file;
}

/* The registry -------------------------------------------------------------------------------- */

static void one_io_has_one_name(void **state)
{
	(void)state;
	struct store_twin *other = store_twin_new(store_io_posix());
	const char *first, *again, *second;
	char kept[64];

	assert_int_equal(sqlite_vfs_for(store_twin_io(twin), &first), 0);
	assert_int_equal(sqlite_vfs_for(store_twin_io(twin), &again), 0);
	assert_int_equal(sqlite_vfs_for(store_twin_io(other), &second), 0);
	assert_ptr_equal(first, again);
	assert_string_not_equal(first, second);
	snprintf(kept, sizeof(kept), "%s", second);
	assert_non_null(sqlite3_vfs_find(kept));
	sqlite_vfs_drop(store_twin_io(other));
	assert_null(sqlite3_vfs_find(kept));
	sqlite_vfs_drop(store_twin_io(other));
	store_twin_free(other);
}

/* The way through the seam -------------------------------------------------------------------- */

static void a_commit_reaches_the_wal_in_one_write_and_one_sync(void **state)
{
	(void)state;
	assert_int_equal(exec("INSERT INTO t VALUES (1)"), SQLITE_OK);
	store_twin_forget(twin);
	assert_int_equal(exec("INSERT INTO t VALUES (zeroblob(40000))"), SQLITE_OK);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_WRITE, "-wal"), 1);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_SYNC, "-wal"), 1);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_WRITE, NULL), 1);
}

static void a_large_commit_reaches_the_wal_in_large_writes(void **state)
{
	(void)state;
	store_twin_forget(twin);
	assert_int_equal(exec("INSERT INTO t VALUES (randomblob(4000000))"), SQLITE_OK);
	assert_true(store_twin_count(twin, STORE_TWIN_WRITE, "-wal") > 25);
	assert_true(store_twin_count(twin, STORE_TWIN_WRITE, "-wal") < 40);
	assert_int_equal(query(db, "SELECT length(x) FROM t"), 4000000);
	assert_int_equal(exec("PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
	assert_true(store_twin_count(twin, STORE_TWIN_WRITE, "test.db") > 900);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_TRUNCATE, "-wal"), 1);
	assert_int_equal(query(db, "PRAGMA integrity_check(1)"), 0); /* "ok" as a number */
}

/* Pages that leave a small cache in the midst of a transaction are read back before they were
 * passed on, some are written again, and a savepoint takes some back. */
static void a_transaction_larger_than_the_cache_reads_its_own_pages(void **state)
{
	(void)state;
	assert_int_equal(exec("PRAGMA cache_size = 10; BEGIN"), SQLITE_OK);
	assert_int_equal(exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	                      " WHERE i < 2000) INSERT INTO t SELECT printf('%0500d', i) FROM n"),
	                 SQLITE_OK);
	assert_int_equal(exec("SAVEPOINT s; UPDATE t SET x = 'gone'; ROLLBACK TO s; RELEASE s"),
	                 SQLITE_OK);
	assert_int_equal(exec("UPDATE t SET x = x || '!' WHERE rowid % 3 = 0"), SQLITE_OK);
	assert_int_equal(query(db, "SELECT sum(CAST(x AS INTEGER)) FROM t"), 2001000);
	assert_int_equal(exec("COMMIT"), SQLITE_OK);
	sqlite3_close(db);
	open_db();
	assert_int_equal(query(db, "SELECT sum(CAST(x AS INTEGER)) FROM t"), 2001000);
	assert_int_equal(query(db, "SELECT count(*) FROM t WHERE x LIKE '%!'"), 666);
}

static void the_wal_is_removed_through_the_seam(void **state)
{
	(void)state;
	store_twin_forget(twin);
	sqlite3_close(db);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_UNLINK, "-wal"), 1);
	open_db();
}

static void a_read_past_the_end_is_short_and_zero(void **state)
{
	(void)state;
	sqlite3_file *file = main_file();
	char buf[64], zeros[64] = {0};
	sqlite3_int64 size;

	assert_int_equal(exec("PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
	assert_int_equal(file->pMethods->xFileSize(file, &size), SQLITE_OK);
	assert_true(size > 0);
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(file->pMethods->xRead(file, buf, sizeof(buf), size),
	                 SQLITE_IOERR_SHORT_READ);
	assert_memory_equal(buf, zeros, sizeof(buf));
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(file->pMethods->xRead(file, buf, sizeof(buf), size - 10),
	                 SQLITE_IOERR_SHORT_READ);
	assert_memory_equal(buf + 10, zeros, sizeof(buf) - 10);
}

static void mapping_is_not_offered(void **state)
{
	(void)state;
	assert_int_equal(main_file()->pMethods->iVersion, 2);
	exec("PRAGMA mmap_size = 1000000");
	assert_int_equal(query(db, "SELECT count(*) FROM t"), 0);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_MAP, NULL), 0);
}

/* Room ---------------------------------------------------------------------------------------- */

#define ROOM_BYTES (1 << 20)
#define N_WAYS 4

/* The ways of the unix VFS to make a file longer, counted. Not pwrite() and its like alone: where
 * SQLite was built with posix_fallocate() it calls that. */
static const char *const ways[N_WAYS] = {"pwrite", "pwrite64", "write", "fallocate"};
static sqlite3_syscall_ptr usual[N_WAYS];
static unsigned n_calls;

static ssize_t count_pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
	n_calls++;
	return pwrite(fd, bytes, n, offset);
}

static ssize_t count_write(int fd, const void *bytes, size_t n)
{
	n_calls++;
	return write(fd, bytes, n);
}

static int count_fallocate(int fd, off_t offset, off_t n)
{
	n_calls++;
	return posix_fallocate(fd, offset, n);
}

static void count_ways(void)
{
	static const sqlite3_syscall_ptr counting[N_WAYS] = {
	        (sqlite3_syscall_ptr)count_pwrite, (sqlite3_syscall_ptr)count_pwrite,
	        (sqlite3_syscall_ptr)count_write, (sqlite3_syscall_ptr)count_fallocate};
	sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");

	for (int i = 0; i < N_WAYS; i++) {
		usual[i] = unix_vfs->xGetSystemCall(unix_vfs, ways[i]);
		if (usual[i]) /* it has this one */
			unix_vfs->xSetSystemCall(unix_vfs, ways[i], counting[i]);
	}
	n_calls = 0;
}

static void count_no_more(void)
{
	sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");

	for (int i = 0; i < N_WAYS; i++) {
		if (usual[i])
			unix_vfs->xSetSystemCall(unix_vfs, ways[i], usual[i]);
	}
}

static void room_is_allocated_without_writing_to_it(void **state)
{
	sqlite3_int64 size = ROOM_BYTES;
	struct stat st;

	(void)state;
	/* So that there are calls to count. */
	count_ways();
	assert_int_equal(exec("INSERT INTO t VALUES (1)"), SQLITE_OK);
	assert_true(n_calls > 0);
	n_calls = 0;
	store_twin_forget(twin);
	assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_SIZE_HINT, &size),
	                 SQLITE_OK);
	count_no_more();
	assert_int_equal(n_calls, 0);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_ALLOCATE, "test.db"), 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, ROOM_BYTES);
	assert_true(st.st_blocks * 512 >= ROOM_BYTES);
	/* SQLite does not take it for pages. */
	assert_int_equal(exec("INSERT INTO t VALUES (2)"), SQLITE_OK);
	assert_int_equal(query(db, "SELECT count(*) FROM t"), 2);
	assert_true(query(db, "PRAGMA page_count") < ROOM_BYTES / 4096);
}

/* The file that SQLite kept open, because closing it would have dropped another connection's locks,
 * and uses again: nobody sees its descriptor. */
static void room_of_a_file_that_is_used_again_is_allocated_too(void **state)
{
	sqlite3_int64 size = ROOM_BYTES;
	const char *name;
	sqlite3 *other;
	struct stat st;

	(void)state;
	assert_int_equal(sqlite_vfs_for(store_twin_io(twin), &name), 0);
	assert_int_equal(sqlite3_open_v2(path, &other, SQLITE_OPEN_READWRITE, name), SQLITE_OK);
	assert_int_equal(query(other, "SELECT count(*) FROM t"), 0);
	sqlite3_close(db);
	open_db();
	assert_int_equal(query(db, "SELECT count(*) FROM t"), 0);
	assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_SIZE_HINT, &size),
	                 SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, ROOM_BYTES);
	assert_true(st.st_blocks * 512 >= ROOM_BYTES);
}

/* Errors -------------------------------------------------------------------------------------- */

static int fail_one(enum store_twin_kind kind, const char *part, int err, const char *sql)
{
	int rc;

	store_twin_fail(twin, (struct store_twin_fault){
	                              .kind = kind, .path_part = part, .nth = 1, .err = err});
	rc = exec(sql);
	assert_int_equal(store_twin_n_failed(twin), 1);
	store_twin_heal(twin);
	return rc;
}

static void errors_have_sqlites_names(void **state)
{
	(void)state;
	const char *insert = "INSERT INTO t VALUES (1)";
	const char *checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";

	assert_int_equal(fail_one(STORE_TWIN_SYNC, "-wal", EIO, insert), SQLITE_IOERR_FSYNC);
	assert_int_equal(fail_one(STORE_TWIN_WRITE, "-wal", ENOSPC, insert), SQLITE_FULL);
	assert_int_equal(fail_one(STORE_TWIN_WRITE, "-wal", EDQUOT, insert), SQLITE_FULL);
	assert_int_equal(fail_one(STORE_TWIN_SYNC, "-wal", ENOMEM, insert), SQLITE_NOMEM);
	assert_int_equal(exec(insert), SQLITE_OK);
	assert_int_equal(fail_one(STORE_TWIN_WRITE, "test.db", EIO, checkpoint),
	                 SQLITE_IOERR_WRITE);
	assert_int_equal(fail_one(STORE_TWIN_TRUNCATE, "-wal", EIO, checkpoint),
	                 SQLITE_IOERR_TRUNCATE);
	sqlite3_db_release_memory(db);
	assert_int_equal(fail_one(STORE_TWIN_READ, NULL, EIO, "SELECT * FROM t"),
	                 SQLITE_IOERR_READ);
	assert_int_equal(query(db, "SELECT count(*) FROM t"), 1);
}

static void a_file_that_is_not_adopted_is_not_opened(void **state)
{
	(void)state;
	const char *name;
	sqlite3 *other;

	assert_int_equal(sqlite_vfs_for(store_twin_io(twin), &name), 0);
	store_twin_fail(
	        twin, (struct store_twin_fault){.kind = STORE_TWIN_ADOPT, .nth = 1, .err = EMFILE});
	assert_int_equal(sqlite3_open_v2(path, &other, SQLITE_OPEN_READWRITE, name),
	                 SQLITE_CANTOPEN);
	assert_int_equal(sqlite3_system_errno(other), EMFILE);
	sqlite3_close(other);
	store_twin_heal(twin);
}

/* Other processes ----------------------------------------------------------------------------- */

static void another_process_reads_beside_us(void **state)
{
	(void)state;
	int status, go[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(go), 0);
	/* SQLite's files must not be carried across a fork. */
	sqlite3_close(db);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sqlite3 *other;

		if (read(go[0], &byte, 1) != 1 ||
		    sqlite3_open_v2(path, &other, SQLITE_OPEN_READONLY, "unix") != SQLITE_OK)
			_exit(100);
		_exit((int)query(other, "SELECT count(*) FROM t"));
	}
	open_db();
	assert_int_equal(exec("INSERT INTO t VALUES (1), (2), (3)"), SQLITE_OK);
	assert_int_equal(exec("BEGIN; INSERT INTO t VALUES (4)"), SQLITE_OK);
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_int_equal(exec("COMMIT"), SQLITE_OK);
	close(go[0]);
	close(go[1]);
}

static void a_link_is_not_followed_but_above_the_file(void **state)
{
	char link[SCRATCH_PATH_SIZE], below[SCRATCH_PATH_SIZE + 16];
	const char *name;
	sqlite3 *other;

	(void)state;
	assert_int_equal(sqlite_vfs_for(store_twin_io(twin), &name), 0);
	scratch_dir_path(&scratch, "link.db", link);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(sqlite3_open_v2(link, &other, SQLITE_OPEN_READWRITE, name),
	                 SQLITE_CANTOPEN);
	assert_int_equal(sqlite3_extended_errcode(other), SQLITE_CANTOPEN_SYMLINK);
	sqlite3_close(other);
	scratch_dir_path(&scratch, "above", link);
	assert_int_equal(symlink(".", link), 0);
	snprintf(below, sizeof(below), "%s/link.db", link);
	assert_int_equal(sqlite3_open_v2(below, &other, SQLITE_OPEN_READWRITE, name),
	                 SQLITE_CANTOPEN);
	sqlite3_close(other);
	snprintf(below, sizeof(below), "%s/test.db", link);
	assert_int_equal(sqlite3_open_v2(below, &other, SQLITE_OPEN_READWRITE, name), SQLITE_OK);
	assert_int_equal(query(other, "SELECT count(*) FROM t"), 0);
	sqlite3_close(other);
}

/* The heap ---------------------------------------------------------------------------------------
 */

#define HEAP_ROWS 4000 /* of some 1000 bytes */

/* The most that SQLite held while the whole table went through two connections, each of which may
 * keep far more than it; with a soft limit of that many bytes. */
static sqlite3_int64 most_held(size_t limit_bytes)
{
	const char *name;
	sqlite3_int64 most;
	sqlite3 *other;

	assert_int_equal(sqlite_setup(limit_bytes), 0);
	assert_int_equal(sqlite_vfs_for(store_twin_io(twin), &name), 0);
	assert_int_equal(sqlite3_open_v2(path, &other, SQLITE_OPEN_READWRITE, name), SQLITE_OK);
	assert_int_equal(exec("PRAGMA cache_size = -65536"), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "PRAGMA cache_size = -65536", NULL, NULL, NULL),
	                 SQLITE_OK);
	sqlite3_memory_highwater(1);
	assert_int_equal(query(db, "SELECT sum(length(x)) FROM t"), HEAP_ROWS * 1000);
	assert_int_equal(query(other, "SELECT sum(length(x)) FROM t"), HEAP_ROWS * 1000);
	most = sqlite3_memory_highwater(0);
	sqlite3_db_release_memory(db);
	sqlite3_close(other);
	return most;
}

static void all_caches_together_keep_to_the_limit_of_the_heap(void **state)
{
	const size_t limit_bytes = 2 << 20;

	(void)state;
	assert_int_equal(exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
	                      " WHERE i < 4000) INSERT INTO t SELECT printf('%01000d', i) FROM n"),
	                 SQLITE_OK);
	assert_int_equal(exec("PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
	sqlite3_db_release_memory(db);
	/* Without one each keeps what it read. */
	assert_true(most_held(0) > 2 * HEAP_ROWS * 1000);
	assert_true(most_held(limit_bytes) < (sqlite3_int64)(limit_bytes + limit_bytes / 4));
	assert_int_equal(sqlite_setup(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(one_io_has_one_name),
	        TEST(a_commit_reaches_the_wal_in_one_write_and_one_sync),
	        TEST(a_large_commit_reaches_the_wal_in_large_writes),
	        TEST(a_transaction_larger_than_the_cache_reads_its_own_pages),
	        TEST(the_wal_is_removed_through_the_seam),
	        TEST(a_read_past_the_end_is_short_and_zero),
	        TEST(mapping_is_not_offered),
	        TEST(room_is_allocated_without_writing_to_it),
	        TEST(room_of_a_file_that_is_used_again_is_allocated_too),
	        TEST(errors_have_sqlites_names),
	        TEST(a_file_that_is_not_adopted_is_not_opened),
	        TEST(another_process_reads_beside_us),
	        TEST(a_link_is_not_followed_but_above_the_file),
#undef TEST
	        cmocka_unit_test_setup_teardown(all_caches_together_keep_to_the_limit_of_the_heap,
	                                        setup, teardown),
	};

	/* Before the first connection, as programs do. */
	if (sqlite_setup(0) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
