/* SPDX-License-Identifier: Apache-2.0 */

/* Collections come, are told of, change their names and go. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "tests/lib/raw_client.h"
#include "tests/lib/service_fixture.h"

#define PATH_SIZE (2 * DAEMON_PROCESS_PATH_SIZE)
#define UUID_SIZE 37

/* Asks about it; its uuid is written to ret. */
static void expect_collection(struct kith_conn *conn, const char *name, uint64_t records,
                              char ret[static UUID_SIZE])
{
	struct kith_describe_collection_params params = {kith_text(name)};
	struct kith_describe_collection_result *about;

	DONE(conn, kith_describe_collection(conn, &params, &about));
	assert_true(is_text(about->collection.name, name));
	assert_int_equal(about->collection.uuid.n, UUID_SIZE - 1);
	assert_int_equal(about->records, records);
	snprintf(ret, UUID_SIZE, "%.*s", (int)about->collection.uuid.n,
	         about->collection.uuid.data);
	kith_free(about);
}

static void expect_no_collection(struct kith_conn *conn, const char *name)
{
	struct kith_describe_collection_params params = {kith_text(name)};

	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection",
	        kith_describe_collection(conn, &params, NULL));
}

/* The names of all, each followed by a semicolon. */
static void expect_list(struct kith_conn *conn, const char *names)
{
	struct kith_list_collections_result *list;
	char found[4096] = "";

	DONE(conn, kith_list_collections(conn, &list));
	for (uint32_t i = 0; i < list->collections.n; i++) {
		size_t n = strlen(found);

		snprintf(found + n, sizeof(found) - n, "%.*s;", (int)list->collections.v[i].name.n,
		         list->collections.v[i].name.data);
	}
	kith_free(list);
	assert_string_equal(found, names);
}

static void rename_collection(struct kith_conn *conn, const char *from, const char *to)
{
	struct kith_rename_collection_params params = {kith_text(from), kith_text(to)};

	DONE(conn, kith_rename_collection(conn, &params));
}

static void drop_collection(struct kith_conn *conn, const char *name)
{
	struct kith_drop_collection_params params = {.collection = kith_text(name)};
	struct kith_drop_collection_result *result;

	DONE(conn, kith_drop_collection(conn, &params, &result));
	assert_true(result->dropped);
	kith_free(result);
}

/* create, list, describe ----------------------------------------------------------------------- */

static void a_collection_is_told_of_as_it_was_made(void **state)
{
	struct service_fixture *service = *state;
	struct kith_create_collection_params params = {
	        .name = kith_text("notes"),
	        .dim = 768,
	        .metric = KITH_METRIC_IP,
	        .space = kith_text("e5-base@2"),
	};
	struct kith_describe_collection_params name = {kith_text("notes")};
	struct kith_create_collection_result *made;
	struct kith_list_collections_result *list;
	struct kith_describe_collection_result *about;
	int64_t now = (int64_t)time(NULL) * 1000;

	expect_list(service->conn, "");
	DONE(service->conn, kith_create_collection(service->conn, &params, &made));
	assert_true(made->created);
	for (int life = 0; life < 3; life++) {
		const struct kith_collection *row;

		DONE(service->conn, kith_list_collections(service->conn, &list));
		assert_int_equal(list->collections.n, 1);
		row = &list->collections.v[0];
		assert_true(is_text(row->name, "notes"));
		assert_true(is_text(row->space, "e5-base@2"));
		assert_int_equal(row->dim, 768);
		assert_int_equal(row->metric, KITH_METRIC_IP);
		assert_int_equal(row->dtype, KITH_DTYPE_F32);
		assert_int_equal(row->uuid.n, made->uuid.n);
		assert_memory_equal(row->uuid.data, made->uuid.data, made->uuid.n);
		assert_in_range(row->created_ms, now - 5000, now + 60000);
		DONE(service->conn, kith_describe_collection(service->conn, &name, &about));
		assert_memory_equal(about->collection.uuid.data, made->uuid.data, made->uuid.n);
		assert_int_equal(about->collection.created_ms, row->created_ms);
		assert_int_equal(about->collection.dim, 768);
		assert_int_equal(about->records + about->rows + about->seq + about->namespaces, 0);
		kith_free(about);
		kith_free(list);
		if (life == 0)
			service_stop_and_start(service);
		else
			service_kill_and_start(service);
	}
	kith_free(made);
}

