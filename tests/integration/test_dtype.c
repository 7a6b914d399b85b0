/* SPDX-License-Identifier: Apache-2.0 */

/* Collections of f16 and requests of f16, in every pairing with f32. Expectations are made of the
 * values that an f16 can have, in doubles. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/dtype.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/scratch_dir.h"

#define N_RECORDS 1500u
#define K 20u

/* What an f16 collection may be off under cosine. */
#define COSINE_SLACK 0.0005

static void make(struct kith_conn *conn, const char *name, enum kith_metric metric,
                 enum kith_dtype dtype)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(name), .dim = RECORD_DIM, .metric = metric, .dtype = dtype};

	DONE(conn, kith_create_collection(conn, &params, NULL));
}

static void to_f16(const float *vector, uint16_t *ret)
{
	dtype_convert(vector, DTYPE_F32, RECORD_DIM, DTYPE_F16, ret);
}

static void to_f32(const uint16_t *vector, float *ret)
{
	dtype_convert(vector, DTYPE_F16, RECORD_DIM, DTYPE_F32, ret);
}

/* The vector of a numbered record after it was f16. */
static void rounded_vector(uint64_t number, float *ret)
{
	uint16_t halves[RECORD_DIM];

	record_vector(number, 1, ret);
	to_f16(ret, halves);
	to_f32(halves, ret);
}

static struct kith_upsert_result upsert(struct kith_conn *conn, const char *collection,
                                        uint64_t number, struct kith_f32s vectors,
                                        enum kith_dtype dtype)
{
	const struct kith_id id = kith_id_number(number);
	const struct kith_upsert_params params = {.collection = kith_text(collection),
	                                          .ids = {&id, 1},
	                                          .vectors = vectors,
	                                          .dtype = dtype};
	struct kith_upsert_result *result, copy;

	DONE(conn, kith_upsert(conn, &params, &result));
	copy = *result;
	kith_free(result);
	return copy;
}

/* get, scan and search all hand out these bytes for the record. */
static void expect_vector(struct kith_conn *conn, const char *collection, uint64_t number,
                          enum kith_dtype dtype, const void *vector, size_t n_bytes)
{
	const struct kith_id id = kith_id_number(number);
	const struct kith_get_params get = {.collection = kith_text(collection),
	                                    .ids = {&id, 1},
	                                    .include = KITH_INCLUDE_VECTORS,
	                                    .dtype = dtype};
	const struct kith_scan_params scan = {.collection = kith_text(collection),
	                                      .include = KITH_INCLUDE_VECTORS,
	                                      .dtype = dtype};
	const struct kith_search_params search = {
	        .collection = kith_text(collection),
	        .vectors = dtype == KITH_DTYPE_F16 ? kith_vectors_f16(vector, RECORD_DIM)
	                                           : kith_vectors(vector, RECORD_DIM),
	        .dtype = dtype,
	        .k = 1,
	        .include = KITH_INCLUDE_VECTORS};
	struct kith_get_result *got;
	struct kith_scan_result *page;
	struct kith_search_result *hits;

	DONE(conn, kith_get(conn, &get, &got));
	assert_int_equal(got->vectors.size_bytes, n_bytes);
	assert_memory_equal(got->vectors.v, vector, n_bytes);
	kith_free(got);
	DONE(conn, kith_scan(conn, &scan, &page));
	assert_int_equal(page->vectors.size_bytes, n_bytes);
	assert_memory_equal(page->vectors.v, vector, n_bytes);
	kith_free(page);
	DONE(conn, kith_search(conn, &search, &hits));
	assert_int_equal(hits->vectors.size_bytes, n_bytes);
	assert_memory_equal(kith_f16(&hits->vectors), vector, n_bytes);
	kith_free(hits);
}

/* Pairings ------------------------------------------------------------------------------------ */

static void a_collection_of_f16_rounds_floats_and_hands_out_both(void **state)
{
	struct service_fixture *service = *state;
	float vector[RECORD_DIM], rounded[RECORD_DIM];
	uint16_t halves[RECORD_DIM];

	make(service->conn, "halves", KITH_METRIC_L2, KITH_DTYPE_F16);
	record_vector(1, 1, vector);
	to_f16(vector, halves);
	to_f32(halves, rounded);
	assert_memory_not_equal(vector, rounded, sizeof(vector));
	assert_int_equal(
	        upsert(service->conn, "halves", 1, kith_vectors(vector, RECORD_DIM), KITH_DTYPE_F32)
	                .inserted,
	        1);
	expect_vector(service->conn, "halves", 1, KITH_DTYPE_F32, rounded, sizeof(rounded));
	expect_vector(service->conn, "halves", 1, KITH_DTYPE_F16, halves, sizeof(halves));
	service_kill_and_start(service);
	expect_vector(service->conn, "halves", 1, KITH_DTYPE_F32, rounded, sizeof(rounded));
	expect_vector(service->conn, "halves", 1, KITH_DTYPE_F16, halves, sizeof(halves));
}

