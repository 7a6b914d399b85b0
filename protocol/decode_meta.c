/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Metadata out of a message. The tree is checked by the rules of meta.h, made canonical in place
 * (keys sorted, floats wide), and packed by msgpack-c, whose integers and strings are in their
 * shortest form already. A response's metadata is only packed again: the daemon sent it canonical.
 */

#include "protocol/decode.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How much of a key an error message quotes. */
#define KEY_SHOWN(key) \
	(int)((key)->via.str.size < 64 ? (key)->via.str.size : 64), (key)->via.str.ptr

struct place {
	struct decoder *decoder;
	const struct wire_field *field;
	uint32_t row;
};

static int refuse_key(const struct place *place, enum wire_error_code code,
                      const msgpack_object *key, const char *what)
{
	wire_error_set_row(place->decoder->error, code, place->field->name, place->row,
	                   "metadata '%.*s' %s", KEY_SHOWN(key), what);
	return MESSAGE_REFUSED;
}

static int refuse_size(const struct place *place, const char *what, uint64_t n, uint64_t min,
                       uint64_t max)
{
	wire_error_set_row(place->decoder->error, WIRE_ERROR_OVER_LIMIT, place->field->name,
	                   place->row, "%s is %ju; the limit is %ju to %ju", what, (uintmax_t)n,
	                   (uintmax_t)min, (uintmax_t)max);
	return MESSAGE_REFUSED;
}

static int check_key(const struct place *place, const msgpack_object *key)
{
	if (key->type != MSGPACK_OBJECT_STR) {
		wire_error_set_row(place->decoder->error, WIRE_ERROR_BAD_KIND, place->field->name,
		                   place->row, "a metadata key is not a string");
		return MESSAGE_REFUSED;
	}
	if (!wire_utf8_valid(key->via.str.ptr, key->via.str.size))
		return refuse_key(place, WIRE_ERROR_BAD_VALUE, key, "is a key that is not UTF-8");
	if (key->via.str.size < 1 || key->via.str.size > LIMIT_META_KEY_BYTES)
		return refuse_size(place, "the length of a metadata key", key->via.str.size, 1,
		                   LIMIT_META_KEY_BYTES);
	return 0;
}

/* Also makes the scalar's encoding the canonical one. */
static int check_scalar(const struct place *place, const msgpack_object *key, msgpack_object *value)
{
	switch (value->type) {
	case MSGPACK_OBJECT_BOOLEAN:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return 0;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
		if (value->via.u64 > INT64_MAX)
			return refuse_key(place, WIRE_ERROR_BAD_VALUE, key,
			                  "is an integer beyond int64");
		return 0;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		if (!isfinite(value->via.f64))
			return refuse_key(place, WIRE_ERROR_BAD_VALUE, key,
			                  "is a float that is not finite");
		value->type = MSGPACK_OBJECT_FLOAT64;
		return 0;
	case MSGPACK_OBJECT_STR:
		if (!wire_utf8_valid(value->via.str.ptr, value->via.str.size))
			return refuse_key(place, WIRE_ERROR_BAD_VALUE, key,
			                  "is a string that is not UTF-8");
		return 0;
	default:
		return refuse_key(place, WIRE_ERROR_BAD_KIND, key,
		                  "is not a scalar or a list of scalars");
	}
}