static void one_that_exists_is_fine_when_that_was_said_and_it_is_the_same(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_create_collection_params made = {
	        .name = kith_text("notes"), .dim = 4, .metric = KITH_METRIC_L2};
	struct kith_create_collection_params params = made;
	struct kith_create_collection_result *first, *again;

	DONE(conn, kith_create_collection(conn, &params, &first));
	REFUSED(conn, KITH_ERROR_COLLECTION_EXISTS, "name",
	        kith_create_collection(conn, &params, NULL));
	params.exist_ok = true;
	DONE(conn, kith_create_collection(conn, &params, &again));
	assert_false(again->created);
	assert_memory_equal(again->uuid.data, first->uuid.data, first->uuid.n);
	kith_free(again);
	params.dim = 5;
	REFUSED(conn, KITH_ERROR_COLLECTION_EXISTS, "name",
	        kith_create_collection(conn, &params, NULL));
	params.dim = 4;
	params.metric = KITH_METRIC_COSINE;
	REFUSED(conn, KITH_ERROR_COLLECTION_EXISTS, "name",
	        kith_create_collection(conn, &params, NULL));
	params.metric = KITH_METRIC_L2;
	params.space = kith_text("e5");
	REFUSED(conn, KITH_ERROR_COLLECTION_EXISTS, "name",
	        kith_create_collection(conn, &params, NULL));
	params.space = kith_text(""); /* as good as none */
	DONE(conn, kith_create_collection(conn, &params, NULL));
	kith_free(first);
	expect_list(conn, "notes;");
}

static void names_are_utf8_of_1_to_128_bytes_and_never_paths(void **state)
{
	struct service_fixture *service = *state;
	struct kith_conn *conn = service->conn;
	char longest[129 + 1] = "";
	const char *const good[] = {
	        "x",     longest,      "caf\xc3\xa9 \xe4\xb8\xad\xf0\x9f\x8c\x8d",
	        "..",    "/",          "../../etc",
	        ".lock", "catalog.db", "a b",
	        "'; --",
	};
	const char *const bad[] = {"a\nb", "\x01", "a\x7f", "\xff", "\xc3", "\xed\xa0\x80"};
	struct kith_create_collection_params params = {.dim = RECORD_DIM};
	struct stat status;
	char path[PATH_SIZE];

	memset(longest, 'n', 128);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		make_collection(conn, good[i], KITH_METRIC_L2);
		put_records(conn, good[i], i * 10, 10, 1);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		params.name = kith_text(bad[i]);
		REFUSED(conn, KITH_ERROR_BAD_VALUE, "name",
		        kith_create_collection(conn, &params, NULL));
		params.name = kith_text("fine");
		params.space = kith_text(bad[i]);
		REFUSED(conn, KITH_ERROR_BAD_VALUE, "space",
		        kith_create_collection(conn, &params, NULL));
		params.space = kith_text(NULL);
	}
	params.name = kith_text("");
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "name", kith_create_collection(conn, &params, NULL));
	longest[128] = 'n';
	params.name = kith_text(longest);
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "name", kith_create_collection(conn, &params, NULL));
	params.name = kith_text("fine");
	params.space = kith_text(longest);
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "space", kith_create_collection(conn, &params, NULL));
	longest[128] = '\0';
	expect_no_collection(conn, "fine");
	service_kill_and_start(service);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		expect_records(service->conn, good[i], i * 10, 10, 1);
	snprintf(path, sizeof(path), "%s/../etc", service->daemon->data_dir);
	assert_int_equal(stat(path, &status), -1);
}

static void dimensions_reach_from_1_to_4096(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	static const uint32_t dims[] = {1, 2, 3, 15, 16, 17, 4095, 4096};
	float vector[4096];

	for (size_t i = 0; i < sizeof(dims) / sizeof(*dims); i++) {
		char name[16];
		const struct kith_id id = kith_id_number(dims[i]);
		struct kith_create_collection_params create = {.metric = KITH_METRIC_COSINE,
		                                               .dim = dims[i]};
		struct kith_upsert_params upsert = {.ids = {&id, 1}};
		struct kith_search_params search = {.include = KITH_INCLUDE_VECTORS};
		struct kith_search_result *hits;

		snprintf(name, sizeof(name), "dim %u", dims[i]);
		draw_vector(i, dims[i], vector);
		create.name = upsert.collection = search.collection = kith_text(name);
		upsert.vectors = search.vectors = kith_vectors(vector, dims[i]);
		DONE(conn, kith_create_collection(conn, &create, NULL));
		DONE(conn, kith_upsert(conn, &upsert, NULL));
		DONE(conn, kith_search(conn, &search, &hits));
		assert_int_equal(hits->ids.n, 1);
		assert_true(hits->distances.v[0] < 1e-5f);
		assert_memory_equal(hits->vectors.v, vector, dims[i] * sizeof(float));
		kith_free(hits);
	}
}

