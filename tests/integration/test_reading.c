/* SPDX-License-Identifier: Apache-2.0 */

/* What search, scan and count find on the real daemon. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/service_fixture.h"

/* More than an extent of the vector file (16,384 rows of this dimension) and not a whole number of
 * anything. */
#define MANY 20011u

static int notes_setup(void **state)
{
	struct service_fixture *service;

	service_setup(state);
	service = *state;
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	return 0;
}

static struct kith_search_result *search(struct kith_conn *conn, const char *collection,
                                         const float *queries, uint32_t n_queries, uint32_t k)
{
	struct kith_search_params params = {
	        .collection = kith_text(collection),
	        .vectors = kith_vectors(queries, (size_t)n_queries * RECORD_DIM),
	        .k = k,
	};
	struct kith_search_result *result;

	DONE(conn, kith_search(conn, &params, &result));
	assert_int_equal(result->counts.n, n_queries);
	assert_int_equal(result->distances.size_bytes, result->ids.n * sizeof(float));
	assert_int_equal(result->mode, KITH_MODE_EXACT);
	assert_true(result->coverage >= 1.0);
	return result;
}

/* Distances ----------------------------------------------------------------------------------- */

static double reference(enum kith_metric metric, const float *a, const float *b)
{
	double dot = 0, aa = 0, bb = 0, square = 0;

	for (uint32_t i = 0; i < RECORD_DIM; i++) {
		dot += (double)a[i] * b[i];
		aa += (double)a[i] * a[i];
		bb += (double)b[i] * b[i];
		square += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
	}
	if (metric == KITH_METRIC_L2)
		return square;
	return metric == KITH_METRIC_IP ? 1 - dot : 1 - dot / sqrt(aa * bb);
}

/* The answer's hits of one query are the k nearest of records [0, n), by doubles. */
static void check_hits(enum kith_metric metric, const float *query, uint32_t n, uint32_t k,
                       const struct kith_id *ids, const float *distances)
{
	float vector[RECORD_DIM];
	uint32_t nearer = 0;
	double last;

	for (uint32_t i = 0; i < k; i++) {
		double wanted = reference(metric, query, record_vector(ids[i].number, 1, vector));

		assert_true(fabs(distances[i] - wanted) < 1e-5);
		assert_true(i == 0 || distances[i - 1] <= distances[i]);
		for (uint32_t j = 0; j < i; j++)
			assert_int_not_equal(ids[i].number, ids[j].number);
	}
	last = distances[k - 1];
	for (uint32_t number = 0; number < n; number++)
		nearer += reference(metric, query, record_vector(number, 1, vector)) < last - 1e-5;
	assert_true(nearer < k);
}

static void distances_and_order_are_those_of_doubles(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	static const char *const names[] = {"l2", "ip", "cosine"};
	float query[RECORD_DIM];

	for (uint32_t metric = 0; metric < 3; metric++) {
		make_collection(conn, names[metric], metric);
		put_records(conn, names[metric], 0, 1500, 1);
		for (uint32_t q = 0; q < 8; q++) {
			struct kith_search_result *hits;

			draw_vector(77 + q, RECORD_DIM, query);
			hits = search(conn, names[metric], query, 1, 20);
			assert_int_equal(hits->ids.n, 20);
			assert_int_equal(hits->scanned, 1500);
			check_hits(metric, query, 1500, 20, hits->ids.v, hits->distances.v);
			kith_free(hits);
		}
	}
}

static void a_scaled_vector_is_as_near_under_cosine_and_comes_back_as_it_was(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id id = kith_id_number(1);
	float vector[RECORD_DIM], query[RECORD_DIM];
	struct kith_upsert_params upsert = {.collection = kith_text("angles"),
	                                    .ids = {&id, 1},
	                                    .vectors = kith_vectors(vector, RECORD_DIM)};
	struct kith_search_params params = {.collection = kith_text("angles"),
	                                    .vectors = kith_vectors(query, RECORD_DIM),
	                                    .include = KITH_INCLUDE_VECTORS};
	struct kith_search_result *hits;

	make_collection(conn, "angles", KITH_METRIC_COSINE);
	record_vector(1, 1, vector);
	for (uint32_t i = 0; i < RECORD_DIM; i++) {
		query[i] = vector[i] * -1e-3f;
		vector[i] *= 1e6f;
	}
	DONE(conn, kith_upsert(conn, &upsert, NULL));
	DONE(conn, kith_search(conn, &params, &hits));
	assert_true(fabsf(hits->distances.v[0] - 2.0f) < 1e-5f);
	assert_memory_equal(hits->vectors.v, vector, sizeof(vector));
	kith_free(hits);
}

