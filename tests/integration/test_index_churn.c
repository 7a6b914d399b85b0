/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Records that come and go: the graph finds as much as one that was just built, and does not keep
 * what is gone for ever.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/index.h"
#include "tests/lib/kith_calls.h"

/* So many that each third round has a new generation built, and the tenth leaves dead nodes. */
#define RECORDS 2400u
#define SHARE (RECORDS / 5)
/* And so many that two fifths of them are reason enough for one. */
#define ALL 3000u
#define FIFTH (ALL / 5)
#define ROUNDS 10u
#define QUERIES 200u
#define K 10u
#define RECALL_LOST_MAX 0.005

static const char notes[] = "notes", fresh[] = "fresh";

static void make_index(struct kith_conn *conn, const char *collection)
{
	ensure(conn, (struct ask){.collection = collection, .wait = true});
	await_settled(conn, collection, NULL);
}

static struct kith_search_result *search(struct kith_conn *conn, const char *collection,
                                         uint32_t query, bool exact)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(collection),
	        .vectors = kith_vectors(vector, RECORD_DIM),
	        .k = K,
	        .exact = exact,
	};
	struct kith_search_result *result;

	draw_vector(UINT64_C(7000000) + query, RECORD_DIM, vector);
	DONE(conn, kith_search(conn, &params, &result));
	assert_int_equal(result->ids.n, K);
	assert_int_equal(result->mode, exact ? KITH_MODE_EXACT : KITH_MODE_HNSW);
	return result;
}

static double recall(struct kith_conn *conn, const char *collection)
{
	uint32_t n_found = 0;

	for (uint32_t query = 0; query < QUERIES; query++) {
		struct kith_search_result *exact = search(conn, collection, query, true);
		struct kith_search_result *found = search(conn, collection, query, false);

		for (uint32_t i = 0; i < K; i++)
			n_found += found->distances.v[i] <= exact->distances.v[K - 1];
		kith_free(exact);
		kith_free(found);
	}
	return (double)n_found / (QUERIES * K);
}

static bool is_few_dead(const struct index_view *index)
{
	return index->at.dead < INDEX_DEAD_MIN ||
	       index->at.dead < index->at.nodes / INDEX_DEAD_SHARE;
}

struct watched {
	struct kith_conn *conn;
	uint64_t nodes;
};

static bool is_cleared(void *ctx)
{
	const struct watched *watched = ctx;
	struct index_view index = index_of(watched->conn, notes, NULL);

	return is_settled(&index) && is_few_dead(&index) && index.at.nodes <= watched->nodes;
}

static void ten_rounds_of_a_fifth_leave_the_recall_of_a_fresh_build(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct watched watched = {conn, RECORDS + RECORDS / (INDEX_DEAD_SHARE - 1) + SHARE};
	double churned, built;

	(void)state;
	make_collection(conn, notes, KITH_METRIC_L2);
	put_records(conn, notes, 0, RECORDS, 1);
	make_index(conn, notes);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t first = round * SHARE % RECORDS;

		delete_records(conn, notes, first, SHARE);
		put_records(conn, notes, first, SHARE, round + 2);
		optimize(conn, notes, NULL);
		await(is_cleared, &watched, "dead nodes are few");
	}
	assert_true(index_of(conn, notes, NULL).at.rebuilds >= 2);
	/* It is no fresh build itself. */
	assert_true(index_of(conn, notes, NULL).at.dead >= SHARE);
	make_collection(conn, fresh, KITH_METRIC_L2);
	for (uint32_t round = ROUNDS - RECORDS / SHARE; round < ROUNDS; round++)
		put_records(conn, fresh, round * SHARE % RECORDS, SHARE, round + 2);
	make_index(conn, fresh);
	churned = recall(conn, notes);
	built = recall(conn, fresh);
	print_message("recall after %u rounds %.4f, of a fresh build %.4f\n", ROUNDS, churned,
	              built);
	assert_true(churned >= built - RECALL_LOST_MAX);
	kith_close(conn);
	daemon_thread_free(daemon);
}

/* Nothing is written behind them that would have the graph looked at. */
static void deletes_alone_have_a_new_generation_built(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);

	(void)state;
	make_collection(conn, notes, KITH_METRIC_L2);
	put_records(conn, notes, 0, ALL, 1);
	make_index(conn, notes);
	delete_records(conn, notes, 0, FIFTH);
	assert_int_equal(index_of(conn, notes, NULL).at.dead, FIFTH);
	assert_int_equal(index_of(conn, notes, NULL).at.rebuilds, 0);
	delete_records(conn, notes, FIFTH, 2 * FIFTH);
	await(is_cleared, &(struct watched){conn, ALL - 3 * FIFTH}, "the dead are gone");
	assert_int_equal(index_of(conn, notes, NULL).at.rebuilds, 1);
	expect_records(conn, notes, 3 * FIFTH, 100, 1);
	expect_no_records(conn, notes, 0, 100, 1);
	/* To the last one. */
	delete_records(conn, notes, 3 * FIFTH, ALL - 3 * FIFTH);
	await(is_cleared, &(struct watched){conn, 0}, "there is nothing left");
	kith_close(conn);
	daemon_thread_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(ten_rounds_of_a_fifth_leave_the_recall_of_a_fresh_build),
	        cmocka_unit_test(deletes_alone_have_a_new_generation_built),
	};

	return cmocka_run_group_tests_name("index_churn", tests, NULL, NULL);
}
