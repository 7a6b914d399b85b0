/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One allocation after the other fails once, through the whole daemon, while a collection is made,
 * written, indexed, searched and its index loaded again: the daemon lives, refuses what it cannot
 * do or closes the connection that it cannot serve, loses nothing, leaks nothing, and all is in
 * order afterwards.
 *
 * A bounded run takes a few; $KITH_ALLOC_STRIDE says one in how many, 1 takes all, and $KITH_SEED
 * where it begins.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/upkeep.h"
#include "tests/alloc/failing_alloc.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/saved_index.h"
#include "tests/lib/short_story.h"
#include "tests/lib/wide_records.h"

/* So many get their turn in a bounded run. */
#define TURNS 24u
#define CACHE_MB 4

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *told = getenv(variable);

	return told ? strtoull(told, NULL, 10) : otherwise;
}

static uint64_t granted_bytes(struct kith_conn *conn)
{
	struct kith_stats_result *stats;
	uint64_t bytes;

	DONE(conn, kith_stats(conn, &stats));
	bytes = stats->budget.used_bytes;
	kith_free(stats);
	return bytes;
}

static bool gave_all_back(void *ctx)
{
	return granted_bytes(ctx) == 0;
}

static void whichever_allocation_fails_the_daemon_lives_and_nothing_is_lost(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct short_story story;
	uint64_t n_allocs, stride, n_failed = 0;

	(void)state;
	fake_clock_init(&clock, 0);
	daemon = daemon_thread_new_with(store_io_posix(), &clock.clock, CACHE_MB);
	story = (struct short_story){
	        .daemon = daemon, .clock = &clock, .conn = connect_to(daemon), .name = "whole"};
	failing_alloc_arm(0);
	short_story_tell(&story);
	n_allocs = failing_alloc_disarm();
	short_story_expect_in_order(&story);
	stride = number_of("KITH_ALLOC_STRIDE", n_allocs / TURNS);
	for (uint64_t nth = 1 + number_of("KITH_SEED", 0) % stride; nth <= n_allocs;
	     nth += stride) {
		story = (struct short_story){
		        .daemon = daemon, .clock = &clock, .conn = story.conn, .name = "story"};
		failing_alloc_arm(nth);
		short_story_tell(&story);
		failing_alloc_disarm();
		n_failed += failing_alloc_has_failed();
		short_story_expect_in_order(&story);
		await(gave_all_back, story.conn, "no grant to be left of a dropped collection");
	}
	print_message("%llu of %llu allocations failed\n", (unsigned long long)n_failed,
	              (unsigned long long)n_allocs);
	assert_true(n_failed > 0);
	kith_close(story.conn);
	daemon_thread_free(daemon);
}

static int put_in_namespace(struct kith_conn *conn, const char *name)
{
	const struct kith_id id = kith_id_text(name);
	float vector[RECORD_DIM];
	struct kith_upsert_params params = {
	        .collection = kith_text("notes"),
	        .namespace_ = kith_text(name),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(1, 1, vector), RECORD_DIM),
	};

	return kith_upsert(conn, &params, NULL);
}

static uint64_t count_in_namespace(struct kith_conn *conn, const char *name)
{
	struct kith_count_params params = {.collection = kith_text("notes"),
	                                   .namespace_ = kith_text(name)};
	struct kith_count_result *result;
	uint64_t n;

	DONE(conn, kith_count(conn, &params, &result));
	n = result->count;
	kith_free(result);
	return n;
}

/* The name is known by the time that the write is acknowledged, or the write is refused. */
static void what_was_written_to_a_new_namespace_is_found_in_it(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	uint64_t n_failed = 0;
	bool has_failed = true;

	(void)state;
	make_collection(conn, "notes", KITH_METRIC_L2);
	for (uint64_t nth = 1; has_failed; nth++) {
		char name[32];
		int r;

		/* The writer is open, each time. */
		put_records(conn, "notes", 0, 1, (uint32_t)nth);
		snprintf(name, sizeof(name), "of turn %llu", (unsigned long long)nth);
		failing_alloc_arm(nth);
		r = put_in_namespace(conn, name);
		failing_alloc_disarm();
		has_failed = failing_alloc_has_failed();
		n_failed += has_failed;
		assert_int_not_equal(r, -ETIMEDOUT);
		if (r >= 0) {
			assert_int_equal(count_in_namespace(conn, name), r == 0);
			continue;
		}
		kith_close(conn);
		conn = connect_to(daemon);
	}
	assert_true(n_failed > 0);
	kith_close(conn);
	daemon_thread_free(daemon);
}

struct renewing {
	struct fake_clock clock;
	struct kith_conn *conn;
	struct gate *ends; /* of renewals, begun or not */
	uint32_t n_ended;
};

static bool has_ended(void *ctx)
{
	struct renewing *renewing = ctx;

	return gate_n_came(renewing->ends) > renewing->n_ended;
}

static bool is_renewed(void *ctx)
{
	struct renewing *renewing = ctx;
	struct kith_usage usage;

	fake_clock_advance_ms(&renewing->clock, UPKEEP_PAUSE_MS);
	usage = usage_of(renewing->conn, WIDE);
	return usage.rows == WIDE_RECORDS && usage.mapped_rows == WIDE_RECORDS;
}

/* All that is written is there as long as it is not, and it is done a little later. */
static void a_renewal_that_has_no_memory_is_done_later(void **state)
{
	struct renewing renewing;
	struct daemon_thread *daemon;
	uint32_t round = 0;
	bool has_failed = true;

	(void)state;
	fake_clock_init(&renewing.clock, 0);
	daemon = daemon_thread_new_with(store_io_posix(), &renewing.clock.clock, CACHE_MB);
	renewing.conn = connect_to(daemon);
	renewing.ends = daemon_thread_gate(daemon, "renew", "end");
	gate_open(renewing.ends);
	make_wide(renewing.conn);
	for (uint64_t nth = 1; has_failed; nth++) {
		for (uint32_t i = 0; i < WIDE_ROUNDS_IDLE; i++)
			put_wide(renewing.conn, ++round);
		renewing.n_ended = gate_n_came(renewing.ends);
		/* Nobody asks for anything meanwhile. */
		failing_alloc_arm(nth);
		fake_clock_advance_ms(&renewing.clock, UPKEEP_PAUSE_MS);
		await(has_ended, &renewing, "the renewal ends");
		failing_alloc_disarm();
		has_failed = failing_alloc_has_failed();
		expect_wide(renewing.conn, round);
		await(is_renewed, &renewing, "the dead rows leave");
		expect_wide(renewing.conn, round);
	}
	expect_journaled(renewing.conn, "renew: Cannot allocate memory");
	kith_close(renewing.conn);
	daemon_thread_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whichever_allocation_fails_the_daemon_lives_and_nothing_is_lost),
	        cmocka_unit_test(what_was_written_to_a_new_namespace_is_found_in_it),
	        cmocka_unit_test(a_renewal_that_has_no_memory_is_done_later),
	};

	failing_alloc_init();
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
