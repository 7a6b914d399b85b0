/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define OPEN_FLAGS (STORE_READ | STORE_WRITE | STORE_CREATE)

static struct scratch_dir scratch;
static struct store_twin *twin;
static struct store_io *io;

static int setup(void **state)
{
	(void)state;
	scratch_dir_init(&scratch);
	twin = store_twin_new(store_io_posix());
	io = store_twin_io(twin);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	twin = store_twin_free(twin);
	scratch_dir_release(&scratch);
	return 0;
}

static const char *in_scratch(const char *name)
{
	static char path[SCRATCH_PATH_SIZE];

	return scratch_dir_path(&scratch, name, path);
}

static struct store_file *open_file(const char *name)
{
	struct store_file *file;

	assert_int_equal(store_open(io, in_scratch(name), OPEN_FLAGS, &file), 0);
	return file;
}

static void assert_content(const char *name, const void *expected, size_t n_expected)
{
	size_t n;
	unsigned char *bytes = scratch_file_load(in_scratch(name), &n);

	assert_int_equal(n, n_expected);
	assert_memory_equal(bytes, expected, n);
	free(bytes);
}

static int ignore_entry(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return 0;
}

/* Every operation of both tables, once each, in the order of enum store_twin_kind. */
static void do_everything(void)
{
	char other[SCRATCH_PATH_SIZE];
	struct store_file *file = open_file("every");
	struct store_file *adopted;
	uint64_t size;
	pid_t holder;
	void *addr;
	char byte;

	assert_int_equal(io->ops->adopt(io, in_scratch("every"), file, &adopted), 0);
	assert_int_equal(store_read(adopted, &byte, 1, 7), 0);
	assert_int_equal(store_write(adopted, "abc", 3, 2), 0);
	assert_int_equal(store_sync(adopted), 0);
	assert_int_equal(store_truncate(adopted, 4096), 0);
	assert_int_equal(store_allocate(adopted, 0, 4096), 0);
	assert_int_equal(store_size(adopted, &size), 0);
	assert_int_equal(store_map(adopted, 0, 4096, false, &addr), 0);
	assert_int_equal(store_unmap(adopted, addr, 4096), 0);
	assert_int_equal(store_lock(adopted, &holder), 0);
	assert_int_equal(store_close(adopted), 0);
	scratch_dir_path(&scratch, "other", other);
	assert_int_equal(store_rename(io, in_scratch("every"), other), 0);
	assert_int_equal(store_unlink(io, other), 0);
	assert_int_equal(store_sync_dir(io, scratch.path), 0);
	assert_int_equal(io->ops->make_dir(io, other), 0);
	assert_int_equal(io->ops->remove_dir(io, other), 0);
	assert_int_equal(io->ops->list(io, scratch.path, ignore_entry, NULL), 0);
}

static void every_operation_is_written_down_in_order(void **state)
{
	enum store_twin_kind last = STORE_TWIN_ANY;

	(void)state;
	do_everything();
	for (size_t i = 0; i < store_twin_n_ops(twin); i++) {
		const struct store_twin_op *op = store_twin_op(twin, i);

		/* adopt wraps the twin's own file here, so its operations appear twice. */
		assert_true(op->kind == last || op->kind == last + 1);
		assert_int_equal(op->result, 0);
		assert_non_null(op->path);
		last = op->kind;
	}
	assert_int_equal(last, STORE_TWIN_LIST);
	const struct store_twin_op *op = store_twin_op(twin, 4);
	assert_int_equal(op->kind, STORE_TWIN_WRITE);
	assert_int_equal(op->offset, 2);
	assert_int_equal(op->n_bytes, 3);
	assert_int_equal(op->n_done, 3);
	assert_null(op->bytes);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_ANY, "/other"), 4);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_RENAME, NULL), 1);
	store_twin_forget(twin);
	assert_int_equal(store_twin_n_ops(twin), 0);
}

static void written_bytes_are_kept_when_asked(void **state)
{
	struct store_file *file = open_file("bytes");

	(void)state;
	store_twin_keep_bytes(twin, true);
	assert_int_equal(store_write(file, "abc", 3, 10), 0);
	store_twin_keep_bytes(twin, false);
	assert_int_equal(store_write(file, "def", 3, 20), 0);
	assert_memory_equal(store_twin_op(twin, 1)->bytes, "abc", 3);
	assert_null(store_twin_op(twin, 2)->bytes);
	store_close(file);
}

static void the_nth_operation_fails_and_only_that(void **state)
{
	struct store_file *file = open_file("nth");
	char buf[3];

	(void)state;
	store_twin_fail(twin, (struct store_twin_fault){.nth = 2, .err = ENOSPC});
	assert_int_equal(store_write(file, "abc", 3, 0), 0);
	assert_int_equal(store_write(file, "XYZ", 3, 0), -ENOSPC);
	assert_int_equal(store_read(file, buf, 3, 0), 3);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(store_twin_n_failed(twin), 1);
	assert_int_equal(store_twin_op(twin, 2)->result, -ENOSPC);
	assert_int_equal(store_twin_op(twin, 2)->n_done, 0);
	store_close(file);
}

static void a_fault_chooses_by_kind_and_path(void **state)
{
	struct store_file *a = open_file("a.db");
	struct store_file *b = open_file("b.db-wal");

	(void)state;
	store_twin_fail(twin, (struct store_twin_fault){.kind = STORE_TWIN_SYNC,
	                                                .path_part = "-wal",
	                                                .nth = 2,
	                                                .err = EIO,
	                                                .lasting = true});
	for (int i = 1; i <= 4; i++) {
		assert_int_equal(store_sync(a), 0);
		assert_int_equal(store_write(b, "x", 1, 0), 0);
		assert_int_equal(store_sync(b), i >= 2 ? -EIO : 0);
	}
	assert_int_equal(store_twin_n_failed(twin), 3);
	store_twin_heal(twin);
	assert_int_equal(store_twin_n_failed(twin), 0);
	assert_int_equal(store_sync(b), 0);
	store_close(a);
	store_close(b);
}

