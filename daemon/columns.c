/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/columns.h"

#include <errno.h>
#include <string.h>

#include "daemon/collection.h"

static bool wants(const struct columns *columns, enum wire_include include)
{
	return columns->include & (1u << include);
}

int columns_init(struct columns *columns, struct request *request, uint32_t include, uint32_t dtype,
                 uint32_t max, size_t max_bytes)
{
	const struct record_spec *spec = &request->collection->entry.spec;
	struct wire_arena *arena = &request->arena;

	*columns = (struct columns){
	        .arena = arena,
	        .include = include,
	        .max = max,
	        .dim = spec->dim,
	        .stored = (enum dtype)spec->dtype,
	        .dtype = (enum dtype)dtype,
	        .vector_bytes = spec->dim * (size_t)dtype_bytes((enum dtype)dtype),
	        .max_bytes = max_bytes,
	};
	/* An empty column still has an address: absent columns are what was not asked for. */
	if (wants(columns, WIRE_include_vectors)) {
		size_t room = max * columns->vector_bytes;

		columns->vectors =
		        wire_arena_alloc(arena, (room < max_bytes ? room : max_bytes) + 1);
		if (!columns->vectors)
			return -ENOMEM;
	}
	if (wants(columns, WIRE_include_texts)) {
		columns->texts = wire_arena_alloc(arena, (max + 1) * sizeof(*columns->texts));
		if (!columns->texts)
			return -ENOMEM;
	}
	if (wants(columns, WIRE_include_metas)) {
		columns->metas = wire_arena_alloc(arena, (max + 1) * sizeof(*columns->metas));
		if (!columns->metas)
			return -ENOMEM;
	}
	if (wants(columns, WIRE_include_namespaces)) {
		columns->namespaces =
		        wire_arena_alloc(arena, (max + 1) * sizeof(*columns->namespaces));
		if (!columns->namespaces)
			return -ENOMEM;
	}
	return 0;
}

unsigned columns_want(const struct columns *columns)
{
	return (columns->vectors ? RECORD_WANT_VECTOR : 0u) |
	       (columns->texts ? RECORD_WANT_TEXT : 0u) | (columns->metas ? RECORD_WANT_META : 0u) |
	       (columns->namespaces ? RECORD_WANT_NAMESPACE : 0u);
}

/* A copy in the arena; NULL stays NULL, empty stays empty. */
static int copy_str(struct wire_arena *arena, const void *data, size_t n, const char **ret)
{
	char *copy = NULL;

	if (data) {
		copy = wire_arena_alloc(arena, n + 1);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, data, n);
	}
	*ret = copy;
	return 0;
}

int columns_add(struct columns *columns, const struct record_row *row, size_t id_bytes)
{
	const struct record *record = &row->record;
	size_t bytes = id_bytes + 16; /* headers of its values */
	uint32_t at = columns->n;
	const char *copy;

	bytes += columns->vectors ? columns->vector_bytes : 0;
	bytes += columns->texts ? record->text_n : 0;
	bytes += columns->metas ? record->meta.blob_n : 0;
	bytes += columns->namespaces ? row->ns_name_n : 0;
	if (at == columns->max || columns->bytes + bytes > columns->max_bytes)
		return COLUMNS_FULL;
	if (columns->vectors)
		dtype_convert(record->vector, columns->stored, columns->dim, columns->dtype,
		              columns->vectors + at * columns->vector_bytes);
	if (columns->texts) {
		if (copy_str(columns->arena, record->text, record->text_n, &copy) < 0)
			return -ENOMEM;
		columns->texts[at] = (struct wire_str){copy, record->text_n};
	}
	if (columns->metas) {
		if (copy_str(columns->arena, record->meta.blob, record->meta.blob_n, &copy) < 0)
			return -ENOMEM;
		columns->metas[at] = (struct wire_meta){.blob = {copy, record->meta.blob_n}};
	}
	if (columns->namespaces) {
		if (copy_str(columns->arena, row->ns_name ? row->ns_name : "", row->ns_name_n,
		             &copy) < 0)
			return -ENOMEM;
		columns->namespaces[at] = (struct wire_str){copy, row->ns_name_n};
	}
	columns->bytes += bytes;
	columns->n++;
	return 0;
}
