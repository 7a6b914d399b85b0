/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/service_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define AWAIT_TURN_NS 1000000L
/* Records that one request of a check asks for. */
#define CHECK_ROWS 256u

/* Lives. -------------------------------------------------------------------------------------- */

int service_setup_stopped(void **state)
{
	struct service_fixture *service = calloc(1, sizeof(*service));

	assert_non_null(service);
	assert_int_equal(daemon_process_new(&service->daemon), 0);
	*state = service;
	return 0;
}

int service_setup(void **state)
{
	service_setup_stopped(state);
	service_start(*state);
	return 0;
}

int service_teardown(void **state)
{
	struct service_fixture *service = *state;

	kith_close(service->conn);
	if (service->daemon->pid)
		assert_int_equal(daemon_process_stop(service->daemon), 0);
	daemon_process_free(service->daemon);
	free(service);
	return 0;
}

struct kith_conn *service_client(const struct service_fixture *service)
{
	char message[256] = "";
	struct kith_options options = {
	        .socket_path = service->daemon->socket,
	        .client = "a test",
	        .timeout_ms = DAEMON_PROCESS_PATIENCE_MS,
	        .ret_message = message,
	        .message_size_bytes = sizeof(message),
	};
	struct kith_conn *conn;

	if (kith_connect(&options, &conn))
		fail_msg("%s", message);
	return conn;
}

void service_start(struct service_fixture *service)
{
	assert_int_equal(daemon_process_start(service->daemon), 0);
	service->conn = service_client(service);
}

void service_stop(struct service_fixture *service)
{
	kith_close(service->conn);
	service->conn = NULL;
	assert_int_equal(daemon_process_stop(service->daemon), 0);
}

void service_stop_and_start(struct service_fixture *service)
{
	service_stop(service);
	service_start(service);
}

void service_kill_and_start(struct service_fixture *service)
{
	kith_close(service->conn);
	service->conn = NULL;
	assert_int_equal(daemon_process_restart(service->daemon), 0);
	service->conn = service_client(service);
}

/* Outcomes. ----------------------------------------------------------------------------------- */

void expect_done(const struct kith_conn *conn, int r, const char *what, const char *file, int line)
{
	if (r == 0)
		return;
	print_error("%s: %s: %s\n", what, kith_error_name(r), kith_error_message(conn));
	_fail(file, line);
}

void expect_refused(const struct kith_conn *conn, int r, enum kith_error error, const char *field,
                    const char *what, const char *file, int line)
{
	const char *said = r == 0 ? NULL : kith_error_field(conn);

	if (r == (int)error && (said == field || (said && field && strcmp(said, field) == 0)))
		return;
	print_error("%s: %s about '%s' wanted; it was %s about '%s': %s\n", what,
	            kith_error_name((int)error), field ? field : "",
	            r ? kith_error_name(r) : "done", said ? said : "",
	            r ? kith_error_message(conn) : "");
	_fail(file, line);
}

bool is_text(struct kith_str str, const char *terminated)
{
	return str.data && str.n == strlen(terminated) && memcmp(str.data, terminated, str.n) == 0;
}

/* Waiting. ------------------------------------------------------------------------------------ */

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void await(bool (*condition)(void *ctx), void *ctx, const char *what)
{
	int64_t end_ms = now_ms() + DAEMON_PROCESS_PATIENCE_MS;

	while (!condition(ctx)) {
		if (now_ms() >= end_ms)
			fail_msg("waited in vain until %s", what);
		nanosleep(&(struct timespec){.tv_nsec = AWAIT_TURN_NS}, NULL);
	}
}

struct kith_usage usage_of(struct kith_conn *conn, const char *collection)
{
	struct kith_usage usage = {0};
	struct kith_stats_result *stats;
	bool found = false;

	DONE(conn, kith_stats(conn, &stats));
	for (uint32_t i = 0; i < stats->collections.n && !found; i++) {
		found = is_text(stats->collections.v[i].name, collection);
		if (found)
			usage = stats->collections.v[i];
	}
	kith_free(stats);
	if (!found)
		fail_msg("stats do not tell of '%s'", collection);
	usage.name = kith_text(NULL);
	return usage;
}

struct named {
	struct kith_conn *conn;
	const char *name;
};

