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
#include "tests/lib/store_twin.h"

/* So many operations get their turn, spread over all that the story takes. */
#define TURNS 24u
#define RECORDS 60u

/* Writes of the story: records [first, first + n) get that version; 0: they are deleted. */
static const struct step {
	uint32_t first, n, version;
} steps[] = {
        {0, 40, 1}, {10, 10, 2}, {20, 5, 0}, {40, 20, 1}, {0, 5, 3},
};
#define STEPS (sizeof(steps) / sizeof(*steps))
/* An index is asked for after so many of them. */
#define ENSURE_AFTER 3u

/* Of the daemon's clock, at each look at what comes to order by itself. */
#define LOOK_MS 100u

struct story {
	struct fake_clock *clock;
	struct kith_conn *conn;
	const char *name;
	/* What each record may be: after the last acknowledged write, or one that was not. */
	uint32_t sure[RECORDS], perhaps[RECORDS];
};

/* The record's version now, 0: it is not there. */
static uint32_t version_of(struct story *story, uint32_t number)
{
	struct kith_id id = kith_id_number(number);
	struct kith_get_params params = {.collection = kith_text(story->name),
	                                 .ids = {&id, 1},
	                                 .include = KITH_INCLUDE_TEXTS};
	struct kith_get_result *got;
	unsigned long long said;
	unsigned version = 0;
	char text[RECORD_TEXT_SIZE];

	DONE(story->conn, kith_get(story->conn, &params, &got));
	if (got->positions.n > 0) {
		snprintf(text, sizeof(text), "%.*s", (int)got->texts.v[0].n, got->texts.v[0].data);
		assert_int_equal(sscanf(text, "record %llu, version %u", &said, &version), 2);
		assert_int_equal(said, number);
	}
	kith_free(got);
	return version;
}

static int write_step(struct story *story, const struct step *step)
{
	if (step->version == 0)
		return try_delete_records(story->conn, story->name, step->first, step->n);
	return try_put_records(story->conn, story->name, step->first, step->n, step->version, NULL);
}

static void take_step(struct story *story, const struct step *step)
{
	int r = write_step(story, step);

	for (uint32_t i = step->first; i < step->first + step->n; i++) {
		story->perhaps[i] = step->version;
		if (r == 0)
			story->sure[i] = step->version;
	}
	/* In doubt: all of it or nothing, and the story goes on from there. */
	if (r) {
		bool is_done = version_of(story, step->first) == step->version;

		for (uint32_t i = step->first; i < step->first + step->n; i++) {
			uint32_t version = version_of(story, i);

			assert_int_equal(version, is_done ? step->version : story->sure[i]);
			story->sure[i] = version;
		}
	}
}

/* A search may fail; its answer may not be wrong. */
static void search_once(struct story *story)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(story->name),
	        .vectors = kith_vectors(record_vector(1, 1, vector), RECORD_DIM),
	        .k = RECORDS,
	        .include = KITH_INCLUDE_TEXTS,
	};
	struct kith_search_result *found;
	uint32_t n = 0;

	if (kith_search(story->conn, &params, &found))
		return;
	expect_honest(found);
	for (uint32_t i = 0; i < RECORDS; i++) {
		n += story->sure[i] > 0;
		if (story->sure[i] > 0)
			assert_true(holds_record(found, i, story->sure[i]));
	}
	assert_int_equal(found->ids.n, n);
	kith_free(found);
}

static int try_create(struct story *story)
{
	struct kith_create_collection_params params = {.name = kith_text(story->name),
	                                               .dim = RECORD_DIM,
	                                               .metric = KITH_METRIC_L2,
	                                               .exist_ok = true};

	return kith_create_collection(story->conn, &params, NULL);
}

static int try_ensure(struct story *story)
{
	struct kith_ensure_index_params params = {.collection = kith_text(story->name),
	                                          .wait = true};

	return kith_ensure_index(story->conn, &params, NULL);
}

static void tell(struct story *story)
{
	/* What failed is asked for again; one operation fails, not two. */
	if (try_create(story))
		DONE(story->conn, try_create(story));
	for (uint32_t i = 0; i < STEPS; i++) {
		if (i == ENSURE_AFTER)
			(void)try_ensure(story);
		take_step(story, &steps[i]);
		search_once(story);
	}
}

/* What is tried again later, or waits for a pause, gets its time. */
static bool comes_to_order(void *ctx)
{
	struct story *story = ctx;
	struct index_view view = index_of(story->conn, story->name, NULL);

	fake_clock_advance_ms(story->clock, LOOK_MS);
	return is_settled(&view);
}

static void expect_in_order(struct story *story)
{
	struct kith_drop_collection_params drop = {.collection = kith_text(story->name)};
	uint64_t n = 0;

	DONE(story->conn, try_ensure(story));
	await(comes_to_order, story, "the index is settled");
	for (uint32_t i = 0; i < RECORDS; i++) {
		if (story->sure[i] > 0)
			expect_records(story->conn, story->name, i, 1, story->sure[i]);
		else
			assert_int_equal(version_of(story, i), 0);
		n += story->sure[i] > 0;
	}
	expect_count(story->conn, story->name, n);
	search_once(story);
	DONE(story->conn, kith_drop_collection(story->conn, &drop, NULL));
}

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
	struct story whole = {.clock = &clock, .conn = conn, .name = "whole"};
	store_twin_forget(twin);
	tell(&whole);
	expect_in_order(&whole);
	n_ops = store_twin_n_ops(twin);
	for (uint32_t turn = 0; turn < TURNS; turn++) {
		struct store_twin_fault fault = {.nth = 1 + turn * n_ops / TURNS,
		                                 .err = turn % 2 ? ENOSPC : EIO};
		struct story story = {.clock = &clock, .conn = conn, .name = "story"};

		store_twin_forget(twin);
		store_twin_fail(twin, fault);
		tell(&story);
		store_twin_heal(twin);
		expect_in_order(&story);
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
