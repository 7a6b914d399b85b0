/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/wire.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* A first block that glibc serves from its per-thread cache; most messages need no second. */
#define ARENA_FIRST_BYTES 960u
#define ARENA_BLOCK_BYTES (64u << 10)
#define BUF_FIRST_BYTES 256u

/* UTF-8. */

/* The length of the sequence of several bytes at p, 0 when it is not one. Only the second byte's
 * range depends on the first (RFC 3629, section 4). */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t length;

	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		length = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		length = 3;
		if (p[0] == 0xe0)
			low = 0xa0;
		else if (p[0] == 0xed)
			high = 0x9f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		length = 4;
		if (p[0] == 0xf0)
			low = 0x90;
		else if (p[0] == 0xf4)
			high = 0x8f;
	} else {
		return 0;
	}
	if (length > n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

bool wire_utf8_valid(const char *data, size_t n)
{
	const uint8_t *p = (const uint8_t *)data;
	size_t at = 0;

	while (at < n) {
		uint64_t eight;
		size_t length;

		if (n - at >= sizeof(eight)) {
			memcpy(&eight, p + at, sizeof(eight));
			if ((eight & UINT64_C(0x8080808080808080)) == 0) {
				at += sizeof(eight);
				continue;
			}
		}
		length = p[at] < 0x80 ? 1 : utf8_sequence(p + at, n - at);
		if (length == 0)
			return false;
		at += length;
	}
	return true;
}

/* The arena. */

struct wire_arena_block {
	struct wire_arena_block *next;
	size_t n, size;
	alignas(max_align_t) uint8_t data[];
};

void wire_arena_init(struct wire_arena *arena)
{
	arena->blocks = NULL;
}

/* Blocks double up to a bound; what is larger gets a block of its own size. */
static struct wire_arena_block *arena_grow(struct wire_arena *arena, size_t n)
{
	struct wire_arena_block *block;
	size_t size = ARENA_FIRST_BYTES;

	if (arena->blocks != NULL)
		size = arena->blocks->size < ARENA_BLOCK_BYTES / 2 ? 2 * arena->blocks->size
		                                                   : ARENA_BLOCK_BYTES;
	if (size < n)
		size = n;
	block = calloc(1, sizeof(*block) + size);
	if (block == NULL)
		return NULL;
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *wire_arena_alloc(struct wire_arena *arena, size_t n)
{
	struct wire_arena_block *block = arena->blocks;
	const size_t align = alignof(max_align_t);
	void *at;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = n == 0 ? align : (n + align - 1) & ~(align - 1);
	if (block == NULL || block->size - block->n < n) {
		block = arena_grow(arena, n);
		if (block == NULL)
			return NULL;
	}
	at = block->data + block->n;
	block->n += n;
	return at;
}

void wire_arena_release(struct wire_arena *arena)
{
	while (arena->blocks != NULL) {
		struct wire_arena_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
}

/* The buffer. */

void wire_buf_init(struct wire_buf *buf)
{
	*buf = (struct wire_buf){0};
}

static bool buf_grow(struct wire_buf *buf, size_t n)
{
	size_t size = buf->size == 0 ? BUF_FIRST_BYTES : 2 * buf->size;
	uint8_t *data;

	if (n > SIZE_MAX / 2 - buf->n)
		return false;
	if (size < buf->n + n)
		size = buf->n + n;
	data = realloc(buf->data, size);
	if (data == NULL)
		return false;
	buf->data = data;
	buf->size = size;
	return true;
}

void wire_buf_append(struct wire_buf *buf, const void *data, size_t n)
{
	if (buf->failed || n == 0)
		return;
	if (buf->size - buf->n < n && !buf_grow(buf, n)) {
		buf->failed = true;
		return;
	}
	memcpy(buf->data + buf->n, data, n);
	buf->n += n;
}

void wire_buf_release(struct wire_buf *buf)
{
	free(buf->data);
	*buf = (struct wire_buf){0};
}