static bool is_mapped(void *ctx)
{
	const struct named *collection = ctx;
	struct kith_usage usage = usage_of(collection->conn, collection->name);

	return usage.open && usage.mapped_rows == usage.rows;
}

void await_mapped(struct kith_conn *conn, const char *collection)
{
	await(is_mapped, &(struct named){conn, collection}, "all rows are in the vector file");
}

struct saying {
	const struct daemon_process *daemon;
	const char *text;
};

static bool was_said(void *ctx)
{
	const struct saying *saying = ctx;

	return daemon_process_said(saying->daemon, saying->text);
}

void await_said(const struct daemon_process *daemon, const char *text)
{
	await(was_said, &(struct saying){daemon, text}, text);
}

/* Numbered records. --------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014): a good generator of one word of state. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void draw_vector(uint64_t seed, uint32_t dim, float *ret)
{
	/* The seed goes through the generator once: neighbouring seeds begin far apart. */
	uint64_t state = next_random(&seed);

	for (uint32_t i = 0; i < dim; i++)
		ret[i] = (float)(next_random(&state) >> 40) / (float)(1u << 23) - 1.0f;
}

float *record_vector(uint64_t number, uint32_t version, float *ret)
{
	draw_vector(number * 1000003 + version, RECORD_DIM, ret);
	return ret;
}

char *record_text(uint64_t number, uint32_t version, char text[static RECORD_TEXT_SIZE])
{
	snprintf(text, RECORD_TEXT_SIZE, "record %llu, version %u", (unsigned long long)number,
	         version);
	return text;
}

void make_collection(struct kith_conn *conn, const char *name, enum kith_metric metric)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(name), .dim = RECORD_DIM, .metric = metric};

	DONE(conn, kith_create_collection(conn, &params, NULL));
}

/* The columns of numbered records. */
struct columns {
	struct kith_id *ids;
	float *vectors;
	struct kith_str *texts;
	char (*text)[RECORD_TEXT_SIZE];
};

static void columns_init(struct columns *columns, uint64_t first, uint32_t n, uint32_t version)
{
	columns->ids = calloc(n, sizeof(*columns->ids));
	columns->vectors = calloc((size_t)n * RECORD_DIM, sizeof(float));
	columns->texts = calloc(n, sizeof(*columns->texts));
	columns->text = calloc(n, sizeof(*columns->text));
	if (!columns->ids || !columns->vectors || !columns->texts || !columns->text)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		columns->ids[i] = kith_id_number(first + i);
		record_vector(first + i, version, columns->vectors + (size_t)i * RECORD_DIM);
		columns->texts[i] = kith_text(record_text(first + i, version, columns->text[i]));
	}
}

static void columns_release(struct columns *columns)
{
	free(columns->ids);
	free(columns->vectors);
	free(columns->texts);
	free(columns->text);
}

int try_put_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                    uint32_t version, struct kith_upsert_result *ret)
{
	struct kith_upsert_params params = {.collection = kith_text(collection)};
	struct kith_upsert_result *result;
	struct columns columns;
	int r;

	columns_init(&columns, first, n, version);
	params.ids = (struct kith_ids){columns.ids, n};
	params.vectors = kith_vectors(columns.vectors, (size_t)n * RECORD_DIM);
	params.texts = (struct kith_texts){columns.texts, n};
	r = kith_upsert(conn, &params, &result);
	if (r == 0) {
		if (ret)
			*ret = *result;
		kith_free(result);
	}
	columns_release(&columns);
	return r;
}

void put_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                 uint32_t version)
{
	DONE(conn, try_put_records(conn, collection, first, n, version, NULL));
}

int try_delete_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n)
{
	struct kith_delete_params params = {.collection = kith_text(collection)};
	struct kith_id *ids = calloc(n, sizeof(*ids));
	int r;

	if (!ids)
		abort();
	for (uint32_t i = 0; i < n; i++)
		ids[i] = kith_id_number(first + i);
	params.ids = (struct kith_ids){ids, n};
	r = kith_delete(conn, &params, NULL);
	free(ids);
	return r;
}

void delete_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n)
{
	DONE(conn, try_delete_records(conn, collection, first, n));
}