/* rename --------------------------------------------------------------------------------------- */

static void a_renamed_collection_keeps_everything_but_its_name(void **state)
{
	struct service_fixture *service = *state;
	struct kith_rename_collection_params taken = {kith_text("new"), kith_text("others")};
	struct kith_rename_collection_params gone = {kith_text("old"), kith_text("newer")};
	struct kith_rename_collection_params same = {kith_text("new"), kith_text("new")};
	char before[UUID_SIZE], after[UUID_SIZE];

	make_collection(service->conn, "old", KITH_METRIC_L2);
	make_collection(service->conn, "others", KITH_METRIC_L2);
	put_records(service->conn, "old", 0, 50, 1);
	expect_collection(service->conn, "old", 50, before);
	rename_collection(service->conn, "old", "new");
	expect_no_collection(service->conn, "old");
	REFUSED(service->conn, KITH_ERROR_COLLECTION_EXISTS, "name",
	        kith_rename_collection(service->conn, &taken));
	REFUSED(service->conn, KITH_ERROR_NO_COLLECTION, "collection",
	        kith_rename_collection(service->conn, &gone));
	DONE(service->conn, kith_rename_collection(service->conn, &same));
	/* The old name is free. */
	make_collection(service->conn, "old", KITH_METRIC_L2);
	put_records(service->conn, "old", 0, 50, 2);
	for (int life = 0; life < 2; life++) {
		expect_list(service->conn, "new;others;old;");
		expect_collection(service->conn, "new", 50, after);
		assert_string_equal(before, after);
		expect_records(service->conn, "new", 0, 50, 1);
		expect_records(service->conn, "old", 0, 50, 2);
		service_kill_and_start(service);
	}
}

/* drop ----------------------------------------------------------------------------------------- */

struct place {
	const struct daemon_process *daemon;
	const char *uuid;
};

static bool is_nowhere(void *ctx)
{
	const struct place *place = ctx;
	char data[PATH_SIZE], cache[PATH_SIZE];
	struct stat status;

	snprintf(data, sizeof(data), "%s/%s", place->daemon->data_dir, place->uuid);
	snprintf(cache, sizeof(cache), "%s/%s", place->daemon->cache_dir, place->uuid);
	return stat(data, &status) < 0 && stat(cache, &status) < 0;
}

static void a_dropped_collection_leaves_nothing_and_its_namesake_is_empty(void **state)
{
	struct service_fixture *service = *state;
	struct kith_drop_collection_params missing = {kith_text("notes"), true};
	struct kith_drop_collection_result *result;
	char first[UUID_SIZE], second[UUID_SIZE];

	make_collection(service->conn, "notes", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, 500, 1);
	expect_records(service->conn, "notes", 0, 100, 1);
	expect_collection(service->conn, "notes", 500, first);
	drop_collection(service->conn, "notes");
	expect_no_collection(service->conn, "notes");
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	expect_collection(service->conn, "notes", 0, second);
	assert_string_not_equal(first, second);
	expect_no_records(service->conn, "notes", 0, 500, 1);
	put_records(service->conn, "notes", 0, 5, 2);
	await(is_nowhere, &(struct place){service->daemon, first}, "the directories are gone");
	service_kill_and_start(service);
	expect_records(service->conn, "notes", 0, 5, 2);
	expect_collection(service->conn, "notes", 5, first);
	assert_string_equal(first, second);
	/* Also one that was not used in this life. */
	drop_collection(service->conn, "notes");
	await(is_nowhere, &(struct place){service->daemon, second}, "the directories are gone");
	missing.missing_ok = false;
	REFUSED(service->conn, KITH_ERROR_NO_COLLECTION, "collection",
	        kith_drop_collection(service->conn, &missing, NULL));
	missing.missing_ok = true;
	DONE(service->conn, kith_drop_collection(service->conn, &missing, &result));
	assert_false(result->dropped);
	kith_free(result);
	expect_list(service->conn, "");
}

