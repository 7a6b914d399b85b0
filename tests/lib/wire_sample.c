/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/wire_sample.h"

#include "protocol/meta.h"

#include <assert.h>
#include <string.h>

#define MOST_ROWS 40

static void *allocate(struct wire_arena *arena, size_t n)
{
	void *memory = wire_arena_alloc(arena, n);

	assert(memory != NULL);
	return memory;
}

/* Rows of a column, bytes of a string: max counts when the table has one. */
static uint32_t length(const struct wire_field *field, enum wire_sample sample, uint32_t most)
{
	uint64_t n = sample == WIRE_SAMPLE_LEAST  ? field->min
	             : sample == WIRE_SAMPLE_SOME ? 3
	                                          : most;

	if (n < field->min)
		n = field->min;
	if (field->max > 0 && n > field->max)
		n = field->max;
	return (uint32_t)n;
}

static struct wire_str make_text(uint32_t n, uint32_t seed, struct wire_arena *arena)
{
	static const char letters[] =
	        "abcdefghijklmnopqrstuvwxyz \xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98";
	char *text = allocate(arena, n);

	for (uint32_t i = 0; i < n; i++)
		text[i] = letters[(seed + i) % 26];
	if (n >= 9) /* one letter of each length in UTF-8 */
		memcpy(text, letters + 27, 9);
	return (struct wire_str){text, n};
}

static uint64_t make_number(const struct wire_field *field, enum wire_sample sample, uint64_t most)
{
	uint64_t max = field->max > 0 ? field->max : most;

	if (sample == WIRE_SAMPLE_LEAST)
		return field->required ? field->min : field->def;
	return sample == WIRE_SAMPLE_MOST ? max : field->min + 1;
}

static struct wire_bin make_blob(uint32_t row, struct wire_arena *arena)
{
	struct wire_meta_builder builder;
	struct wire_bin blob;
	void *copy;

	wire_meta_begin(&builder);
	if (row % 4 != 3) {
		wire_meta_bool(&builder, "a", row % 2 == 0);
		wire_meta_float(&builder, "b", 0.5 * row);
		wire_meta_int(&builder, "c", -1000 * (int64_t)row);
		wire_meta_list(&builder, "d", 2);
		wire_meta_text(&builder, "", "x", 1);
		wire_meta_int(&builder, "", row);
		wire_meta_text(&builder, "e", "yellow", 6);
	}
	blob = wire_meta_end(&builder);
	copy = allocate(arena, blob.n);
	memcpy(copy, blob.data, blob.n);
	blob.data = copy;
	wire_meta_release(&builder);
	return blob;
}

static void fill_column(const struct wire_field *field, uint32_t n, void *at,
                        struct wire_arena *arena)
{
	struct wire_ids *ids = at;
	struct wire_texts *texts = at;
	struct wire_metas *metas = at;
	struct wire_u32s *numbers = at;

	switch (field->kind->base) {
	case WIRE_IDS:
		*ids = (struct wire_ids){allocate(arena, n * sizeof(*ids->v)), n};
		for (uint32_t i = 0; i < n; i++) {
			struct wire_str text = make_text(1 + i, i, arena);

			if (i % 3 == 2)
				ids->v[i].number = UINT64_MAX - i;
			else
				ids->v[i] = (struct wire_id){.text = text.data, .n = text.n};
		}
		break;
	case WIRE_TEXTS:
		*texts = (struct wire_texts){allocate(arena, n * sizeof(*texts->v)), n};
		for (uint32_t i = 0; i < n; i++) {
			if (i % 3 != 1)
				texts->v[i] = make_text(20 * i, i, arena);
		}
		break;
	case WIRE_METAS:
		*metas = (struct wire_metas){allocate(arena, n * sizeof(*metas->v)), n};
		for (uint32_t i = 0; i < n; i++) {
			if (i % 3 != 1)
				metas->v[i].blob = make_blob(i, arena);
		}
		break;
	default:
		*numbers = (struct wire_u32s){allocate(arena, n * sizeof(*numbers->v)), n};
		for (uint32_t i = 0; i < n; i++)
			numbers->v[i] = i * 100000000;
		break;
	}
}

static uint32_t n_choices(const struct wire_kind *kind)
{
	uint32_t n = 0;

	while (kind->choices[n] != NULL)
		n++;
	return n;
}

static void fill_rows(const struct wire_field *field, enum wire_sample sample, void *at,
                      struct wire_arena *arena)
{
	const struct wire_schema *schema = field->kind->schema;
	uint32_t n = length(field, sample, MOST_ROWS);
	struct wire_rows *rows = at;

	*rows = (struct wire_rows){allocate(arena, n * schema->size), n};
	for (uint32_t i = 0; i < n; i++)
		memcpy((uint8_t *)rows->v + i * schema->size,
		       wire_sample_make(schema, sample, arena), schema->size);
}

static void fill(const struct wire_field *field, enum wire_sample sample, void *at,
                 struct wire_arena *arena)
{
	uint32_t n;