/* *ret_n: the scalars; an empty list counts as one, so that the count bounds the keys too. */
static int check_pairs(const struct place *place, msgpack_object_map *map, uint64_t *ret_n)
{
	uint64_t n = 0;
	int r;

	for (uint32_t i = 0; i < map->size; i++) {
		msgpack_object *key = &map->ptr[i].key, *value = &map->ptr[i].val;
		bool is_list = value->type == MSGPACK_OBJECT_ARRAY;
		msgpack_object *scalars = is_list ? value->via.array.ptr : value;
		uint32_t n_scalars = is_list ? value->via.array.size : 1;

		r = check_key(place, key);
		if (r != 0)
			return r;
		n += n_scalars == 0 ? 1 : n_scalars;
		if (n > LIMIT_META_SCALARS)
			return refuse_size(place, "the number of metadata scalars", n, 0,
			                   LIMIT_META_SCALARS);
		for (uint32_t j = 0; j < n_scalars; j++) {
			r = check_scalar(place, key, &scalars[j]);
			if (r != 0)
				return r;
		}
	}
	*ret_n = n;
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const msgpack_object_str *x = &((const msgpack_object_kv *)a)->key.via.str;
	const msgpack_object_str *y = &((const msgpack_object_kv *)b)->key.via.str;
	int order = memcmp(x->ptr, y->ptr, x->size < y->size ? x->size : y->size);

	return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* Who sends what Kith handed out sends it sorted. */
static int sort_pairs(const struct place *place, msgpack_object_map *map)
{
	bool sorted = true;

	for (uint32_t i = 1; i < map->size && sorted; i++)
		sorted = compare_keys(&map->ptr[i - 1], &map->ptr[i]) < 0;
	if (sorted)
		return 0;
	qsort(map->ptr, map->size, sizeof(*map->ptr), compare_keys);
	for (uint32_t i = 1; i < map->size; i++) {
		if (compare_keys(&map->ptr[i - 1], &map->ptr[i]) == 0)
			return refuse_key(place, WIRE_ERROR_BAD_VALUE, &map->ptr[i].key,
			                  "is there twice");
	}
	return 0;
}

static void set_scalar(struct wire_scalar *scalar, const msgpack_object *key,
                       const msgpack_object *value)
{
	scalar->key = (struct wire_str){key->via.str.ptr, key->via.str.size};
	switch (value->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		scalar->kind = WIRE_SCALAR_BOOL;
		scalar->boolean = value->via.boolean;
		break;
	case MSGPACK_OBJECT_FLOAT64:
		scalar->kind = WIRE_SCALAR_FLOAT;
		scalar->real = value->via.f64;
		break;
	case MSGPACK_OBJECT_STR:
		scalar->kind = WIRE_SCALAR_TEXT;
		scalar->text = (struct wire_str){value->via.str.ptr, value->via.str.size};
		break;
	default: /* u64 and i64 share their bytes */
		scalar->kind = WIRE_SCALAR_INT;
		scalar->integer = value->via.i64;
		break;
	}
}

/* n: room for so many scalars; empty lists need none. */
static int list_scalars(struct decoder *decoder, const msgpack_object_map *map, uint64_t n,
                        struct wire_meta *ret)
{
	struct wire_scalar *scalars;
	uint32_t n_scalars = 0;

	scalars = wire_arena_alloc(decoder->arena, (size_t)n * sizeof(*scalars));
	if (scalars == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < map->size; i++) {
		const msgpack_object *key = &map->ptr[i].key, *value = &map->ptr[i].val;

		if (value->type != MSGPACK_OBJECT_ARRAY) {
			set_scalar(&scalars[n_scalars++], key, value);
			continue;
		}
		for (uint32_t j = 0; j < value->via.array.size; j++)
			set_scalar(&scalars[n_scalars++], key, &value->via.array.ptr[j]);
	}
	ret->scalars = scalars;
	ret->n_scalars = n_scalars;
	return 0;
}

static int append_scratch(void *scratch, const char *data, size_t n)
{
	struct wire_buf *buf = scratch;

	wire_buf_append(buf, data, n);
	return buf->failed ? -1 : 0;
}

static int pack(struct decoder *decoder, const msgpack_object *map)
{
	msgpack_packer packer;

	decoder->scratch.n = 0;
	msgpack_packer_init(&packer, &decoder->scratch, append_scratch);
	return msgpack_pack_object(&packer, *map) == 0 ? 0 : -ENOMEM;
}

static int copy_blob(struct decoder *decoder, struct wire_meta *ret)
{
	void *blob = wire_arena_alloc(decoder->arena, decoder->scratch.n);

	if (blob == NULL)
		return -ENOMEM;
	memcpy(blob, decoder->scratch.data, decoder->scratch.n);
	ret->blob = (struct wire_bin){blob, decoder->scratch.n};
	return 0;
}

int decode_meta(struct decoder *decoder, const struct wire_field *field, uint32_t row,
                msgpack_object *map, struct wire_meta *ret)
{
	const struct place place = {decoder, field, row};
	struct wire_meta meta = {0};
	uint64_t n_scalars = 0;
	int r;

	if (decoder->strict) {
		r = check_pairs(&place, &map->via.map, &n_scalars);
		if (r != 0)
			return r;
		r = sort_pairs(&place, &map->via.map);
		if (r != 0)
			return r;
		r = list_scalars(decoder, &map->via.map, n_scalars, &meta);
		if (r < 0)
			return r;
	}
	r = pack(decoder, map);
	if (r < 0)
		return r;
	if (decoder->strict && decoder->scratch.n > LIMIT_META_BYTES)
		return refuse_size(&place, "the length of the metadata", decoder->scratch.n, 1,
		                   LIMIT_META_BYTES);
	r = copy_blob(decoder, &meta);
	if (r < 0)
		return r;
	*ret = meta;
	return 0;
}
