/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Many collections with more than ten times as much as the budget holds, and anything in any order:
 * the ceiling is kept at every step, every answer is right, and nothing is charged at the end.
 */

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"
#include "tests/lib/scale.h"

#define BUDGET_MB 2u
#define N_COLLECTIONS 20u
#define BATCH 285u
#define BATCHES_FIRST 9u
#define BATCHES_MAX 12u
#define N_STEPS SCALED(90)
/* Of links: many, so that few records fill much. */
#define M 32u
/* What a record takes in memory where all is loaded: 35 of the table, 104 of codes, and of such a
 * graph 256 for its links and 18 beside them. */
#define RECORD_BYTES 413u

static_assert(N_COLLECTIONS * BATCHES_FIRST * BATCH * RECORD_BYTES >= 10 * (BUDGET_MB << 20),
              "ten times what the budget holds");

/* What the collection should hold: records [0, n) of the version that each batch has. */
struct model {
	char name[16];
	uint32_t n_batches;
	uint32_t versions[BATCHES_MAX];
	bool is_indexed;
};

struct play {
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	struct model models[N_COLLECTIONS];
};

static void check_ceiling(struct play *play)
{
	struct kith_stats_result *stats;

	DONE(play->conn, kith_stats(play->conn, &stats));
	assert_true(stats->budget.used_bytes <= stats->budget.limit_bytes);
	assert_true(stats->budget.peak_bytes <= stats->budget.limit_bytes);
	assert_int_equal(stats->cache.failures, 0);
	kith_free(stats);
}

static void play_write(struct play *play, struct model *model)
{
	uint32_t batch = (uint32_t)lrand48() % BATCHES_MAX;

	if (batch >= model->n_batches)
		batch = model->n_batches < BATCHES_MAX ? model->n_batches++ : BATCHES_MAX - 1;
	put_records(play->conn, model->name, batch * BATCH, BATCH, ++model->versions[batch]);
}

static void play_search(struct play *play, const struct model *model)
{
	for (int i = 0; i < 5 && model->n_batches > 0; i++) {
		uint32_t batch = (uint32_t)lrand48() % model->n_batches;
		uint64_t number = batch * BATCH + (uint64_t)lrand48() % BATCH;
		struct kith_search_result *found =
		        search_near(play->conn, model->name, number, model->versions[batch], 3,
		                    lrand48() % 4 == 0);

		assert_int_equal(found->ids.v[0].number, number);
		assert_true(found->distances.v[0] == 0.0f);
		assert_true(holds_record(found, number, model->versions[batch]));
		kith_free(found);
	}
}

static void play_step(struct play *play)
{
	struct model *model = &play->models[(uint32_t)lrand48() % N_COLLECTIONS];

	switch (lrand48() % 12) {
	case 0:
	case 1:
		play_write(play, model);
		break;
	case 2:
		if (model->n_batches > 0)
			ensure(play->conn, (struct ask){.collection = model->name,
			                                .m = M,
			                                .wait = lrand48() % 2});
		model->is_indexed = model->n_batches > 0;
		break;
	case 3:
		if (model->is_indexed)
			evict(play->conn, model->name, NULL);
		break;
	case 4:
		if (model->is_indexed)
			warm(play->conn, model->name, NULL);
		break;
	default:
		play_search(play, model);
		break;
	}
}

static void drop(struct play *play, const struct model *model)
{
	struct kith_drop_collection_params params = {.collection = kith_text(model->name)};

	DONE(play->conn, kith_drop_collection(play->conn, &params, NULL));
}

static bool holds_nothing(void *ctx)
{
	struct kith_stats_result *stats;
	bool nothing;

	DONE(ctx, kith_stats(ctx, &stats));
	nothing = stats->budget.used_bytes == 0 && stats->budget.spilled_bytes == 0 &&
	          stats->cache.entries == 0 && stats->cache.size_bytes == 0;
	kith_free(stats);
	return nothing;
}

static void any_order_of_anything_keeps_the_ceiling_and_the_answers(void **state)
{
	struct play *play = calloc(1, sizeof(*play));

	(void)state;
	assert_non_null(play);
	srand48((long)seed_of_this_run(20));
	play->daemon = daemon_thread_new_with(store_io_posix(), NULL, BUDGET_MB);
	play->conn = connect_to(play->daemon);
	for (uint32_t i = 0; i < N_COLLECTIONS; i++) {
		snprintf(play->models[i].name, sizeof(play->models[i].name), "c%u", i);
		make_collection(play->conn, play->models[i].name, KITH_METRIC_L2);
		for (uint32_t batch = 0; batch < BATCHES_FIRST; batch++) {
			play->models[i].versions[batch] = 1;
			put_records(play->conn, play->models[i].name, batch * BATCH, BATCH, 1);
		}
		play->models[i].n_batches = BATCHES_FIRST;
	}
	for (int step = 0; step < N_STEPS; step++) {
		play_step(play);
		check_ceiling(play);
	}
	for (uint32_t i = 0; i < N_COLLECTIONS; i++) {
		const struct model *model = &play->models[i];

		expect_count(play->conn, model->name, model->n_batches * BATCH);
		play_search(play, model);
		drop(play, model);
	}
	await(holds_nothing, play->conn, "everything was given back");
	kith_close(play->conn);
	daemon_thread_free(play->daemon);
	free(play);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(any_order_of_anything_keeps_the_ceiling_and_the_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
