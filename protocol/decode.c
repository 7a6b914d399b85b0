/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One function for each base of a kind, each given the field's descriptor, the tree's node and
 * where in the struct the value belongs. Numbers and strings come first, then columns, rows, and
 * the walk over a map, which the rows need again; the recursion is one over the table.
 */

#include "protocol/decode.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* How much of a string an error message quotes. */
#define SHOWN(str) (int)((str)->size < 64 ? (str)->size : 64), (str)->ptr

#define NO_ROW WIRE_ERROR_NO_ROW

static int decode_value(struct decoder *decoder, const struct wire_field *field, msgpack_object *o,
                        void *at);

/* Refusals; row is NO_ROW for what is no element of a column. */

static int refuse_kind(struct decoder *decoder, const struct wire_field *field, uint64_t row)
{
	static const char *const wanted[] = {
	        [WIRE_BOOL] = "a boolean",
	        [WIRE_U32] = "an unsigned integer",
	        [WIRE_U64] = "an unsigned integer",
	        [WIRE_F64] = "a number",
	        [WIRE_NAME] = "a string",
	        [WIRE_STR] = "a string",
	        [WIRE_BIN] = "a bin",
	        [WIRE_IDS] = "an array of strings and unsigned integers",
	        [WIRE_TEXTS] = "an array of strings and nils",
	        [WIRE_METAS] = "an array of maps and nils",
	        [WIRE_U32S] = "an array of unsigned integers",
	        [WIRE_CHOICE] = "a string",
	        [WIRE_CHOICES] = "an array of strings",
	        [WIRE_ROW] = "a map",
	        [WIRE_ROWS] = "an array of maps",
	};

	wire_error_set_row(decoder->error, WIRE_ERROR_BAD_KIND, field->name, row, "'%s' is not %s",
	                   field->name, wanted[field->kind->base]);
	return MESSAGE_REFUSED;
}

static int refuse_value(struct decoder *decoder, const struct wire_field *field, uint64_t row,
                        const char *what)
{
	wire_error_set_row(decoder->error, WIRE_ERROR_BAD_VALUE, field->name, row, "'%s' %s",
	                   field->name, what);
	return MESSAGE_REFUSED;
}

/* verb and unit: "has", " bytes", or "is", "". */
static int refuse_size(struct decoder *decoder, const struct wire_field *field, uint64_t row,
                       const char *verb, uint64_t n, const char *unit, uint64_t min, uint64_t max)
{
	wire_error_set_row(decoder->error, WIRE_ERROR_OVER_LIMIT, field->name, row,
	                   "'%s' %s %" PRIu64 "%s; the limit is %" PRIu64 " to %" PRIu64,
	                   field->name, verb, n, unit, min, max);
	return MESSAGE_REFUSED;
}

/* Whether the table limits this field here. */
static bool is_limited(const struct decoder *decoder, const struct wire_field *field)
{
	return decoder->strict && field->max > 0;
}

/* Numbers. */

static int decode_unsigned(struct decoder *decoder, const struct wire_field *field,
                           const msgpack_object *o, uint64_t *ret)
{
	uint64_t min = 0, max = field->kind->base == WIRE_U32 ? UINT32_MAX : UINT64_MAX;

	if (is_limited(decoder, field)) {
		min = field->min;
		max = field->max;
	}
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
		wire_error_set(decoder->error, WIRE_ERROR_OVER_LIMIT, field->name,
		               "'%s' is %" PRIi64 "; the limit is %" PRIu64 " to %" PRIu64,
		               field->name, o->via.i64, min, max);
		return MESSAGE_REFUSED;
	}
	if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return refuse_kind(decoder, field, NO_ROW);
	if (o->via.u64 < min || o->via.u64 > max)
		return refuse_size(decoder, field, NO_ROW, "is", o->via.u64, "", min, max);
	*ret = o->via.u64;
	return 0;
}

static int decode_float(struct decoder *decoder, const struct wire_field *field,
                        const msgpack_object *o, double *ret)
{
	switch (o->type) {
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		*ret = o->via.f64;
		return 0;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		*ret = (double)o->via.u64;
		return 0;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		*ret = (double)o->via.i64;
		return 0;
	default:
		return refuse_kind(decoder, field, NO_ROW);
	}
}

/* Strings and bytes. */

static bool has_control_characters(const msgpack_object_str *str)
{
	for (uint32_t i = 0; i < str->size; i++) {
		if ((uint8_t)str->ptr[i] < 0x20 || str->ptr[i] == 0x7f)
			return true;
	}
	return false;
}