static void a_collection_of_f32_widens_f16_and_does_not_narrow(void **state)
{
	struct service_fixture *service = *state;
	struct kith_conn *conn = service->conn;
	const struct kith_id id = kith_id_number(1);
	float vector[RECORD_DIM];
	uint16_t halves[RECORD_DIM];
	struct kith_get_params get = {.collection = kith_text("floats"),
	                              .ids = {&id, 1},
	                              .include = KITH_INCLUDE_VECTORS,
	                              .dtype = KITH_DTYPE_F16};
	struct kith_scan_params scan = {.collection = kith_text("floats"),
	                                .include = KITH_INCLUDE_VECTORS,
	                                .dtype = KITH_DTYPE_F16};
	struct kith_search_params search = {.collection = kith_text("floats"),
	                                    .vectors = kith_vectors_f16(halves, RECORD_DIM),
	                                    .dtype = KITH_DTYPE_F16,
	                                    .include = KITH_INCLUDE_VECTORS};
	struct kith_search_result *hits;

	make(conn, "floats", KITH_METRIC_L2, KITH_DTYPE_F32);
	record_vector(1, 1, vector);
	to_f16(vector, halves);
	to_f32(halves, vector);
	upsert(conn, "floats", 1, kith_vectors_f16(halves, RECORD_DIM), KITH_DTYPE_F16);
	expect_vector(conn, "floats", 1, KITH_DTYPE_F32, vector, sizeof(vector));
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "dtype", kith_get(conn, &get, NULL));
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "dtype", kith_scan(conn, &scan, NULL));
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "dtype", kith_search(conn, &search, NULL));
	get.include = scan.include = search.include = 0;
	DONE(conn, kith_get(conn, &get, NULL));
	DONE(conn, kith_scan(conn, &scan, NULL));
	DONE(conn, kith_search(conn, &search, &hits));
	assert_true(hits->ids.n == 1 && hits->distances.v[0] == 0);
	kith_free(hits);
}

static void an_equal_vector_is_unchanged_in_either_dtype(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	float vector[RECORD_DIM], rounded[RECORD_DIM];
	uint16_t halves[RECORD_DIM];
	uint64_t seq;

	make(conn, "halves", KITH_METRIC_COSINE, KITH_DTYPE_F16);
	record_vector(1, 1, vector);
	to_f16(vector, halves);
	to_f32(halves, rounded);
	seq = upsert(conn, "halves", 1, kith_vectors(vector, RECORD_DIM), KITH_DTYPE_F32).seq;
	for (int i = 0; i < 3; i++) {
		struct kith_upsert_result again =
		        i == 0   ? upsert(conn, "halves", 1, kith_vectors(vector, RECORD_DIM),
		                          KITH_DTYPE_F32)
		        : i == 1 ? upsert(conn, "halves", 1, kith_vectors(rounded, RECORD_DIM),
		                          KITH_DTYPE_F32)
		                 : upsert(conn, "halves", 1, kith_vectors_f16(halves, RECORD_DIM),
		                          KITH_DTYPE_F16);

		assert_int_equal(again.unchanged, 1);
		assert_int_equal(again.seq, seq);
	}
	halves[3] ^= 1;
	assert_int_equal(
	        upsert(conn, "halves", 1, kith_vectors_f16(halves, RECORD_DIM), KITH_DTYPE_F16)
	                .replaced,
	        1);
}

static void an_updated_text_keeps_the_vector(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id id = kith_id_number(1);
	const struct kith_str text = kith_text("another");
	const struct kith_update_params update = {
	        .collection = kith_text("halves"), .ids = {&id, 1}, .texts = {&text, 1}};
	float vector[RECORD_DIM];
	uint16_t halves[RECORD_DIM];

	make(conn, "halves", KITH_METRIC_IP, KITH_DTYPE_F16);
	record_vector(1, 1, vector);
	to_f16(vector, halves);
	upsert(conn, "halves", 1, kith_vectors(vector, RECORD_DIM), KITH_DTYPE_F32);
	DONE(conn, kith_update(conn, &update, NULL));
	expect_vector(conn, "halves", 1, KITH_DTYPE_F16, halves, sizeof(halves));
}

