/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <signal.h>
#include <cmocka.h>

#include "storage/store_io.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define READ_WRITE (STORE_READ | STORE_WRITE)

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

static const char *in_scratch(const char *name)
{
	static char path[SCRATCH_PATH_SIZE];

	return scratch_dir_path(&scratch, name, path);
}

static struct store_file *open_new(const char *name)
{
	struct store_file *file;

	assert_int_equal(
	        store_open(store_io_posix(), in_scratch(name), READ_WRITE | STORE_CREATE, &file),
	        0);
	return file;
}

static void open_creates_only_when_asked(void **state)
{
	struct store_file *file = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(store_open(store_io_posix(), in_scratch("a"), READ_WRITE, &file), -ENOENT);
	assert_null(file);
	mode_t mask = umask(0);
	file = open_new("a");
	umask(mask);
	assert_int_equal(store_close(file), 0);
	assert_int_equal(stat(in_scratch("a"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void open_exclusive_refuses_what_is_there(void **state)
{
	unsigned flags = READ_WRITE | STORE_CREATE | STORE_EXCLUSIVE;
	struct store_file *file;

	(void)state;
	assert_int_equal(store_open(store_io_posix(), in_scratch("x"), flags, &file), 0);
	store_close(file);
	assert_int_equal(store_open(store_io_posix(), in_scratch("x"), flags, &file), -EEXIST);
}

static void open_truncates_when_asked(void **state)
{
	struct store_file *file = open_new("t");
	uint64_t size;

	(void)state;
	assert_int_equal(store_write(file, "abc", 3, 0), 0);
	store_close(file);
	assert_int_equal(
	        store_open(store_io_posix(), in_scratch("t"), READ_WRITE | STORE_TRUNCATE, &file),
	        0);
	assert_int_equal(store_size(file, &size), 0);
	assert_int_equal(size, 0);
	store_close(file);
}

static void open_follows_no_symbolic_link(void **state)
{
	struct store_file *file;

	(void)state;
	store_close(open_new("target"));
	assert_int_equal(symlink("target", in_scratch("link")), 0);
	assert_int_equal(store_open(store_io_posix(), in_scratch("link"), READ_WRITE, &file),
	                 -ELOOP);
}

/* In the place of a cache file it would hold a worker up for good. */
static void open_does_not_wait_for_the_other_end_of_a_fifo(void **state)
{
	struct store_file *file = NULL;
	char byte;

	(void)state;
	assert_int_equal(mkfifo(in_scratch("fifo"), 0600), 0);
	assert_int_equal(store_open(store_io_posix(), in_scratch("fifo"), STORE_READ, &file), 0);
	assert_true(store_read(file, &byte, 1, 0) < 0);
	store_close(file);
}

static void open_files_do_not_reach_children(void **state)
{
	struct store_file *file = open_new("cloexec");
	struct stat named;
	struct stat st;
	int n_found = 0;

	(void)state;
	assert_int_equal(stat(in_scratch("cloexec"), &named), 0);
	for (int fd = 0; fd < 256; fd++) {
		if (fstat(fd, &st) < 0 || st.st_ino != named.st_ino || st.st_dev != named.st_dev)
			continue;
		n_found++;
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	}
	assert_int_equal(n_found, 1);
	store_close(file);
}

static void a_file_opened_for_reading_is_not_written(void **state)
{
	struct store_file *file;
	char byte;

	(void)state;
	store_close(open_new("ro"));
	assert_int_equal(store_open(store_io_posix(), in_scratch("ro"), STORE_READ, &file), 0);
	assert_int_equal(store_write(file, "x", 1, 0), -EBADF);
	assert_int_equal(store_read(file, &byte, 1, 0), 0);
	store_close(file);
	assert_int_equal(store_open(store_io_posix(), in_scratch("ro"), STORE_WRITE, &file), 0);
	assert_int_equal(store_write(file, "x", 1, 0), 0);
	assert_int_equal(store_read(file, &byte, 1, 0), -EBADF);
	store_close(file);
}

static void reads_are_short_only_at_the_end(void **state)
{
	struct store_file *file = open_new("short");
	char buf[8];

	(void)state;
	assert_int_equal(store_write(file, "0123456789", 10, 5), 0);
	assert_int_equal(store_read(file, buf, 8, 0), 8);
	assert_memory_equal(buf,
	                    "\0\0\0\0\0"
	                    "012",
	                    8);
	assert_int_equal(store_read(file, buf, 8, 10), 5);
	assert_memory_equal(buf, "56789", 5);
	assert_int_equal(store_read(file, buf, 8, 15), 0);
	assert_int_equal(store_read(file, buf, 8, 4096), 0);
	assert_int_equal(store_read(file, buf, 8, UINT64_MAX), -EINVAL);
	assert_int_equal(store_write(file, buf, 8, UINT64_MAX), -EINVAL);
	store_close(file);
}

/* The kernel writes what fits and says no to the rest: the whole write is an error. */
static void a_write_that_does_not_fit_is_an_error(void **state)
{
	(void)state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
		struct store_file *file;
		static char bytes[8192];

		signal(SIGXFSZ, SIG_IGN);
		_exit(setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
		                      store_open(store_io_posix(), in_scratch("big"),
		                                 READ_WRITE | STORE_CREATE, &file) == 0 &&
		                      store_write(file, bytes, sizeof(bytes), 0) == -EFBIG &&
		                      store_close(file) == 0
		              ? 0
		              : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void truncate_sets_the_size_and_growth_reads_as_zeros(void **state)
{
	struct store_file *file = open_new("grow");
	uint64_t size;
	char byte = 'x';

	(void)state;
	assert_int_equal(store_write(file, "abc", 3, 0), 0);
	assert_int_equal(store_truncate(file, 1), 0);
	assert_int_equal(store_truncate(file, 1 << 30), 0);
	assert_int_equal(store_size(file, &size), 0);
	assert_int_equal(size, 1 << 30);
	assert_int_equal(store_read(file, &byte, 1, 1), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(store_sync(file), 0);
	store_close(file);
}

static void a_mapping_sees_writes_also_behind_the_old_end(void **state)
{
	struct store_file *file = open_new("map");
	void *addr;

	(void)state;
	assert_int_equal(store_map(file, 4096, 8192, false, &addr), 0);
	assert_int_equal(store_truncate(file, 12288), 0);
	assert_int_equal(store_write(file, "hello", 5, 8192), 0);
	assert_memory_equal((char *)addr + 4096, "hello", 5);
	assert_int_equal(store_unmap(file, addr, 8192), 0);
	store_close(file);
}

static void a_writable_mapping_writes_the_file(void **state)
{
	struct store_file *file = open_new("wmap");
	void *addr;
	char buf[2];

	(void)state;
	assert_int_equal(store_truncate(file, 4096), 0);
	assert_int_equal(store_map(file, 0, 4096, true, &addr), 0);
	memcpy(addr, "hi", 2);
	assert_int_equal(store_unmap(file, addr, 4096), 0);
	assert_int_equal(store_read(file, buf, 2, 0), 2);
	assert_memory_equal(buf, "hi", 2);
	assert_int_equal(store_map(file, 1, 4096, true, &addr), -EINVAL);
	store_close(file);
}

static void a_lock_of_another_process_is_told_with_its_pid(void **state)
{
	struct store_file *file = open_new("lock");
	int ready[2];
	char byte;
	pid_t holder = 0;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (store_lock(file, &holder) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(store_lock(file, &holder), STORE_LOCKED);
	assert_int_equal(holder, pid);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(store_lock(file, &holder), 0);
	store_close(file);
	close(ready[0]);
	close(ready[1]);
}

static void rename_replaces_and_unlink_removes(void **state)
{
	struct store_io *io = store_io_posix();
	char from[SCRATCH_PATH_SIZE];
	size_t n;

	(void)state;
	scratch_dir_path(&scratch, "from", from);
	scratch_file_save(from, "new", 3);
	scratch_file_save(in_scratch("to"), "older", 5);
	assert_int_equal(store_rename(io, from, in_scratch("to")), 0);
	assert_int_equal(store_rename(io, from, in_scratch("to")), -ENOENT);
	unsigned char *bytes = scratch_file_load(in_scratch("to"), &n);
	assert_int_equal(n, 3);
	assert_memory_equal(bytes, "new", 3);
	free(bytes);
	assert_int_equal(store_unlink(io, in_scratch("to")), 0);
	assert_int_equal(store_unlink(io, in_scratch("to")), -ENOENT);
	assert_int_equal(store_sync_dir(io, scratch.path), 0);
	assert_int_equal(store_sync_dir(io, in_scratch("to")), -ENOENT);
}

static void make_dirs_makes_the_missing_ones(void **state)
{
	struct store_io *io = store_io_posix();
	struct stat st;
	char *too_long;

	(void)state;
	assert_int_equal(store_make_dirs(io, in_scratch("d/e//f/")), 0);
	assert_int_equal(store_make_dirs(io, in_scratch("d/e/f")), 0);
	assert_int_equal(stat(in_scratch("d/e"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(store_make_dirs(io, ""), -ENOENT);
	scratch_file_save(in_scratch("plain"), "", 0);
	assert_int_equal(store_make_dirs(io, in_scratch("plain/sub")), -ENOTDIR);
	too_long = test_malloc(PATH_MAX + 1);
	memset(too_long, 'x', PATH_MAX);
	too_long[PATH_MAX] = '\0';
	assert_int_equal(store_make_dirs(io, too_long), -ENAMETOOLONG);
	test_free(too_long);
}

static void remove_tree_removes_two_levels_and_follows_no_link(void **state)
{
	struct store_io *io = store_io_posix();
	struct stat st;

	(void)state;
	assert_int_equal(store_make_dirs(io, in_scratch("tree/sub")), 0);
	assert_int_equal(store_make_dirs(io, in_scratch("kept")), 0);
	scratch_file_save(in_scratch("tree/file"), "x", 1);
	scratch_file_save(in_scratch("tree/sub/file"), "x", 1);
	scratch_file_save(in_scratch("kept/file"), "x", 1);
	assert_int_equal(symlink("../kept", in_scratch("tree/link")), 0);
	assert_int_equal(store_remove_tree(io, in_scratch("tree")), 0);
	assert_int_equal(stat(in_scratch("tree"), &st), -1);
	assert_int_equal(stat(in_scratch("kept/file"), &st), 0);
	assert_int_equal(store_remove_tree(io, in_scratch("tree")), 0);
	/* Not even when it is what is to go. */
	assert_int_equal(symlink("kept", in_scratch("link-to-kept")), 0);
	assert_int_equal(store_remove_tree(io, in_scratch("link-to-kept")), 0);
	assert_int_equal(lstat(in_scratch("link-to-kept"), &st), -1);
	assert_int_equal(stat(in_scratch("kept/file"), &st), 0);
	assert_int_equal(store_remove_tree(io, in_scratch("kept/file")), 0);
	assert_int_equal(stat(in_scratch("kept/file"), &st), -1);
	assert_int_equal(store_make_dirs(io, in_scratch("deep/two/three")), 0);
	assert_int_equal(store_remove_tree(io, in_scratch("deep")), -EISDIR);
}

/* A process may be killed between making a directory and syncing its parent, or between removing
 * one and doing so; the next one must not take it as done. */
static void directories_are_durable_though_somebody_else_made_or_removed_them(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct store_io *io = store_twin_io(twin);

	(void)state;
	assert_int_equal(mkdir(in_scratch("made"), 0700), 0);
	assert_int_equal(store_make_dirs(io, in_scratch("made")), 0);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_SYNC_DIR, scratch.path), 1);
	assert_int_equal(store_remove_tree(io, in_scratch("made")), 0);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_SYNC_DIR, scratch.path), 2);
	assert_int_equal(store_remove_tree(io, in_scratch("made")), 0);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_SYNC_DIR, scratch.path), 3);
	assert_int_equal(store_remove_tree(io, in_scratch("neither/this")), 0);
	store_twin_free(twin);
}

static int stop_at_second(void *ctx, const char *name)
{
	assert_string_not_equal(name, ".");
	assert_string_not_equal(name, "..");
	return ++*(int *)ctx == 2 ? 42 : 0;
}

static void list_stops_at_the_first_result(void **state)
{
	struct store_io *io = store_io_posix();
	int n_seen = 0;

	(void)state;
	assert_int_equal(store_make_dirs(io, in_scratch("list")), 0);
	assert_int_equal(io->ops->list(io, in_scratch("list"), stop_at_second, &n_seen), 0);
	for (const char *name = "list/a\0list/b\0list/c\0"; *name; name += strlen(name) + 1)
		scratch_file_save(in_scratch(name), "", 0);
	assert_int_equal(io->ops->list(io, in_scratch("list"), stop_at_second, &n_seen), 42);
	assert_int_equal(n_seen, 2);
	assert_int_equal(io->ops->list(io, in_scratch("none"), stop_at_second, &n_seen), -ENOENT);
}

static void close_accepts_null_and_adopt_gives_the_file_back(void **state)
{
	struct store_io *io = store_io_posix();
	struct store_file *file = open_new("adopted");
	struct store_file *adopted;

	(void)state;
	assert_int_equal(store_close(NULL), 0);
	assert_int_equal(io->ops->adopt(io, in_scratch("adopted"), file, &adopted), 0);
	assert_ptr_equal(adopted, file);
	store_close(adopted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(open_creates_only_when_asked),
	        cmocka_unit_test(open_exclusive_refuses_what_is_there),
	        cmocka_unit_test(open_truncates_when_asked),
	        cmocka_unit_test(open_follows_no_symbolic_link),
	        cmocka_unit_test(open_does_not_wait_for_the_other_end_of_a_fifo),
	        cmocka_unit_test(open_files_do_not_reach_children),
	        cmocka_unit_test(a_file_opened_for_reading_is_not_written),
	        cmocka_unit_test(reads_are_short_only_at_the_end),
	        cmocka_unit_test(a_write_that_does_not_fit_is_an_error),
	        cmocka_unit_test(truncate_sets_the_size_and_growth_reads_as_zeros),
	        cmocka_unit_test(a_mapping_sees_writes_also_behind_the_old_end),
	        cmocka_unit_test(a_writable_mapping_writes_the_file),
	        cmocka_unit_test(a_lock_of_another_process_is_told_with_its_pid),
	        cmocka_unit_test(rename_replaces_and_unlink_removes),
	        cmocka_unit_test(make_dirs_makes_the_missing_ones),
	        cmocka_unit_test(directories_are_durable_though_somebody_else_made_or_removed_them),
	        cmocka_unit_test(remove_tree_removes_two_levels_and_follows_no_link),
	        cmocka_unit_test(list_stops_at_the_first_result),
	        cmocka_unit_test(close_accepts_null_and_adopt_gives_the_file_back),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
