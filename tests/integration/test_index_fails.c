/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What an index does next fails, in each of its states: the truth cannot be written, a snapshot
 * cannot be written or read, the cache cannot keep what was made. Answers stay right, what serves
 * goes on serving, the failure is told and journaled once, and the next try succeeds.
 *
 * Damaged vectors are met in test_ensure.c and test_flights.c, graphs without memory in
 * test_flights_full.c.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/index.h"
#include "tests/lib/array_cache.h"
#include "tests/lib/index_stage.h"
#include "tests/lib/store_twin.h"

/* A cache that can be full. Nothing stands under the key by then, which it would have to let go. */
static atomic_bool cache_is_full;
static int (*insert)(struct cache_backend *backend, struct cache_entry *entry);

static int insert_unless_full(struct cache_backend *backend, struct cache_entry *entry)
{
	return cache_is_full ? -ENOMEM : insert(backend, entry);
}

static int make_cache(struct cache_backend **ret)
{
	static struct cache_backend_ops ops;
	int r = array_cache_new(ret);

	if (r)
		return r;
	ops = *(*ret)->ops;
	insert = ops.insert;
	ops.insert = insert_unless_full;
	(*ret)->ops = &ops;
	return 0;
}

/* What makes it do something in a state where nothing is held, and what is tried again. */
enum asking {
	ASK_NOTHING, /* at first: what is held goes on; again: time goes by */
	ASK_ENSURE,
	ASK_REPLACE,
	ASK_WARM,
	ASK_SEARCH,
	ASK_OPTIMIZE
};

#define NO_DECLARATION                                                                           \
	.fault = {.kind = STORE_TWIN_SYNC, .path_part = "records.db-wal", .nth = 1, .err = EIO}, \
	.told = "cannot declare the index in the database"
#define NO_SAVE                             \
	.fault = {.kind = STORE_TWIN_WRITE, \
	          .path_part = "hnsw-",     \
	          .nth = 1,                 \
	          .err = ENOSPC,            \
	          .lasting = true},         \
	.told = "cannot save the snapshot"
#define NO_READ                            \
	.fault = {.kind = STORE_TWIN_READ, \
	          .path_part = "hnsw-",    \
	          .nth = 1,                \
	          .err = EIO,              \
	          .lasting = true}
#define NO_PLACE .told = "the cache has no place for it"

struct failing {
	enum stage which;
	struct store_twin_fault fault; /* none: the cache is full */
	const char *told;
	enum asking ask, again;
	enum kith_index_state after;
	uint32_t m;      /* in the end; 0: STAGE_M */
	uint32_t builds; /* in the end */
};

static const struct failing failings[] = {
        {STAGE_NONE, NO_DECLARATION, .ask = ASK_ENSURE, .again = ASK_ENSURE, .builds = 1},
        {STAGE_DECLARED, NO_PLACE, .ask = ASK_ENSURE, .again = ASK_ENSURE,
         .after = KITH_INDEX_STATE_DECLARED, .builds = 2},
        {STAGE_LOADING, NO_READ, .told = "the snapshot cannot be read at present",
         .after = KITH_INDEX_STATE_DECLARED},
        {STAGE_LOADING, NO_PLACE, .again = ASK_ENSURE, .after = KITH_INDEX_STATE_DECLARED},
        {STAGE_BUILDING, NO_PLACE, .after = KITH_INDEX_STATE_DECLARED, .builds = 2},
        {STAGE_REBUILDING, NO_PLACE, .after = KITH_INDEX_STATE_DECLARED, .builds = 2},
        {STAGE_SERVING, NO_DECLARATION, .ask = ASK_REPLACE, .again = ASK_REPLACE,
         .after = KITH_INDEX_STATE_SERVING, .m = STAGE_OTHER_M, .builds = 2},
        {STAGE_EVICTED, NO_READ, .told = "cannot be loaded", .ask = ASK_WARM, .again = ASK_WARM,
         .after = KITH_INDEX_STATE_EVICTED, .builds = 1},
        {STAGE_EVICTED, NO_PLACE, .ask = ASK_SEARCH, .again = ASK_SEARCH,
         .after = KITH_INDEX_STATE_EVICTED, .builds = 1},
        {STAGE_PENDING, NO_SAVE, .ask = ASK_OPTIMIZE, .again = ASK_OPTIMIZE,
         .after = KITH_INDEX_STATE_SERVING, .builds = 1},
        {STAGE_INSERTING, NO_SAVE, .after = KITH_INDEX_STATE_SERVING, .builds = 1},
        {STAGE_SAVING, NO_SAVE, .after = KITH_INDEX_STATE_SERVING, .builds = 1},
        {STAGE_REPLACING, NO_DECLARATION, .again = ASK_REPLACE, .after = KITH_INDEX_STATE_SERVING,
         .m = STAGE_OTHER_M, .builds = 2},
        {STAGE_REPLACING, NO_PLACE, .after = KITH_INDEX_STATE_DECLARED, .m = STAGE_OTHER_M,
         .builds = 3},
};

