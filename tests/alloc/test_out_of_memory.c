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

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/alloc/failing_alloc.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/short_story.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whichever_allocation_fails_the_daemon_lives_and_nothing_is_lost),
	};

	failing_alloc_init();
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