static void dimensions_reach_from_1_to_4096(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	static const uint32_t dims[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 127, 1536, 4095, 4096};
	static float vector[4096];
	static uint16_t halves[4096];

	for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++) {
		char name[16];
		const struct kith_id id = kith_id_number(dims[i]);
		struct kith_create_collection_params create = {
		        .metric = KITH_METRIC_COSINE, .dim = dims[i], .dtype = KITH_DTYPE_F16};
		struct kith_upsert_params upsert_params = {.ids = {&id, 1},
		                                           .dtype = KITH_DTYPE_F16};
		struct kith_search_params search = {.include = KITH_INCLUDE_VECTORS,
		                                    .dtype = KITH_DTYPE_F16};
		struct kith_search_result *hits;

		snprintf(name, sizeof(name), "dim %u", dims[i]);
		draw_vector(i, dims[i], vector);
		dtype_convert(vector, DTYPE_F32, dims[i], DTYPE_F16, halves);
		create.name = upsert_params.collection = search.collection = kith_text(name);
		upsert_params.vectors = search.vectors = kith_vectors_f16(halves, dims[i]);
		DONE(conn, kith_create_collection(conn, &create, NULL));
		DONE(conn, kith_upsert(conn, &upsert_params, NULL));
		DONE(conn, kith_search(conn, &search, &hits));
		assert_int_equal(hits->ids.n, 1);
		assert_true(hits->distances.v[0] >= 0 && hits->distances.v[0] < COSINE_SLACK);
		assert_int_equal(hits->vectors.size_bytes, dims[i] * 2);
		assert_memory_equal(hits->vectors.v, halves, dims[i] * 2);
		kith_free(hits);
	}
}

/* Refusals ------------------------------------------------------------------------------------ */

static void what_f16_cannot_hold_is_refused_with_its_row(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id ids[3] = {kith_id_number(1), kith_id_number(2), kith_id_number(3)};
	float vectors[3][RECORD_DIM];
	struct kith_upsert_params params = {.collection = kith_text("l2"),
	                                    .ids = {ids, 3},
	                                    .vectors = kith_vectors(vectors[0], 3 * RECORD_DIM)};

	make(conn, "l2", KITH_METRIC_L2, KITH_DTYPE_F16);
	make(conn, "cosine", KITH_METRIC_COSINE, KITH_DTYPE_F16);
	for (uint32_t i = 0; i < 3; i++)
		record_vector(i, 1, vectors[i]);
	vectors[1][5] = 65520;
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors", kith_upsert(conn, &params, NULL));
	assert_int_equal(kith_error_row(conn), 1);
	assert_non_null(strstr(kith_error_message(conn), "65504"));
	expect_count(conn, "l2", 0);
	vectors[1][5] = nextafterf(65520, 0);
	DONE(conn, kith_upsert(conn, &params, NULL));

	for (uint32_t i = 0; i < RECORD_DIM; i++)
		vectors[2][i] = 1e-8f;
	DONE(conn, kith_upsert(conn, &params, NULL));
	params.collection = kith_text("cosine");
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors", kith_upsert(conn, &params, NULL));
	assert_int_equal(kith_error_row(conn), 2);
	expect_count(conn, "cosine", 0);
}

static void vectors_of_the_wrong_size_or_value_are_refused(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id id = kith_id_number(1);
	uint16_t halves[2 * RECORD_DIM] = {0x3c00};
	struct kith_upsert_params upsert_params = {
	        .collection = kith_text("halves"), .ids = {&id, 1}, .dtype = KITH_DTYPE_F16};
	struct kith_search_params search = {.collection = kith_text("halves"),
	                                    .dtype = KITH_DTYPE_F16};

	make(conn, "halves", KITH_METRIC_L2, KITH_DTYPE_F16);
	for (uint32_t n = RECORD_DIM - 1; n <= RECORD_DIM + 1; n += 2) {
		upsert_params.vectors = search.vectors = kith_vectors_f16(halves, n);
		REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors",
		        kith_upsert(conn, &upsert_params, NULL));
		REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors", kith_search(conn, &search, NULL));
	}
	upsert_params.vectors = search.vectors = kith_vectors_f16(halves, RECORD_DIM);
	for (int i = 0; i < 2; i++) {
		halves[7] = i ? 0x7c00 : 0x7e00;
		REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors",
		        kith_upsert(conn, &upsert_params, NULL));
		REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors", kith_search(conn, &search, NULL));
		assert_int_equal(kith_error_row(conn), 0);
	}
	expect_count(conn, "halves", 0);
}

