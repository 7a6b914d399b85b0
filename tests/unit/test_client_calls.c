/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/kith.h"
#include "protocol/meta.h"
#include "tests/lib/fake_daemon.h"

#define ROWS 3u
#define DIM 4u

static const float vectors[ROWS * DIM] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

struct fixture {
	struct fake_daemon daemon;
	struct kith_conn *conn;
};

static struct fixture *fixture_new(fake_handler *handler, void *ctx)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct kith_options options = {.client = "a test"};

	assert_non_null(fixture);
	fake_daemon_init(&fixture->daemon, handler, ctx);
	fake_daemon_start(&fixture->daemon);
	options.socket_path = fixture->daemon.socket;
	assert_int_equal(kith_connect(&options, &fixture->conn), 0);
	return fixture;
}

static void fixture_free(struct fixture *fixture)
{
	kith_close(fixture->conn);
	fake_daemon_release(&fixture->daemon);
	free(fixture);
}

static bool is_text(struct kith_str str, const char *text)
{
	return str.data && str.n == strlen(text) && memcmp(str.data, text, str.n) == 0;
}

static void answer_ping(struct fake_daemon *daemon, const struct wire_request *request)
{
	FAKE_MUST(request->method == WIRE_METHOD_ping);
	fake_answer(daemon, request, &(struct ping_result){0});
}

static void connecting_says_hello_and_tells_who_answered(void **state)
{
	struct fixture *fixture = fixture_new(answer_ping, NULL);

	(void)state;
	assert_string_equal(kith_server_version(fixture->conn), "1.2.3");
	assert_int_equal(kith_server_pid(fixture->conn), 4711);
	assert_true(kith_fd(fixture->conn) >= 0);
	assert_int_equal(kith_ping(fixture->conn), 0);
	fixture_free(fixture);
}

static void a_daemon_that_is_not_there_is_named_with_the_way_to_start_it(void **state)
{
	struct scratch_dir dir;
	char path[SCRATCH_PATH_SIZE], message[256], expected[1024];
	struct kith_options options = {
	        .socket_path = path, .ret_message = message, .message_size_bytes = sizeof(message)};
	struct kith_conn *conn = (void *)&options;

	(void)state;
	scratch_dir_init(&dir);
	scratch_dir_path(&dir, "none.sock", path);
	assert_int_equal(kith_connect(&options, &conn), -ENOENT);
	assert_ptr_equal(conn, &options);
	snprintf(expected, sizeof(expected),
	         "cannot reach the daemon at %s: No such file or directory (is kithd running? "
	         "try: systemctl --user start kithd.socket)",
	         path);
	assert_string_equal(message, expected);
	scratch_dir_release(&dir);
}

/* Connects so many times to a daemon that refuses, and ends it. */
static void expect_refusals(struct fake_daemon *daemon, uint32_t n, int error, const char *words)
{
	char message[256];
	struct kith_options options = {.ret_message = message,
	                               .message_size_bytes = sizeof(message)};
	struct kith_conn *conn;

	fake_daemon_start(daemon);
	options.socket_path = daemon->socket;
	for (uint32_t i = 0; i < n; i++) {
		message[0] = '\0';
		assert_int_equal(kith_connect(&options, &conn), error);
		assert_string_equal(message, words);
	}
	fake_daemon_release(daemon);
}

static void a_daemon_of_another_protocol_is_refused_with_its_own_words(void **state)
{
	struct fake_daemon daemon;
	struct wire_error refusal;

	(void)state;
	wire_error_set(&refusal, WIRE_ERROR_BAD_PROTOCOL, "protocol", "only version 7 is spoken");
	fake_daemon_init(&daemon, answer_ping, NULL);
	daemon.refuse_hello = &refusal;
	expect_refusals(&daemon, 1, KITH_ERROR_BAD_PROTOCOL, "only version 7 is spoken");
	assert_string_equal(kith_error_name(KITH_ERROR_BAD_PROTOCOL), "bad_protocol");
}

/* Whether it hears that before it says hello or after. */
static void who_is_turned_away_hears_why(void **state)
{
	struct fake_daemon daemon;
	struct wire_error refusal;

	(void)state;
	wire_error_set(&refusal, WIRE_ERROR_OVER_LIMIT, "connections", "there are too many");
	fake_daemon_init(&daemon, answer_ping, NULL);
	daemon.turn_away = &refusal;
	expect_refusals(&daemon, 50, KITH_ERROR_OVER_LIMIT, "there are too many");
}

