/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every failure of the disk: a daemon's whole life (story.h) is told again and again, and each time
 * another operation fails: once, or it and all writes after it, or a write in its middle. The
 * daemon must live, answer with an error where it could not do what was asked, have done that
 * wholly or not at all, go on reading and searching meanwhile, and go on with everything once the
 * disk works again.
 *
 * A bounded run takes one operation in so many; $KITH_FAULT_STRIDE says how many, 1 takes all.
 * $KITH_SEED says where it begins.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/children.h"
#include "tests/lib/story.h"

#define USUAL_STRIDE 31u

static struct story *told_with(struct story *story, struct store_twin_fault fault)
{
	struct store_twin *twin = store_twin_new(store_io_posix());

	story_init(story, twin);
	story->faulty = true;
	store_twin_fail(twin, fault);
	story_tell(story);
	return story;
}

static void put_away(struct story *story)
{
	struct store_twin *twin = story->twin;

	story_release(story);
	store_twin_free(twin);
}

/* [child] */
static void check_fault(void *ctx)
{
	const struct store_twin_fault *fault = ctx;
	struct story story;

	told_with(&story, *fault);
	/* Writes fail all the time now. One that fails once may not have had its turn yet. */
	if (fault->lasting)
		ledger_expect_searches(ledger_last(&story.ledger), story.conn);
	store_twin_heal(story.twin);
	story_expect_alive(&story);
	put_away(&story);
}

/* How many operations of that kind the story has when none fails. */
static uint64_t n_operations(enum store_twin_kind kind)
{
	struct story story;
	uint64_t n;

	told_with(&story, (struct store_twin_fault){.nth = UINT64_MAX, .err = EIO});
	n = store_twin_count(story.twin, kind, NULL);
	assert_int_equal(story.n_refused, 0);
	put_away(&story);
	return n;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *told = getenv(variable);

	return told ? strtoull(told, NULL, 10) : otherwise;
}

static void enumerate(struct store_twin_fault fault, const char *name)
{
	uint64_t stride = number_of("KITH_FAULT_STRIDE", USUAL_STRIDE * CHILDREN_STRIDE);
	uint64_t n = n_operations(fault.kind);
	struct children children;

	children_init(&children);
	for (fault.nth = 1 + number_of("KITH_SEED", 1) % stride; fault.nth <= n;
	     fault.nth += stride) {
		char what[CHILD_WHAT_SIZE];

		snprintf(what, sizeof(what), "%s at operation %llu", name,
		         (unsigned long long)fault.nth);
		children_run(&children, check_fault, &fault, what);
	}
	children_finish(&children);
	print_message("%s: %u of %llu operations failed\n", name, children.n_run,
	              (unsigned long long)n);
}

static void any_operation_may_fail_once(void **state)
{
	(void)state;
	enumerate((struct store_twin_fault){.kind = STORE_TWIN_ANY, .err = EIO}, "EIO once");
}

static void any_write_may_stop_in_its_middle(void **state)
{
	(void)state;
	enumerate(
	        (struct store_twin_fault){.kind = STORE_TWIN_WRITE, .err = EIO, .torn_bytes = 700},
	        "a short write");
}

static void the_disk_may_be_full_from_any_write_on(void **state)
{
	(void)state;
	enumerate((struct store_twin_fault){.kind = STORE_TWIN_WRITE,
	                                    .err = ENOSPC,
	                                    .lasting = true,
	                                    .torn_bytes = 4096},
	          "a full disk");
}

/* [child] */
static void check_full(void *ctx)
{
	const uint64_t *from = ctx;
	struct story story;

	story_init(&story, store_twin_new(store_io_posix()));
	story.faulty = true;
	store_twin_fill(story.twin, *from);
	story_tell(&story);
	/* A start that failed made room. */
	if (store_twin_is_full(story.twin))
		story_expect_deletes(&story);
	store_twin_heal(story.twin);
	story_expect_alive(&story);
	put_away(&story);
}

static uint64_t n_growths(void)
{
	struct story story;
	uint64_t n;

	story_init(&story, store_twin_new(store_io_posix()));
	story.faulty = true;
	store_twin_fill(story.twin, UINT64_MAX);
	story_tell(&story);
	n = store_twin_n_growths(story.twin);
	put_away(&story);
	return n;
}

static void a_full_disk_keeps_nobody_from_deleting(void **state)
{
	uint64_t stride = number_of("KITH_FAULT_STRIDE", USUAL_STRIDE * CHILDREN_STRIDE);
	uint64_t n = n_growths();
	struct children children;

	(void)state;
	children_init(&children);
	for (uint64_t from = 1 + number_of("KITH_SEED", 1) % stride; from <= n; from += stride) {
		char what[CHILD_WHAT_SIZE];

		snprintf(what, sizeof(what), "the disk is full from growth %llu on",
		         (unsigned long long)from);
		children_run(&children, check_full, &from, what);
	}
	children_finish(&children);
	print_message("a full disk that deletes: from %u of %llu growths on\n", children.n_run,
	              (unsigned long long)n);
}

static void any_sync_may_be_the_first_of_many_that_fail(void **state)
{
	(void)state;
	enumerate((struct store_twin_fault){.kind = STORE_TWIN_SYNC, .err = EIO, .lasting = true},
	          "failing syncs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(any_operation_may_fail_once),
	        cmocka_unit_test(any_write_may_stop_in_its_middle),
	        cmocka_unit_test(the_disk_may_be_full_from_any_write_on),
	        cmocka_unit_test(a_full_disk_keeps_nobody_from_deleting),
	        cmocka_unit_test(any_sync_may_be_the_first_of_many_that_fail),
	};

	/* The model fails as told; the disk of this machine would only be slow. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
