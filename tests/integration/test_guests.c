/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who may do what, by the uid of the peer that the kernel tells. This process has one uid only, so
 * it is the daemon that is told who its owner is: the same connection is then its owner's, a
 * guest's or a stranger's. Other users in earnest are in test_start.c, where root can be them.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/limits.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/raw_client.h"

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

static int try_connect(const struct daemon_thread *daemon, struct kith_conn **ret)
{
	const struct kith_options options = {.socket_path = daemon_thread_socket(daemon)};

	return kith_connect(&options, ret);
}

static bool can_connect(const struct daemon_thread *daemon, struct kith_conn **ret)
{
	return try_connect(daemon, ret) == 0;
}

static void a_stranger_does_not_come_in(void **state)
{
	struct daemon_thread *daemon = *state;
	struct kith_conn *conn;

	daemon_thread_start(daemon);
	assert_int_equal(try_connect(daemon, &conn), KITH_ERROR_OWNER_ONLY);
	daemon_thread_stop(daemon);
	/* Nor beside a guest. */
	daemon_thread_set_guest(daemon, geteuid() + 2);
	daemon_thread_start(daemon);
	assert_int_equal(try_connect(daemon, &conn), KITH_ERROR_OWNER_ONLY);
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
	struct raw_client raw;

	daemon_thread_set_guest(daemon, geteuid());
	daemon_thread_start(daemon);
	assert_int_equal(connect_many(daemon, conns), LIMIT_GUEST_CONNECTIONS);
	raw_connect_at(daemon_thread_socket(daemon), &raw);
	raw_expect_error(&raw, UINT64_MAX, WIRE_ERROR_OVER_LIMIT, "guest_connections");
	raw_expect_closed(&raw);
	raw_close(&raw);
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

#define N_CONNS 9u
#define N_NAMES 120u
#define N_LARGE 300u /* of a frame that is a large one */

/* A guest whose writes stand where they begin. */
struct stopped_guest {
	struct kith_conn *conns[N_CONNS];
	struct gate *writes;
	struct kith_id ids[N_LARGE];
	char name[LIMIT_ID_BYTES];
};

static void stopped_guest_init(struct stopped_guest *guest, struct daemon_thread *daemon)
{
	daemon_thread_set_guest(daemon, geteuid());
	daemon_thread_start(daemon);
	for (uint32_t i = 0; i < N_CONNS; i++)
		guest->conns[i] = connect_to(daemon);
	make_collection(guest->conns[0], "notes", KITH_METRIC_L2);
	put_records(guest->conns[0], "notes", 0, 10, 1);
	guest->writes = daemon_thread_gate(daemon, "write", "start");
	memset(guest->name, 'x', sizeof(guest->name));
	for (uint32_t i = 0; i < N_LARGE; i++)
		guest->ids[i] = (struct kith_id){.text = guest->name, .n = sizeof(guest->name)};
}

static void stopped_guest_release(struct stopped_guest *guest)
{
	for (uint32_t i = 0; i < N_CONNS; i++)
		kith_close(guest->conns[i]);
}

/* Deletes n ids as long as may be that are not there; the daemon has all of them when a ping of the
 * connection is answered. */
static uint64_t submit_delete(struct stopped_guest *guest, uint32_t conn_idx, uint32_t n)
{
	struct kith_delete_params params = {.collection = kith_text("notes"),
	                                    .ids = {guest->ids, n}};
	uint64_t ticket;

	DONE(guest->conns[conn_idx], kith_submit_delete(guest->conns[conn_idx], &params, &ticket));
	return ticket;
}

static void collect_deletes(struct stopped_guest *guest, uint32_t conn_idx, const uint64_t *tickets,
                            uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		DONE(guest->conns[conn_idx],
		     kith_collect_delete(guest->conns[conn_idx], tickets[i], KITH_USUAL, NULL));
}

#define N_EACH (LIMIT_GUEST_REQUESTS / (N_CONNS - 1))

/* On each of several connections fewer than that one may have. */
static void a_guest_has_so_many_requests_over_all_its_connections(void **state)
{
	static uint64_t tickets[N_CONNS - 1][N_EACH];
	struct stopped_guest guest;
	struct kith_conn *last;

	stopped_guest_init(&guest, *state);
	last = guest.conns[N_CONNS - 1];
	for (uint32_t c = 0; c < N_CONNS - 1; c++) {
		for (uint32_t i = 0; i < N_EACH; i++) {
			/* One is asked for last, so that this one can ping. */
			if (c == 0 && i == 0)
				continue;
			tickets[c][i] = submit_delete(&guest, c, 1);
		}
		DONE(guest.conns[c], kith_ping(guest.conns[c]));
	}
	tickets[0][0] = submit_delete(&guest, 0, 1);
	REFUSED(guest.conns[0], KITH_ERROR_OVER_LIMIT, "guest_requests", kith_ping(guest.conns[0]));
	REFUSED(last, KITH_ERROR_OVER_LIMIT, "guest_requests", kith_ping(last));
	gate_open(guest.writes);
	for (uint32_t c = 0; c < N_CONNS - 1; c++)
		collect_deletes(&guest, c, tickets[c], N_EACH);
	DONE(last, kith_ping(last));
	stopped_guest_release(&guest);
}

#define N_FIRST 200u /* of about 62 kB each */
#define N_SECOND 100u

/* Small ones over the limit are refused, a large one waits. */
static void a_guest_has_so_many_bytes_over_all_its_connections(void **state)
{
	static uint64_t tickets[N_FIRST + N_SECOND];
	struct stopped_guest guest;
	struct kith_conn *other;
	uint32_t n_held = N_FIRST;
	uint64_t large;

	stopped_guest_init(&guest, *state);
	other = guest.conns[1];
	for (uint32_t i = 0; i < N_FIRST; i++)
		tickets[i] = submit_delete(&guest, 0, N_NAMES);
	DONE(guest.conns[0], kith_ping(guest.conns[0]));
	for (uint32_t i = N_FIRST; i < N_FIRST + N_SECOND; i++)
		tickets[i] = submit_delete(&guest, 1, N_NAMES);
	REFUSED(other, KITH_ERROR_OVER_LIMIT, "guest_bytes",
	        kith_collect_delete(other, tickets[N_FIRST + N_SECOND - 1], KITH_USUAL, NULL));
	while (kith_collect_delete(other, tickets[n_held], 0, NULL) == -ETIMEDOUT)
		n_held++;
	assert_in_range(n_held, LIMIT_GUEST_BYTES / (N_NAMES * (LIMIT_ID_BYTES + 16)),
	                LIMIT_GUEST_BYTES / (N_NAMES * LIMIT_ID_BYTES));
	large = submit_delete(&guest, 2, N_LARGE);
	for (uint32_t i = 0; i < 20; i++) {
		DONE(other, kith_ping(other));
		assert_int_equal(kith_collect_delete(guest.conns[2], large, 0, NULL), -ETIMEDOUT);
	}
	gate_open(guest.writes);
	collect_deletes(&guest, 0, tickets, N_FIRST);
	collect_deletes(&guest, 1, tickets + N_FIRST, n_held - N_FIRST);
	collect_deletes(&guest, 2, &large, 1);
	stopped_guest_release(&guest);
}

static bool two_have_come(void *ctx)
{
	return gate_n_came(ctx) == 2;
}

/* Nothing is kept back from one process of a guest for the other: as of one process, each scan has
 * its worker, of which there are two. Time stands still, so that who asked once has asked lately.
 */
static void the_processes_of_a_guest_are_one(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct gate *scans;
	struct kith_conn *conn;
	struct raw_client others[2];

	(void)state;
	fake_clock_init(&clock, 1000000);
	daemon = daemon_thread_new_stopped(store_io_posix(), &clock.clock, 16);
	daemon_thread_set_owner(daemon, geteuid() + 1);
	daemon_thread_set_guest(daemon, geteuid());
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 10, 1);
	raw_greet_from_another(daemon_thread_socket(daemon), others, 2);
	DONE(conn, kith_ping(conn));
	scans = daemon_thread_gate(daemon, "scan", "start");
	for (uint32_t i = 0; i < 2; i++)
		raw_say(&others[i], "[0, 1, 'scan', {'collection': 'notes'}]");
	await(two_have_come, scans, "both scans have a worker");
	gate_open(scans);
	for (uint32_t i = 0; i < 2; i++) {
		raw_expect_result(&others[i], 1, WIRE_METHOD_scan, &(struct scan_result){0});
		raw_close(&others[i]);
	}
	kith_close(conn);
	daemon_thread_free(daemon);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(a_stranger_does_not_come_in),
	        TEST(a_guest_reads_and_writes_and_names_no_directory),
	        TEST(a_guest_has_so_many_connections_and_the_owner_more),
	        TEST(a_guest_has_so_many_requests_over_all_its_connections),
	        TEST(a_guest_has_so_many_bytes_over_all_its_connections),
	        cmocka_unit_test(the_processes_of_a_guest_are_one),
	};

	return cmocka_run_group_tests_name("guests", tests, NULL, NULL);
}
