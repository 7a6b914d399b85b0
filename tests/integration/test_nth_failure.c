/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One file operation after the other fails once, through the whole daemon, while a collection is
 * made, written, indexed and searched. Whatever fails: what was acknowledged is there, what was not
 * is there wholly or not at all, no answer is wrong, and all is in order again once nothing fails.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/short_story.h"
#include "tests/lib/store_twin.h"

/* So many operations get their turn, spread over all that the story takes. */
#define TURNS 24u
static void whatever_operation_fails_nothing_is_lost_and_all_comes_to_order(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct daemon_thread *daemon;
	struct fake_clock clock;
	struct kith_conn *conn;
	size_t n_ops;

	(void)state;
	fake_clock_init(&clock, 0);
	daemon = daemon_thread_new_with(store_twin_io(twin), &clock.clock, 4);
	conn = connect_to(daemon);
	/* Once without a failure, to count. */
	struct short_story whole = {
	        .daemon = daemon, .clock = &clock, .conn = conn, .name = "whole"};
	store_twin_forget(twin);
	short_story_tell(&whole);
	short_story_expect_in_order(&whole);
	n_ops = store_twin_n_ops(twin);
	for (uint32_t turn = 0; turn < TURNS; turn++) {
		struct store_twin_fault fault = {.nth = 1 + turn * n_ops / TURNS,
		                                 .err = turn % 2 ? ENOSPC : EIO};
		struct short_story story = {
		        .daemon = daemon, .clock = &clock, .conn = conn, .name = "story"};

		store_twin_forget(twin);
		store_twin_fail(twin, fault);
		short_story_tell(&story);
		store_twin_heal(twin);
		short_story_expect_in_order(&story);
		conn = story.conn;
	}
	kith_close(conn);
	daemon_thread_free(daemon);
	store_twin_free(twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whatever_operation_fails_nothing_is_lost_and_all_comes_to_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
