/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of records: upsert, update, delete and get on the real daemon. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/service_fixture.h"

#define ALL_COLUMNS \
	(KITH_INCLUDE_VECTORS | KITH_INCLUDE_TEXTS | KITH_INCLUDE_METAS | KITH_INCLUDE_NAMESPACES)

/* One record as a test writes it down; what is not named is absent. */
struct sketch {
	struct kith_id id;
	uint32_t version; /* of its vector: that of record number 1 */
	struct kith_str text;
	struct kith_meta meta;
	const char *namespace;
};

static struct kith_upsert_result upsert(struct kith_conn *conn, const struct sketch *record)
{
	float vector[RECORD_DIM];
	struct kith_upsert_params params = {
	        .collection = kith_text("notes"),
	        .namespace_ = kith_text(record->namespace),
	        .ids = {&record->id, 1},
	        .vectors = kith_vectors(record_vector(1, record->version, vector), RECORD_DIM),
	        .texts = {&record->text, 1},
	        .metas = {&record->meta, 1},
	};
	struct kith_upsert_result *result, counts;

	DONE(conn, kith_upsert(conn, &params, &result));
	counts = *result;
	kith_free(result);
	assert_int_equal(counts.inserted + counts.replaced + counts.touched + counts.unchanged, 1);
	return counts;
}

static struct kith_get_result *get(struct kith_conn *conn, struct kith_id id)
{
	struct kith_get_params params = {
	        .collection = kith_text("notes"), .ids = {&id, 1}, .include = ALL_COLUMNS};
	struct kith_get_result *result;

	DONE(conn, kith_get(conn, &params, &result));
	return result;
}

/* The record is there as it was written down. */
static void expect_sketch(struct kith_conn *conn, const struct sketch *record)
{
	struct kith_get_result *result = get(conn, record->id);
	float vector[RECORD_DIM];

	assert_int_equal(result->positions.n, 1);
	assert_int_equal(result->positions.v[0], 0);
	assert_memory_equal(result->vectors.v, record_vector(1, record->version, vector),
	                    sizeof(vector));
	assert_int_equal(result->texts.v[0].n, record->text.n);
	assert_int_equal(!result->texts.v[0].data, !record->text.data);
	if (record->text.n > 0)
		assert_memory_equal(result->texts.v[0].data, record->text.data, record->text.n);
	assert_int_equal(!result->metas.v[0].data, !record->meta.data);
	assert_true(is_text(result->namespaces.v[0], record->namespace ? record->namespace : ""));
	kith_free(result);
}

static int notes_setup(void **state)
{
	struct service_fixture *service;

	service_setup(state);
	service = *state;
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	return 0;
}

/* upsert -------------------------------------------------------------------------------------- */

static void upsert_tells_what_it_did_to_each_record(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_meta_builder *meta = kith_meta_new();
	struct sketch record = {.id = kith_id_text("one"), .text = kith_text("a text")};
	uint64_t seq;

	assert_int_equal(upsert(conn, &record).inserted, 1);
	expect_sketch(conn, &record);
	assert_int_equal(upsert(conn, &record).unchanged, 1);

	record.text = kith_text("another text");
	assert_int_equal(upsert(conn, &record).replaced, 1);
	expect_sketch(conn, &record);
	record.version = 2;
	assert_int_equal(upsert(conn, &record).replaced, 1);
	expect_sketch(conn, &record);

	kith_meta_int(meta, "page", 7);
	record.meta = kith_meta_end(meta);
	assert_int_equal(upsert(conn, &record).touched, 1);
	expect_sketch(conn, &record);
	record.namespace = "books";
	assert_int_equal(upsert(conn, &record).touched, 1);
	expect_sketch(conn, &record);

	seq = upsert(conn, &record).seq;
	assert_int_equal(upsert(conn, &record).unchanged, 1);
	assert_int_equal(upsert(conn, &record).seq, seq);
	expect_count(conn, "notes", 1);

	/* An upsert is the whole record: what it leaves out is gone. */
	record.meta = (struct kith_meta){0};
	record.namespace = NULL;
	assert_int_equal(upsert(conn, &record).touched, 1);
	expect_sketch(conn, &record);
	record.text = kith_text(NULL);
	assert_int_equal(upsert(conn, &record).replaced, 1);
	expect_sketch(conn, &record);
	kith_meta_free(meta);
}