static int decode_string(struct decoder *decoder, const struct wire_field *field,
                         const msgpack_object *o, struct wire_str *ret)
{
	if (o->type != MSGPACK_OBJECT_STR)
		return refuse_kind(decoder, field, NO_ROW);
	if (is_limited(decoder, field) &&
	    (o->via.str.size < field->min || o->via.str.size > field->max))
		return refuse_size(decoder, field, NO_ROW, "has", o->via.str.size, " bytes",
		                   field->min, field->max);
	if (!wire_utf8_valid(o->via.str.ptr, o->via.str.size))
		return refuse_value(decoder, field, NO_ROW, "is not UTF-8");
	if (decoder->strict && field->kind->base == WIRE_NAME &&
	    has_control_characters(&o->via.str))
		return refuse_value(decoder, field, NO_ROW, "has control characters");
	*ret = (struct wire_str){o->via.str.ptr, o->via.str.size};
	return 0;
}

static int decode_bytes(struct decoder *decoder, const struct wire_field *field,
                        const msgpack_object *o, struct wire_bin *ret)
{
	if (o->type != MSGPACK_OBJECT_BIN)
		return refuse_kind(decoder, field, NO_ROW);
	if (is_limited(decoder, field) &&
	    (o->via.bin.size < field->min || o->via.bin.size > field->max))
		return refuse_size(decoder, field, NO_ROW, "has", o->via.bin.size, " bytes",
		                   field->min, field->max);
	*ret = (struct wire_bin){o->via.bin.ptr, o->via.bin.size};
	return 0;
}

/* Columns. */

/* The array's room, element_size bytes each. */
static int column_begin(struct decoder *decoder, const struct wire_field *field,
                        const msgpack_object *o, size_t element_size, void **ret_v)
{
	void *v;

	if (o->type != MSGPACK_OBJECT_ARRAY)
		return refuse_kind(decoder, field, NO_ROW);
	if (is_limited(decoder, field) &&
	    (o->via.array.size < field->min || o->via.array.size > field->max))
		return refuse_size(decoder, field, NO_ROW, "has", o->via.array.size, " rows",
		                   field->min, field->max);
	v = wire_arena_alloc(decoder->arena, o->via.array.size * element_size);
	if (v == NULL)
		return -ENOMEM;
	*ret_v = v;
	return 0;
}

static int decode_id(struct decoder *decoder, const struct wire_field *field, uint32_t row,
                     const msgpack_object *o, struct wire_id *id)
{
	if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
		id->number = o->via.u64;
		return 0;
	}
	if (o->type != MSGPACK_OBJECT_STR)
		return refuse_kind(decoder, field, row);
	if (decoder->strict && (o->via.str.size < 1 || o->via.str.size > LIMIT_ID_BYTES))
		return refuse_size(decoder, field, row, "has an id of", o->via.str.size, " bytes",
		                   1, LIMIT_ID_BYTES);
	if (!wire_utf8_valid(o->via.str.ptr, o->via.str.size))
		return refuse_value(decoder, field, row, "has an id that is not UTF-8");
	id->text = o->via.str.ptr;
	id->n = o->via.str.size;
	return 0;
}

static int decode_ids(struct decoder *decoder, const struct wire_field *field,
                      const msgpack_object *o, struct wire_ids *ret)
{
	void *v;
	int r;

	r = column_begin(decoder, field, o, sizeof(struct wire_id), &v);
	if (r != 0)
		return r;
	*ret = (struct wire_ids){v, o->via.array.size};
	for (uint32_t i = 0; i < ret->n && r == 0; i++)
		r = decode_id(decoder, field, i, &o->via.array.ptr[i], &ret->v[i]);
	return r;
}

static int decode_text(struct decoder *decoder, const struct wire_field *field, uint32_t row,
                       const msgpack_object *o, struct wire_str *text)
{
	if (o->type == MSGPACK_OBJECT_NIL)
		return 0;
	if (o->type != MSGPACK_OBJECT_STR)
		return refuse_kind(decoder, field, row);
	if (decoder->strict && o->via.str.size > LIMIT_TEXT_BYTES)
		return refuse_size(decoder, field, row, "has a text of", o->via.str.size, " bytes",
		                   0, LIMIT_TEXT_BYTES);
	if (!wire_utf8_valid(o->via.str.ptr, o->via.str.size))
		return refuse_value(decoder, field, row, "has a text that is not UTF-8");
	*text = (struct wire_str){o->via.str.ptr, o->via.str.size};
	return 0;
}

static int decode_texts(struct decoder *decoder, const struct wire_field *field,
                        const msgpack_object *o, struct wire_texts *ret)
{
	void *v;
	int r;

	r = column_begin(decoder, field, o, sizeof(struct wire_str), &v);
	if (r != 0)
		return r;
	*ret = (struct wire_texts){v, o->via.array.size};
	for (uint32_t i = 0; i < ret->n && r == 0; i++)
		r = decode_text(decoder, field, i, &o->via.array.ptr[i], &ret->v[i]);
	return r;
}

