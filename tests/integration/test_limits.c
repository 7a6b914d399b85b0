/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a value may be at most, over the real socket: at the limit it goes, one more is refused with
 * the field's name and the limit. Names, ids, batches, dimensions and k are with what they are of
 * (test_collections.c, test_records.c, test_reading.c), frames in test_protocol.c, connections and
 * what they have under way in test_sessions.c, test_session_limits.c and test_guests.c.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

struct stage {
	struct service_fixture *service;
	struct kith_conn *conn;
	struct kith_limits_result *limits;
	char *many; /* as many characters as any limit here, and one more */
	struct kith_id id;
	float vector[RECORD_DIM];
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	void *service;

	assert_non_null(stage);
	service_setup(&service);
	stage->service = service;
	stage->conn = stage->service->conn;
	make_collection(stage->conn, "notes", KITH_METRIC_L2);
	DONE(stage->conn, kith_limits(stage->conn, &stage->limits));
	stage->many = malloc(stage->limits->text_bytes + 1);
	assert_non_null(stage->many);
	memset(stage->many, 'x', stage->limits->text_bytes + 1);
	stage->id = kith_id_number(1);
	record_vector(1, 1, stage->vector);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;
	void *service = stage->service;

	kith_free(stage->limits);
	free(stage->many);
	free(stage);
	return service_teardown(&service);
}

static struct kith_upsert_params one_record(const struct stage *stage)
{
	return (struct kith_upsert_params){
	        .collection = kith_text("notes"),
	        .ids = {&stage->id, 1},
	        .vectors = kith_vectors(stage->vector, RECORD_DIM),
	};
}

/* The last refusal's message has the limit. */
static void expect_named(const struct stage *stage, uint64_t limit)
{
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)limit);
	if (!strstr(kith_error_message(stage->conn), number))
		fail_msg("'%s' does not name %s", kith_error_message(stage->conn), number);
}

static void a_text_has_so_many_bytes(void **state)
{
	struct stage *stage = *state;
	struct kith_upsert_params params = one_record(stage);
	struct kith_str text = {stage->many, (uint32_t)stage->limits->text_bytes};

	params.texts = (struct kith_texts){&text, 1};
	DONE(stage->conn, kith_upsert(stage->conn, &params, NULL));
	text.n++;
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "texts",
	        kith_upsert(stage->conn, &params, NULL));
	assert_int_equal(kith_error_row(stage->conn), 0);
	expect_named(stage, stage->limits->text_bytes);
}

static void a_namespace_has_so_many_bytes(void **state)
{
	struct stage *stage = *state;
	struct kith_upsert_params params = one_record(stage);

	params.namespace_ =
	        (struct kith_str){stage->many, (uint32_t)stage->limits->namespace_bytes};
	DONE(stage->conn, kith_upsert(stage->conn, &params, NULL));
	params.namespace_.n++;
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "namespace",
	        kith_upsert(stage->conn, &params, NULL));
	expect_named(stage, stage->limits->namespace_bytes);
}

/* Metadata {"t": n characters}. */
static int put_meta_text(struct stage *stage, size_t n)
{
	struct kith_meta_builder *builder = kith_meta_new();
	struct kith_upsert_params params = one_record(stage);
	struct kith_meta meta;
	int r;

	kith_meta_text(builder, "t", kith_text_n(stage->many, n));
	meta = kith_meta_end(builder);
	params.metas = (struct kith_metas){&meta, 1};
	r = kith_upsert(stage->conn, &params, NULL);
	kith_meta_free(builder);
	return r;
}

static void metadata_has_so_many_bytes(void **state)
{
	struct stage *stage = *state;
	/* A map of one, its key, and the text's head of five bytes at most. */
	size_t n = stage->limits->meta_bytes - 3 - 5;

	DONE(stage->conn, put_meta_text(stage, n));
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "metas", put_meta_text(stage, n + 6));
	expect_named(stage, stage->limits->meta_bytes);
}

/* Metadata {key: [0, ...]} of n scalars. */
static int put_meta_list(struct stage *stage, const char *key, uint32_t n)
{
	struct kith_meta_builder *builder = kith_meta_new();
	struct kith_upsert_params params = one_record(stage);
	struct kith_meta meta;
	int r;

	kith_meta_list(builder, key, n);
	for (uint32_t i = 0; i < n; i++)
		kith_meta_int(builder, NULL, 0);
	meta = kith_meta_end(builder);
	params.metas = (struct kith_metas){&meta, 1};
	r = kith_upsert(stage->conn, &params, NULL);
	kith_meta_free(builder);
	return r;
}

static void metadata_has_so_many_scalars_and_keys_so_many_bytes(void **state)
{
	struct stage *stage = *state;
	uint32_t n = (uint32_t)stage->limits->meta_scalars;
	char key[1024] = "";

	DONE(stage->conn, put_meta_list(stage, "list", n));
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "metas", put_meta_list(stage, "list", n + 1));
	expect_named(stage, n);
	memset(key, 'k', stage->limits->meta_key_bytes);
	DONE(stage->conn, put_meta_list(stage, key, 1));
	key[stage->limits->meta_key_bytes] = 'k';
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "metas", put_meta_list(stage, key, 1));
	expect_named(stage, stage->limits->meta_key_bytes);
}

static void a_path_has_so_many_bytes(void **state)
{
	struct stage *stage = *state;
	struct kith_backup_params params = {
	        .directory = {stage->many, (uint32_t)stage->limits->path_bytes + 1}};

	stage->many[0] = '/';
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "directory",
	        kith_backup(stage->conn, &params, NULL));
	expect_named(stage, stage->limits->path_bytes);
	/* That long it is looked for, and found to be too long for a name. */
	params.directory.n--;
	REFUSED(stage->conn, KITH_ERROR_BAD_VALUE, "directory",
	        kith_backup(stage->conn, &params, NULL));
}

static void an_index_has_bounded_parameters(void **state)
{
	struct stage *stage = *state;
	const struct kith_limits_result *limits = stage->limits;
	struct kith_ensure_index_params most = {
	        .collection = kith_text("notes"),
	        .index = {stage->many, (uint32_t)limits->index_name_bytes},
	        .m = (uint32_t)limits->index_m,
	        .ef_construction = (uint32_t)limits->index_ef,
	        .ef_search = (uint32_t)limits->index_ef,
	        .wait = true,
	};
	struct kith_ensure_index_params params = most;

	DONE(stage->conn, kith_ensure_index(stage->conn, &params, NULL));
	params.index.n++;
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "index",
	        kith_ensure_index(stage->conn, &params, NULL));
	expect_named(stage, limits->index_name_bytes);
	params = most;
	params.m++;
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "m",
	        kith_ensure_index(stage->conn, &params, NULL));
	expect_named(stage, limits->index_m);
	params = most;
	params.ef_construction++;
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "ef_construction",
	        kith_ensure_index(stage->conn, &params, NULL));
	expect_named(stage, limits->index_ef);
	params = most;
	params.ef_search++;
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, "ef_search",
	        kith_ensure_index(stage->conn, &params, NULL));
	expect_named(stage, limits->index_ef);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	        TEST(a_text_has_so_many_bytes),
	        TEST(a_namespace_has_so_many_bytes),
	        TEST(metadata_has_so_many_bytes),
	        TEST(metadata_has_so_many_scalars_and_keys_so_many_bytes),
	        TEST(a_path_has_so_many_bytes),
	        TEST(an_index_has_bounded_parameters),
#undef TEST
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