static void check_upsert(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct upsert_params *params = request->params;
	const struct upsert_result result = {.seq = 9, .inserted = 2, .unchanged = 1};

	FAKE_MUST(request->method == WIRE_METHOD_upsert);
	FAKE_MUST(params->collection.n == 5);
	FAKE_MUST(memcmp(params->collection.data, "notes", 5) == 0);
	FAKE_MUST(!params->space.data);
	FAKE_MUST(memcmp(params->namespace.data, "home", 4) == 0);
	FAKE_MUST(params->ids.n == ROWS);
	FAKE_MUST(!params->ids.v[0].text);
	FAKE_MUST(params->ids.v[0].number == 7);
	FAKE_MUST(memcmp(params->ids.v[1].text, "seven", 5) == 0);
	FAKE_MUST(params->vectors.n == sizeof(vectors));
	FAKE_MUST(memcmp(params->vectors.data, vectors, sizeof(vectors)) == 0);
	FAKE_MUST(memcmp(params->texts.v[0].data, "one", 3) == 0);
	FAKE_MUST(!params->texts.v[1].data);
	FAKE_MUST(!params->metas.v[0].blob.data);
	FAKE_MUST(params->metas.v[1].n_scalars == 5);
	fake_answer(daemon, request, &result);
}

static struct kith_meta some_meta(struct kith_meta_builder *builder)
{
	kith_meta_text(builder, "file", kith_text("notes.md"));
	kith_meta_list(builder, "lines", 2);
	kith_meta_int(builder, NULL, 12);
	kith_meta_int(builder, NULL, -40);
	kith_meta_float(builder, "score", 0.5);
	kith_meta_bool(builder, "draft", true);
	return kith_meta_end(builder);
}

static void upsert_sends_every_column(void **state)
{
	struct fixture *fixture = fixture_new(check_upsert, NULL);
	struct kith_meta_builder *builder = kith_meta_new();
	const struct kith_id ids[ROWS] = {kith_id_number(7), kith_id_text("seven"),
	                                  kith_id_number(UINT64_MAX)};
	const struct kith_str texts[ROWS] = {kith_text("one"), kith_text(NULL), kith_text("")};
	const struct kith_meta metas[ROWS] = {{0}, some_meta(builder), some_meta(builder)};
	struct kith_upsert_params params = {.collection = kith_text("notes"),
	                                    .namespace_ = kith_text("home"),
	                                    .ids = {ids, ROWS},
	                                    .vectors = kith_vectors(vectors, ROWS * DIM),
	                                    .texts = {texts, ROWS},
	                                    .metas = {metas, ROWS}};
	struct kith_upsert_result *result;

	(void)state;
	assert_int_equal(kith_upsert(fixture->conn, &params, &result), 0);
	assert_int_equal(result->seq, 9);
	assert_int_equal(result->inserted, 2);
	assert_int_equal(result->unchanged, 1);
	kith_free(result);
	assert_int_equal(kith_upsert(fixture->conn, &params, NULL), 0);
	kith_meta_free(builder);
	fixture_free(fixture);
}

/* The texts before the floats are as long as ctx says, so that these stand at every alignment. */
static void answer_search(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct search_params *params = request->params;
	const uint32_t *pad = daemon->ctx;
	uint32_t counts[] = {2, 1};
	struct wire_id ids[ROWS] = {
	        {.text = "aaaaaaaa", .n = *pad}, {.number = 5}, {.number = UINT64_MAX}};
	struct wire_str texts[ROWS] = {{"first", 5}, {NULL, 0}, {"third", 5}};
	struct wire_meta_builder builder;
	struct wire_meta metas[ROWS] = {0};
	struct search_result result = {
	        .counts = {counts, 2},
	        .ids = {ids, ROWS},
	        .distances = {vectors, ROWS * sizeof(float)},
	        .vectors = {vectors, sizeof(vectors)},
	        .texts = {texts, ROWS},
	        .metas = {metas, ROWS},
	        .mode = WIRE_mode_hnsw,
	        .coverage = 0.75,
	        .generation = 3,
	        .comparisons = 1200,
	        .scanned = 15000,
	        .ef_search = 300,
	        .served_from = WIRE_source_mapped,
	        .time_us = 1234,
	};

	FAKE_MUST(params->k == 10);
	FAKE_MUST(params->ef_search == 200);
	FAKE_MUST(params->target_recall == 0.95);
	FAKE_MUST(params->exact);
	wire_meta_begin(&builder);
	wire_meta_int(&builder, "page", 12);
	metas[0].blob = wire_meta_end(&builder);
	fake_answer(daemon, request, &result);
	wire_meta_release(&builder);
}

