/* SPDX-License-Identifier: Apache-2.0 */
#include "client/result.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/kith.h"

struct result *result_new(size_t size, void *memory)
{
	struct result *result = calloc(1, sizeof(*result) + size);

	if (!result) {
		free(memory);
		return NULL;
	}
	wire_arena_init(&result->arena);
	result->memory = memory;
	return result;
}

struct result *result_free(struct result *result)
{
	if (!result)
		return NULL;
	wire_arena_release(&result->arena);
	free(result->memory);
	free(result);
	return NULL;
}

void result_align(struct result *result, const struct wire_schema *schema)
{
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];
		struct wire_bin *column = (void *)(result->body + field->offset);
		size_t off_by;
		unsigned char *aligned;

		if (field->kind->base != WIRE_BIN || !column->data)
			continue;
		off_by = (uintptr_t)column->data % alignof(float);
		if (off_by == 0)
			continue;
		/* The payload is memory of ours: the codec only promises not to write to it. */
		aligned = (unsigned char *)(uintptr_t)column->data - off_by;
		memmove(aligned, column->data, column->n);
		column->data = aligned;
	}
}

void kith_free(void *result)
{
	if (result)
		result_free(
		        (struct result *)((unsigned char *)result - offsetof(struct result, body)));
}