static void the_seq_grows_with_each_change_and_every_read_tells_it(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_describe_collection_params about = {kith_text("notes")};
	struct kith_describe_collection_result *description;
	struct kith_upsert_result counts;
	struct kith_get_result *record;
	uint64_t seq = 0;

	for (uint32_t version = 1; version <= 4; version++) {
		DONE(conn, try_put_records(conn, "notes", 0, 3, version, &counts));
		assert_true(counts.seq > seq);
		seq = counts.seq;
		record = get(conn, kith_id_number(2));
		assert_int_equal(record->seq, seq);
		kith_free(record);
	}
	DONE(conn, kith_describe_collection(conn, &about, &description));
	assert_int_equal(description->seq, seq);
	assert_int_equal(description->records, 3);
	kith_free(description);
}

static void a_string_of_digits_and_a_number_are_two_ids(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct sketch text = {.id = kith_id_text("7"), .text = kith_text("a string"), .version = 1};
	struct sketch number = {
	        .id = kith_id_number(7), .text = kith_text("a number"), .version = 2};
	struct kith_delete_params params = {kith_text("notes"), {&text.id, 1}};

	assert_int_equal(upsert(conn, &text).inserted, 1);
	assert_int_equal(upsert(conn, &number).inserted, 1);
	expect_sketch(conn, &text);
	expect_sketch(conn, &number);
	DONE(conn, kith_delete(conn, &params, NULL));
	expect_sketch(conn, &number);
	expect_count(conn, "notes", 1);
}

static void ids_reach_over_all_of_u64_and_up_to_512_bytes(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const uint64_t numbers[] = {0, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
	char longest[512 + 1 + 1] = "";
	struct sketch record = {.id = {longest, 512, 0}, .text = kith_text("long")};
	float vector[RECORD_DIM];
	struct kith_upsert_params too_long = {
	        .collection = kith_text("notes"),
	        .ids = {&record.id, 1},
	        .vectors = kith_vectors(record_vector(1, 1, vector), RECORD_DIM),
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		put_records(conn, "notes", numbers[i], 1, 1);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		expect_records(conn, "notes", numbers[i], 1, 1);
	expect_count(conn, "notes", sizeof(numbers) / sizeof(*numbers));
	delete_records(conn, "notes", UINT64_MAX, 1);
	expect_no_records(conn, "notes", UINT64_MAX, 1, 1);
	expect_records(conn, "notes", UINT64_MAX - 1, 1, 1);

	memset(longest, 'x', sizeof(longest) - 1);
	assert_int_equal(upsert(conn, &record).inserted, 1);
	expect_sketch(conn, &record);
	record.id.n = 513;
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "ids", kith_upsert(conn, &too_long, NULL));
	record.id.n = 0;
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "ids", kith_upsert(conn, &too_long, NULL));
}

static void of_an_id_twice_in_a_batch_the_last_one_stays(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id ids[] = {kith_id_number(4), kith_id_number(5), kith_id_number(4)};
	const struct kith_str texts[] = {kith_text("first"), kith_text("between"),
	                                 kith_text("record 4, version 9")};
	float vectors[3 * RECORD_DIM];
	struct kith_upsert_params params = {
	        .collection = kith_text("notes"),
	        .ids = {ids, 3},
	        .vectors = kith_vectors(vectors, 3 * RECORD_DIM),
	        .texts = {texts, 3},
	};
	struct kith_upsert_result *counts;

	record_vector(4, 8, vectors);
	record_vector(5, 8, vectors + RECORD_DIM);
	record_vector(4, 9, vectors + 2 * RECORD_DIM);
	DONE(conn, kith_upsert(conn, &params, &counts));
	assert_int_equal(counts->inserted, 2);
	assert_int_equal(counts->replaced, 1);
	kith_free(counts);
	expect_count(conn, "notes", 2);
	expect_records(conn, "notes", 4, 1, 9);
}