static int check_page(void *ctx, const struct kith_scalar *scalar, bool in_list)
{
	(void)ctx;
	assert_false(in_list);
	assert_true(is_text(scalar->key, "page"));
	assert_int_equal(scalar->kind, KITH_SCALAR_INT);
	assert_int_equal(scalar->integer, 12);
	return 77;
}

static void search_hands_back_every_column_aligned(void **state)
{
	uint32_t pad = 1;
	struct fixture *fixture = fixture_new(answer_search, &pad);
	struct kith_search_params params = {.collection = kith_text("notes"),
	                                    .vectors = kith_vectors(vectors, 2 * DIM),
	                                    .ef_search = 200,
	                                    .target_recall = 0.95,
	                                    .exact = true};
	struct kith_search_result *hits;

	(void)state;
	for (; pad <= 8; pad++) {
		assert_int_equal(kith_search(fixture->conn, &params, &hits), 0);
		assert_int_equal(hits->counts.n, 2);
		assert_int_equal(hits->counts.v[0], 2);
		assert_int_equal(hits->ids.v[0].n, pad);
		assert_memory_equal(hits->ids.v[0].text, "aaaaaaaa", pad);
		assert_true(hits->ids.v[2].number == UINT64_MAX);
		assert_int_equal((uintptr_t)hits->distances.v % sizeof(float), 0);
		assert_int_equal((uintptr_t)hits->vectors.v % sizeof(float), 0);
		assert_memory_equal(hits->distances.v, vectors, ROWS * sizeof(float));
		assert_memory_equal(hits->vectors.v, vectors, sizeof(vectors));
		assert_true(is_text(hits->texts.v[0], "first"));
		assert_null(hits->texts.v[1].data);
		assert_null(hits->namespaces.v);
		assert_int_equal(kith_meta_each(&hits->metas.v[0], check_page, NULL), 77);
		assert_int_equal(kith_meta_each(&hits->metas.v[1], check_page, NULL), 0);
		assert_true(hits->coverage == 0.75);
		assert_string_equal(kith_mode_name(hits->mode), "hnsw");
		assert_int_equal(hits->generation, 3);
		assert_int_equal(hits->comparisons, 1200);
		assert_int_equal(hits->scanned, 15000);
		assert_int_equal(hits->ef_search, 300);
		assert_string_equal(kith_source_name(hits->served_from), "mapped");
		kith_free(hits);
	}
	fixture_free(fixture);
}

/* What was left out is what the table says; an index without a name has none here. */
static void answer_ensure(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct ensure_index_params *params = request->params;
	const struct ensure_index_result result = {
	        .outcome = WIRE_ensured_joined, .job = 7, .generation = 2, .coverage = 0.5};

	FAKE_MUST(request->method == WIRE_METHOD_ensure_index);
	FAKE_MUST(!params->index.data);
	FAKE_MUST(params->kind == WIRE_index_kind_hnsw);
	FAKE_MUST(params->m == 32);
	FAKE_MUST(params->ef_construction == 128);
	FAKE_MUST(params->ef_search == 64);
	FAKE_MUST(params->wait);
	FAKE_MUST(!params->replace);
	fake_answer(daemon, request, &result);
}

static void ensure_index_leaves_out_what_is_zero(void **state)
{
	struct fixture *fixture = fixture_new(answer_ensure, NULL);
	struct kith_ensure_index_params params = {
	        .collection = kith_text("notes"), .m = 32, .wait = true};
	struct kith_ensure_index_result *result;

	(void)state;
	assert_int_equal(kith_ensure_index(fixture->conn, &params, &result), 0);
	assert_string_equal(kith_ensured_name(result->outcome), "joined");
	assert_int_equal(result->job, 7);
	assert_int_equal(result->generation, 2);
	assert_true(result->coverage == 0.5);
	kith_free(result);
	params.kind = KITH_INDEX_KIND_HNSW + 1;
	assert_int_equal(kith_ensure_index(fixture->conn, &params, NULL), KITH_ERROR_BAD_VALUE);
	assert_string_equal(kith_error_field(fixture->conn), "kind");
	fixture_free(fixture);
}

