/* SPDX-License-Identifier: Apache-2.0 */

/* Flights that get no memory: they tell who waits, and are tried again when there is some. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "index/slab.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/store_twin.h"

#define WIDE 64u
#define WIDE_RECORDS 1200u
#define BULKY 100u
#define BULKY_ID_BYTES 500

/* A batch of records that take much of the record table: their ids are long. */
static void put_bulky(struct kith_conn *conn, const char *collection, uint64_t first)
{
	static char names[BULKY][BULKY_ID_BYTES + 1];
	static float vectors[BULKY * RECORD_DIM];
	struct kith_id ids[BULKY];
	struct kith_upsert_params params = {.collection = kith_text(collection),
	                                    .ids = {ids, BULKY},
	                                    .vectors = kith_vectors(vectors, BULKY * RECORD_DIM)};

	for (uint32_t i = 0; i < BULKY; i++) {
		snprintf(names[i], sizeof(names[i]), "%0*llu", BULKY_ID_BYTES,
		         (unsigned long long)(first + i));
		ids[i] = kith_id_text(names[i]);
	}
	DONE(conn, kith_upsert(conn, &params, NULL));
}

/* Records of another collection take most of the slab that is begun: a graph of WIDE_RECORDS has no
 * room in it, and needs another one. *n: how many there are. */
static void fill_the_slab(struct kith_conn *conn, uint64_t *n)
{
	struct kith_stats_result *stats;
	uint64_t left;

	do {
		put_bulky(conn, "mails", *n);
		*n += BULKY;
		DONE(conn, kith_stats(conn, &stats));
		left = SLAB_BYTES - stats->budget.spilled_bytes % SLAB_BYTES;
		kith_free(stats);
	} while (left > SLAB_BYTES / 4);
}

static bool has_no_memory(void *ctx)
{
	return strstr(index_of(ctx, "notes", NULL).error, "no memory for the graph") != NULL;
}

static bool is_in_order_or_has_no_memory(void *ctx)
{
	return index_of(ctx, "notes", NULL).at.pending == 0 || has_no_memory(ctx);
}

static void expect_in_the_end(struct kith_conn *conn, struct fake_clock *clock, uint64_t n)
{
	while (has_no_memory(conn))
		fake_clock_advance_ms(clock, 500);
	await_settled(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	assert_int_equal(index_of(conn, "notes", NULL).at.nodes, n);
	expect_records(conn, "notes", 0, (uint32_t)n, 1);
}

/* The budget is full, and what it spills to gives nothing more. */
static void flights_without_memory_are_tried_again(void **state)
{
	const struct store_twin_fault no_more = {
	        .path_part = "spill", .nth = 1, .err = ENOSPC, .lasting = true};
	struct ask wide = {"notes", .m = WIDE, .wait = true};
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	uint64_t n = WIDE_RECORDS, n_mails = 0;

	(void)state;
	fake_clock_init(&clock, INT64_C(1700000000000));
	daemon = daemon_thread_new_with(store_twin_io(twin), &clock.clock, 0);
	conn = connect_to(daemon);
	make_collection(conn, "mails", KITH_METRIC_L2);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, WIDE_RECORDS, 1);
	fill_the_slab(conn, &n_mails);
	/* A build: who asks is told; what was declared is built when there is room. */
	store_twin_fail(twin, no_more);
	ensure_refused(conn, wide, KITH_ERROR_BUILD_FAILED);
	assert_true(has_no_memory(conn));
	expect_records(conn, "notes", 0, 50, 1);
	store_twin_heal(twin);
	expect_in_the_end(conn, &clock, n);
	/* An insert: what it would fold in is compared one by one, and folded in later. */
	fill_the_slab(conn, &n_mails);
	store_twin_fail(twin, no_more);
	while (!has_no_memory(conn)) {
		put_records(conn, "notes", n, 256, 1);
		n += 256;
		await(is_in_order_or_has_no_memory, conn, "an insert ended");
	}
	assert_int_equal(index_of(conn, "notes", NULL).at.pending, 256);
	expect_records(conn, "notes", n - 300, 300, 1);
	store_twin_heal(twin);
	expect_in_the_end(conn, &clock, n);
	kith_close(conn);
	daemon_thread_free(daemon);
	store_twin_free(twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(flights_without_memory_are_tried_again),
	};

	return cmocka_run_group_tests_name("flights_full", tests, NULL, NULL);
}