static int decode_metas(struct decoder *decoder, const struct wire_field *field,
                        const msgpack_object *o, struct wire_metas *ret)
{
	void *v;
	int r;

	r = column_begin(decoder, field, o, sizeof(struct wire_meta), &v);
	if (r != 0)
		return r;
	*ret = (struct wire_metas){v, o->via.array.size};
	for (uint32_t i = 0; i < ret->n && r == 0; i++) {
		msgpack_object *element = &o->via.array.ptr[i];

		if (element->type == MSGPACK_OBJECT_MAP)
			r = decode_meta(decoder, field, i, element, &ret->v[i]);
		else if (element->type != MSGPACK_OBJECT_NIL)
			r = refuse_kind(decoder, field, i);
	}
	return r;
}

static int decode_u32s(struct decoder *decoder, const struct wire_field *field,
                       const msgpack_object *o, struct wire_u32s *ret)
{
	void *v;
	int r;

	r = column_begin(decoder, field, o, sizeof(uint32_t), &v);
	if (r != 0)
		return r;
	*ret = (struct wire_u32s){v, o->via.array.size};
	for (uint32_t i = 0; i < ret->n; i++) {
		const msgpack_object *element = &o->via.array.ptr[i];

		if (element->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
			return refuse_kind(decoder, field, i);
		if (element->via.u64 > UINT32_MAX)
			return refuse_size(decoder, field, i, "has", element->via.u64, "", 0,
			                   UINT32_MAX);
		ret->v[i] = (uint32_t)element->via.u64;
	}
	return 0;
}

/* Choices. */

static int refuse_choice(struct decoder *decoder, const struct wire_field *field, uint64_t row,
                         const msgpack_object_str *str)
{
	char list[128] = "";
	size_t n = 0;

	for (const char *const *c = field->kind->choices; *c != NULL && n < sizeof(list); c++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n == 0 ? "" : ", ", *c);
	wire_error_set_row(decoder->error, WIRE_ERROR_BAD_VALUE, field->name, row,
	                   "'%s' is '%.*s'; it can be %s", field->name, SHOWN(str), list);
	return MESSAGE_REFUSED;
}

/* *ret is the list's length for a name that this version does not know. */
static int decode_choice(struct decoder *decoder, const struct wire_field *field, uint64_t row,
                         const msgpack_object *o, uint32_t *ret)
{
	const char *const *choices = field->kind->choices;
	uint32_t i = 0;

	if (o->type != MSGPACK_OBJECT_STR)
		return refuse_kind(decoder, field, row);
	while (choices[i] != NULL && !(strlen(choices[i]) == o->via.str.size &&
	                               memcmp(choices[i], o->via.str.ptr, o->via.str.size) == 0))
		i++;
	if (choices[i] == NULL && decoder->strict)
		return refuse_choice(decoder, field, row, &o->via.str);
	*ret = i;
	return 0;
}

static int decode_choices(struct decoder *decoder, const struct wire_field *field,
                          const msgpack_object *o, uint32_t *ret)
{
	uint32_t set = 0;

	if (o->type != MSGPACK_OBJECT_ARRAY)
		return refuse_kind(decoder, field, NO_ROW);
	for (uint32_t i = 0; i < o->via.array.size; i++) {
		uint32_t choice;
		int r;

		r = decode_choice(decoder, field, i, &o->via.array.ptr[i], &choice);
		if (r != 0)
			return r;
		if (field->kind->choices[choice] != NULL)
			set |= UINT32_C(1) << choice;
	}
	*ret = set;
	return 0;
}

/* Rows. */

static int decode_rows(struct decoder *decoder, const struct wire_field *field,
                       const msgpack_object *o, struct wire_rows *ret)
{
	const struct wire_schema *schema = field->kind->schema;
	void *v;
	int r;

	r = column_begin(decoder, field, o, schema->size, &v);
	if (r != 0)
		return r;
	*ret = (struct wire_rows){v, o->via.array.size};
	for (uint32_t i = 0; i < ret->n && r == 0; i++)
		r = decode_fields(decoder, &o->via.array.ptr[i], schema,
		                  (uint8_t *)v + i * schema->size);
	return r;
}

/* Maps. */

static int decode_value(struct decoder *decoder, const struct wire_field *field, msgpack_object *o,
                        void *at)
{
	uint64_t number = 0;
	int r;

	switch (field->kind->base) {
	case WIRE_BOOL:
		if (o->type != MSGPACK_OBJECT_BOOLEAN)
			return refuse_kind(decoder, field, NO_ROW);
		*(bool *)at = o->via.boolean;
		return 0;
	case WIRE_U32:
		r = decode_unsigned(decoder, field, o, &number);
		*(uint32_t *)at = (uint32_t)number;
		return r;
	case WIRE_U64:
		return decode_unsigned(decoder, field, o, at);
	case WIRE_F64:
		return decode_float(decoder, field, o, at);
	case WIRE_NAME:
	case WIRE_STR:
		return decode_string(decoder, field, o, at);
	case WIRE_BIN:
		return decode_bytes(decoder, field, o, at);
	case WIRE_IDS:
		return decode_ids(decoder, field, o, at);
	case WIRE_TEXTS:
		return decode_texts(decoder, field, o, at);
	case WIRE_METAS:
		return decode_metas(decoder, field, o, at);
	case WIRE_U32S:
		return decode_u32s(decoder, field, o, at);
	case WIRE_CHOICE:
		return decode_choice(decoder, field, NO_ROW, o, at);
	case WIRE_CHOICES:
		return decode_choices(decoder, field, o, at);
	case WIRE_ROW:
		return decode_fields(decoder, o, field->kind->schema, at);
	case WIRE_ROWS:
		return decode_rows(decoder, field, o, at);
	}
	__builtin_unreachable();
}

/* nil is absent too. */
static int set_absent(struct decoder *decoder, const struct wire_field *field, uint8_t *fields)
{
	void *at = fields + field->offset;

	if (field->required) {
		wire_error_set(decoder->error, WIRE_ERROR_MISSING_FIELD, field->name,
		               "'%s' is missing", field->name);
		return MESSAGE_REFUSED;
	}
	switch (field->kind->base) {
	case WIRE_BOOL:
		*(bool *)at = field->def != 0;
		break;
	case WIRE_U32:
	case WIRE_CHOICE:
	case WIRE_CHOICES:
		*(uint32_t *)at = (uint32_t)field->def;
		break;
	case WIRE_U64:
		*(uint64_t *)at = field->def;
		break;
	case WIRE_F64:
		*(double *)at = (double)field->def;
		break;
	default: /* pointers stay NULL */
		break;
	}
	return 0;
}

/* The field's position, or n_fields. Peers write fields in the table's order, so the search begins
 * where the last one ended. */
static uint32_t find_field(const struct wire_schema *schema, const msgpack_object_str *name,
                           uint32_t from)
{
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		uint32_t at = from + i < schema->n_fields ? from + i : from + i - schema->n_fields;
		const char *wanted = schema->fields[at].name;

		if (strlen(wanted) == name->size && memcmp(wanted, name->ptr, name->size) == 0)
			return at;
	}
	return schema->n_fields;
}

