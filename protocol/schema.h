/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Descriptors of structs and their fields, as the codec walks them. methods.c makes them out of
 * the table in methods.h; nothing else does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a kind is read and written. */
enum wire_base {
	WIRE_BOOL,
	WIRE_U32,
	WIRE_U64,
	WIRE_F64,
	WIRE_NAME, /* a string without control characters */
	WIRE_STR,
	WIRE_BIN,
	WIRE_IDS,     /* array of strings and unsigned integers */
	WIRE_TEXTS,   /* array of strings and nils */
	WIRE_METAS,   /* array of maps and nils */
	WIRE_U32S,    /* array of unsigned integers */
	WIRE_CHOICE,  /* one string out of a list; its position */
	WIRE_CHOICES, /* array of such strings; bit 1 << position for each */
	WIRE_ROW,     /* a map */
	WIRE_ROWS,    /* array of such maps */
};

struct wire_schema;

struct wire_kind {
	const char *name;
	enum wire_base base;
	const char *const *choices;       /* of choices: NULL-terminated */
	const struct wire_schema *schema; /* of rows */
};

struct wire_field {
	const char *name;
	const struct wire_kind *kind;
	bool required;
	uint64_t min, max, def; /* meaning: see methods.h */
	size_t offset;          /* in the struct */
};

/* Who encodes or decodes has a bit for each. */
#define WIRE_FIELDS_MAX 64

struct wire_schema {
	const struct wire_field *fields;
	uint32_t n_fields; /* at most WIRE_FIELDS_MAX */
	size_t size;       /* of the struct */
};
