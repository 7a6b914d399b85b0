/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/jsonl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static int complain(struct jsonl *jsonl, const char *format,
                                                          ...)
{
	char what[JSONL_MESSAGE_SIZE / 2];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(jsonl->message, sizeof(jsonl->message), "%.200s:%llu: %s", jsonl->path,
	         (unsigned long long)jsonl->n_lines, what);
	return -1;
}

static const char *type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	default:
		return "null";
	}
}

bool jsonl_open(struct jsonl *jsonl, const char *path)
{
	*jsonl = (struct jsonl){.path = path, .file = fopen(path, "re")};
	if (jsonl->file)
		return true;
	snprintf(jsonl->message, sizeof(jsonl->message), "%.200s: %s", path, strerror(errno));
	return false;
}

void jsonl_close(struct jsonl *jsonl)
{
	if (jsonl->file)
		fclose(jsonl->file);
	free(jsonl->line);
	*jsonl = (struct jsonl){0};
}

static int take_id(struct jsonl *jsonl, const json_t *value, struct jsonl_row *row)
{
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		row->id = kith_id_number((uint64_t)json_integer_value(value));
	} else if (json_is_string(value)) {
		row->id.text = json_string_value(value);
		row->id.n = (uint32_t)json_string_length(value);
	} else {
		return complain(jsonl, "\"id\" is a string or an integer from 0 on, not %s",
		                json_is_integer(value) ? "a negative one" : type_name(value));
	}
	row->has_id = true;
	return 0;
}

static bool add_scalar(struct kith_meta_builder *builder, const char *key, const json_t *value)
{
	if (json_is_string(value))
		kith_meta_text(builder, key,
		               kith_text_n(json_string_value(value), json_string_length(value)));
	else if (json_is_integer(value))
		kith_meta_int(builder, key, json_integer_value(value));
	else if (json_is_real(value))
		kith_meta_float(builder, key, json_real_value(value));
	else if (json_is_boolean(value))
		kith_meta_bool(builder, key, json_is_true(value));
	else
		return false;
	return true;
}

static int take_list(struct jsonl *jsonl, struct kith_meta_builder *builder, const char *key,
                     const json_t *list, struct jsonl_row *row)
{
	size_t n = json_array_size(list);

	kith_meta_list(builder, key, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		const json_t *value = json_array_get(list, i);

		if (!add_scalar(builder, NULL, value))
			return complain(jsonl, "\"meta\": the list \"%s\" holds %s", key,
			                type_name(value));
	}
	row->n_scalars += (uint32_t)n;
	return 0;
}

static int take_meta(struct jsonl *jsonl, struct kith_meta_builder *builder, json_t *meta,
                     struct jsonl_row *row)
{
	const char *key;
	json_t *value;

	if (!json_is_object(meta))
		return complain(jsonl, "\"meta\" is an object, not %s", type_name(meta));
	json_object_foreach(meta, key, value)
	{
		if (json_is_array(value)) {
			if (take_list(jsonl, builder, key, value, row))
				return -1;
			continue;
		}
		if (!add_scalar(builder, key, value))
			return complain(
			        jsonl,
			        "\"meta\": \"%s\" holds %s; it takes scalars and lists of them",
			        key, type_name(value));
		row->n_scalars++;
	}
	row->meta = kith_meta_end(builder);
	return row->meta.data ? 0 : complain(jsonl, "no memory");
}

static int take_row(struct jsonl *jsonl, struct kith_meta_builder *builder, struct jsonl_row *row)
{
	const char *key;
	json_t *value;
	int r = 0;

	if (!json_is_object(row->owner))
		return complain(jsonl, "a line is an object, not %s", type_name(row->owner));
	json_object_foreach(row->owner, key, value)
	{
		if (strcmp(key, "id") == 0)
			r = take_id(jsonl, value, row);
		else if (strcmp(key, "meta") == 0 && !json_is_null(value))
			r = take_meta(jsonl, builder, value, row);
		else if (strcmp(key, "text") == 0 && json_is_string(value))
			row->text =
			        kith_text_n(json_string_value(value), json_string_length(value));
		else if (strcmp(key, "text") == 0 && !json_is_null(value))
			r = complain(jsonl, "\"text\" is a string, not %s", type_name(value));
		else if (strcmp(key, "text") != 0 && strcmp(key, "meta") != 0)
			r = complain(jsonl, "there is no \"%s\"; a line has id, text and meta",
			             key);
		if (r)
			return r;
	}
	return 0;
}

int jsonl_next(struct jsonl *jsonl, struct kith_meta_builder *builder, struct jsonl_row *ret)
{
	struct jsonl_row row = {0};
	json_error_t error;
	ssize_t n;

	n = getline(&jsonl->line, &jsonl->size, jsonl->file);
	jsonl->n_lines++;
	if (n < 0 && ferror(jsonl->file))
		return complain(jsonl, "%s", strerror(errno));
	if (n < 0)
		return 0;
	row.owner =
	        json_loadb(jsonl->line, (size_t)n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!row.owner)
		return complain(jsonl, "column %d: %s", error.column, error.text);
	if (take_row(jsonl, builder, &row)) {
		json_decref(row.owner);
		return -1;
	}
	*ret = row;
	return 1;
}
