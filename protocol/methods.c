/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/methods.h"

#include <assert.h>
#include <string.h>

#define REQUIRED true
#define OPTIONAL false

#define CHOICE_NAME(X, c) #c,
#define CHOICE_NAMES(choice, list) \
	static const char *const wire_##choice##_names[] = {list(CHOICE_NAME, ) NULL};
WIRE_CHOICE_LISTS(CHOICE_NAMES)

#define KIND(kind, type, base, names, schema) \
	static const struct wire_kind kind_##kind = {#kind, base, names, schema};
WIRE_KINDS(KIND)

/* Each array ends in an empty row, so that a method without fields has one too. */
#define FIELD(X, kind, name, need, min, max, def) \
	{#name, &kind_##kind, need, min, max, def, offsetof(struct X, name)},
#define FIELDS(list, X)                                                                  \
	static const struct wire_field X##_fields[] = {list(FIELD, X){0}};               \
	static_assert(sizeof(X##_fields) / sizeof(X##_fields[0]) - 1 <= WIRE_FIELDS_MAX, \
	              #X " has too many fields");
#define SCHEMA(X)                                                                            \
	{                                                                                    \
		X##_fields, sizeof(X##_fields) / sizeof(X##_fields[0]) - 1, sizeof(struct X) \
	}

#define ROW_SCHEMA(row)              \
	FIELDS(ROW_##row, row##_row) \
	const struct wire_schema row##_row_schema = SCHEMA(row##_row);
WIRE_ROW_LIST(ROW_SCHEMA)

#define METHOD_FIELDS(method)                    \
	FIELDS(PARAMS_##method, method##_params) \
	FIELDS(RESULT_##method, method##_result)
WIRE_METHODS(METHOD_FIELDS)

#define METHOD(method) {#method, SCHEMA(method##_params), SCHEMA(method##_result)},
const struct wire_method wire_methods[WIRE_N_METHODS] = {WIRE_METHODS(METHOD)};

#define EVENT_FIELDS(event) FIELDS(EVENT_##event, event##_event)
WIRE_EVENTS(EVENT_FIELDS)

#define EVENT(event) {#event, SCHEMA(event##_event)},
const struct wire_event wire_events[WIRE_N_EVENTS] = {WIRE_EVENTS(EVENT)};

static bool is_named(struct wire_str name, const char *literal)
{
	return strlen(literal) == name.n && memcmp(literal, name.data, name.n) == 0;
}

int wire_method_find(struct wire_str name)
{
	for (int i = 0; i < WIRE_N_METHODS; i++) {
		if (is_named(name, wire_methods[i].name))
			return i;
	}
	return -1;
}

int wire_event_find(struct wire_str name)
{
	for (int i = 0; i < WIRE_N_EVENTS; i++) {
		if (is_named(name, wire_events[i].name))
			return i;
	}
	return -1;
}
