/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The values that fields hold, as plain C: what methods.h declares structs of, and what handlers
 * and clients see instead of MessagePack. Strings and bytes are borrowed: a decoded message's
 * from its frame, its arrays from the arena it was decoded into.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_str {
	const char *data; /* UTF-8, not terminated; NULL: absent */
	uint32_t n;
};

struct wire_bin {
	const void *data; /* NULL: absent; not aligned */
	size_t n;
};

/* A record's id: a string, or an unsigned integer when text is NULL. */
struct wire_id {
	const char *text;
	uint32_t n;
	uint64_t number;
};

struct wire_ids {
	struct wire_id *v; /* NULL: absent, as in all columns below */
	uint32_t n;
};

/* A column of texts; an element whose data is NULL is nil on the wire. */
struct wire_texts {
	struct wire_str *v;
	uint32_t n;
};

struct wire_u32s {
	uint32_t *v;
	uint32_t n;
};

/* One scalar of a record's metadata; a list gives one for each element. */
struct wire_scalar {
	struct wire_str key;
	enum {
		WIRE_SCALAR_INT,
		WIRE_SCALAR_FLOAT,
		WIRE_SCALAR_BOOL,
		WIRE_SCALAR_TEXT
	} kind;
	union {
		int64_t integer;
		double real;
		bool boolean;
		struct wire_str text;
	};
};

/* A record's metadata: the canonical encoding (see meta.h) and its scalars. */
struct wire_meta {
	struct wire_bin blob;        /* data NULL: nil on the wire */
	struct wire_scalar *scalars; /* filled when decoded, not needed to encode */
	uint32_t n_scalars;
};

struct wire_metas {
	struct wire_meta *v;
	uint32_t n;
};

/* A list of rows of one struct that methods.h declares. */
struct wire_rows {
	void *v;
	uint32_t n;
};

/* Borrows the text. */
static inline struct wire_str wire_text(const char *text)
{
	return (struct wire_str){text, (uint32_t)__builtin_strlen(text)};
}

static inline bool wire_str_equal(struct wire_str a, struct wire_str b)
{
	return a.n == b.n && (a.n == 0 || __builtin_memcmp(a.data, b.data, a.n) == 0);
}

/* Whether n bytes are UTF-8 (RFC 3629: no overlong forms, surrogates, or past U+10FFFF). */
bool wire_utf8_valid(const char *data, size_t n);

/* Memory of one decoded message: bumped, released at once. */
struct wire_arena {
	struct wire_arena_block *blocks;
};

void wire_arena_init(struct wire_arena *arena);
/* n bytes aligned for anything; NULL when there is no memory. Zeroed. */
void *wire_arena_alloc(struct wire_arena *arena, size_t n);
void wire_arena_release(struct wire_arena *arena);

/* Bytes that grow. */
struct wire_buf {
	uint8_t *data;
	size_t n, size;
	bool failed; /* memory ran out: what is in here is not whole */
};

void wire_buf_init(struct wire_buf *buf);
void wire_buf_append(struct wire_buf *buf, const void *data, size_t n);
void wire_buf_release(struct wire_buf *buf);
