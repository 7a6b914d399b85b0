/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every failure of the disk: a daemon's whole life (story.h), and one of its upkeep, is told again
 * and again, and each time another operation fails: once, or it and all writes after it, or a write
 * in its middle. The daemon must live, answer with an error where it could not do what was asked,
 * have done that wholly or not at all, go on reading and searching meanwhile, and go on with
 * everything once the disk works again.
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
/* Longer, and most of it pages of a checkpoint. */
#define UPKEEP_STRIDE 1401u

/* A story, and what fails in it. */
struct trial {
	void (*tell)(struct story *story);
	struct store_twin_fault fault;
	bool fills; /* instead: the disk is full from growth fault.nth on */
};

static void told(struct story *story, const struct trial *trial)
{
	struct store_twin *twin = store_twin_new(store_io_posix());

	story_init(story, twin);
	story->faulty = true;
	if (trial->fills)
		store_twin_fill(twin, trial->fault.nth);
	else
		store_twin_fail(twin, trial->fault);
	trial->tell(story);
}

static void put_away(struct story *story)
{
	struct store_twin *twin = story->twin;

	story_release(story);
	store_twin_free(twin);
}

/* [child] */
static void check(void *ctx)
{
	const struct trial *trial = ctx;
	struct story story;

	told(&story, trial);
	/* A start that failed made room. */
	if (trial->fills && store_twin_is_full(story.twin))
		story_expect_deletes(&story);
	/* Writes fail all the time now. One that fails once may not have had its turn yet. */
	if (trial->fault.lasting)
		ledger_expect_searches(ledger_last(&story.ledger), story.conn);
	store_twin_heal(story.twin);
	story_expect_alive(&story);
	put_away(&story);
}

/* What a story has when nothing fails. */
struct tally {
	void (*tell)(struct story *story);
	uint64_t by_kind[STORE_TWIN_LIST + 1];
	uint64_t n_growths;
};

/* Told once for all that is enumerated in it. */
static const struct tally *tally_of(void (*tell)(struct story *story))
{
	static struct tally tallies[2];
	const struct trial trial = {.tell = tell, .fault.nth = UINT64_MAX, .fills = true};
	struct tally *tally = tallies;
	struct story story;

	while (tally->tell && tally->tell != tell)
		tally++;
	if (tally->tell)
		return tally;
	told(&story, &trial);
	assert_int_equal(story.n_refused, 0);
	for (int kind = 0; kind <= STORE_TWIN_LIST; kind++)
		tally->by_kind[kind] =
		        store_twin_count(story.twin, (enum store_twin_kind)kind, NULL);
	tally->n_growths = store_twin_n_growths(story.twin);
	tally->tell = tell;
	put_away(&story);
	return tally;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *told = getenv(variable);

	return told ? strtoull(told, NULL, 10) : otherwise;
}

static void enumerate_in(void (*tell)(struct story *story), uint64_t usual_stride,
                         struct trial trial, const char *name)
{
	uint64_t stride = number_of("KITH_FAULT_STRIDE", usual_stride * CHILDREN_STRIDE);
	const struct tally *tally = tally_of(tell);
	uint64_t n = trial.fills ? tally->n_growths : tally->by_kind[trial.fault.kind];
	struct children children;

	trial.tell = tell;
	children_init(&children);
	for (trial.fault.nth = 1 + number_of("KITH_SEED", 1) % stride; trial.fault.nth <= n;
	     trial.fault.nth += stride) {
		char what[CHILD_WHAT_SIZE];

		snprintf(what, sizeof(what), "%s at operation %llu", name,
		         (unsigned long long)trial.fault.nth);
		children_run(&children, check, &trial, what);
	}
	children_finish(&children);
	print_message("%s: %u of %llu operations failed\n", name, children.n_run,
	              (unsigned long long)n);
}

static void enumerate(struct store_twin_fault fault, const char *name)
{
	enumerate_in(story_tell, USUAL_STRIDE, (struct trial){.fault = fault}, name);
}

static void enumerate_upkeep(struct store_twin_fault fault, const char *name)
{
	enumerate_in(story_tell_upkeep, UPKEEP_STRIDE, (struct trial){.fault = fault}, name);
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

static void a_full_disk_keeps_nobody_from_deleting(void **state)
{
	(void)state;
	enumerate_in(story_tell, USUAL_STRIDE, (struct trial){.fills = true},
	             "a full disk that deletes");
	enumerate_in(story_tell_upkeep, UPKEEP_STRIDE, (struct trial){.fills = true},
	             "a full disk that deletes, in upkeep");
}

static void so_may_those_of_upkeep_backup_restore_and_repair(void **state)
{
	(void)state;
	enumerate_upkeep((struct store_twin_fault){.kind = STORE_TWIN_ANY, .err = EIO},
	                 "EIO once, in upkeep");
	enumerate_upkeep(
	        (struct store_twin_fault){.kind = STORE_TWIN_WRITE, .err = EIO, .torn_bytes = 700},
	        "a short write, in upkeep");
	enumerate_upkeep((struct store_twin_fault){.kind = STORE_TWIN_WRITE,
	                                           .err = ENOSPC,
	                                           .lasting = true,
	                                           .torn_bytes = 4096},
	                 "a full disk, in upkeep");
	enumerate_upkeep(
	        (struct store_twin_fault){.kind = STORE_TWIN_SYNC, .err = EIO, .lasting = true},
	        "failing syncs, in upkeep");
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
	        cmocka_unit_test(so_may_those_of_upkeep_backup_restore_and_repair),
	};

	/* The model fails as told; the disk of this machine would only be slow. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
