/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "storage/dir_lock.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

static struct scratch_dir scratch;

static int setup(void **state)
{
	(void)state;
	scratch_dir_init(&scratch);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_dir_release(&scratch);
	return 0;
}

/* A process that takes the lock and holds it until it is killed. Returns after it has it. */
static pid_t start_holder(void)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct dir_lock lock;
		pid_t holder;

		if (dir_lock_take(&lock, store_io_posix(), scratch.path, &holder) == 0 &&
		    write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void end_holder(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_free_directory_is_taken_and_given_back(void **state)
{
	struct dir_lock lock;
	char path[SCRATCH_PATH_SIZE];
	struct stat st;
	pid_t holder = -7;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(dir_lock_take(&lock, store_io_posix(), scratch.path, &holder), 0);
		assert_non_null(lock.file);
		assert_int_equal(stat(scratch_dir_path(&scratch, ".lock", path), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		dir_lock_release(&lock);
		assert_null(lock.file);
	}
	assert_int_equal(holder, -7);
}

static void a_held_directory_tells_the_holder(void **state)
{
	struct dir_lock lock = {0};
	pid_t holder = 0;

	(void)state;
	pid_t pid = start_holder();
	assert_int_equal(dir_lock_take(&lock, store_io_posix(), scratch.path, &holder),
	                 DIR_LOCK_HELD);
	assert_int_equal(holder, pid);
	assert_null(lock.file);
	end_holder(pid);
}

static void a_killed_holder_leaves_nothing_behind(void **state)
{
	struct dir_lock lock;
	pid_t holder;

	(void)state;
	end_holder(start_holder());
	assert_int_equal(dir_lock_take(&lock, store_io_posix(), scratch.path, &holder), 0);
	dir_lock_release(&lock);
}

static void a_missing_directory_is_an_error(void **state)
{
	struct dir_lock lock;
	char path[SCRATCH_PATH_SIZE];
	char too_long[8192];
	pid_t holder;

	(void)state;
	scratch_dir_path(&scratch, "missing", path);
	assert_int_equal(dir_lock_take(&lock, store_io_posix(), path, &holder), -ENOENT);
	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(dir_lock_take(&lock, store_io_posix(), too_long, &holder), -ENAMETOOLONG);
}

static void a_failed_lock_closes_the_file(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct dir_lock lock;
	pid_t holder;

	(void)state;
	store_twin_fail(
	        twin, (struct store_twin_fault){.kind = STORE_TWIN_LOCK, .nth = 1, .err = ENOLCK});
	assert_int_equal(dir_lock_take(&lock, store_twin_io(twin), scratch.path, &holder), -ENOLCK);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_CLOSE, "/.lock"), 1);
	store_twin_free(twin);
}

static void releasing_a_zeroed_lock_is_fine(void **state)
{
	struct dir_lock lock = {0};

	(void)state;
	dir_lock_release(&lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_free_directory_is_taken_and_given_back),
	        cmocka_unit_test(a_held_directory_tells_the_holder),
	        cmocka_unit_test(a_killed_holder_leaves_nothing_behind),
	        cmocka_unit_test(a_missing_directory_is_an_error),
	        cmocka_unit_test(a_failed_lock_closes_the_file),
	        cmocka_unit_test(releasing_a_zeroed_lock_is_fine),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
