/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/kith.h"
#include "daemon/index.h"

/* The arrows of the drawing in index.h, in its order. */
#define ARROW(from, to)                                        \
	{                                                      \
		WIRE_index_state_##from, WIRE_index_state_##to \
	}

static const struct {
	enum wire_index_state from, to;
} arrows[] = {
        ARROW(declared, loading),   ARROW(declared, building), ARROW(building, serving),
        ARROW(building, declared),  ARROW(loading, serving),   ARROW(loading, declared),
        ARROW(loading, evicted),    ARROW(evicted, loading),   ARROW(serving, inserting),
        ARROW(serving, saving),     ARROW(serving, replacing), ARROW(serving, loading),
        ARROW(serving, evicted),    ARROW(serving, declared),  ARROW(inserting, serving),
        ARROW(inserting, declared), ARROW(saving, serving),    ARROW(replacing, serving),
        ARROW(replacing, declared),
};

static bool is_drawn(enum wire_index_state from, enum wire_index_state to)
{
	for (size_t i = 0; i < sizeof(arrows) / sizeof(*arrows); i++) {
		if (arrows[i].from == from && arrows[i].to == to)
			return true;
	}
	return false;
}

static void an_index_moves_along_the_arrows_and_no_other_way(void **state)
{
	size_t n = 0;

	(void)state;
	for (uint32_t from = 0; from < WIRE_N_index_state; from++) {
		for (uint32_t to = 0; to < WIRE_N_index_state; to++) {
			bool may = index_may_move(from, to);

			if (may != is_drawn(from, to))
				fail_msg("from %s to %s it may%s move",
				         kith_index_state_name((enum kith_index_state)from),
				         kith_index_state_name((enum kith_index_state)to),
				         may ? "" : " not");
			n += may;
		}
	}
	/* No arrow is there twice. */
	assert_int_equal(n, sizeof(arrows) / sizeof(*arrows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_index_moves_along_the_arrows_and_no_other_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
