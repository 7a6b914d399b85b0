/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/record_fields.h"

static const struct record_field samples[] = {
        {.name = "i", .name_n = 1, .kind = RECORD_FIELD_INT, .integer = INT64_MIN},
        {.name = "f", .name_n = 1, .kind = RECORD_FIELD_FLOAT, .real = -0.25},
        {.name = "", .name_n = 0, .kind = RECORD_FIELD_BOOL, .boolean = true},
        {.name = "t\0t", .name_n = 3, .kind = RECORD_FIELD_TEXT, .text = {"a\0b", 3}},
        {.name = "e", .name_n = 1, .kind = RECORD_FIELD_TEXT, .text = {"", 0}},
};

#define N_SAMPLES (sizeof(samples) / sizeof(samples[0]))

static void pack(struct record_fields *fields)
{
	struct record_meta meta = {.fields = samples, .n_fields = N_SAMPLES};

	assert_int_equal(record_fields_pack(fields, &meta), 0);
}

static void what_is_packed_comes_out_again(void **state)
{
	(void)state;
	struct record_fields fields = {0};
	struct record_field field;

	pack(&fields);
	pack(&fields); /* replaces, does not add */
	const uint8_t *at = fields.data;
	size_t n = fields.n_bytes;
	for (size_t i = 0; i < N_SAMPLES; i++) {
		assert_int_equal(record_fields_next(&at, &n, &field), 0);
		assert_int_equal(field.name_n, samples[i].name_n);
		assert_memory_equal(field.name, samples[i].name, field.name_n);
		assert_int_equal(field.kind, samples[i].kind);
		if (field.kind == RECORD_FIELD_INT)
			assert_true(field.integer == INT64_MIN);
		if (field.kind == RECORD_FIELD_FLOAT)
			assert_true(field.real == -0.25);
		if (field.kind == RECORD_FIELD_BOOL)
			assert_true(field.boolean);
		if (field.kind == RECORD_FIELD_TEXT) {
			assert_int_equal(field.text.n, samples[i].text.n);
			assert_memory_equal(field.text.data, samples[i].text.data, field.text.n);
		}
	}
	assert_int_equal(record_fields_next(&at, &n, &field), RECORD_FIELDS_END);
	record_fields_release(&fields);
}

static void no_fields_pack_to_nothing(void **state)
{
	(void)state;
	struct record_fields fields = {0};
	struct record_meta meta = {0};

	assert_int_equal(record_fields_pack(&fields, &meta), 0);
	assert_null(fields.data);
	assert_int_equal(fields.n_bytes, 0);
}

/* Every prefix in memory of just its size, so that reading past it is seen by the sanitizers. */
static void a_truncated_form_is_bad_at_every_length(void **state)
{
	(void)state;
	struct record_fields fields = {0};
	struct record_field field;

	pack(&fields);
	for (size_t n = 1; n < fields.n_bytes; n++) {
		uint8_t *copy = malloc(n);
		const uint8_t *at = copy;
		size_t left = n;
		size_t n_good = 0;
		int r;

		assert_non_null(copy);
		memcpy(copy, fields.data, n);
		while ((r = record_fields_next(&at, &left, &field)) == 0)
			n_good++;
		assert_true(n_good < N_SAMPLES);
		assert_true(r == -EBADMSG || left == 0);
		free(copy);
	}
	record_fields_release(&fields);
}

static void an_unknown_kind_is_bad(void **state)
{
	(void)state;
	static const uint8_t bytes[] = {9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	const uint8_t *at = bytes;
	size_t n = sizeof(bytes);
	struct record_field field;

	assert_int_equal(record_fields_next(&at, &n, &field), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_packed_comes_out_again),
	        cmocka_unit_test(no_fields_pack_to_nothing),
	        cmocka_unit_test(a_truncated_form_is_bad_at_every_length),
	        cmocka_unit_test(an_unknown_kind_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