/* What a collection is ------------------------------------------------------------------------ */

static void a_collection_says_its_dtype(void **state)
{
	struct service_fixture *service = *state;
	const struct kith_describe_collection_params describe = {kith_text("halves")};
	struct kith_create_collection_params create = {.name = kith_text("halves"),
	                                               .dim = RECORD_DIM,
	                                               .dtype = KITH_DTYPE_F16,
	                                               .exist_ok = true};
	struct kith_describe_collection_result *about;
	struct kith_list_collections_result *list;

	make(service->conn, "halves", KITH_METRIC_L2, KITH_DTYPE_F16);
	for (int life = 0; life < 2; life++) {
		DONE(service->conn, kith_describe_collection(service->conn, &describe, &about));
		assert_int_equal(about->collection.dtype, KITH_DTYPE_F16);
		kith_free(about);
		DONE(service->conn, kith_list_collections(service->conn, &list));
		assert_int_equal(list->collections.v[0].dtype, KITH_DTYPE_F16);
		kith_free(list);
		service_stop_and_start(service);
	}
	DONE(service->conn, kith_create_collection(service->conn, &create, NULL));
	create.dtype = KITH_DTYPE_F32;
	REFUSED(service->conn, KITH_ERROR_COLLECTION_EXISTS, "name",
	        kith_create_collection(service->conn, &create, NULL));
}

/* Searches ------------------------------------------------------------------------------------ */

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

/* The K nearest of all records as they are in f16, by doubles. */
static void check_hits(enum kith_metric metric, const float *query,
                       const struct kith_search_result *hits)
{
	double slack = metric == KITH_METRIC_COSINE ? COSINE_SLACK : 1e-5;
	float vector[RECORD_DIM];
	uint32_t nearer = 0;

	assert_int_equal(hits->ids.n, K);
	for (uint32_t i = 0; i < K; i++) {
		rounded_vector(hits->ids.v[i].number, vector);
		assert_true(hits->distances.v[i] >= 0 || metric == KITH_METRIC_IP);
		assert_true(fabs(hits->distances.v[i] - reference(metric, query, vector)) < slack);
		assert_true(i == 0 || hits->distances.v[i - 1] <= hits->distances.v[i]);
	}
	for (uint32_t number = 0; number < N_RECORDS; number++) {
		rounded_vector(number, vector);
		nearer += reference(metric, query, vector) < hits->distances.v[K - 1] - slack;
	}
	assert_true(nearer < K);
}

static struct kith_search_result *nearest(struct kith_conn *conn, const char *collection,
                                          struct kith_f32s query, enum kith_dtype dtype, bool exact)
{
	const struct kith_search_params params = {.collection = kith_text(collection),
	                                          .vectors = query,
	                                          .dtype = dtype,
	                                          .k = K,
	                                          .ef_search = 400,
	                                          .exact = exact};
	struct kith_search_result *hits;

	DONE(conn, kith_search(conn, &params, &hits));
	expect_honest(hits);
	return hits;
}

static void check_searches(struct kith_conn *conn, const char *collection, enum kith_metric metric)
{
	for (uint32_t q = 0; q < 6; q++) {
		struct kith_search_result *hits, *from_f32, *from_f16;
		float query[RECORD_DIM];
		uint16_t halves[RECORD_DIM];

		draw_vector(77 + q, RECORD_DIM, query);
		hits = nearest(conn, collection, kith_vectors(query, RECORD_DIM), KITH_DTYPE_F32,
		               true);
		check_hits(metric, query, hits);
		kith_free(hits);

		to_f16(query, halves);
		to_f32(halves, query);
		from_f32 = nearest(conn, collection, kith_vectors(query, RECORD_DIM),
		                   KITH_DTYPE_F32, true);
		from_f16 = nearest(conn, collection, kith_vectors_f16(halves, RECORD_DIM),
		                   KITH_DTYPE_F16, true);
		expect_same_hits(from_f32, from_f16);
		kith_free(from_f32);
		kith_free(from_f16);
	}
}