static void equally_near_records_come_in_the_order_of_writing(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	static const uint64_t order[] = {9, 2, 7, 1, 8, 3, 6, 4, 5};
	float vector[RECORD_DIM];
	struct kith_id id;
	struct kith_str text = kith_text("new");
	struct kith_upsert_params params = {
	        .collection = kith_text("notes"),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(0, 1, vector), RECORD_DIM),
	};
	struct kith_search_result *hits;

	for (size_t i = 0; i < 9; i++) {
		id = kith_id_number(order[i]);
		DONE(conn, kith_upsert(conn, &params, NULL));
	}
	hits = search(conn, "notes", vector, 1, 5);
	assert_int_equal(hits->ids.n, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(hits->ids.v[i].number, order[i]);
	kith_free(hits);
	/* A new text is a new writing. */
	id = kith_id_number(9);
	params.texts = (struct kith_texts){&text, 1};
	DONE(conn, kith_upsert(conn, &params, NULL));
	hits = search(conn, "notes", vector, 1, 9);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(hits->ids.v[i].number, order[(i + 1) % 9]);
	kith_free(hits);
}

static void many_queries_are_answered_as_each_alone(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	enum {
		N_QUERIES = 37,
		K = 7
	};
	float queries[N_QUERIES * RECORD_DIM];
	struct kith_search_result *all, *one;

	put_records(conn, "notes", 0, 3000, 1);
	for (uint32_t q = 0; q < N_QUERIES; q++)
		draw_vector(500 + q, RECORD_DIM, queries + q * RECORD_DIM);
	all = search(conn, "notes", queries, N_QUERIES, K);
	assert_int_equal(all->ids.n, N_QUERIES * K);
	assert_int_equal(all->scanned, N_QUERIES * 3000);
	for (uint32_t q = 0; q < N_QUERIES; q++) {
		one = search(conn, "notes", queries + q * RECORD_DIM, 1, K);
		assert_int_equal(all->counts.v[q], K);
		for (uint32_t i = 0; i < K; i++) {
			assert_int_equal(all->ids.v[q * K + i].number, one->ids.v[i].number);
			assert_true(fabsf(all->distances.v[q * K + i] - one->distances.v[i]) <
			            1e-5f);
		}
		kith_free(one);
	}
	kith_free(all);
}

static void a_search_over_several_extents_misses_nothing(void **state)
{
	struct service_fixture *service = *state;
	float query[RECORD_DIM];
	struct kith_search_result *hits;

	for (uint32_t first = 0; first < MANY; first += 5000)
		put_records(service->conn, "notes", first,
		            MANY - first < 5000 ? MANY - first : 5000, 1);
	for (uint32_t q = 0; q < 3; q++) {
		draw_vector(900 + q, RECORD_DIM, query);
		hits = search(service->conn, "notes", query, 1, 10);
		check_hits(KITH_METRIC_L2, query, MANY, 10, hits->ids.v, hits->distances.v);
		kith_free(hits);
	}
	/* Across the border of the extents, and the last one. */
	expect_records(service->conn, "notes", 16300, 200, 1);
	expect_records(service->conn, "notes", MANY - 1, 1, 1);
	delete_records(service->conn, "notes", 16380, 10);
	expect_no_records(service->conn, "notes", 16380, 10, 1);
	expect_count(service->conn, "notes", MANY - 10);
}

/* Bounds -------------------------------------------------------------------------------------- */

static void an_answer_has_no_more_hits_than_there_are_records(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	float queries[2 * RECORD_DIM] = {1};
	struct kith_search_result *hits = search(conn, "notes", queries, 2, 10);

	assert_int_equal(hits->ids.n, 0);
	assert_int_equal(hits->counts.v[0] + hits->counts.v[1], 0);
	kith_free(hits);
	put_records(conn, "notes", 0, 5, 1);
	hits = search(conn, "notes", queries, 2, 10000);
	assert_int_equal(hits->counts.v[0], 5);
	assert_int_equal(hits->counts.v[1], 5);
	kith_free(hits);
	delete_records(conn, "notes", 0, 5);
	hits = search(conn, "notes", queries, 2, 10);
	assert_int_equal(hits->ids.n, 0);
	kith_free(hits);
	put_records(conn, "notes", 0, 20, 1);
	hits = search(conn, "notes", queries, 1, 0); /* as many as usual */
	assert_int_equal(hits->ids.n, 10);
	kith_free(hits);
}

