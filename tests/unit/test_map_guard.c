/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/store_io.h"
#include "tests/lib/scratch_dir.h"

#define N_PAGES 8

static struct scratch_dir scratch;
static char path[SCRATCH_PATH_SIZE];
static size_t page;

static int setup(void **state)
{
	(void)state;
	page = (size_t)sysconf(_SC_PAGESIZE);
	scratch_dir_init(&scratch);
	scratch_dir_path(&scratch, "file", path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_dir_release(&scratch);
	return 0;
}

/* A file of N_PAGES pages of 'x', mapped. */
static struct store_file *map_new(const uint8_t **ret)
{
	uint8_t *bytes = malloc(N_PAGES * page);
	struct store_file *file;
	void *addr;

	assert_non_null(bytes);
	memset(bytes, 'x', N_PAGES * page);
	assert_int_equal(
	        store_open(store_io_posix(), path, STORE_READ | STORE_WRITE | STORE_CREATE, &file),
	        0);
	assert_int_equal(store_write(file, bytes, N_PAGES * page, 0), 0);
	assert_int_equal(store_map(file, 0, N_PAGES * page, false, &addr), 0);
	free(bytes);
	*ret = addr;
	return file;
}

static void map_free(struct store_file *file, const uint8_t *bytes)
{
	assert_int_equal(store_unmap(file, (void *)bytes, N_PAGES * page), 0);
	assert_int_equal(store_close(file), 0);
}

static uint64_t n_faults(struct store_file *file)
{
	return map_faults_n(store_faults(file));
}

static void a_page_that_is_gone_reads_as_zeros_and_is_counted(void **state)
{
	const uint8_t *bytes;
	struct store_file *file = map_new(&bytes);

	(void)state;
	assert_int_equal(bytes[3 * page], 'x');
	assert_int_equal(n_faults(file), 0);
	assert_int_equal(truncate(path, (off_t)(2 * page)), 0);
	assert_int_equal(bytes[page], 'x');
	assert_int_equal(n_faults(file), 0);
	assert_int_equal(bytes[3 * page + 17], 0);
	assert_int_equal(n_faults(file), 1);
	assert_int_equal(bytes[3 * page + 99], 0); /* there is a page now */
	assert_int_equal(n_faults(file), 1);
	assert_int_equal(bytes[4 * page], 0);
	assert_int_equal(n_faults(file), 2);
	assert_int_equal(bytes[page], 'x');
	map_free(file, bytes);
}

static void what_is_mapped_again_is_the_files_again(void **state)
{
	const uint8_t *bytes;
	struct store_file *file = map_new(&bytes);

	(void)state;
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(bytes[page], 0);
	assert_int_equal(store_truncate(file, N_PAGES * page), 0);
	assert_int_equal(store_write(file, "yyy", 3, page), 0);
	assert_int_equal(bytes[page], 0); /* still the page in its place */
	assert_int_equal(store_remap(file, 0, N_PAGES * page, (void *)bytes), 0);
	assert_int_equal(bytes[page], 'y');
	assert_int_equal(n_faults(file), 1);
	/* And it is guarded as before. */
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(bytes[2 * page], 0);
	assert_int_equal(n_faults(file), 2);
	map_free(file, bytes);
}

static void files_are_counted_apart_however_many_there_are(void **state)
{
	enum {
		N = 200
	};
	struct store_file *files[N];
	const uint8_t *bytes[N];

	(void)state;
	for (int i = 0; i < N; i++) {
		char name[32];

		snprintf(name, sizeof(name), "file%d", i);
		scratch_dir_path(&scratch, name, path);
		files[i] = map_new(&bytes[i]);
		assert_int_equal(truncate(path, 0), 0);
	}
	for (int i = 0; i < N; i += 3)
		assert_int_equal(bytes[i][page], 0);
	for (int i = 0; i < N; i++)
		assert_int_equal(n_faults(files[i]), i % 3 == 0);
	for (int i = 0; i < N; i += 2)
		map_free(files[i], bytes[i]);
	for (int i = 1; i < N; i += 2) {
		assert_int_equal(bytes[i][2 * page], 0);
		assert_int_equal(n_faults(files[i]), 1 + (i % 3 == 0));
		map_free(files[i], bytes[i]);
	}
}

static void *read_all(void *ctx)
{
	const uint8_t *bytes = ctx;
	uintptr_t sum = 0;

	for (size_t i = 0; i < N_PAGES; i++)
		sum += bytes[i * page];
	return (void *)sum;
}

static void threads_that_meet_the_same_page_all_go_on(void **state)
{
	enum {
		N = 8
	};
	const uint8_t *bytes;
	struct store_file *file = map_new(&bytes);
	pthread_t threads[N];

	(void)state;
	assert_int_equal(truncate(path, 0), 0);
	for (int i = 0; i < N; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, (void *)bytes), 0);
	for (int i = 0; i < N; i++) {
		void *sum;

		assert_int_equal(pthread_join(threads[i], &sum), 0);
		assert_ptr_equal(sum, NULL);
	}
	assert_true(n_faults(file) >= N_PAGES);
	map_free(file, bytes);
}

/* In a process of its own: what is not guarded ends it, as without us. */
static void a_fault_of_anything_else_is_not_ours(void **state)
{
	const uint8_t *bytes;
	struct store_file *file = map_new(&bytes);
	int status;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		void *other;

		close(STDERR_FILENO);
		signal(SIGBUS, SIG_DFL);
		if (store_map(file, 0, page, true, &other) < 0 || truncate(path, 0) < 0)
			_exit(0);
		*(volatile uint8_t *)other = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
	map_free(file, bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_page_that_is_gone_reads_as_zeros_and_is_counted),
	        TEST(what_is_mapped_again_is_the_files_again),
	        TEST(files_are_counted_apart_however_many_there_are),
	        TEST(threads_that_meet_the_same_page_all_go_on),
	        TEST(a_fault_of_anything_else_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
