/* SPDX-License-Identifier: Apache-2.0 */

/* What is served from mapped files, for want of a budget, and what becomes of it when they are cut
 * short while they are read. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

#define RECORDS 2000u

static struct daemon_thread *begin(struct kith_conn **ret)
{
	struct daemon_thread *daemon = daemon_thread_new_with(store_io_posix(), NULL, 0);

	*ret = connect_to(daemon);
	make_collection(*ret, "notes", KITH_METRIC_L2);
	put_records(*ret, "notes", 0, RECORDS, 1);
	await_mapped(*ret, "notes");
	return daemon;
}

static void end(struct daemon_thread *daemon, struct kith_conn *conn)
{
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void cut_vectors(const struct daemon_thread *daemon, struct kith_conn *conn)
{
	char dir[DAEMON_PROCESS_PATH_SIZE], path[DAEMON_PROCESS_PATH_SIZE + 16];

	collection_path(conn, "notes", daemon_thread_cache_dir(daemon), dir);
	snprintf(path, sizeof(path), "%s/vectors", dir);
	assert_int_equal(truncate(path, 70000), 0);
}

static void expect_nearest(struct kith_conn *conn, uint64_t number, bool exact,
                           enum kith_source source)
{
	struct kith_search_result *found = search_near(conn, "notes", number, 1, 3, exact);

	assert_int_equal(found->ids.v[0].number, number);
	assert_true(found->distances.v[0] == 0.0f);
	assert_int_equal(found->served_from, source);
	assert_false(found->cached);
	kith_free(found);
}

static void vectors_that_are_cut_short_while_mapped_come_from_the_truth(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);

	(void)state;
	expect_nearest(conn, 1500, true, KITH_SOURCE_MAPPED);
	for (int round = 0; round < 2; round++) {
		cut_vectors(daemon, conn);
		/* The search that meets it, and those behind it, which need not any more. */
		expect_nearest(conn, 1500, true, KITH_SOURCE_TRUTH);
		expect_records(conn, "notes", 0, RECORDS, 1);
		await_mapped(conn, "notes");
		expect_nearest(conn, 1501, true, KITH_SOURCE_MAPPED);
		put_records(conn, "notes", 7, 3, 1);
		expect_records(conn, "notes", 0, RECORDS, 1);
	}
	end(daemon, conn);
}

static void a_graph_over_vectors_that_are_cut_short_gives_way_to_the_truth(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_search_result *found;

	(void)state;
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	await_settled(conn, "notes", NULL);
	expect_nearest(conn, 1500, false, KITH_SOURCE_MAPPED);
	cut_vectors(daemon, conn);
	found = search_near(conn, "notes", 1500, 1, 3, false);
	assert_int_equal(found->ids.v[0].number, 1500);
	assert_int_equal(found->mode, KITH_MODE_EXACT);
	assert_int_equal(found->served_from, KITH_SOURCE_TRUTH);
	kith_free(found);
	await_mapped(conn, "notes");
	found = search_near(conn, "notes", 1500, 1, 3, false);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	kith_free(found);
	expect_records(conn, "notes", 0, RECORDS, 1);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	end(daemon, conn);
}

static void a_build_over_vectors_that_are_cut_short_fails_and_is_tried_again(void **state)
{
	struct kith_conn *conn, *other;
	struct daemon_thread *daemon = begin(&conn);
	struct gate *gate = daemon_thread_gate(daemon, "build", "start");
	uint64_t ticket;

	(void)state;
	other = connect_to(daemon);
	ticket = submit_ensure(other, (struct ask){.collection = "notes", .wait = true});
	gate_await(gate);
	cut_vectors(daemon, conn);
	gate_open(gate);
	collect_ensure_refused(other, ticket, KITH_ERROR_BUILD_FAILED);
	await_settled(conn, "notes", NULL);
	expect_records(conn, "notes", 0, RECORDS, 1);
	kith_close(other);
	end(daemon, conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(vectors_that_are_cut_short_while_mapped_come_from_the_truth),
	        cmocka_unit_test(a_graph_over_vectors_that_are_cut_short_gives_way_to_the_truth),
	        cmocka_unit_test(a_build_over_vectors_that_are_cut_short_fails_and_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