static void limits_hold_at_the_limit_and_not_beyond(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_search_params params = {.collection = kith_text("notes")};
	struct kith_scan_params scan = {.collection = kith_text("notes"), .limit = 10000};
	struct kith_limits_result *limits;
	float *queries;

	DONE(conn, kith_limits(conn, &limits));
	queries = calloc((limits->queries + 1) * RECORD_DIM, sizeof(float));
	assert_non_null(queries);
	put_records(conn, "notes", 0, 3, 1);

	params.vectors = kith_vectors(queries, limits->queries * RECORD_DIM);
	params.k = (uint32_t)(limits->hits / limits->queries);
	DONE(conn, kith_search(conn, &params, NULL));
	params.k++;
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "k", kith_search(conn, &params, NULL));
	params.k = 1;
	params.vectors = kith_vectors(queries, (limits->queries + 1) * RECORD_DIM);
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "vectors", kith_search(conn, &params, NULL));
	params.vectors = kith_vectors(queries, RECORD_DIM);
	params.k = (uint32_t)limits->k;
	DONE(conn, kith_search(conn, &params, NULL));
	params.k++;
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "k", kith_search(conn, &params, NULL));
	params.k = 1;
	params.vectors = kith_vectors(queries, RECORD_DIM - 1);
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors", kith_search(conn, &params, NULL));
	queries[1] = NAN;
	params.vectors = kith_vectors(queries, RECORD_DIM);
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors", kith_search(conn, &params, NULL));
	assert_int_equal(kith_error_row(conn), 0);

	DONE(conn, kith_scan(conn, &scan, NULL));
	scan.limit++;
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "limit", kith_scan(conn, &scan, NULL));
	free(queries);
	kith_free(limits);
}

/* Twenty records whose texts are as long as texts may be. */
static void put_long_texts(struct kith_conn *conn)
{
	size_t n = 1u << 20;
	char *text = malloc(n);

	assert_non_null(text);
	memset(text, 'x', n);
	for (uint32_t i = 0; i < 20; i++) {
		const struct kith_id id = kith_id_number(i);
		const struct kith_str texts = kith_text_n(text, n);
		float vector[RECORD_DIM];
		struct kith_upsert_params params = {
		        .collection = kith_text("notes"),
		        .ids = {&id, 1},
		        .vectors = kith_vectors(record_vector(i, 1, vector), RECORD_DIM),
		        .texts = {&texts, 1},
		};

		DONE(conn, kith_upsert(conn, &params, NULL));
	}
	free(text);
}

static void what_does_not_fit_in_an_answer_is_refused_and_a_scan_makes_pages(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_id ids[20];
	const float query[RECORD_DIM] = {1};
	struct kith_get_params get = {
	        .collection = kith_text("notes"), .ids = {ids, 20}, .include = KITH_INCLUDE_TEXTS};
	struct kith_search_params params = {.collection = kith_text("notes"),
	                                    .vectors = kith_vectors(query, RECORD_DIM),
	                                    .k = 20,
	                                    .include = KITH_INCLUDE_TEXTS};
	struct kith_scan_params scan = {.collection = kith_text("notes"),
	                                .include = KITH_INCLUDE_TEXTS};
	uint32_t n = 0, n_pages = 0;

	put_long_texts(conn);
	for (uint32_t i = 0; i < 20; i++)
		ids[i] = kith_id_number(i);
	REFUSED(conn, KITH_ERROR_TOO_LARGE_ANSWER, "include", kith_get(conn, &get, NULL));
	REFUSED(conn, KITH_ERROR_TOO_LARGE_ANSWER, "include", kith_search(conn, &params, NULL));
	params.k = 10;
	get.ids.n = 10;
	DONE(conn, kith_search(conn, &params, NULL));
	DONE(conn, kith_get(conn, &get, NULL));
	for (bool done = false; !done; n_pages++) {
		struct kith_scan_result *page;

		DONE(conn, kith_scan(conn, &scan, &page));
		n += page->ids.n;
		scan.cursor = page->cursor;
		done = page->done;
		kith_free(page);
	}
	assert_int_equal(n, 20);
	assert_true(n_pages > 1);
}