	switch (field->kind->base) {
	case WIRE_BOOL:
		*(bool *)at = (sample != WIRE_SAMPLE_LEAST) != (field->def != 0);
		break;
	case WIRE_U32:
		*(uint32_t *)at = (uint32_t)make_number(field, sample, UINT32_MAX);
		break;
	case WIRE_U64:
		*(uint64_t *)at = make_number(field, sample, UINT64_MAX - 1);
		break;
	case WIRE_F64:
		*(double *)at = 0.1 * (int)sample;
		break;
	case WIRE_NAME:
	case WIRE_STR:
		*(struct wire_str *)at = make_text(length(field, sample, 300), 7, arena);
		break;
	case WIRE_BIN:
		n = length(field, sample, 4 * MOST_ROWS);
		*(struct wire_bin *)at = (struct wire_bin){make_text(n, 3, arena).data, n};
		break;
	case WIRE_CHOICE:
		*(uint32_t *)at = sample == WIRE_SAMPLE_LEAST ? (uint32_t)field->def
		                                              : n_choices(field->kind) - 1;
		break;
	case WIRE_CHOICES:
		*(uint32_t *)at = sample == WIRE_SAMPLE_LEAST  ? (uint32_t)field->def
		                  : sample == WIRE_SAMPLE_SOME ? 1
		                                               : (1u << n_choices(field->kind)) - 1;
		break;
	case WIRE_ROW:
		memcpy(at, wire_sample_make(field->kind->schema, sample, arena),
		       field->kind->schema->size);
		break;
	case WIRE_ROWS:
		fill_rows(field, sample, at, arena);
		break;
	default:
		fill_column(field, length(field, sample, MOST_ROWS), at, arena);
		break;
	}
}

void *wire_sample_make(const struct wire_schema *schema, enum wire_sample sample,
                       struct wire_arena *arena)
{
	uint8_t *fields = allocate(arena, schema->size);

	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];
		enum wire_base base = field->kind->base;
		bool is_pointer = base == WIRE_NAME || base == WIRE_STR || base == WIRE_BIN ||
		                  base == WIRE_IDS || base == WIRE_TEXTS || base == WIRE_METAS ||
		                  base == WIRE_U32S || base == WIRE_ROWS;

		if (sample != WIRE_SAMPLE_LEAST || field->required || !is_pointer)
			fill(field, sample, fields + field->offset, arena);
	}
	return fields;
}

static bool bytes_equal(const void *a, size_t n_a, const void *b, size_t n_b, bool required)
{
	if (!required && (a == NULL) != (b == NULL))
		return false;
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a) == 0);
}

static bool ids_equal(const struct wire_ids *a, const struct wire_ids *b)
{
	for (uint32_t i = 0; i < a->n; i++) {
		const struct wire_id *x = &a->v[i], *y = &b->v[i];

		if (x->number != y->number || !bytes_equal(x->text, x->n, y->text, y->n, false))
			return false;
	}
	return true;
}

static bool texts_equal(const struct wire_texts *a, const struct wire_texts *b)
{
	for (uint32_t i = 0; i < a->n; i++) {
		if (!bytes_equal(a->v[i].data, a->v[i].n, b->v[i].data, b->v[i].n, false))
			return false;
	}
	return true;
}

static bool metas_equal(const struct wire_metas *a, const struct wire_metas *b)
{
	for (uint32_t i = 0; i < a->n; i++) {
		const struct wire_bin *x = &a->v[i].blob, *y = &b->v[i].blob;

		if (!bytes_equal(x->data, x->n, y->data, y->n, false))
			return false;
	}
	return true;
}

static bool rows_equal(const struct wire_schema *schema, const struct wire_rows *a,
                       const struct wire_rows *b)
{
	for (uint32_t i = 0; i < a->n; i++) {
		if (!wire_sample_equal(schema, (const uint8_t *)a->v + i * schema->size,
		                       (const uint8_t *)b->v + i * schema->size))
			return false;
	}
	return true;
}

/* The columns' structs all begin with a pointer and the number of rows. */
static bool column_equal(const struct wire_field *field, const void *a, const void *b)
{
	const struct wire_rows *x = a, *y = b;

	if (x->n != y->n || (!field->required && (x->v == NULL) != (y->v == NULL)))
		return false;
	switch (field->kind->base) {
	case WIRE_IDS:
		return ids_equal(a, b);
	case WIRE_TEXTS:
		return texts_equal(a, b);
	case WIRE_METAS:
		return metas_equal(a, b);
	case WIRE_ROWS:
		return rows_equal(field->kind->schema, a, b);
	default:
		return x->n == 0 || memcmp(x->v, y->v, x->n * sizeof(uint32_t)) == 0;
	}
}

static bool field_equal(const struct wire_field *field, const void *a, const void *b)
{
	const struct wire_str *x = a, *y = b;
	const struct wire_bin *p = a, *q = b;

	switch (field->kind->base) {
	case WIRE_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case WIRE_U32:
	case WIRE_CHOICE:
	case WIRE_CHOICES:
		return *(const uint32_t *)a == *(const uint32_t *)b;
	case WIRE_U64:
	case WIRE_F64: /* the same bits */
		return memcmp(a, b, sizeof(uint64_t)) == 0;
	case WIRE_NAME:
	case WIRE_STR:
		return bytes_equal(x->data, x->n, y->data, y->n, field->required);
	case WIRE_BIN:
		return bytes_equal(p->data, p->n, q->data, q->n, field->required);
	case WIRE_ROW:
		return wire_sample_equal(field->kind->schema, a, b);
	default:
		return column_equal(field, a, b);
	}
}

bool wire_sample_equal(const struct wire_schema *schema, const void *a, const void *b)
{
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];

		if (!field_equal(field, (const uint8_t *)a + field->offset,
		                 (const uint8_t *)b + field->offset))
			return false;
	}
	return true;
}
