/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/short_story.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

#define RECORDS SHORT_STORY_RECORDS

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

/* The record's version now, 0: it is not there. */
static uint32_t version_of(struct short_story *story, uint32_t number)
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

static int write_step(struct short_story *story, const struct step *step)
{
	if (step->version == 0)
		return try_delete_records(story->conn, story->name, step->first, step->n);
	return try_put_records(story->conn, story->name, step->first, step->n, step->version, NULL);
}

/* A connection that was closed for a failure is made again. A write that was under way on it has
 * ended when one that came behind it has. */
static void come_back(struct short_story *story, int r)
{
	if (r >= 0)
		return;
	/* It closes at once; a request that is never answered would be lost in silence. */
	assert_int_not_equal(r, -ETIMEDOUT);
	kith_close(story->conn);
	story->conn = connect_to(story->daemon);
	if (try_put_records(story->conn, story->name, RECORDS, 1, 1, NULL) == 0)
		DONE(story->conn, try_delete_records(story->conn, story->name, RECORDS, 1));
}

static void take_step(struct short_story *story, const struct step *step)
{
	int r = write_step(story, step);

	come_back(story, r);

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
static void search_once(struct short_story *story)
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
	int r = kith_search(story->conn, &params, &found);

	if (r) {
		come_back(story, r);
		return;
	}
	expect_honest(found);
	for (uint32_t i = 0; i < RECORDS; i++) {
		n += story->sure[i] > 0;
		if (story->sure[i] > 0)
			assert_true(holds_record(found, i, story->sure[i]));
	}
	assert_int_equal(found->ids.n, n);
	kith_free(found);
}

static int try_create(struct short_story *story)
{
	struct kith_create_collection_params params = {.name = kith_text(story->name),
	                                               .dim = RECORD_DIM,
	                                               .metric = KITH_METRIC_L2,
	                                               .exist_ok = true};

	return kith_create_collection(story->conn, &params, NULL);
}

static int try_ensure(struct short_story *story)
{
	struct kith_ensure_index_params params = {.collection = kith_text(story->name),
	                                          .wait = true};

	return kith_ensure_index(story->conn, &params, NULL);
}

/* The next search loads it. */
static int try_evict(struct short_story *story)
{
	struct kith_evict_params params = {.collection = kith_text(story->name)};

	return kith_evict(story->conn, &params, NULL);
}

void short_story_tell(struct short_story *story)
{
	/* What failed is asked for again; one thing fails, not two. */
	int r = try_create(story);

	come_back(story, r);
	if (r)
		DONE(story->conn, try_create(story));
	for (uint32_t i = 0; i < STEPS; i++) {
		if (i == ENSURE_AFTER)
			come_back(story, try_ensure(story));
		take_step(story, &steps[i]);
		search_once(story);
	}
	come_back(story, try_evict(story));
	search_once(story);
}

/* What is tried again later, or waits for a pause, gets its time. */
static bool comes_to_order(void *ctx)
{
	struct short_story *story = ctx;
	struct index_view view = index_of(story->conn, story->name, NULL);

	fake_clock_advance_ms(story->clock, LOOK_MS);
	return is_settled(&view);
}

void short_story_expect_in_order(struct short_story *story)
{
	struct kith_drop_collection_params drop = {.collection = kith_text(story->name)};
	uint64_t n = 0;

	DONE(story->conn, try_ensure(story));
	/* One that was evicted comes back for a search, not by itself. */
	search_once(story);
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