/* Namespaces ---------------------------------------------------------------------------------- */

static void put_in_namespace(struct kith_conn *conn, uint64_t number, const char *namespace)
{
	const struct kith_id id = kith_id_number(number);
	float vector[RECORD_DIM];
	struct kith_upsert_params params = {
	        .collection = kith_text("notes"),
	        .namespace_ = kith_text(namespace),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(number, 1, vector), RECORD_DIM),
	};

	DONE(conn, kith_upsert(conn, &params, NULL));
}

/* Search, scan and count agree on what is in the namespace (NULL: everywhere); sum is that of the
 * numbers of its records. */
static void expect_namespace(struct kith_conn *conn, const char *namespace, uint32_t n,
                             uint64_t sum)
{
	struct kith_str ns = kith_text(namespace);
	const float query[RECORD_DIM] = {0};
	struct kith_count_params count = {kith_text("notes"), ns};
	struct kith_scan_params scan = {.collection = kith_text("notes"), .namespace_ = ns};
	struct kith_search_params params = {.collection = kith_text("notes"),
	                                    .namespace_ = ns,
	                                    .vectors = kith_vectors(query, RECORD_DIM),
	                                    .k = 1000,
	                                    .include = KITH_INCLUDE_NAMESPACES};
	struct kith_count_result *counted;
	struct kith_scan_result *page;
	struct kith_search_result *hits;
	uint64_t scanned = 0, found = 0;

	DONE(conn, kith_count(conn, &count, &counted));
	assert_int_equal(counted->count, n);
	DONE(conn, kith_scan(conn, &scan, &page));
	assert_int_equal(page->ids.n, n);
	assert_true(page->done);
	DONE(conn, kith_search(conn, &params, &hits));
	assert_int_equal(hits->ids.n, n);
	assert_int_equal(hits->scanned, n);
	for (uint32_t i = 0; i < n; i++) {
		scanned += page->ids.v[i].number;
		found += hits->ids.v[i].number;
		if (namespace)
			assert_true(is_text(hits->namespaces.v[i], namespace));
	}
	assert_int_equal(scanned, sum);
	assert_int_equal(found, sum);
	kith_free(counted);
	kith_free(page);
	kith_free(hits);
}

static void namespaces_bound_search_scan_and_count(void **state)
{
	struct service_fixture *service = *state;

	for (uint64_t number = 0; number < 30; number++)
		put_in_namespace(service->conn, number,
		                 number % 3 == 0   ? NULL
		                 : number % 3 == 1 ? "books"
		                                   : "b\xc3\xa9\x01");
	for (int life = 0; life < 2; life++) {
		expect_namespace(service->conn, NULL, 30, 435);
		expect_namespace(service->conn, "", 10, 135);
		expect_namespace(service->conn, "books", 10, 145);
		expect_namespace(service->conn, "b\xc3\xa9\x01", 10, 155);
		expect_namespace(service->conn, "unheard of", 0, 0);
		service_stop_and_start(service);
	}
	/* A record that moves is in the new one only. */
	put_in_namespace(service->conn, 4, "films");
	expect_namespace(service->conn, "films", 1, 4);
	expect_namespace(service->conn, "books", 9, 141);
	delete_records(service->conn, "notes", 4, 1);
	expect_namespace(service->conn, "films", 0, 0);
	expect_namespace(service->conn, NULL, 29, 431);
}

/* Include, scan ------------------------------------------------------------------------------- */

