/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

json_t *json_from_str(struct kith_str str)
{
	return str.data ? json_stringn(str.data, str.n) : json_null();
}

json_t *json_from_u64(uint64_t number)
{
	if (number > INT64_MAX)
		return json_sprintf("%" PRIu64, number);
	return json_integer((json_int_t)number);
}

json_t *json_from_id(const struct kith_id *id)
{
	return id->text ? json_stringn(id->text, id->n) : json_from_u64(id->number);
}

json_t *json_from_floats(const float *v, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_real((double)v[i]));
	return array;
}

static json_t *from_scalar(const struct kith_scalar *scalar)
{
	switch (scalar->kind) {
	case KITH_SCALAR_INT:
		return json_integer((json_int_t)scalar->integer);
	case KITH_SCALAR_FLOAT:
		return json_real(scalar->real);
	case KITH_SCALAR_BOOL:
		return json_boolean(scalar->boolean);
	default:
		return json_from_str(scalar->text);
	}
}

static int add_scalar(void *ctx, const struct kith_scalar *scalar, bool in_list)
{
	json_t *object = ctx, *list;

	if (!in_list)
		return json_object_setn_new(object, scalar->key.data, scalar->key.n,
		                            from_scalar(scalar));
	list = json_object_getn(object, scalar->key.data, scalar->key.n);
	if (!list) {
		list = json_array();
		if (json_object_setn_new(object, scalar->key.data, scalar->key.n, list))
			return -1;
	}
	return json_array_append_new(list, from_scalar(scalar));
}

json_t *json_from_meta(const struct kith_meta *meta)
{
	json_t *object;

	if (!meta->data)
		return json_null();
	object = json_object();
	if (kith_meta_each(meta, add_scalar, object) == 0)
		return object;
	json_decref(object);
	return NULL;
}

json_t *json_from_record(const struct kith_id *id, const struct record_columns *columns,
                         uint32_t row)
{
	json_t *object = json_object();
	size_t dim = columns->n ? columns->vectors->size_bytes / sizeof(float) / columns->n : 0;

	json_object_set_new(object, "id", json_from_id(id));
	if (columns->namespaces->v)
		json_object_set_new(object, "namespace",
		                    json_from_str(columns->namespaces->v[row]));
	if (columns->texts->v)
		json_object_set_new(object, "text", json_from_str(columns->texts->v[row]));
	if (columns->metas->v)
		json_object_set_new(object, "meta", json_from_meta(&columns->metas->v[row]));
	if (columns->vectors->v)
		json_object_set_new(object, "vector",
		                    json_from_floats(columns->vectors->v + row * dim, dim));
	return object;
}

bool json_print_line(json_t *value)
{
	int r = value ? json_dumpf(value, stdout, JSON_COMPACT) : -1;

	json_decref(value);
	if (r)
		fprintf(stderr, "kith: no memory to print an answer\n");
	else
		putchar('\n');
	return r == 0;
}
