/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who may do what, by the uid of the peer that the kernel tells. This process has one uid only, so
 * it is the daemon that is told who its owner is: the same connection is then its owner's, a
 * guest's or a stranger's. Other users in earnest are in test_start.c, where root can be them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/limits.h"
#include "tests/lib/kith_calls.h"

/* A daemon of somebody else. */
static int setup(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new_stopped(store_io_posix(), NULL, 16);

	daemon_thread_set_owner(daemon, geteuid() + 1);
	*state = daemon;
	return 0;
}

static int teardown(void **state)
{
	daemon_thread_free(*state);
	return 0;
}

static bool can_connect(const struct daemon_thread *daemon, struct kith_conn **ret)
{
	const struct kith_options options = {.socket_path = daemon_thread_socket(daemon)};

	return kith_connect(&options, ret) == 0;
}

static void a_stranger_does_not_come_in(void **state)
{
	struct daemon_thread *daemon = *state;
	struct kith_conn *conn;

	daemon_thread_start(daemon);
	assert_false(can_connect(daemon, &conn));
	daemon_thread_stop(daemon);
	/* Nor beside a guest. */
	daemon_thread_set_guest(daemon, geteuid() + 2);
	daemon_thread_start(daemon);
	assert_false(can_connect(daemon, &conn));
}

static void a_guest_reads_and_writes_and_names_no_directory(void **state)
{
	struct daemon_thread *daemon = *state;
	struct kith_backup_params backup = {0};
	struct kith_restore_params restore = {.collection = kith_text("notes")};
	struct kith_conn *conn;
	char place[DAEMON_PROCESS_PATH_SIZE];

	daemon_thread_set_guest(daemon, geteuid());
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 10, 1);
	expect_records(conn, "notes", 0, 10, 1);
	snprintf(place, sizeof(place), "%s/backup", daemon_thread_root(daemon));
	backup.directory = restore.directory = kith_text(place);
	REFUSED(conn, KITH_ERROR_OWNER_ONLY, "directory", kith_backup(conn, &backup, NULL));
	REFUSED(conn, KITH_ERROR_OWNER_ONLY, "directory", kith_restore(conn, &restore, NULL));
	assert_int_equal(access(place, F_OK), -1);
	kith_close(conn);
	/* To its owner the same daemon does what it is asked. */
	daemon_thread_stop(daemon);
	daemon_thread_set_owner(daemon, geteuid());
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	DONE(conn, kith_backup(conn, &backup, NULL));
	kith_close(conn);
}

/* As many as are let in, one more than a guest may have at most; returns how many those are. */
static uint32_t connect_many(const struct daemon_thread *daemon,
                             struct kith_conn *conns[static LIMIT_GUEST_CONNECTIONS + 1])
{
	uint32_t n = 0;

	while (n <= LIMIT_GUEST_CONNECTIONS && can_connect(daemon, &conns[n]))
		n++;
	return n;
}

static void close_many(struct kith_conn **conns, uint32_t n)
{
	while (n > 0)
		kith_close(conns[--n]);
}

struct visit {
	const struct daemon_thread *daemon;
	struct kith_conn *conn;
};

static bool comes_in(void *ctx)
{
	struct visit *visit = ctx;

	return can_connect(visit->daemon, &visit->conn);
}

static void a_guest_has_so_many_connections_and_the_owner_more(void **state)
{
	struct daemon_thread *daemon = *state;
	struct kith_conn *conns[LIMIT_GUEST_CONNECTIONS + 1];
	struct visit visit = {.daemon = daemon};

	daemon_thread_set_guest(daemon, geteuid());
	daemon_thread_start(daemon);
	assert_int_equal(connect_many(daemon, conns), LIMIT_GUEST_CONNECTIONS);
	/* One that leaves makes room. */
	kith_close(conns[7]);
	await(comes_in, &visit, "there is room for the guest again");
	conns[7] = visit.conn;
	close_many(conns, LIMIT_GUEST_CONNECTIONS);
	daemon_thread_stop(daemon);
	daemon_thread_set_owner(daemon, geteuid());
	daemon_thread_start(daemon);
	assert_int_equal(connect_many(daemon, conns), LIMIT_GUEST_CONNECTIONS + 1);
	close_many(conns, LIMIT_GUEST_CONNECTIONS + 1);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(a_stranger_does_not_come_in),
	        TEST(a_guest_reads_and_writes_and_names_no_directory),
	        TEST(a_guest_has_so_many_connections_and_the_owner_more),
	};

	return cmocka_run_group_tests_name("guests", tests, NULL, NULL);
}
