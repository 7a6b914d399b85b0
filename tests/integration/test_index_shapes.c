/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Indexes over collections of every shape: dimensions, metrics, none or one or equal records,
 * namespaces. What the index answers is compared with the exact scan, bit by bit where all records
 * are asked for.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

#define RECORDS 250u
#define DIM_MAX 128u
#define QUERIES 20u

struct shape {
	const char *name;
	uint32_t dim;
	enum kith_metric metric;
};

static void create(struct kith_conn *conn, const struct shape *shape)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(shape->name), .dim = shape->dim, .metric = shape->metric};

	DONE(conn, kith_create_collection(conn, &params, NULL));
}

/* Records [first, first + n) of a namespace (NULL: the usual one), vectors drawn by their number,
 * or all the same. */
static void put(struct kith_conn *conn, const struct shape *shape, const char *namespace,
                uint64_t first, uint32_t n, bool equal)
{
	struct kith_id *ids = calloc(n, sizeof(*ids));
	float *vectors = calloc((size_t)n * shape->dim, sizeof(*vectors));
	struct kith_upsert_params params = {
	        .collection = kith_text(shape->name),
	        .namespace_ = kith_text(namespace),
	        .ids = {ids, n},
	        .vectors = kith_vectors(vectors, (size_t)n * shape->dim),
	};

	for (uint32_t i = 0; i < n; i++) {
		ids[i] = kith_id_number(first + i);
		draw_vector(equal ? 1 : first + i + 1, shape->dim,
		            vectors + (size_t)i * shape->dim);
	}
	DONE(conn, kith_upsert(conn, &params, NULL));
	free(vectors);
	free(ids);
}

static struct kith_search_result *search(struct kith_conn *conn, const struct shape *shape,
                                         const char *namespace, uint64_t seed, uint32_t k,
                                         bool exact)
{
	float query[DIM_MAX];
	struct kith_search_params params = {
	        .collection = kith_text(shape->name),
	        .namespace_ = kith_text(namespace),
	        .vectors = kith_vectors(query, shape->dim),
	        .k = k,
	        .exact = exact,
	};
	struct kith_search_result *result;

	draw_vector(seed, shape->dim, query);
	DONE(conn, kith_search(conn, &params, &result));
	expect_honest(result);
	return result;
}

/* How many of the exact answer's distances the index's answer comes up to. */
static uint32_t n_as_near(const struct kith_search_result *fast,
                          const struct kith_search_result *exact)
{
	uint32_t n = 0;

	assert_int_equal(fast->ids.n, exact->ids.n);
	for (uint32_t i = 0; i < fast->ids.n; i++)
		n += fast->distances.v[i] <= exact->distances.v[i];
	return n;
}

static void expect_index_and_scan_agree(struct kith_conn *conn, const struct shape *shape,
                                        uint32_t n_records)
{
	struct kith_search_result *fast, *exact;
	uint32_t n_near = 0, n_all = 0;

	for (uint64_t q = 0; q < QUERIES; q++) {
		fast = search(conn, shape, NULL, 1000 + q, 10, false);
		exact = search(conn, shape, NULL, 1000 + q, 10, true);
		assert_int_equal(fast->mode, KITH_MODE_HNSW);
		assert_int_equal(exact->mode, KITH_MODE_EXACT);
		n_near += n_as_near(fast, exact);
		n_all += exact->ids.n;
		kith_free(fast);
		kith_free(exact);
	}
	assert_true(n_near * 100 >= n_all * 98);
	fast = search(conn, shape, NULL, 7, n_records + 50, false);
	exact = search(conn, shape, NULL, 7, n_records + 50, true);
	assert_int_equal(fast->ids.n, n_records);
	expect_same_hits(fast, exact);
	kith_free(fast);
	kith_free(exact);
}