static struct ask ensuring(enum asking asking)
{
	return (struct ask){STAGE_COLLECTION, .m = asking == ASK_REPLACE ? STAGE_OTHER_M : STAGE_M,
	                    .wait = true, .replace = asking == ASK_REPLACE};
}

static enum kith_mode search(struct index_stage *stage)
{
	struct kith_search_result *found =
	        search_near(stage->conn, STAGE_COLLECTION, 7, 1, 5, false);
	enum kith_mode mode = found->mode;

	assert_true(holds_record(found, 7, 1));
	kith_free(found);
	return mode;
}

/* Whoever waits for it is told. */
static void ask_in_vain(struct index_stage *stage, enum asking asking)
{
	const struct kith_warm_params warming = {.collection = kith_text(STAGE_COLLECTION)};
	const struct kith_optimize_params optimizing = {.collection = kith_text(STAGE_COLLECTION)};

	switch (asking) {
	case ASK_NOTHING:
		index_stage_go(stage);
		if (stage->has_ticket)
			collect_ensure_refused(stage->starter, stage->ticket,
			                       KITH_ERROR_BUILD_FAILED);
		break;
	case ASK_ENSURE:
	case ASK_REPLACE:
		ensure_refused(stage->conn, ensuring(asking), KITH_ERROR_BUILD_FAILED);
		break;
	case ASK_WARM:
		assert_int_equal(kith_warm(stage->conn, &warming, NULL), KITH_ERROR_STORAGE_FAILED);
		break;
	case ASK_SEARCH:
		assert_int_equal(search(stage), KITH_MODE_EXACT);
		break;
	case ASK_OPTIMIZE:
		REFUSED(stage->conn, KITH_ERROR_BUILD_FAILED, "index",
		        kith_optimize(stage->conn, &optimizing, NULL));
		break;
	}
}

static bool is_settled_by_now(void *ctx)
{
	struct index_stage *stage = ctx;
	struct index_view index = index_of(stage->conn, STAGE_COLLECTION, NULL);

	fake_clock_advance_ms(&stage->clock, 500);
	return is_settled(&index);
}

static void ask_again(struct index_stage *stage, enum asking asking)
{
	switch (asking) {
	case ASK_NOTHING:
		await(is_settled_by_now, stage, "it is tried again");
		break;
	case ASK_ENSURE:
	case ASK_REPLACE:
		ensure(stage->conn, ensuring(asking));
		break;
	case ASK_WARM:
		warm(stage->conn, STAGE_COLLECTION, NULL);
		break;
	case ASK_SEARCH:
		assert_int_equal(search(stage), KITH_MODE_HNSW);
		break;
	case ASK_OPTIMIZE:
		optimize(stage->conn, STAGE_COLLECTION, NULL);
		break;
	}
}

struct telling {
	struct index_stage *stage;
	const char *text;
};

static bool is_told(void *ctx)
{
	const struct telling *telling = ctx;
	struct index_view index = index_of(telling->stage->conn, STAGE_COLLECTION, NULL);

	return strstr(index.error, telling->text) != NULL;
}

static uint64_t n_journaled(struct index_stage *stage, const char *text)
{
	struct kith_errors_result *result;
	uint64_t n = 0;

	DONE(stage->conn, kith_errors(stage->conn, &result));
	for (uint32_t i = 0; i < result->failures.n; i++) {
		const struct kith_failure *failure = &result->failures.v[i];

		if (is_text(failure->where, "index '" STAGE_COLLECTION "/vector'") &&
		    memmem(failure->what.data, failure->what.n, text, strlen(text)))
			n += failure->count;
	}
	kith_free(result);
	return n;
}