/* Two indexes and two jobs; everything else succeeds. */
static void answer_index_methods(struct fake_daemon *daemon, const struct wire_request *request)
{
	static struct index_row indexes[] = {
	        {.name = {"vector", 6}, .m = 16, .state = WIRE_index_state_inserting, .pending = 9},
	        {.name = {"fine", 4}, .m = 48, .coverage = 0.25, .error = {"no memory", 9}},
	};
	static struct work_row jobs[] = {
	        {.job = 3, .index = {"vector", 6}, .phase = {"graph", 5}, .eta_s = 1.5},
	        {.job = 4, .index = {"fine", 4}, .waiting = 63},
	};

	switch (request->method) {
	case WIRE_METHOD_list_indexes:
		fake_answer(daemon, request, &(struct list_indexes_result){{indexes, 2}, 0});
		break;
	case WIRE_METHOD_jobs:
		fake_answer(daemon, request, &(struct jobs_result){{jobs, 2}, 0});
		break;
	case WIRE_METHOD_drop_index:
		fake_answer(daemon, request, &(struct drop_index_result){.dropped = true});
		break;
	case WIRE_METHOD_warm:
		fake_answer(daemon, request, &(struct warm_result){.size_bytes = 77});
		break;
	case WIRE_METHOD_evict:
		fake_answer(daemon, request, &(struct evict_result){true, 77, 0});
		break;
	case WIRE_METHOD_optimize:
		fake_answer(daemon, request, &(struct optimize_result){.inserted = 9});
		break;
	default:
		FAKE_MUST(((struct cancel_job_params *)request->params)->job == 3);
		fake_answer(daemon, request, &(struct cancel_job_result){.cancelled = true});
		break;
	}
}

static void indexes_and_jobs_come_as_rows(void **state)
{
	struct fixture *fixture = fixture_new(answer_index_methods, NULL);
	struct kith_list_indexes_params list = {.collection = kith_text("notes")};
	struct kith_list_indexes_result *indexes;
	struct kith_jobs_result *jobs;

	(void)state;
	assert_int_equal(kith_list_indexes(fixture->conn, &list, &indexes), 0);
	assert_int_equal(indexes->indexes.n, 2);
	assert_true(is_text(indexes->indexes.v[0].name, "vector"));
	assert_string_equal(kith_index_kind_name(indexes->indexes.v[0].kind), "hnsw");
	assert_string_equal(kith_index_state_name(indexes->indexes.v[0].state), "inserting");
	assert_int_equal(indexes->indexes.v[0].pending, 9);
	assert_int_equal(indexes->indexes.v[0].error.n, 0);
	assert_int_equal(indexes->indexes.v[1].m, 48);
	assert_true(indexes->indexes.v[1].coverage == 0.25);
	assert_true(is_text(indexes->indexes.v[1].error, "no memory"));
	kith_free(indexes);
	assert_int_equal(kith_jobs(fixture->conn, &jobs), 0);
	assert_int_equal(jobs->jobs.n, 2);
	assert_true(is_text(jobs->jobs.v[0].phase, "graph"));
	assert_true(jobs->jobs.v[0].eta_s == 1.5);
	assert_int_equal(jobs->jobs.v[1].job, 4);
	assert_int_equal(jobs->jobs.v[1].waiting, 63);
	kith_free(jobs);
	fixture_free(fixture);
}

static void indexes_are_warmed_and_evicted(void **state)
{
	struct fixture *fixture = fixture_new(answer_index_methods, NULL);
	struct kith_warm_params warm = {.collection = kith_text("notes")};
	struct kith_evict_params evict = {.collection = kith_text("notes")};
	struct kith_warm_result *warmed;
	struct kith_evict_result *evicted;

	(void)state;
	assert_int_equal(kith_warm(fixture->conn, &warm, &warmed), 0);
	assert_false(warmed->was_cached);
	assert_int_equal(warmed->size_bytes, 77);
	kith_free(warmed);
	assert_int_equal(kith_evict(fixture->conn, &evict, &evicted), 0);
	assert_true(evicted->was_cached);
	assert_int_equal(evicted->freed_bytes, 77);
	kith_free(evicted);
	fixture_free(fixture);
}