/* Texts and metadata -------------------------------------------------------------------------- */

static void texts_keep_every_byte_and_empty_is_not_absent(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	static const char with_nul[] = "a\0b\0";
	static const char wide[] = "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x8c\x8d \x01\x7f\n\t\"'\\";
	struct sketch records[] = {
	        {.id = kith_id_text("nul"), .text = kith_text_n(with_nul, sizeof(with_nul))},
	        {.id = kith_id_text("wide \xf0\x9f\x8c\x8d"), .text = kith_text(wide)},
	        {.id = kith_id_text("empty"), .text = kith_text("")},
	        {.id = kith_id_text("absent")},
	};
	struct sketch empty = {.id = kith_id_text("absent"), .text = kith_text("")};

	for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++)
		assert_int_equal(upsert(conn, &records[i]).inserted, 1);
	for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++)
		expect_sketch(conn, &records[i]);
	assert_int_equal(upsert(conn, &empty).replaced, 1);
	expect_sketch(conn, &empty);
}

/* Writes down what a walk over metadata comes across. */
static int note_scalar(void *ctx, const struct kith_scalar *scalar, bool in_list)
{
	char *notes = ctx;
	size_t n = strlen(notes);
	char *at = notes + n;
	size_t left = 512 - n;
	int used = snprintf(at, left, "%.*s%s=", (int)scalar->key.n, scalar->key.data,
	                    in_list ? "[]" : "");

	at += used;
	left -= (size_t)used;
	switch (scalar->kind) {
	case KITH_SCALAR_INT:
		snprintf(at, left, "%lld;", (long long)scalar->integer);
		break;
	case KITH_SCALAR_FLOAT:
		snprintf(at, left, "%a;", scalar->real);
		break;
	case KITH_SCALAR_BOOL:
		snprintf(at, left, "%s;", scalar->boolean ? "true" : "false");
		break;
	default:
		snprintf(at, left, "'%.*s';", (int)scalar->text.n, scalar->text.data);
	}
	return 0;
}

static void metadata_comes_back_canonical(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_meta_builder *meta = kith_meta_new();
	struct sketch record = {.id = kith_id_number(1)};
	struct kith_get_result *result;
	char notes[512] = "";

	kith_meta_text(meta, "title", kith_text("caf\xc3\xa9"));
	kith_meta_list(meta, "mixed", 4);
	kith_meta_int(meta, NULL, INT64_MIN);
	kith_meta_float(meta, NULL, -0.5);
	kith_meta_bool(meta, NULL, true);
	kith_meta_text(meta, NULL, kith_text(""));
	kith_meta_int(meta, "big", INT64_MAX);
	kith_meta_list(meta, "none", 0);
	record.meta = kith_meta_end(meta);
	assert_int_equal(upsert(conn, &record).inserted, 1);
	result = get(conn, record.id);
	assert_int_equal(kith_meta_each(&result->metas.v[0], note_scalar, notes), 0);
	assert_string_equal(notes, "big=9223372036854775807;mixed[]=-9223372036854775808;"
	                           "mixed[]=-0x1p-1;mixed[]=true;mixed[]='';title='caf\xc3\xa9';");
	kith_free(result);

	/* The same in another order of keys is the same. */
	kith_meta_list(meta, "none", 0);
	kith_meta_int(meta, "big", INT64_MAX);
	kith_meta_text(meta, "title", kith_text("caf\xc3\xa9"));
	kith_meta_list(meta, "mixed", 4);
	kith_meta_int(meta, NULL, INT64_MIN);
	kith_meta_float(meta, NULL, -0.5);
	kith_meta_bool(meta, NULL, true);
	kith_meta_text(meta, NULL, kith_text(""));
	record.meta = kith_meta_end(meta);
	assert_int_equal(upsert(conn, &record).unchanged, 1);

	/* 1 and 1.0 are two values. */
	kith_meta_int(meta, "n", 1);
	record.meta = kith_meta_end(meta);
	assert_int_equal(upsert(conn, &record).touched, 1);
	kith_meta_float(meta, "n", 1.0);
	record.meta = kith_meta_end(meta);
	assert_int_equal(upsert(conn, &record).touched, 1);

	/* An empty map is there, unlike none. */
	record.meta = kith_meta_end(meta);
	assert_int_equal(upsert(conn, &record).touched, 1);
	expect_sketch(conn, &record);
	kith_meta_free(meta);
}

