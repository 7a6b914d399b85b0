/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who ensures an index that is held in each of its states: the table in daemon/index.h, as a test.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/index_stage.h"

#define THIRD_M 12u

/* How an ensure comes out. JOINED, BUILT: after the flight; the others at once. */
enum outcome {
	EXISTING,
	BUILT,
	JOINED,
	EXISTS,    /* refused: index_exists */
	IN_FLIGHT, /* refused: build_in_flight */
};

/* What is asked in a state, and what comes of it. */
static const struct row {
	enum stage stage;
	bool waits; /* `same` is answered when the flight has gone on */
	enum outcome same, other, replace;
} table[] = {
        {STAGE_NONE, false, BUILT, BUILT, BUILT},
        {STAGE_DECLARED, false, BUILT, EXISTS, BUILT},
        {STAGE_LOADING, true, EXISTING, EXISTS, BUILT},
        {STAGE_BUILDING, true, JOINED, IN_FLIGHT, BUILT},
        {STAGE_REBUILDING, true, JOINED, IN_FLIGHT, BUILT},
        {STAGE_SERVING, false, EXISTING, EXISTS, BUILT},
        {STAGE_EVICTED, false, EXISTING, EXISTS, BUILT},
        {STAGE_PENDING, false, EXISTING, EXISTS, BUILT},
        {STAGE_INSERTING, false, EXISTING, EXISTS, BUILT},
        {STAGE_SAVING, false, EXISTING, EXISTS, BUILT},
        {STAGE_REPLACING, false, IN_FLIGHT, IN_FLIGHT, BUILT},
};

static void collect(struct kith_conn *conn, uint64_t ticket, enum outcome outcome)
{
	static const enum kith_ensured outcomes[] = {
	        [EXISTING] = KITH_ENSURED_EXISTING,
	        [BUILT] = KITH_ENSURED_BUILT,
	        [JOINED] = KITH_ENSURED_JOINED,
	};

	if (outcome == EXISTS)
		collect_ensure_refused(conn, ticket, KITH_ERROR_INDEX_EXISTS);
	else if (outcome == IN_FLIGHT)
		collect_ensure_refused(conn, ticket, KITH_ERROR_BUILD_IN_FLIGHT);
	else
		assert_int_equal(collect_ensure(conn, ticket).outcome, outcomes[outcome]);
}

static uint32_t m_of_stage(enum stage stage)
{
	return stage == STAGE_REPLACING ? STAGE_OTHER_M : STAGE_M;
}

static void ensure_of_the_same_meets_each_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct row *row = &table[i];
		struct index_stage stage;
		uint64_t ticket;

		print_message("%s\n", index_stage_name(row->stage));
		index_stage_enter(&stage, row->stage);
		ticket = submit_ensure(stage.conn,
		                       (struct ask){STAGE_COLLECTION, .m = STAGE_M, .wait = true});
		if (row->waits) {
			expect_ensure_waits(stage.conn, ticket);
			index_stage_go(&stage);
		}
		collect(stage.conn, ticket, row->same);
		index_stage_go(&stage);
		index_stage_fold_in(&stage);
		if (stage.has_ticket)
			collect_ensure(stage.starter, stage.ticket);
		index_stage_fold_in(&stage);
		index_stage_expect_sound_for_good(&stage, m_of_stage(row->stage));
		index_stage_leave(&stage);
	}
}

static void ensure_of_another_is_refused_in_each_state(void **state)
{
	(void)state;
	for (size_t i = 1; i < sizeof(table) / sizeof(*table); i++) {
		const struct row *row = &table[i];
		struct index_stage stage;
		uint64_t ticket;

		print_message("%s\n", index_stage_name(row->stage));
		index_stage_enter(&stage, row->stage);
		ticket = submit_ensure(stage.conn,
		                       (struct ask){STAGE_COLLECTION, .m = THIRD_M, .wait = true});
		if (row->stage == STAGE_LOADING) {
			expect_ensure_waits(stage.conn, ticket);
			index_stage_go(&stage);
		}
		collect(stage.conn, ticket, row->other);
		index_stage_leave(&stage);
	}
}

static void a_replacement_comes_behind_each_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct row *row = &table[i];
		struct index_stage stage;
		uint64_t ticket;

		print_message("%s\n", index_stage_name(row->stage));
		index_stage_enter(&stage, row->stage);
		ticket = submit_ensure(stage.conn, (struct ask){STAGE_COLLECTION, .m = THIRD_M,
		                                                .wait = true, .replace = true});
		if (stage.gate)
			expect_ensure_waits(stage.conn, ticket);
		index_stage_go(&stage);
		collect(stage.conn, ticket, row->replace);
		if (stage.has_ticket)
			assert_int_equal(collect_ensure(stage.starter, stage.ticket).outcome,
			                 KITH_ENSURED_BUILT);
		index_stage_fold_in(&stage);
		index_stage_expect_sound_for_good(&stage, THIRD_M);
		index_stage_leave(&stage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(ensure_of_the_same_meets_each_state),
	        cmocka_unit_test(ensure_of_another_is_refused_in_each_state),
	        cmocka_unit_test(a_replacement_comes_behind_each_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