static void indexes_are_dropped_and_optimized_and_jobs_cancelled(void **state)
{
	struct fixture *fixture = fixture_new(answer_index_methods, NULL);
	struct kith_drop_index_params drop = {.collection = kith_text("notes")};
	struct kith_optimize_params optimize = {.collection = kith_text("notes")};
	struct kith_cancel_job_params cancel = {.job = 3};
	struct kith_drop_index_result *dropped;
	struct kith_optimize_result *optimized;
	struct kith_cancel_job_result *cancelled;

	(void)state;
	assert_int_equal(kith_drop_index(fixture->conn, &drop, &dropped), 0);
	assert_true(dropped->dropped);
	kith_free(dropped);
	assert_int_equal(kith_optimize(fixture->conn, &optimize, &optimized), 0);
	assert_int_equal(optimized->inserted, 9);
	assert_false(optimized->saved);
	kith_free(optimized);
	assert_int_equal(kith_cancel_job(fixture->conn, &cancel, &cancelled), 0);
	assert_true(cancelled->cancelled);
	kith_free(cancelled);
	fixture_free(fixture);
}

static void answer_large(struct fake_daemon *daemon, const struct wire_request *request)
{
	uint32_t positions[] = {0};
	size_t n = 4u << 20;
	float *column = malloc(n);
	struct get_result result = {.positions = {positions, 1}, .vectors = {column, n}};

	FAKE_MUST(column);
	for (size_t i = 0; i < n / sizeof(float); i++)
		column[i] = (float)i;
	fake_answer(daemon, request, &result);
	free(column);
}

static void a_large_result_outlives_the_connection(void **state)
{
	struct fixture *fixture = fixture_new(answer_large, NULL);
	const struct kith_id id = kith_id_number(1);
	struct kith_get_params params = {.collection = kith_text("notes"), .ids = {&id, 1}};
	struct kith_get_result *result;

	(void)state;
	assert_int_equal(kith_get(fixture->conn, &params, &result), 0);
	fixture_free(fixture);
	assert_int_equal(result->vectors.size_bytes, 4u << 20);
	assert_true(result->vectors.v[0] == 0.0f);
	assert_true(result->vectors.v[(1u << 20) - 1] == (float)((1u << 20) - 1));
	kith_free(result);
}

static void refuse_a_row(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct wire_error error;

	wire_error_set_row(&error, WIRE_ERROR_BAD_VALUE, "vectors", 2, "row 2 holds NaN");
	fake_refuse(daemon, request->id, &error);
}

static void a_refusal_has_code_message_field_and_row(void **state)
{
	struct fixture *fixture = fixture_new(refuse_a_row, NULL);
	struct kith_count_params params = {.collection = kith_text("notes")};
	struct kith_count_result *untouched = (void *)&params;

	(void)state;
	assert_int_equal(kith_count(fixture->conn, &params, &untouched), KITH_ERROR_BAD_VALUE);
	assert_ptr_equal(untouched, &params);
	assert_string_equal(kith_error_message(fixture->conn), "row 2 holds NaN");
	assert_string_equal(kith_error_field(fixture->conn), "vectors");
	assert_int_equal(kith_error_row(fixture->conn), 2);
	fixture_free(fixture);
}

/* [1, id, {code: "brand_new", message: "no"}, nil] */
static void refuse_newly(struct fake_daemon *daemon, const struct wire_request *request)
{
	static const char rest[] = "\x82\xa4"
	                           "code\xa9"
	                           "brand_new\xa7"
	                           "message\xa2no\xc0";
	uint8_t frame[64] = {0, 0, 0, 3 + sizeof(rest) - 1, 0x94, 1, (uint8_t)request->id};

	memcpy(frame + 7, rest, sizeof(rest) - 1);
	fake_send(daemon, frame, 7 + sizeof(rest) - 1);
}

static void a_code_from_a_newer_daemon_is_other(void **state)
{
	struct fixture *fixture = fixture_new(refuse_newly, NULL);

	(void)state;
	assert_int_equal(kith_ping(fixture->conn), KITH_ERROR_OTHER);
	assert_string_equal(kith_error_message(fixture->conn), "no");
	assert_null(kith_error_field(fixture->conn));
	assert_int_equal(kith_error_row(fixture->conn), -1);
	fixture_free(fixture);
}