/* update -------------------------------------------------------------------------------------- */

static void update_changes_what_it_is_given_and_nothing_else(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_meta_builder *builder = kith_meta_new();
	struct sketch record = {.id = kith_id_text("one"),
	                        .version = 3,
	                        .text = kith_text("old"),
	                        .namespace = "books"};
	struct kith_str text = {0};
	struct kith_meta meta = {0};
	struct kith_update_params params = {
	        .collection = kith_text("notes"),
	        .ids = {&record.id, 1},
	        .texts = {&text, 1},
	        .metas = {&meta, 1},
	};
	struct kith_update_result *result;

	kith_meta_int(builder, "page", 1);
	record.meta = kith_meta_end(builder);
	upsert(conn, &record);

	DONE(conn, kith_update(conn, &params, &result)); /* two nils, no namespace */
	assert_int_equal(result->unchanged, 1);
	kith_free(result);
	expect_sketch(conn, &record);

	record.text = text = kith_text("new");
	DONE(conn, kith_update(conn, &params, &result));
	assert_int_equal(result->replaced, 1);
	kith_free(result);
	expect_sketch(conn, &record);

	DONE(conn, kith_update(conn, &params, &result));
	assert_int_equal(result->unchanged, 1);
	kith_free(result);

	text = kith_text(NULL);
	params.namespace_ = kith_text("films");
	record.namespace = "films";
	DONE(conn, kith_update(conn, &params, &result));
	assert_int_equal(result->touched, 1);
	kith_free(result);
	expect_sketch(conn, &record);

	params.namespace_ = kith_text(NULL);
	kith_meta_int(builder, "page", 2);
	meta = kith_meta_end(builder);
	DONE(conn, kith_update(conn, &params, &result));
	assert_int_equal(result->touched, 1);
	kith_free(result);
	expect_sketch(conn, &record);

	/* Back to no namespace: "" is one too. */
	params.namespace_ = kith_text("");
	record.namespace = NULL;
	DONE(conn, kith_update(conn, &params, &result));
	assert_int_equal(result->touched, 1);
	kith_free(result);
	expect_sketch(conn, &record);
	kith_meta_free(builder);
}

static void an_updated_text_keeps_its_vector_for_searches(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id id = kith_id_number(5);
	char text[RECORD_TEXT_SIZE];
	struct kith_str texts[] = {kith_text("for a moment")};
	struct kith_update_params params = {
	        .collection = kith_text("notes"), .ids = {&id, 1}, .texts = {texts, 1}};

	put_records(conn, "notes", 0, 10, 1);
	DONE(conn, kith_update(conn, &params, NULL));
	texts[0] = kith_text(record_text(5, 1, text));
	DONE(conn, kith_update(conn, &params, NULL));
	expect_records(conn, "notes", 0, 10, 1);
}