/* Those of the columns that are there, by get. */
static struct kith_get_result *get_columns(struct kith_conn *conn, const char *collection,
                                           const struct columns *columns, uint32_t n)
{
	struct kith_get_params params = {
	        .collection = kith_text(collection),
	        .ids = {columns->ids, n},
	        .include = KITH_INCLUDE_VECTORS | KITH_INCLUDE_TEXTS,
	};
	struct kith_get_result *result;

	DONE(conn, kith_get(conn, &params, &result));
	return result;
}

/* The nearest record to each of the columns' vectors. */
static struct kith_search_result *nearest_to_columns(struct kith_conn *conn, const char *collection,
                                                     const struct columns *columns, uint32_t n)
{
	struct kith_search_params params = {
	        .collection = kith_text(collection),
	        .vectors = kith_vectors(columns->vectors, (size_t)n * RECORD_DIM),
	        .k = 1,
	};
	struct kith_search_result *result;

	DONE(conn, kith_search(conn, &params, &result));
	return result;
}

static void check_there(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                        uint32_t version)
{
	struct kith_get_result *records;
	struct kith_search_result *nearest;
	struct columns columns;

	columns_init(&columns, first, n, version);
	records = get_columns(conn, collection, &columns, n);
	assert_int_equal(records->positions.n, n);
	assert_int_equal(records->texts.n, n);
	assert_int_equal(records->vectors.size_bytes, n * RECORD_DIM * sizeof(float));
	assert_memory_equal(records->vectors.v, columns.vectors, records->vectors.size_bytes);
	for (uint32_t i = 0; i < n; i++) {
		if (!is_text(records->texts.v[i], columns.text[i]))
			fail_msg("'%.*s' is not '%s'", (int)records->texts.v[i].n,
			         records->texts.v[i].data, columns.text[i]);
	}
	nearest = nearest_to_columns(conn, collection, &columns, n);
	assert_int_equal(nearest->ids.n, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_null(nearest->ids.v[i].text);
		assert_int_equal(nearest->ids.v[i].number, first + i);
	}
	kith_free(nearest);
	kith_free(records);
	columns_release(&columns);
}

void expect_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                    uint32_t version)
{
	for (uint32_t done = 0; done < n; done += CHECK_ROWS)
		check_there(conn, collection, first + done,
		            n - done < CHECK_ROWS ? n - done : CHECK_ROWS, version);
}

static void check_not_there(struct kith_conn *conn, const char *collection, uint64_t first,
                            uint32_t n, uint32_t version)
{
	struct kith_get_result *records;
	struct kith_search_result *nearest;
	struct columns columns;

	columns_init(&columns, first, n, version);
	records = get_columns(conn, collection, &columns, n);
	assert_int_equal(records->positions.n, 0);
	nearest = nearest_to_columns(conn, collection, &columns, n);
	for (uint32_t i = 0; i < nearest->ids.n; i++)
		assert_true(nearest->ids.v[i].text || nearest->ids.v[i].number < first ||
		            nearest->ids.v[i].number >= first + n);
	kith_free(nearest);
	kith_free(records);
	columns_release(&columns);
}

void expect_no_records(struct kith_conn *conn, const char *collection, uint64_t first, uint32_t n,
                       uint32_t version)
{
	for (uint32_t done = 0; done < n; done += CHECK_ROWS)
		check_not_there(conn, collection, first + done,
		                n - done < CHECK_ROWS ? n - done : CHECK_ROWS, version);
}

void expect_count(struct kith_conn *conn, const char *collection, uint64_t count)
{
	struct kith_count_params params = {.collection = kith_text(collection)};
	struct kith_count_result *result;

	DONE(conn, kith_count(conn, &params, &result));
	assert_int_equal(result->count, count);
	kith_free(result);
}

uint64_t seed_of_this_run(uint64_t usual)
{
	const char *told = getenv("KITH_SEED");
	uint64_t seed = told ? strtoull(told, NULL, 10) : usual;

	print_message("KITH_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

uint64_t inflight_bytes(struct kith_conn *conn)
{
	struct kith_stats_result *stats;
	uint64_t n;

	DONE(conn, kith_stats(conn, &stats));
	n = stats->memory.inflight_bytes;
	kith_free(stats);
	return n;
}