static void a_choice_that_is_none_never_leaves(void **state)
{
	struct fixture *fixture = fixture_new(answer_ping, NULL);
	struct kith_create_collection_params create = {
	        .name = kith_text("notes"), .dim = 4, .metric = 3};
	struct kith_scan_params scan = {.collection = kith_text("notes"), .include = 16};

	(void)state;
	assert_int_equal(kith_create_collection(fixture->conn, &create, NULL),
	                 KITH_ERROR_BAD_VALUE);
	assert_string_equal(kith_error_field(fixture->conn), "metric");
	assert_int_equal(kith_scan(fixture->conn, &scan, NULL), KITH_ERROR_BAD_VALUE);
	assert_string_equal(kith_error_field(fixture->conn), "include");
	assert_int_equal(kith_subscribe(fixture->conn, 4), KITH_ERROR_BAD_VALUE);
	assert_int_equal(kith_ping(fixture->conn), 0);
	fixture_free(fixture);
}

static void a_request_over_the_frame_limit_never_leaves(void **state)
{
	struct fixture *fixture = fixture_new(answer_ping, NULL);
	size_t n_floats = LIMIT_FRAME_BYTES / sizeof(float);
	float *many = calloc(n_floats, sizeof(float));
	const struct kith_id id = kith_id_number(1);
	struct kith_upsert_params params = {.collection = kith_text("notes"),
	                                    .ids = {&id, 1},
	                                    .vectors = kith_vectors(many, n_floats)};

	(void)state;
	assert_non_null(many);
	assert_int_equal(kith_upsert(fixture->conn, &params, NULL), KITH_ERROR_OVER_LIMIT);
	assert_non_null(strstr(kith_error_message(fixture->conn), "16777216"));
	assert_int_equal(kith_ping(fixture->conn), 0);
	free(many);
	fixture_free(fixture);
}

static void names_are_found_both_ways(void **state)
{
	(void)state;
	assert_string_equal(kith_metric_name(KITH_METRIC_IP), "ip");
	assert_string_equal(kith_metric_name(99), "unknown");
	assert_int_equal(kith_metric_find("cosine"), KITH_METRIC_COSINE);
	assert_int_equal(kith_metric_find("cosinus"), -EINVAL);
	assert_string_equal(kith_error_name(KITH_ERROR_NO_COLLECTION), "no_collection");
	assert_int_equal(kith_index_kind_find("hnsw"), KITH_INDEX_KIND_HNSW);
	assert_int_equal(kith_index_kind_find("HNSW"), -EINVAL);
	assert_string_equal(kith_index_state_name(KITH_INDEX_STATE_REPLACING), "replacing");
	assert_string_equal(kith_index_state_name(KITH_INDEX_STATE_REPLACING + 1), "unknown");
	assert_string_equal(kith_error_name(KITH_ERROR_BUILD_IN_FLIGHT), "build_in_flight");
	assert_string_equal(kith_error_name(KITH_ERROR_STOPPING), "stopping");
	assert_string_equal(kith_error_name(KITH_ERROR_STOPPING + 1), "other");
	assert_string_equal(kith_error_name(0), "ok");
	assert_string_equal(kith_error_name(-ENOENT), "No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(connecting_says_hello_and_tells_who_answered),
	        cmocka_unit_test(a_daemon_that_is_not_there_is_named_with_the_way_to_start_it),
	        cmocka_unit_test(a_daemon_of_another_protocol_is_refused_with_its_own_words),
	        cmocka_unit_test(who_is_turned_away_hears_why),
	        cmocka_unit_test(upsert_sends_every_column),
	        cmocka_unit_test(search_hands_back_every_column_aligned),
	        cmocka_unit_test(ensure_index_leaves_out_what_is_zero),
	        cmocka_unit_test(indexes_and_jobs_come_as_rows),
	        cmocka_unit_test(indexes_are_dropped_and_optimized_and_jobs_cancelled),
	        cmocka_unit_test(indexes_are_warmed_and_evicted),
	        cmocka_unit_test(a_large_result_outlives_the_connection),
	        cmocka_unit_test(a_refusal_has_code_message_field_and_row),
	        cmocka_unit_test(a_code_from_a_newer_daemon_is_other),
	        cmocka_unit_test(a_choice_that_is_none_never_leaves),
	        cmocka_unit_test(a_request_over_the_frame_limit_never_leaves),
	        cmocka_unit_test(names_are_found_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