static void update_and_delete_name_the_positions_that_are_missing(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id ids[] = {kith_id_number(90), kith_id_number(1), kith_id_text("1"),
	                              kith_id_number(2), kith_id_number(91)};
	const struct kith_str texts[5] = {kith_text("x"), kith_text("x"), kith_text("x"),
	                                  kith_text("x"), kith_text("x")};
	struct kith_update_params update = {
	        .collection = kith_text("notes"), .ids = {ids, 5}, .texts = {texts, 5}};
	struct kith_delete_params delete = {kith_text("notes"), {ids, 5}};
	struct kith_update_result *updated;
	struct kith_delete_result *deleted;

	put_records(conn, "notes", 0, 4, 1);
	DONE(conn, kith_update(conn, &update, &updated));
	assert_int_equal(updated->replaced, 2);
	assert_int_equal(updated->missing.n, 3);
	assert_int_equal(updated->missing.v[0], 0);
	assert_int_equal(updated->missing.v[1], 2);
	assert_int_equal(updated->missing.v[2], 4);
	DONE(conn, kith_delete(conn, &delete, &deleted));
	assert_int_equal(deleted->deleted, 2);
	assert_int_equal(deleted->missing.n, 3);
	assert_int_equal(deleted->missing.v[2], 4);
	assert_true(deleted->seq > updated->seq);
	kith_free(updated);
	kith_free(deleted);
	expect_count(conn, "notes", 2);
	expect_records(conn, "notes", 0, 1, 1);
	expect_records(conn, "notes", 3, 1, 1);

	/* Deleting twice is fine, and no change. */
	DONE(conn, kith_delete(conn, &delete, &deleted));
	assert_int_equal(deleted->deleted, 0);
	assert_int_equal(deleted->missing.n, 5);
	kith_free(deleted);
}

/* Deleting, getting --------------------------------------------------------------------------- */

static void what_was_deleted_is_gone_and_can_come_again(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;

	put_records(conn, "notes", 0, 100, 1);
	delete_records(conn, "notes", 20, 30);
	expect_no_records(conn, "notes", 20, 30, 1);
	expect_records(conn, "notes", 0, 20, 1);
	expect_records(conn, "notes", 50, 50, 1);
	expect_count(conn, "notes", 70);
	put_records(conn, "notes", 30, 10, 2);
	expect_records(conn, "notes", 30, 10, 2);
	expect_no_records(conn, "notes", 20, 10, 1);
	expect_count(conn, "notes", 80);
}

static void get_returns_the_columns_that_are_asked_for(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id ids[] = {kith_id_number(3), kith_id_text("none"), kith_id_number(1),
	                              kith_id_number(3)};
	struct kith_get_params params = {.collection = kith_text("notes"), .ids = {ids, 4}};
	struct kith_get_result *result;

	put_records(conn, "notes", 0, 5, 1);
	for (uint32_t include = 0; include < 16; include++) {
		params.include = include;
		DONE(conn, kith_get(conn, &params, &result));
		assert_int_equal(result->positions.n, 3);
		assert_int_equal(result->positions.v[0], 0);
		assert_int_equal(result->positions.v[1], 2);
		assert_int_equal(result->positions.v[2], 3);
		assert_int_equal(result->vectors.v != NULL, (include & KITH_INCLUDE_VECTORS) != 0);
		assert_int_equal(result->texts.v != NULL, (include & KITH_INCLUDE_TEXTS) != 0);
		assert_int_equal(result->metas.v != NULL, (include & KITH_INCLUDE_METAS) != 0);
		assert_int_equal(result->namespaces.v != NULL,
		                 (include & KITH_INCLUDE_NAMESPACES) != 0);
		if (include & KITH_INCLUDE_TEXTS)
			assert_true(is_text(result->texts.v[1], "record 1, version 1"));
		kith_free(result);
	}
}

/* Refusals ------------------------------------------------------------------------------------ */

