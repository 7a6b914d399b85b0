/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/share.h"

/* Any time at all. */
#define NOW_NS UINT64_C(5000000000)

static void who_asks_alone_shares_with_nobody(void **state)
{
	struct asking asking = {0};

	(void)state;
	assert_false(asking_is_shared(&asking, NOW_NS));
	asking_note(&asking, 7, NOW_NS);
	asking_note(&asking, 7, NOW_NS + 1);
	assert_false(asking_is_shared(&asking, NOW_NS + 1));
}

static void two_share_until_one_has_been_silent_for_a_while(void **state)
{
	struct asking asking = {0};

	(void)state;
	asking_note(&asking, 7, NOW_NS);
	asking_note(&asking, 8, NOW_NS + 1);
	assert_true(asking_is_shared(&asking, NOW_NS + 1));
	asking_note(&asking, 8, NOW_NS + 2);
	assert_true(asking_is_shared(&asking, NOW_NS + SHARE_LATELY_NS));
	assert_false(asking_is_shared(&asking, NOW_NS + SHARE_LATELY_NS + 1));
	asking_note(&asking, 7, NOW_NS + SHARE_LATELY_NS + 1);
	assert_true(asking_is_shared(&asking, NOW_NS + SHARE_LATELY_NS + 1));
}

static void a_part_of_a_moment_is_enough(void **state)
{
	struct loop_share share = {0};

	(void)state;
	assert_true(share_spend(&share, NOW_NS, NOW_NS + SHARE_NS - 2));
	assert_true(share_spend(&share, NOW_NS + SHARE_NS, NOW_NS + SHARE_NS + 1));
	assert_false(share_spend(&share, NOW_NS + SHARE_NS + 9, NOW_NS + SHARE_NS + 10));
}

static void the_next_moment_begins_anew(void **state)
{
	struct loop_share share = {0};

	(void)state;
	assert_false(share_spend(&share, NOW_NS, NOW_NS + SHARE_NS));
	assert_false(share_spend(&share, NOW_NS + SHARE_NS, NOW_NS + SHARE_NS));
	assert_true(share_spend(&share, NOW_NS + SHARE_MOMENT_NS, NOW_NS + SHARE_MOMENT_NS + 1));
	assert_false(share_spend(&share, NOW_NS + SHARE_MOMENT_NS + 1,
	                         NOW_NS + SHARE_MOMENT_NS + 1 + SHARE_NS));
	/* Or when the loop says that it does. */
	share_renew(&share);
	assert_true(share_spend(&share, NOW_NS + SHARE_MOMENT_NS + 2 + SHARE_NS,
	                        NOW_NS + SHARE_MOMENT_NS + 3 + SHARE_NS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(who_asks_alone_shares_with_nobody),
	        cmocka_unit_test(two_share_until_one_has_been_silent_for_a_while),
	        cmocka_unit_test(a_part_of_a_moment_is_enough),
	        cmocka_unit_test(the_next_moment_begins_anew),
	};

	return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
