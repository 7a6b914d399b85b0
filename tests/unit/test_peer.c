/* SPDX-License-Identifier: Apache-2.0 */

/* Whose connections are one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/daemon.h"
#include "daemon/peer.h"

/* Of a daemon all that peers know is where they are listed. */
static int setup(void **state)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));

	assert_non_null(daemon);
	list_init(&daemon->peers);
	*state = daemon;
	return 0;
}

static int teardown(void **state)
{
	struct daemon *daemon = *state;

	assert_true(list_empty(&daemon->peers));
	free(daemon);
	return 0;
}

static void connections_of_a_process_are_of_one_peer(void **state)
{
	struct peer *first = peer_get(*state, 1000, 7);
	struct peer *second = peer_get(*state, 1000, 7);
	struct peer *another = peer_get(*state, 1000, 8);
	struct peer *of_another_user = peer_get(*state, 1001, 7);

	assert_ptr_equal(first, second);
	assert_ptr_not_equal(first, another);
	assert_ptr_not_equal(first, of_another_user);
	assert_int_not_equal(first->number, another->number);
	peer_unref(first);
	assert_ptr_equal(peer_get(*state, 1000, 7), second);
	for (uint32_t i = 0; i < 2; i++)
		peer_unref(second);
	peer_unref(another);
	peer_unref(of_another_user);
}

/* Of a process in another pid namespace the kernel tells 0. */
static void processes_that_are_not_known_are_one_for_each_user(void **state)
{
	struct peer *first = peer_get(*state, 1000, 0);
	struct peer *second = peer_get(*state, 1000, 0);
	struct peer *known = peer_get(*state, 1000, 7);
	struct peer *of_another_user = peer_get(*state, 1001, 0);

	assert_ptr_equal(first, second);
	assert_ptr_not_equal(first, known);
	assert_ptr_not_equal(first, of_another_user);
	for (uint32_t i = 0; i < 2; i++)
		peer_unref(first);
	peer_unref(known);
	peer_unref(of_another_user);
}

/* Who comes back is another one: nothing of what it had is taken for this one's. */
static void a_peer_that_has_gone_is_not_known_again(void **state)
{
	struct peer *peer = peer_get(*state, 1000, 7);
	uint64_t number = peer->number;

	assert_null(peer_unref(peer));
	peer = peer_get(*state, 1000, 7);
	assert_true(peer->number > number);
	assert_int_equal(peer->n_sessions, 0);
	assert_null(peer_unref(peer));
	assert_null(peer_unref(NULL));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(connections_of_a_process_are_of_one_peer),
	        TEST(processes_that_are_not_known_are_one_for_each_user),
	        TEST(a_peer_that_has_gone_is_not_known_again),
	};

	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