static void bad_vectors_are_refused_by_row_and_nothing_of_the_batch_stays(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id ids[] = {kith_id_number(50), kith_id_number(51), kith_id_number(52)};
	const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0f, -0.0f};
	struct kith_upsert_params params = {.ids = {ids, 3}};
	float vectors[3 * RECORD_DIM];

	make_collection(conn, "angles", KITH_METRIC_COSINE);
	put_records(conn, "notes", 0, 10, 1);
	put_records(conn, "angles", 0, 10, 1);
	params.vectors = kith_vectors(vectors, 3 * RECORD_DIM);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		for (uint32_t row = 0; row < 3; row++)
			record_vector(50 + row, 1, vectors + row * RECORD_DIM);
		if (bad[i] == 0.0f)
			for (uint32_t d = 0; d < RECORD_DIM; d++)
				vectors[2 * RECORD_DIM + d] = bad[i];
		else
			vectors[3 * RECORD_DIM - 1] = bad[i];
		params.collection = kith_text("angles");
		REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors", kith_upsert(conn, &params, NULL));
		assert_int_equal(kith_error_row(conn), 2);
		params.collection = kith_text("notes");
		if (bad[i] == 0.0f)
			continue; /* under l2 it is a vector like any other */
		REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors", kith_upsert(conn, &params, NULL));
		assert_int_equal(kith_error_row(conn), 2);
	}
	expect_count(conn, "notes", 10);
	expect_count(conn, "angles", 10);
	expect_records(conn, "notes", 0, 10, 1);
	expect_no_records(conn, "angles", 50, 3, 1);
}

static void columns_that_do_not_fit_the_ids_are_refused(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id ids[] = {kith_id_number(1), kith_id_number(2)};
	const struct kith_str texts[3] = {{0}};
	const struct kith_meta metas[3] = {{0}};
	float vectors[3 * RECORD_DIM] = {0};
	struct kith_upsert_params upsert = {.collection = kith_text("notes"), .ids = {ids, 2}};
	struct kith_update_params update = {.collection = kith_text("notes"), .ids = {ids, 2}};

	for (size_t n = 1; n < 3 * RECORD_DIM; n++) {
		upsert.vectors = kith_vectors(vectors, n);
		if (n != 2 * RECORD_DIM)
			REFUSED(conn, KITH_ERROR_BAD_VALUE, "vectors",
			        kith_upsert(conn, &upsert, NULL));
	}
	upsert.vectors = kith_vectors(vectors, 2 * RECORD_DIM);
	upsert.texts = (struct kith_texts){texts, 1};
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "texts", kith_upsert(conn, &upsert, NULL));
	upsert.texts.n = 2;
	upsert.metas = (struct kith_metas){metas, 3};
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "metas", kith_upsert(conn, &upsert, NULL));
	update.texts = (struct kith_texts){texts, 3};
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "texts", kith_update(conn, &update, NULL));
	update.texts = (struct kith_texts){0};
	update.metas = (struct kith_metas){metas, 1};
	REFUSED(conn, KITH_ERROR_BAD_VALUE, "metas", kith_update(conn, &update, NULL));
	expect_count(conn, "notes", 0);
}

static void a_batch_has_as_many_records_as_the_limit_and_no_more(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_limits_result *limits;

	DONE(conn, kith_limits(conn, &limits));
	put_records(conn, "notes", 0, (uint32_t)limits->batch_rows, 1);
	expect_count(conn, "notes", limits->batch_rows);
	expect_records(conn, "notes", limits->batch_rows - 1, 1, 1);
	REFUSED(conn, KITH_ERROR_OVER_LIMIT, "ids",
	        try_put_records(conn, "notes", 0, (uint32_t)limits->batch_rows + 1, 2, NULL));
	expect_records(conn, "notes", 0, 1, 1);
	kith_free(limits);
}

