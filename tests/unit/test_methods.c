/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/methods.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static size_t size_of(enum wire_base base, const struct wire_schema *row)
{
	switch (base) {
	case WIRE_BOOL:
		return sizeof(bool);
	case WIRE_U32:
	case WIRE_CHOICE:
	case WIRE_CHOICES:
		return sizeof(uint32_t);
	case WIRE_U64:
	case WIRE_F64:
		return sizeof(uint64_t);
	case WIRE_ROW:
		return row->size;
	default: /* a pointer and a count */
		return 16;
	}
}

static void check_schema(const struct wire_schema *schema, bool in_request)
{
	size_t end = 0;

	assert_true(schema->n_fields <= WIRE_FIELDS_MAX);
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];
		const struct wire_kind *kind = field->kind;

		assert_true(field->offset >= end);
		end = field->offset + size_of(kind->base, kind->schema);
		assert_true(field->max == 0 || field->min <= field->max);
		assert_true(strlen(field->name) < 64);
		for (uint32_t j = 0; j < i; j++)
			assert_string_not_equal(field->name, schema->fields[j].name);
		assert_int_equal(kind->base == WIRE_CHOICE || kind->base == WIRE_CHOICES,
		                 kind->choices != NULL);
		assert_int_equal(kind->base == WIRE_ROW || kind->base == WIRE_ROWS,
		                 kind->schema != NULL);
		if (kind->schema != NULL)
			check_schema(kind->schema, false);
		if (!in_request)
			continue;
		/* What a client sends is bounded, and its default is within the bounds. */
		if (kind->base >= WIRE_NAME && kind->base <= WIRE_U32S)
			assert_true(field->max > 0);
		if (kind->base == WIRE_U32 || kind->base == WIRE_U64)
			assert_true(field->required ||
			            (field->def >= field->min && field->def <= field->max));
	}
	assert_true(end <= schema->size);
}

static void the_table_is_sound(void **state)
{
	(void)state;
	for (int i = 0; i < WIRE_N_METHODS; i++) {
		check_schema(&wire_methods[i].params, true);
		check_schema(&wire_methods[i].result, false);
	}
	for (int i = 0; i < WIRE_N_EVENTS; i++)
		check_schema(&wire_events[i].fields, false);
}

static struct wire_str str(const char *text)
{
	return (struct wire_str){text, (uint32_t)strlen(text)};
}

static void names_find_their_rows(void **state)
{
	(void)state;
	for (int i = 0; i < WIRE_N_METHODS; i++)
		assert_int_equal(wire_method_find(str(wire_methods[i].name)), i);
	for (int i = 0; i < WIRE_N_EVENTS; i++)
		assert_int_equal(wire_event_find(str(wire_events[i].name)), i);
	assert_int_equal(wire_method_find(str("get")), WIRE_METHOD_get);
}

static void other_names_find_nothing(void **state)
{
	(void)state;
	assert_int_equal(wire_method_find(str("")), -1);
	assert_int_equal(wire_method_find(str("ge")), -1);
	assert_int_equal(wire_method_find(str("gets")), -1);
	assert_int_equal(wire_method_find(str("Get")), -1);
	assert_int_equal(wire_method_find((struct wire_str){"get\0x", 5}), -1);
	assert_int_equal(wire_event_find(str("ping")), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_table_is_sound),
	        cmocka_unit_test(names_find_their_rows),
	        cmocka_unit_test(other_names_find_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