static void every_dimension_and_metric_agrees_with_the_scan(void **state)
{
	static const uint32_t dims[] = {1, 3, 16, 63, DIM_MAX};
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);

	(void)state;
	for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++) {
		for (enum kith_metric metric = KITH_METRIC_L2; metric <= KITH_METRIC_COSINE;
		     metric++) {
			char name[32];
			struct shape shape = {name, dims[i], metric};

			snprintf(name, sizeof(name), "%s-%u", kith_metric_name(metric), dims[i]);
			print_message("%s\n", name);
			create(conn, &shape);
			put(conn, &shape, NULL, 0, RECORDS, false);
			ensure(conn, (struct ask){.collection = name, .wait = true});
			expect_index_and_scan_agree(conn, &shape, RECORDS);
			put(conn, &shape, NULL, RECORDS, 50, false);
			expect_index_and_scan_agree(conn, &shape, RECORDS + 50);
			optimize(conn, name, NULL);
			expect_index_and_scan_agree(conn, &shape, RECORDS + 50);
		}
	}
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void an_empty_collection_has_an_index_that_fills(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct shape shape = {"notes", 8, KITH_METRIC_COSINE};
	struct kith_ensure_index_result ensured;
	struct kith_search_result *found;

	(void)state;
	create(conn, &shape);
	ensured = ensure(conn, (struct ask){.collection = "notes", .wait = true});
	assert_int_equal(ensured.outcome, KITH_ENSURED_BUILT);
	assert_true(ensured.coverage == 1.0);
	found = search(conn, &shape, NULL, 1, 10, false);
	assert_int_equal(found->ids.n, 0);
	kith_free(found);
	/* The graph has no node yet: it is not used, and nobody says that it was. */
	put(conn, &shape, NULL, 0, 1, false);
	found = search(conn, &shape, NULL, 1, 10, false);
	assert_int_equal(found->ids.n, 1);
	assert_int_equal(found->mode, KITH_MODE_EXACT);
	assert_int_equal(found->comparisons, 0);
	assert_int_equal(found->generation, 0);
	assert_true(found->coverage == 1.0);
	kith_free(found);
	optimize(conn, "notes", NULL);
	found = search(conn, &shape, NULL, 1, 10, false);
	assert_int_equal(found->ids.n, 1);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	kith_free(found);
	put(conn, &shape, NULL, 1, RECORDS - 1, false);
	expect_index_and_scan_agree(conn, &shape, RECORDS);
	optimize(conn, "notes", NULL);
	expect_index_and_scan_agree(conn, &shape, RECORDS);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	expect_index_and_scan_agree(conn, &shape, RECORDS);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void an_index_of_nothing_outlives_a_restart(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct shape shape = {"notes", 8, KITH_METRIC_L2};

	(void)state;
	create(conn, &shape);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	put(conn, &shape, NULL, 0, RECORDS, false);
	optimize(conn, "notes", NULL);
	expect_index_and_scan_agree(conn, &shape, RECORDS);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void all_records_gone_and_come_again(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct shape shape = {"notes", 8, KITH_METRIC_L2};
	struct kith_search_result *found;

	(void)state;
	create(conn, &shape);
	put(conn, &shape, NULL, 0, RECORDS, false);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	delete_records(conn, "notes", 0, RECORDS);
	found = search(conn, &shape, NULL, 1, 10, false);
	assert_int_equal(found->ids.n, 0);
	kith_free(found);
	put(conn, &shape, NULL, 500, RECORDS, false);
	expect_index_and_scan_agree(conn, &shape, RECORDS);
	optimize(conn, "notes", NULL);
	expect_index_and_scan_agree(conn, &shape, RECORDS);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void equal_vectors_are_all_found(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct shape shape = {"notes", 16, KITH_METRIC_L2};
	struct kith_search_result *found;

	(void)state;
	create(conn, &shape);
	put(conn, &shape, NULL, 0, RECORDS, true);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	put(conn, &shape, NULL, RECORDS, 40, true);
	optimize(conn, "notes", NULL);
	found = search(conn, &shape, NULL, 1, 10, false);
	assert_int_equal(found->ids.n, 10);
	kith_free(found);
	found = search(conn, &shape, NULL, 1, 1000, false);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	assert_int_equal(found->ids.n, RECORDS + 40);
	kith_free(found);
	kith_close(conn);
	daemon_thread_free(daemon);
}

/* Namespaces ----------------------------------------------------------------------------------- */

#define TINY 3u

/* Records [first, first + n) and none else. */
static void expect_inside(const struct kith_search_result *found, uint64_t first, uint32_t n,
                          uint32_t wanted)
{
	assert_int_equal(found->ids.n, wanted);
	for (uint32_t i = 0; i < found->ids.n; i++)
		assert_true(found->ids.v[i].number >= first && found->ids.v[i].number < first + n);
}

static void expect_namespaces(struct kith_conn *conn, const struct shape *shape)
{
	struct kith_search_result *found, *exact;

	for (uint64_t q = 0; q < QUERIES; q++) {
		found = search(conn, shape, "a", 1000 + q, 10, false);
		expect_inside(found, 0, RECORDS, 10);
		kith_free(found);
		found = search(conn, shape, "b", 1000 + q, 10, false);
		expect_inside(found, RECORDS, RECORDS, 10);
		kith_free(found);
		/* All that a tiny one has, however many are asked for. */
		found = search(conn, shape, "tiny", 1000 + q, 50, false);
		exact = search(conn, shape, "tiny", 1000 + q, 50, true);
		expect_inside(found, 2 * RECORDS, TINY, TINY);
		expect_same_hits(found, exact);
		kith_free(found);
		kith_free(exact);
		found = search(conn, shape, "none", 1000 + q, 10, false);
		expect_inside(found, 0, 0, 0);
		kith_free(found);
	}
}

static void answers_stay_inside_their_namespace(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct shape shape = {"notes", 24, KITH_METRIC_COSINE};
	struct kith_search_result *found;

	(void)state;
	create(conn, &shape);
	put(conn, &shape, "a", 0, RECORDS, false);
	put(conn, &shape, "b", RECORDS, RECORDS, false);
	put(conn, &shape, "tiny", 2 * RECORDS, TINY, false);
	ensure(conn, (struct ask){.collection = "notes", .wait = true});
	expect_namespaces(conn, &shape);
	/* One that no graph holds, one that moves from one to another under the graph, and back. */
	put(conn, &shape, "late", 3 * RECORDS, TINY, false);
	found = search(conn, &shape, "late", 5, 50, false);
	expect_inside(found, 3 * RECORDS, TINY, TINY);
	kith_free(found);
	put(conn, &shape, "tiny", 0, 1, false);
	found = search(conn, &shape, "tiny", 1, 50, false);
	assert_int_equal(found->ids.n, TINY + 1);
	assert_int_equal(found->ids.v[0].number, 0);
	kith_free(found);
	found = search(conn, &shape, "a", 1, 500, false);
	expect_inside(found, 1, RECORDS - 1, RECORDS - 1);
	kith_free(found);
	put(conn, &shape, "a", 0, 1, false);
	expect_namespaces(conn, &shape);
	optimize(conn, "notes", NULL);
	expect_namespaces(conn, &shape);
	found = search(conn, &shape, "late", 5, 50, false);
	expect_inside(found, 3 * RECORDS, TINY, TINY);
	kith_free(found);
	kith_close(conn);
	daemon_thread_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_dimension_and_metric_agrees_with_the_scan),
	        cmocka_unit_test(an_empty_collection_has_an_index_that_fills),
	        cmocka_unit_test(an_index_of_nothing_outlives_a_restart),
	        cmocka_unit_test(all_records_gone_and_come_again),
	        cmocka_unit_test(equal_vectors_are_all_found),
	        cmocka_unit_test(answers_stay_inside_their_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