static void a_write_that_names_another_space_is_refused(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	struct kith_create_collection_params create = {
	        .name = kith_text("embedded"), .dim = RECORD_DIM, .space = kith_text("e5-small@1")};
	const struct kith_id id = kith_id_number(1);
	float vector[RECORD_DIM];
	struct kith_upsert_params upsert = {
	        .collection = kith_text("embedded"),
	        .space = kith_text("e5-small@2"),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(1, 1, vector), RECORD_DIM),
	};
	struct kith_search_params search = {.collection = kith_text("embedded"),
	                                    .space = kith_text(""),
	                                    .vectors = upsert.vectors};

	DONE(conn, kith_create_collection(conn, &create, NULL));
	REFUSED(conn, KITH_ERROR_WRONG_SPACE, "space", kith_upsert(conn, &upsert, NULL));
	REFUSED(conn, KITH_ERROR_WRONG_SPACE, "space", kith_search(conn, &search, NULL));
	expect_count(conn, "embedded", 0);
	upsert.space = search.space = kith_text("e5-small@1");
	DONE(conn, kith_upsert(conn, &upsert, NULL));
	DONE(conn, kith_search(conn, &search, NULL));
	upsert.space = search.space = kith_text(NULL); /* unnamed: not checked */
	DONE(conn, kith_upsert(conn, &upsert, NULL));
	DONE(conn, kith_search(conn, &search, NULL));
	expect_count(conn, "embedded", 1);
	/* A collection without a label is of no space. */
	upsert.collection = kith_text("notes");
	upsert.space = kith_text("e5-small@1");
	REFUSED(conn, KITH_ERROR_WRONG_SPACE, "space", kith_upsert(conn, &upsert, NULL));
}

static void every_method_refuses_a_collection_that_is_not_there(void **state)
{
	struct kith_conn *conn = ((struct service_fixture *)*state)->conn;
	const struct kith_id id = kith_id_number(1);
	const struct kith_ids ids = {&id, 1};
	const float vector[RECORD_DIM] = {1};
	struct kith_str none = kith_text("none");
	struct kith_f32s vectors = kith_vectors(vector, RECORD_DIM);
	struct kith_upsert_params upsert = {.collection = none, .ids = ids, .vectors = vectors};
	struct kith_update_params update = {.collection = none, .ids = ids};
	struct kith_delete_params delete = {none, ids};
	struct kith_get_params get = {.collection = none, .ids = ids};
	struct kith_scan_params scan = {.collection = none};
	struct kith_count_params count = {.collection = none};
	struct kith_search_params search = {.collection = none, .vectors = vectors};

	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_upsert(conn, &upsert, NULL));
	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_update(conn, &update, NULL));
	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_delete(conn, &delete, NULL));
	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_get(conn, &get, NULL));
	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_scan(conn, &scan, NULL));
	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_count(conn, &count, NULL));
	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_search(conn, &search, NULL));
}

int main(void)
{
#define ON_NOTES(test) cmocka_unit_test_setup_teardown(test, notes_setup, service_teardown)
	const struct CMUnitTest tests[] = {
	        ON_NOTES(upsert_tells_what_it_did_to_each_record),
	        ON_NOTES(the_seq_grows_with_each_change_and_every_read_tells_it),
	        ON_NOTES(a_string_of_digits_and_a_number_are_two_ids),
	        ON_NOTES(ids_reach_over_all_of_u64_and_up_to_512_bytes),
	        ON_NOTES(of_an_id_twice_in_a_batch_the_last_one_stays),
	        ON_NOTES(texts_keep_every_byte_and_empty_is_not_absent),
	        ON_NOTES(metadata_comes_back_canonical),
	        ON_NOTES(update_changes_what_it_is_given_and_nothing_else),
	        ON_NOTES(an_updated_text_keeps_its_vector_for_searches),
	        ON_NOTES(update_and_delete_name_the_positions_that_are_missing),
	        ON_NOTES(what_was_deleted_is_gone_and_can_come_again),
	        ON_NOTES(get_returns_the_columns_that_are_asked_for),
	        ON_NOTES(bad_vectors_are_refused_by_row_and_nothing_of_the_batch_stays),
	        ON_NOTES(columns_that_do_not_fit_the_ids_are_refused),
	        ON_NOTES(a_batch_has_as_many_records_as_the_limit_and_no_more),
	        ON_NOTES(a_write_that_names_another_space_is_refused),
	        ON_NOTES(every_method_refuses_a_collection_that_is_not_there),
	};

	return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