static void hits_bring_the_columns_that_are_asked_for(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	float vector[RECORD_DIM], query[RECORD_DIM];
	char text[RECORD_TEXT_SIZE];
	struct kith_search_params params = {
	        .collection = kith_text("notes"),
	        .vectors = kith_vectors(record_vector(3, 1, query), RECORD_DIM),
	        .k = 5,
	};
	struct kith_search_result *hits;

	put_records(conn, "notes", 0, 50, 1);
	for (uint32_t include = 0; include < 16; include++) {
		params.include = include;
		DONE(conn, kith_search(conn, &params, &hits));
		assert_int_equal(hits->ids.n, 5);
		assert_int_equal(hits->ids.v[0].number, 3);
		assert_int_equal(hits->vectors.v != NULL, (include & KITH_INCLUDE_VECTORS) != 0);
		assert_int_equal(hits->texts.v != NULL, (include & KITH_INCLUDE_TEXTS) != 0);
		assert_int_equal(hits->metas.v != NULL, (include & KITH_INCLUDE_METAS) != 0);
		assert_int_equal(hits->namespaces.v != NULL,
		                 (include & KITH_INCLUDE_NAMESPACES) != 0);
		for (uint32_t i = 0; i < 5; i++) {
			uint64_t number = hits->ids.v[i].number;

			if (include & KITH_INCLUDE_TEXTS)
				assert_true(
				        is_text(hits->texts.v[i], record_text(number, 1, text)));
			if (include & KITH_INCLUDE_VECTORS)
				assert_memory_equal(hits->vectors.v + i * RECORD_DIM,
				                    record_vector(number, 1, vector),
				                    sizeof(vector));
		}
		kith_free(hits);
	}
}

static void a_scan_misses_nothing_while_records_are_replaced_behind_it(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_scan_params params = {.collection = kith_text("notes"),
	                                  .limit = 10,
	                                  .include = KITH_INCLUDE_TEXTS | KITH_INCLUDE_VECTORS};
	uint32_t seen[100] = {0};
	float vector[RECORD_DIM];
	bool done = false;

	put_records(conn, "notes", 0, 100, 1);
	for (uint32_t n_pages = 0; !done; n_pages++) {
		struct kith_scan_result *page;

		DONE(conn, kith_scan(conn, &params, &page));
		assert_true(page->ids.n <= 10);
		assert_true(page->cursor > params.cursor || page->done);
		for (uint32_t i = 0; i < page->ids.n; i++) {
			uint64_t number = page->ids.v[i].number;
			uint32_t version = ++seen[number];
			char text[RECORD_TEXT_SIZE];

			/* Its second coming is the replaced one. */
			assert_true(is_text(page->texts.v[i], record_text(number, version, text)));
			assert_memory_equal(page->vectors.v + i * RECORD_DIM,
			                    record_vector(number, version, vector), sizeof(vector));
		}
		if (n_pages < 3)
			put_records(conn, "notes", n_pages * 10, 10, 2);
		params.cursor = page->cursor;
		done = page->done;
		kith_free(page);
	}
	for (uint32_t number = 0; number < 100; number++)
		assert_int_equal(seen[number], number < 30 ? 2 : 1);
}

static void a_scan_of_nothing_is_done_at_once(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_scan_params params = {.collection = kith_text("notes")};
	struct kith_scan_result *page;

	DONE(conn, kith_scan(conn, &params, &page));
	assert_true(page->done);
	assert_int_equal(page->ids.n, 0);
	kith_free(page);
	put_records(conn, "notes", 0, 10, 1);
	params.cursor = INT64_MAX;
	DONE(conn, kith_scan(conn, &params, &page));
	assert_true(page->done);
	assert_int_equal(page->ids.n, 0);
	kith_free(page);
}

int main(void)
{
#define ON_NOTES(test) cmocka_unit_test_setup_teardown(test, notes_setup, service_teardown)
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(distances_and_order_are_those_of_doubles,
	                                        service_setup, service_teardown),
	        cmocka_unit_test_setup_teardown(
	                a_scaled_vector_is_as_near_under_cosine_and_comes_back_as_it_was,
	                service_setup, service_teardown),
	        ON_NOTES(equally_near_records_come_in_the_order_of_writing),
	        ON_NOTES(many_queries_are_answered_as_each_alone),
	        ON_NOTES(a_search_over_several_extents_misses_nothing),
	        ON_NOTES(an_answer_has_no_more_hits_than_there_are_records),
	        ON_NOTES(limits_hold_at_the_limit_and_not_beyond),
	        ON_NOTES(what_does_not_fit_in_an_answer_is_refused_and_a_scan_makes_pages),
	        ON_NOTES(namespaces_bound_search_scan_and_count),
	        ON_NOTES(hits_bring_the_columns_that_are_asked_for),
	        ON_NOTES(a_scan_misses_nothing_while_records_are_replaced_behind_it),
	        ON_NOTES(a_scan_of_nothing_is_done_at_once),
	};

	return cmocka_run_group_tests_name("reading", tests, NULL, NULL);
}