static void expect_failed(struct index_stage *stage, const struct failing *failing)
{
	bool serves = failing->which != STAGE_NONE && failing->after == KITH_INDEX_STATE_SERVING;

	if (failing->which == STAGE_NONE) {
		expect_no_index(stage->conn, STAGE_COLLECTION, NULL);
	} else {
		await(is_told, &(struct telling){stage, failing->told}, failing->told);
		assert_int_equal(index_of(stage->conn, STAGE_COLLECTION, NULL).at.state,
		                 failing->after);
	}
	assert_int_equal(n_journaled(stage, failing->told), 1);
	assert_int_equal(search(stage), serves ? KITH_MODE_HNSW : KITH_MODE_EXACT);
	expect_records(stage->conn, STAGE_COLLECTION, 0, (uint32_t)stage->n_records, 1);
	/* These searches tried again, which is no news. */
	assert_int_equal(n_journaled(stage, failing->told), 1);
}

static void a_failure_leaves_each_state_in_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(failings) / sizeof(*failings); i++) {
		const struct failing *failing = &failings[i];
		struct store_twin *twin = store_twin_new(store_io_posix());
		struct index_stage stage;
		struct index_view index;

		print_message("%s: %s\n", index_stage_name(failing->which), failing->told);
		index_stage_enter_on(&stage, failing->which, store_twin_io(twin), make_cache);
		if (failing->fault.nth > 0)
			store_twin_fail(twin, failing->fault);
		else
			cache_is_full = true;
		ask_in_vain(&stage, failing->ask);
		expect_failed(&stage, failing);
		store_twin_heal(twin);
		cache_is_full = false;
		ask_again(&stage, failing->again);
		index_stage_expect_sound(&stage, failing->m ? failing->m : STAGE_M);
		index = index_of(stage.conn, STAGE_COLLECTION, NULL);
		assert_int_equal(index.at.builds, failing->builds);
		assert_string_equal(index.error, "");
		index_stage_leave(&stage);
		store_twin_free(twin);
	}
}

/* How often the snapshot was opened in vain by the end of what is under way. Each commit has the
 * index looked at: what is due has begun when the commit is acknowledged. */
static uint64_t n_tries_after_a_commit(struct index_stage *stage, struct store_twin *twin)
{
	put_records(stage->conn, STAGE_COLLECTION, stage->n_records++, 1, 1);
	await_no_jobs(stage->conn);
	return store_twin_n_failed(twin);
}

static void a_load_that_fails_is_tried_again_after_pauses_that_double(void **state)
{
	static const uint64_t pauses_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	const struct store_twin_fault fault = {.kind = STORE_TWIN_OPEN,
	                                       .path_part = "hnsw-",
	                                       .nth = 1,
	                                       .err = EMFILE,
	                                       .lasting = true};
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct index_stage stage;

	(void)state;
	index_stage_enter_on(&stage, STAGE_SERVING, store_twin_io(twin), NULL);
	store_twin_fail(twin, fault);
	index_stage_restart(&stage);
	/* The open looks for it, and nothing comes of that. */
	assert_int_equal(n_tries_after_a_commit(&stage, twin), 1);
	for (uint64_t i = 0; i < sizeof(pauses_ms) / sizeof(*pauses_ms); i++) {
		fake_clock_advance_ms(&stage.clock, pauses_ms[i] - 1);
		assert_int_equal(n_tries_after_a_commit(&stage, twin), i + 1);
		fake_clock_advance_ms(&stage.clock, 1);
		assert_int_equal(n_tries_after_a_commit(&stage, twin), i + 2);
	}
	store_twin_heal(twin);
	index_stage_fold_in(&stage);
	index_stage_expect_sound(&stage, STAGE_M);
	assert_int_equal(index_of(stage.conn, STAGE_COLLECTION, NULL).at.builds, 0);
	index_stage_leave(&stage);
	store_twin_free(twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_failure_leaves_each_state_in_order),
	        cmocka_unit_test(a_load_that_fails_is_tried_again_after_pauses_that_double),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