static void a_drop_that_was_acknowledged_survives_kill_9(void **state)
{
	struct service_fixture *service = *state;
	char uuids[10][UUID_SIZE];

	for (uint32_t i = 0; i < 10; i++) {
		make_collection(service->conn, "notes", KITH_METRIC_L2);
		put_records(service->conn, "notes", i, 20, 1);
		expect_collection(service->conn, "notes", 20, uuids[i]);
		drop_collection(service->conn, "notes");
		service_kill_and_start(service);
		expect_list(service->conn, "");
	}
	/* What the kills left lying is taken away by the next start. */
	for (uint32_t i = 0; i < 10; i++)
		assert_true(is_nowhere(&(struct place){service->daemon, uuids[i]}));
}

static void a_name_may_come_and_go_a_hundred_times(void **state)
{
	struct service_fixture *service = *state;

	for (uint32_t i = 0; i < 100; i++) {
		make_collection(service->conn, "notes", KITH_METRIC_L2);
		expect_count(service->conn, "notes", 0);
		put_records(service->conn, "notes", i, 3, 1);
		expect_records(service->conn, "notes", i, 3, 1);
		drop_collection(service->conn, "notes");
	}
	expect_list(service->conn, "");
}

static void there_are_as_many_collections_as_the_limit_and_no_more(void **state)
{
	struct service_fixture *service = *state;
	struct kith_create_collection_params one_more = {.name = kith_text("one more"), .dim = 1};
	struct kith_list_collections_result *list;
	char name[32];

	for (uint32_t i = 0; i < LIMIT_COLLECTIONS; i++) {
		struct kith_create_collection_params params = {.dim = 1};

		snprintf(name, sizeof(name), "collection %u", i);
		params.name = kith_text(name);
		DONE(service->conn, kith_create_collection(service->conn, &params, NULL));
	}
	REFUSED(service->conn, KITH_ERROR_OVER_LIMIT, "name",
	        kith_create_collection(service->conn, &one_more, NULL));
	service_kill_and_start(service);
	DONE(service->conn, kith_list_collections(service->conn, &list));
	assert_int_equal(list->collections.n, LIMIT_COLLECTIONS);
	kith_free(list);
	REFUSED(service->conn, KITH_ERROR_OVER_LIMIT, "name",
	        kith_create_collection(service->conn, &one_more, NULL));
	drop_collection(service->conn, "collection 7");
	DONE(service->conn, kith_create_collection(service->conn, &one_more, NULL));
	expect_count(service->conn, "collection 1023", 0);
}

/* At once -------------------------------------------------------------------------------------- */

#define N_AT_ONCE 8u

/* Eight connections create the same name at once. Returns how many were told that they made it,
 * and how many were refused in *ret_refused. */
static uint32_t create_at_once(struct service_fixture *service, const char *exist_ok,
                               uint32_t *ret_refused)
{
	struct raw_client raws[N_AT_ONCE];
	char uuid[UUID_SIZE] = "";
	uint32_t n_created = 0, n_refused = 0;

	for (uint32_t i = 0; i < N_AT_ONCE; i++)
		raw_greet(service->daemon, &raws[i]);
	for (uint32_t i = 0; i < N_AT_ONCE; i++)
		raw_say(&raws[i],
		        "[0, 1, 'create_collection', {'name': 'notes', 'dim': 24, 'metric': 'l2', "
		        "'exist_ok': %s}]",
		        exist_ok);
	for (uint32_t i = 0; i < N_AT_ONCE; i++) {
		struct create_collection_result made;
		struct wire_error error;
		const uint8_t *payload;
		uint32_t n;
		int r;

		assert_true(raw_receive(&raws[i], &payload, &n));
		r = message_decode_response(payload, n, WIRE_METHOD_create_collection,
		                            &raws[i].arena, &made, &error);
		n_refused += r == MESSAGE_REFUSED;
		if (r == MESSAGE_REFUSED) {
			assert_int_equal(error.code, WIRE_ERROR_COLLECTION_EXISTS);
		} else {
			assert_int_equal(r, 0);
			n_created += made.created;
			if (!uuid[0])
				snprintf(uuid, sizeof(uuid), "%.*s", (int)made.uuid.n,
				         made.uuid.data);
			assert_memory_equal(uuid, made.uuid.data, made.uuid.n);
		}
		raw_close(&raws[i]);
	}
	*ret_refused = n_refused;
	return n_created;
}

