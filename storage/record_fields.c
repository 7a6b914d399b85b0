/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each scalar: one byte of kind, name length (u32), the name, then the value: 8 bytes of integer
 * or IEEE 754 double, one byte of boolean, or a length (u32) and the text. All little-endian. The
 * kinds' numbers are part of the format, so they are not those of the enum.
 */
#include "storage/record_fields.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum packed_kind {
	PACKED_INT = 1,
	PACKED_FLOAT = 2,
	PACKED_BOOL = 3,
	PACKED_TEXT = 4,
};

static int reserve(struct record_fields *fields, size_t n)
{
	size_t capacity = fields->capacity_bytes ? fields->capacity_bytes : 256;
	uint8_t *data;

	if (fields->capacity_bytes - fields->n_bytes >= n)
		return 0;
	while (capacity - fields->n_bytes < n)
		capacity *= 2;
	data = realloc(fields->data, capacity);
	if (!data)
		return -ENOMEM;
	fields->data = data;
	fields->capacity_bytes = capacity;
	return 0;
}

static void put(struct record_fields *fields, const void *data, size_t n)
{
	if (n > 0)
		memcpy(fields->data + fields->n_bytes, data, n);
	fields->n_bytes += n;
}

static void put_u8(struct record_fields *fields, uint8_t value)
{
	put(fields, &value, sizeof(value));
}

static void put_u32(struct record_fields *fields, uint32_t value)
{
	value = htole32(value);
	put(fields, &value, sizeof(value));
}

static void put_u64(struct record_fields *fields, uint64_t value)
{
	value = htole64(value);
	put(fields, &value, sizeof(value));
}

static void put_head(struct record_fields *fields, enum packed_kind kind,
                     const struct record_field *field)
{
	put_u8(fields, (uint8_t)kind);
	put_u32(fields, field->name_n);
	put(fields, field->name, field->name_n);
}

static int pack_one(struct record_fields *fields, const struct record_field *field)
{
	uint64_t bits;
	size_t text_n = field->kind == RECORD_FIELD_TEXT ? field->text.n : 0;
	int r = reserve(fields, 1 + 4 + (size_t)field->name_n + 8 + text_n);

	if (r < 0)
		return r;
	switch (field->kind) {
	case RECORD_FIELD_INT:
		put_head(fields, PACKED_INT, field);
		put_u64(fields, (uint64_t)field->integer);
		break;
	case RECORD_FIELD_FLOAT:
		put_head(fields, PACKED_FLOAT, field);
		memcpy(&bits, &field->real, sizeof(bits));
		put_u64(fields, bits);
		break;
	case RECORD_FIELD_BOOL:
		put_head(fields, PACKED_BOOL, field);
		put_u8(fields, field->boolean);
		break;
	case RECORD_FIELD_TEXT:
		put_head(fields, PACKED_TEXT, field);
		put_u32(fields, field->text.n);
		put(fields, field->text.data, field->text.n);
		break;
	}
	return 0;
}

int record_fields_pack(struct record_fields *fields, const struct record_meta *meta)
{
	fields->n_bytes = 0;
	for (uint32_t i = 0; i < meta->n_fields; i++) {
		int r = pack_one(fields, &meta->fields[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

void record_fields_release(struct record_fields *fields)
{
	free(fields->data);
	*fields = (struct record_fields){0};
}

/* A packed form that is being read; `at` is NULL once something was missing. */
struct unpack {
	const uint8_t *at;
	size_t left;
};

static const uint8_t *take(struct unpack *unpack, size_t n)
{
	const uint8_t *at = unpack->at;

	if (!at || unpack->left < n) {
		unpack->at = NULL;
		return NULL;
	}
	unpack->at += n;
	unpack->left -= n;
	return at;
}

static uint32_t take_u32(struct unpack *unpack)
{
	const uint8_t *at = take(unpack, 4);
	uint32_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static uint64_t take_u64(struct unpack *unpack)
{
	const uint8_t *at = take(unpack, 8);
	uint64_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static uint8_t take_u8(struct unpack *unpack)
{
	const uint8_t *at = take(unpack, 1);

	return at ? *at : 0;
}

int record_fields_next(const uint8_t **data, size_t *n_bytes, struct record_field *ret)
{
	struct unpack unpack = {.at = *data, .left = *n_bytes};
	struct record_field field = {0};
	uint64_t bits;
	uint8_t kind;

	if (*n_bytes == 0)
		return RECORD_FIELDS_END;
	kind = take_u8(&unpack);
	field.name_n = take_u32(&unpack);
	field.name = (const char *)take(&unpack, field.name_n);
	switch (kind) {
	case PACKED_INT:
		field.kind = RECORD_FIELD_INT;
		field.integer = (int64_t)take_u64(&unpack);
		break;
	case PACKED_FLOAT:
		field.kind = RECORD_FIELD_FLOAT;
		bits = take_u64(&unpack);
		memcpy(&field.real, &bits, sizeof(bits));
		break;
	case PACKED_BOOL:
		field.kind = RECORD_FIELD_BOOL;
		field.boolean = take_u8(&unpack) != 0;
		break;
	case PACKED_TEXT:
		field.kind = RECORD_FIELD_TEXT;
		field.text.n = take_u32(&unpack);
		field.text.data = (const char *)take(&unpack, field.text.n);
		break;
	default:
		return -EBADMSG;
	}
	if (!unpack.at)
		return -EBADMSG;
	*data = unpack.at;
	*n_bytes = unpack.left;
	*ret = field;
	return 0;
}
