/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A real file system that is full: a tmpfs in a mount namespace of a process's own, so that anyone
 * may have one. Records are added until there is no room; then everything but adding must go on,
 * also after a kill, and when enough was deleted, adding too.
 */

#include "tests/torture/torture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"
#include "tests/lib/scratch_dir.h"

#define COLLECTION "notes"
#define DISK_OPTIONS "size=24m,mode=0700"
#define BATCH_ROWS 500u
#define ROUNDS 5u

static void write_map(const char *path, unsigned id)
{
	char text[32];
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int n = snprintf(text, sizeof(text), "%u %u 1", id, id);

	assert_true(fd >= 0 && write(fd, text, (size_t)n) == n);
	close(fd);
}

/* Mounts the small file system for this process and its children alone. False: may not. */
static bool enter_small_disk(const char *path)
{
	unsigned uid = getuid(), gid = getgid();
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return unshare(CLONE_NEWNS) == 0 &&
		       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		       mount("none", path, "tmpfs", 0, DISK_OPTIONS) == 0;
	fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0 && write(fd, "deny", 4) == 4);
	close(fd);
	write_map("/proc/self/uid_map", uid);
	write_map("/proc/self/gid_map", gid);
	return mount("none", path, "tmpfs", 0, DISK_OPTIONS) == 0;
}

static int put_batch(struct kith_conn *conn, uint32_t batch, uint32_t version)
{
	int r = try_put_records(conn, COLLECTION, (uint64_t)batch * BATCH_ROWS, BATCH_ROWS, version,
	                        NULL);

	if (r != 0)
		assert_int_equal(r, KITH_ERROR_STORAGE_FULL);
	return r;
}

static void delete_batches(struct kith_conn *conn, uint32_t from, uint32_t to)
{
	for (uint32_t batch = from; batch < to; batch++)
		delete_records(conn, COLLECTION, (uint64_t)batch * BATCH_ROWS, BATCH_ROWS);
}

static void expect_batches(struct kith_conn *conn, uint32_t from, uint32_t to, uint32_t version)
{
	expect_count(conn, COLLECTION, (uint64_t)(to - from) * BATCH_ROWS);
	if (to > from)
		expect_records(conn, COLLECTION, (uint64_t)(to - 1) * BATCH_ROWS, 20, version);
}

struct again {
	struct kith_conn *conn;
	uint32_t batch, version;
};

static bool can_add(void *ctx)
{
	const struct again *again = ctx;

	return put_batch(again->conn, again->batch, again->version) == 0;
}

static bool can_create(void *ctx)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(COLLECTION), .dim = RECORD_DIM, .metric = KITH_METRIC_L2};
	int r = kith_create_collection(ctx, &params, NULL);

	if (r != 0)
		assert_int_equal(r, KITH_ERROR_STORAGE_FULL);
	return r == 0;
}

/* Returns how many batches went in. */
static uint32_t fill_and_empty(struct service_fixture *service, uint32_t version)
{
	uint32_t n = 0, half;

	while (put_batch(service->conn, n, version) == 0)
		n++;
	expect_batches(service->conn, 0, n, version);
	half = n / 2;
	delete_batches(service->conn, 0, half);
	expect_batches(service->conn, half, n, version);
	service_kill_and_start(service);
	expect_batches(service->conn, half, n, version);
	delete_batches(service->conn, half, n);
	expect_batches(service->conn, n, n, version);
	await(can_add, &(struct again){service->conn, n, version}, "there is room again");
	delete_batches(service->conn, n, n + 1);
	return n;
}

static void fill_again_and_again(void)
{
	struct service_fixture *service;
	uint64_t n_records = 0;
	void *state;

	service_setup(&state);
	service = state;
	make_collection(service->conn, COLLECTION, KITH_METRIC_L2);
	for (uint32_t round = 0; round < ROUNDS; round++)
		n_records += (uint64_t)fill_and_empty(service, round + 1) * BATCH_ROWS;
	/* A drop on a full disk, too. */
	for (uint32_t n = 0; put_batch(service->conn, n, 1) == 0; n++)
		n_records += BATCH_ROWS;
	DONE(service->conn, kith_drop_collection(service->conn,
	                                         &(struct kith_drop_collection_params){
	                                                 .collection = kith_text(COLLECTION)},
	                                         NULL));
	/* Its files go when nobody uses them any more. */
	await(can_create, service->conn, "there is room for another collection");
	assert_int_equal(put_batch(service->conn, 0, 1), 0);
	printf("full: %u times full with %llu records in all, which were searched, and then "
	       "deleted\n",
	       ROUNDS + 1, (unsigned long long)n_records);
	service_teardown(&state);
}

bool torture_full(void)
{
	struct scratch_dir dir;
	int status = -1;
	pid_t pid;

	scratch_dir_init(&dir);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (!enter_small_disk(dir.path)) {
			fprintf(stderr, "full: may not mount a file system: %s\n", strerror(errno));
			_exit(EXIT_FAILURE);
		}
		setenv("TMPDIR", dir.path, 1);
		fill_again_and_again();
		exit(EXIT_SUCCESS);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	scratch_dir_release(&dir);
	return status == 0;
}