static void searches_are_those_of_doubles_over_the_rounded_vectors(void **state)
{
	struct service_fixture *service = *state;
	static const char *const names[] = {"l2", "ip", "cosine"};

	for (uint32_t metric = 0; metric < 3; metric++) {
		make(service->conn, names[metric], metric, KITH_DTYPE_F16);
		put_records(service->conn, names[metric], 0, N_RECORDS, 1);
		check_searches(service->conn, names[metric], metric);
	}
	service_kill_and_start(service);
	for (uint32_t metric = 0; metric < 3; metric++)
		check_searches(service->conn, names[metric], metric);
}

static void a_graph_over_f16_has_the_distances_of_the_scan(void **state)
{
	struct service_fixture *service = *state;
	static const char *const names[] = {"l2", "ip", "cosine"};

	for (uint32_t metric = 0; metric < 3; metric++) {
		make(service->conn, names[metric], metric, KITH_DTYPE_F16);
		put_records(service->conn, names[metric], 0, N_RECORDS, 1);
		ensure(service->conn, (struct ask){names[metric], .wait = true});
	}
	for (int life = 0; life < 2; life++) {
		for (uint32_t metric = 0; metric < 3; metric++) {
			struct kith_search_result *graph, *exact;
			float query[RECORD_DIM];

			draw_vector(177, RECORD_DIM, query);
			await_settled(service->conn, names[metric], NULL);
			graph = nearest(service->conn, names[metric],
			                kith_vectors(query, RECORD_DIM), KITH_DTYPE_F32, false);
			exact = nearest(service->conn, names[metric],
			                kith_vectors(query, RECORD_DIM), KITH_DTYPE_F32, true);
			assert_int_equal(graph->mode, KITH_MODE_HNSW);
			expect_same_hits(graph, exact);
			kith_free(graph);
			kith_free(exact);
		}
		service_stop_and_start(service);
	}
}

/* The vector file ----------------------------------------------------------------------------- */

static uint64_t file_bytes(const struct service_fixture *service, const char *collection,
                           char path[static DAEMON_PROCESS_PATH_SIZE + 16])
{
	char dir[DAEMON_PROCESS_PATH_SIZE];

	snprintf(path, DAEMON_PROCESS_PATH_SIZE + 16, "%s/vectors",
	         collection_path(service->conn, collection, service->daemon->cache_dir, dir));
	return scratch_file_size(path);
}

static void a_lost_vector_file_comes_back_from_the_truth(void **state)
{
	struct service_fixture *service = *state;
	char path[DAEMON_PROCESS_PATH_SIZE + 16];
	uint64_t before, after;

	make(service->conn, "halves", KITH_METRIC_COSINE, KITH_DTYPE_F16);
	put_records(service->conn, "halves", 0, N_RECORDS, 1);
	await_mapped(service->conn, "halves");
	before = file_bytes(service, "halves", path);
	service_stop(service);
	assert_int_equal(remove(path), 0);
	service_start(service);
	check_searches(service->conn, "halves", KITH_METRIC_COSINE); /* out of the truth, or anew */
	await_mapped(service->conn, "halves");
	check_searches(service->conn, "halves", KITH_METRIC_COSINE);
	after = file_bytes(service, "halves", path);
	assert_int_equal(before, after);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, service_setup, service_teardown)
	const struct CMUnitTest tests[] = {
	        FRESH(a_collection_of_f16_rounds_floats_and_hands_out_both),
	        FRESH(a_collection_of_f32_widens_f16_and_does_not_narrow),
	        FRESH(an_equal_vector_is_unchanged_in_either_dtype),
	        FRESH(an_updated_text_keeps_the_vector),
	        FRESH(dimensions_reach_from_1_to_4096),
	        FRESH(what_f16_cannot_hold_is_refused_with_its_row),
	        FRESH(vectors_of_the_wrong_size_or_value_are_refused),
	        FRESH(a_collection_says_its_dtype),
	        FRESH(searches_are_those_of_doubles_over_the_rounded_vectors),
	        FRESH(a_graph_over_f16_has_the_distances_of_the_scan),
	        FRESH(a_lost_vector_file_comes_back_from_the_truth),
	};

	return cmocka_run_group_tests_name("dtype", tests, NULL, NULL);
}
