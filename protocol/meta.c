/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/meta.h"

#include "protocol/unpack.h"

#include <errno.h>
#include <string.h>

/* Room for the largest map header; the one that is needed is written at the end. */
#define MAP_HEADER_BYTES 5u

/* A map with lists in it. */
#define META_DEPTH 2

static int append(void *data, const char *bytes, size_t n)
{
	wire_buf_append(data, bytes, n);
	return 0;
}

void wire_meta_begin(struct wire_meta_builder *builder)
{
	static const uint8_t header[MAP_HEADER_BYTES];

	*builder = (struct wire_meta_builder){0};
	wire_buf_append(&builder->buf, header, sizeof(header));
}

/* Begins a pair, or the next element of the list at hand. */
static msgpack_packer begin_value(struct wire_meta_builder *builder, const char *key)
{
	msgpack_packer packer;

	msgpack_packer_init(&packer, &builder->buf, append);
	if (builder->n_in_list > 0) {
		builder->n_in_list--;
	} else {
		builder->n_pairs++;
		msgpack_pack_str_with_body(&packer, key, strlen(key));
	}
	return packer;
}

void wire_meta_text(struct wire_meta_builder *builder, const char *key, const char *text, size_t n)
{
	msgpack_packer packer = begin_value(builder, key);

	msgpack_pack_str_with_body(&packer, text, n);
}

void wire_meta_int(struct wire_meta_builder *builder, const char *key, int64_t value)
{
	msgpack_packer packer = begin_value(builder, key);

	msgpack_pack_int64(&packer, value);
}

void wire_meta_float(struct wire_meta_builder *builder, const char *key, double value)
{
	msgpack_packer packer = begin_value(builder, key);

	msgpack_pack_double(&packer, value);
}

void wire_meta_bool(struct wire_meta_builder *builder, const char *key, bool value)
{
	msgpack_packer packer = begin_value(builder, key);

	if (value)
		msgpack_pack_true(&packer);
	else
		msgpack_pack_false(&packer);
}

void wire_meta_list(struct wire_meta_builder *builder, const char *key, uint32_t n)
{
	msgpack_packer packer = begin_value(builder, key);

	msgpack_pack_array(&packer, n);
	builder->n_in_list = n;
}

/* Writes the header of a map so that it ends at `end`; returns where it begins. */
static uint8_t *put_map_header(uint8_t *end, uint32_t n)
{
	if (n < 16) {
		end[-1] = (uint8_t)(0x80 | n);
		return end - 1;
	}
	end[-1] = (uint8_t)n;
	end[-2] = (uint8_t)(n >> 8);
	if (n <= UINT16_MAX) {
		end[-3] = 0xde;
		return end - 3;
	}
	end[-3] = (uint8_t)(n >> 16);
	end[-4] = (uint8_t)(n >> 24);
	end[-5] = 0xdf;
	return end - 5;
}

struct wire_bin wire_meta_end(struct wire_meta_builder *builder)
{
	struct wire_buf *buf = &builder->buf;
	uint8_t *map;

	if (buf->failed)
		return (struct wire_bin){0};
	map = put_map_header(buf->data + MAP_HEADER_BYTES, builder->n_pairs);
	return (struct wire_bin){map, (size_t)(buf->data + buf->n - map)};
}

void wire_meta_release(struct wire_meta_builder *builder)
{
	wire_buf_release(&builder->buf);
	*builder = (struct wire_meta_builder){0};
}

/* False when o is no scalar that metadata can have. */
static bool scalar_of(const msgpack_object *o, struct wire_scalar *scalar)
{
	switch (o->type) {
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		scalar->kind = WIRE_SCALAR_INT;
		scalar->integer = o->via.i64;
		return o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER || o->via.u64 <= INT64_MAX;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		scalar->kind = WIRE_SCALAR_FLOAT;
		scalar->real = o->via.f64;
		return true;
	case MSGPACK_OBJECT_BOOLEAN:
		scalar->kind = WIRE_SCALAR_BOOL;
		scalar->boolean = o->via.boolean;
		return true;
	case MSGPACK_OBJECT_STR:
		scalar->kind = WIRE_SCALAR_TEXT;
		scalar->text = (struct wire_str){o->via.str.ptr, o->via.str.size};
		return true;
	default:
		return false;
	}
}

static int each_pair(const msgpack_object_kv *pair,
                     int (*each)(void *ctx, const struct wire_scalar *scalar, bool in_list),
                     void *ctx)
{
	bool in_list = pair->val.type == MSGPACK_OBJECT_ARRAY;
	const msgpack_object *values = in_list ? pair->val.via.array.ptr : &pair->val;
	uint32_t n = in_list ? pair->val.via.array.size : 1;
	struct wire_scalar scalar = {0};

	if (pair->key.type != MSGPACK_OBJECT_STR)
		return -EBADMSG;
	scalar.key = (struct wire_str){pair->key.via.str.ptr, pair->key.via.str.size};
	for (uint32_t i = 0; i < n; i++) {
		int r;

		if (!scalar_of(&values[i], &scalar))
			return -EBADMSG;
		r = each(ctx, &scalar, in_list);
		if (r != 0)
			return r;
	}
	return 0;
}

int wire_meta_each(struct wire_bin blob,
                   int (*each)(void *ctx, const struct wire_scalar *scalar, bool in_list),
                   void *ctx)
{
	msgpack_unpacked unpacked;
	int r;

	r = unpack(blob.data, blob.n, META_DEPTH, UINT32_MAX, &unpacked);
	if (r != 0)
		return r < 0 ? r : -EBADMSG;
	if (unpacked.data.type != MSGPACK_OBJECT_MAP)
		r = -EBADMSG;
	for (uint32_t i = 0; r == 0 && i < unpacked.data.via.map.size; i++)
		r = each_pair(&unpacked.data.via.map.ptr[i], each, ctx);
	msgpack_unpacked_destroy(&unpacked);
	return r;
}