static void a_torn_write_leaves_its_first_bytes(void **state)
{
	struct store_file *file = open_file("torn");

	(void)state;
	store_twin_keep_bytes(twin, true);
	store_twin_fail(twin,
	                (struct store_twin_fault){
	                        .kind = STORE_TWIN_WRITE, .nth = 1, .err = EIO, .torn_bytes = 4});
	assert_int_equal(store_write(file, "abcdefgh", 8, 0), -EIO);
	const struct store_twin_op *op = store_twin_op(twin, 1);
	assert_int_equal(op->n_bytes, 8);
	assert_int_equal(op->n_done, 4);
	assert_memory_equal(op->bytes, "abcd", 4);
	assert_content("torn", "abcd", 4);
	store_close(file);
}

static void after_the_cut_everything_fails(void **state)
{
	struct store_file *file = open_file("cut");
	struct store_file *other;
	char byte;

	(void)state;
	store_twin_cut(twin, 2, 1);
	assert_int_equal(store_write(file, "abc", 3, 0), 0);
	assert_int_equal(store_write(file, "XYZ", 3, 0), -EIO);
	assert_int_equal(store_write(file, "XYZ", 3, 0), -EIO);
	assert_int_equal(store_read(file, &byte, 1, 0), -EIO);
	assert_int_equal(store_open(io, in_scratch("cut"), OPEN_FLAGS, &other), -EIO);
	assert_int_equal(store_unlink(io, in_scratch("cut")), -EIO);
	assert_int_equal(store_close(file), -EIO);
	assert_content("cut", "Xbc", 3);
}

static void enumeration_reaches_every_operation(void **state)
{
	struct store_file *file;
	uint64_t nth = 1;

	(void)state;
	for (;; nth++) {
		store_twin_fail(twin, (struct store_twin_fault){.nth = nth, .err = ENOSPC});
		int r = store_open(io, in_scratch("enum"), OPEN_FLAGS, &file);
		if (r == 0) {
			r = store_write(file, "a", 1, 0);
			r = r ? r : store_sync(file);
			int closed = store_close(file);
			r = r ? r : closed;
		}
		uint64_t n_failed = store_twin_n_failed(twin);
		assert_int_equal(r, n_failed ? -ENOSPC : 0);
		store_twin_heal(twin);
		if (n_failed == 0)
			break;
	}
	assert_int_equal(nth, 5);
}

static void *write_hundred(void *ctx)
{
	for (uint64_t i = 0; i < 100; i++)
		store_write(ctx, "x", 1, i);
	return NULL;
}

static void threads_share_it(void **state)
{
	struct store_file *files[4];
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char name[] = {'t', (char)('0' + i), '\0'};

		files[i] = open_file(name);
		assert_int_equal(pthread_create(&threads[i], NULL, write_hundred, files[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		store_close(files[i]);
	}
	assert_int_equal(store_twin_count(twin, STORE_TWIN_WRITE, NULL), 400);
	assert_int_equal(store_twin_count(twin, STORE_TWIN_WRITE, "/t3"), 100);
}

static void a_power_cut_keeps_what_was_synced_and_some_of_the_rest(void **state)
{
	static char old[2048], new[2048];
	char path[SCRATCH_PATH_SIZE];
	size_t n_old_sectors = 0;
	size_t n_new_sectors = 0;
	struct store_file *file;
	size_t n;

	(void)state;
	memset(old, 'o', sizeof(old));
	memset(new, 'n', sizeof(new));
	store_twin_keep_bytes(twin, true);
	scratch_dir_path(&scratch, "power", path);
	file = open_file("power");
	assert_int_equal(store_write(file, old, sizeof(old), 0), 0);
	assert_int_equal(store_sync(file), 0);
	assert_int_equal(store_write(file, new, sizeof(new), 0), 0);
	store_close(file);
	for (uint64_t seed = 0; seed < 32; seed++) {
		store_twin_power_cut(twin, store_twin_n_ops(twin), path, in_scratch("after"), seed);
		unsigned char *bytes = scratch_file_load(in_scratch("after"), &n);
		assert_int_equal(n, sizeof(old));
		for (size_t at = 0; at < n; at += 512) {
			assert_true(memcmp(bytes + at, old, 512) == 0 ||
			            memcmp(bytes + at, new, 512) == 0);
			n_old_sectors += bytes[at] == 'o';
			n_new_sectors += bytes[at] == 'n';
		}
		free(bytes);
		/* Before the second write there is no choice. */
		store_twin_power_cut(twin, 3, path, in_scratch("after"), seed);
		assert_content("after", old, sizeof(old));
	}
	assert_true(n_old_sectors > 0 && n_new_sectors > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(every_operation_is_written_down_in_order, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(written_bytes_are_kept_when_asked, setup, teardown),
	        cmocka_unit_test_setup_teardown(the_nth_operation_fails_and_only_that, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(a_fault_chooses_by_kind_and_path, setup, teardown),
	        cmocka_unit_test_setup_teardown(a_torn_write_leaves_its_first_bytes, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(after_the_cut_everything_fails, setup, teardown),
	        cmocka_unit_test_setup_teardown(enumeration_reaches_every_operation, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(threads_share_it, setup, teardown),
	        cmocka_unit_test_setup_teardown(
	                a_power_cut_keeps_what_was_synced_and_some_of_the_rest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