static void of_eight_that_create_a_name_at_once_one_makes_it(void **state)
{
	struct service_fixture *service = *state;
	uint32_t n_refused;

	for (int round = 0; round < 10; round++) {
		assert_int_equal(create_at_once(service, "false", &n_refused), 1);
		assert_int_equal(n_refused, N_AT_ONCE - 1);
		expect_list(service->conn, "notes;");
		drop_collection(service->conn, "notes");
		assert_int_equal(create_at_once(service, "true", &n_refused), 1);
		assert_int_equal(n_refused, 0);
		expect_list(service->conn, "notes;");
		drop_collection(service->conn, "notes");
	}
}

static void a_collection_may_be_used_before_its_creation_is_answered(void **state)
{
	struct service_fixture *service = *state;
	struct create_collection_result made;
	struct update_result updated;
	struct count_result counted;
	struct drop_collection_result dropped;
	struct raw_client raw;

	raw_greet(service->daemon, &raw);
	raw_say(&raw, "[0, 1, 'create_collection', {'name': 'new', 'dim': 1, 'metric': 'l2'}]");
	raw_say(&raw, "[0, 2, 'update', {'collection': 'new', 'ids': ['none'], 'texts': ['x']}]");
	raw_say(&raw, "[0, 3, 'count', {'collection': 'new'}]");
	raw_expect_result(&raw, 1, WIRE_METHOD_create_collection, &made);
	assert_true(made.created);
	raw_expect_result(&raw, 2, WIRE_METHOD_update, &updated);
	assert_int_equal(updated.missing.n, 1);
	raw_expect_result(&raw, 3, WIRE_METHOD_count, &counted);
	assert_int_equal(counted.count, 0);
	/* And dropped, and made again, without waiting. */
	raw_say(&raw, "[0, 4, 'drop_collection', {'collection': 'new'}]");
	raw_say(&raw, "[0, 5, 'create_collection', {'name': 'new', 'dim': 2, 'metric': 'ip'}]");
	raw_expect_result(&raw, 4, WIRE_METHOD_drop_collection, &dropped);
	assert_true(dropped.dropped);
	raw_expect_result(&raw, 5, WIRE_METHOD_create_collection, &made);
	assert_true(made.created);
	raw_close(&raw);
}

static void requests_that_meet_a_drop_are_carried_out_or_refused(void **state)
{
	struct service_fixture *service = *state;
	struct kith_conn *writer = service_client(service);
	float vector[RECORD_DIM];

	for (uint32_t round = 0; round < 20; round++) {
		uint64_t tickets[60];
		bool refused = false;

		make_collection(service->conn, "notes", KITH_METRIC_L2);
		for (uint32_t i = 0; i < 60; i++) {
			const struct kith_id id = kith_id_number(i);
			struct kith_upsert_params params = {
			        .collection = kith_text("notes"),
			        .ids = {&id, 1},
			        .vectors = kith_vectors(record_vector(i, 1, vector), RECORD_DIM),
			};

			DONE(writer, kith_submit_upsert(writer, &params, &tickets[i]));
			if (i == round * 3) {
				DONE(writer, kith_flush(writer));
				drop_collection(service->conn, "notes");
			}
		}
		for (uint32_t i = 0; i < 60; i++) {
			int r = kith_collect_upsert(writer, tickets[i], KITH_USUAL, NULL);

			/* After the first refusal none is carried out any more. */
			assert_true(r == KITH_ERROR_DROPPED || r == KITH_ERROR_NO_COLLECTION ||
			            (r == 0 && !refused));
			refused = refused || r != 0;
		}
		expect_no_collection(service->conn, "notes");
	}
	kith_close(writer);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, service_setup, service_teardown)
	const struct CMUnitTest tests[] = {
	        FRESH(a_collection_is_told_of_as_it_was_made),
	        FRESH(one_that_exists_is_fine_when_that_was_said_and_it_is_the_same),
	        FRESH(names_are_utf8_of_1_to_128_bytes_and_never_paths),
	        FRESH(dimensions_reach_from_1_to_4096),
	        FRESH(a_renamed_collection_keeps_everything_but_its_name),
	        FRESH(a_dropped_collection_leaves_nothing_and_its_namesake_is_empty),
	        FRESH(a_drop_that_was_acknowledged_survives_kill_9),
	        FRESH(a_name_may_come_and_go_a_hundred_times),
	        FRESH(there_are_as_many_collections_as_the_limit_and_no_more),
	        FRESH(of_eight_that_create_a_name_at_once_one_makes_it),
	        FRESH(a_collection_may_be_used_before_its_creation_is_answered),
	        FRESH(requests_that_meet_a_drop_are_carried_out_or_refused),
	};

	return cmocka_run_group_tests_name("collections", tests, NULL, NULL);
}
