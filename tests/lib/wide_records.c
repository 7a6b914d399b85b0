/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/wide_records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/vector_page.h"
#include "tests/lib/kith_calls.h"

void make_wide(struct kith_conn *conn)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(WIDE), .dim = WIDE_DIM, .metric = KITH_METRIC_L2};

	DONE(conn, kith_create_collection(conn, &params, NULL));
}

struct kith_id wide_id(uint64_t number, char text[static WIDE_ID_SIZE])
{
	if (number % 3)
		return kith_id_number(number);
	snprintf(text, WIDE_ID_SIZE, "wide %u", (unsigned)number);
	return kith_id_text(text);
}

const float *wide_vector(uint64_t number, uint32_t round, float *ret)
{
	draw_vector(number * 1000 + round, WIDE_DIM, ret);
	return ret;
}

void put_wide(struct kith_conn *conn, uint32_t round)
{
	char texts[WIDE_RECORDS][WIDE_ID_SIZE];
	struct kith_id ids[WIDE_RECORDS];
	float *vectors = malloc(WIDE_RECORDS * WIDE_BYTES);
	struct kith_upsert_params params = {
	        .collection = kith_text(WIDE),
	        .ids = {ids, WIDE_RECORDS},
	        .vectors = kith_vectors(vectors, (size_t)WIDE_RECORDS * WIDE_DIM),
	};

	assert_non_null(vectors);
	for (uint32_t i = 0; i < WIDE_RECORDS; i++) {
		ids[i] = wide_id(i, texts[i]);
		wide_vector(i, round, vectors + (size_t)i * WIDE_DIM);
	}
	DONE(conn, kith_upsert(conn, &params, NULL));
	free(vectors);
}

struct kith_search_params near_wide(const float *vector)
{
	return (struct kith_search_params){
	        .collection = kith_text(WIDE), .vectors = kith_vectors(vector, WIDE_DIM), .k = 1};
}

static bool is_same_id(const struct kith_id *a, const struct kith_id *b)
{
	if (!a->text || !b->text)
		return !a->text && !b->text && a->number == b->number;
	return a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
}

bool is_wide_found(struct kith_conn *conn, uint64_t number, uint32_t round,
                   enum kith_mode *ret_mode)
{
	char text[WIDE_ID_SIZE];
	struct kith_id id = wide_id(number, text);
	float vector[WIDE_DIM];
	struct kith_search_params params = near_wide(wide_vector(number, round, vector));
	struct kith_search_result *result;
	bool is_it;

	DONE(conn, kith_search(conn, &params, &result));
	expect_honest(result);
	assert_int_equal(result->ids.n, 1);
	is_it = is_same_id(&result->ids.v[0], &id) && result->distances.v[0] == 0.0f;
	*ret_mode = (enum kith_mode)result->mode;
	kith_free(result);
	return is_it;
}

void expect_wide(struct kith_conn *conn, uint32_t round)
{
	enum kith_mode mode;

	for (uint64_t number = round % 7; number < WIDE_RECORDS; number += 29) {
		assert_true(is_wide_found(conn, number, round, &mode));
		assert_false(is_wide_found(conn, number, round - 1, &mode));
	}
	expect_count(conn, WIDE, WIDE_RECORDS);
}

uint64_t wide_file_bytes(uint64_t n_rows)
{
	struct vector_layout layout = vector_layout_for(WIDE_BYTES);

	return vector_layout_extent_at(&layout, vector_layout_extents(&layout, n_rows));
}