static int decode_pair(struct decoder *decoder, const struct wire_schema *schema,
                       msgpack_object_kv *pair, uint32_t *at, uint64_t *seen, uint8_t *fields)
{
	const msgpack_object_str *name = &pair->key.via.str;
	const struct wire_field *field;
	char shown[WIRE_ERROR_FIELD_SIZE];
	uint32_t found;

	if (pair->key.type != MSGPACK_OBJECT_STR) {
		wire_error_set(decoder->error, WIRE_ERROR_BAD_MESSAGE, NULL,
		               "the name of a field is not a string");
		return MESSAGE_REFUSED;
	}
	found = find_field(schema, name, *at);
	if (found == schema->n_fields) {
		if (!decoder->strict)
			return 0;
		snprintf(shown, sizeof(shown), "%.*s", SHOWN(name));
		wire_error_set(decoder->error, WIRE_ERROR_UNKNOWN_FIELD, shown,
		               "there is no field '%s'", shown);
		return MESSAGE_REFUSED;
	}
	field = &schema->fields[found];
	if (*seen & UINT64_C(1) << found)
		return refuse_value(decoder, field, NO_ROW, "is there twice");
	*at = found + 1;
	*seen |= UINT64_C(1) << found;
	if (pair->val.type != MSGPACK_OBJECT_NIL)
		return decode_value(decoder, field, &pair->val, fields + field->offset);
	return set_absent(decoder, field, fields);
}

int decode_fields(struct decoder *decoder, msgpack_object *map, const struct wire_schema *schema,
                  void *fields)
{
	uint64_t seen = 0;
	uint32_t at = 0;
	int r = 0;

	if (map->type != MSGPACK_OBJECT_MAP) {
		wire_error_set(decoder->error, WIRE_ERROR_BAD_KIND, NULL,
		               "where fields belong is no map");
		return MESSAGE_REFUSED;
	}
	for (uint32_t i = 0; i < map->via.map.size && r == 0; i++)
		r = decode_pair(decoder, schema, &map->via.map.ptr[i], &at, &seen, fields);
	for (uint32_t i = 0; i < schema->n_fields && r == 0; i++) {
		if ((seen & UINT64_C(1) << i) == 0)
			r = set_absent(decoder, &schema->fields[i], fields);
	}
	return r;
}
