/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/precheck.h"

#include <assert.h>
#include <stdbool.h>

/* What one value's head says. */
struct head {
	uint64_t n_body;     /* bytes that follow it: of a string, of a number */
	uint64_t n_children; /* values that follow it */
	bool is_container;
};

struct reader {
	const uint8_t *at, *end;
};

/* A big-endian claim of `width` bytes. */
static bool read_claim(struct reader *reader, unsigned width, uint64_t *ret)
{
	uint64_t claim = 0;

	if ((size_t)(reader->end - reader->at) < width)
		return false;
	for (unsigned i = 0; i < width; i++)
		claim = claim << 8 | *reader->at++;
	*ret = claim;
	return true;
}

/* Heads of one byte that carry their count, and those without one. */
static bool read_fix(uint8_t byte, struct head *ret)
{
	if (byte < 0x80 || byte >= 0xe0) {
		*ret = (struct head){0};
	} else if (byte < 0x90) {
		*ret = (struct head){.n_children = 2 * (byte & 0x0fu), .is_container = true};
	} else if (byte < 0xa0) {
		*ret = (struct head){.n_children = byte & 0x0fu, .is_container = true};
	} else if (byte < 0xc0) {
		*ret = (struct head){.n_body = byte & 0x1fu};
	} else {
		return false;
	}
	return true;
}

static int read_head(struct reader *reader, struct head *ret)
{
	struct head head = {0};
	uint8_t byte;

	if (reader->at == reader->end)
		return PRECHECK_TRUNCATED;
	byte = *reader->at++;
	if (read_fix(byte, ret))
		return 0;
	switch (byte) {
	case 0xc0: /* nil */
	case 0xc2: /* false */
	case 0xc3: /* true */
		break;
	case 0xc4: /* bin 8, 16, 32 */
	case 0xc5:
	case 0xc6:
		if (!read_claim(reader, 1u << (byte - 0xc4), &head.n_body))
			return PRECHECK_TRUNCATED;
		break;
	case 0xca: /* float 32, 64 */
	case 0xcb:
		head.n_body = 4u << (byte - 0xca);
		break;
	case 0xcc: /* uint 8 to 64 */
	case 0xcd:
	case 0xce:
	case 0xcf:
		head.n_body = 1u << (byte - 0xcc);
		break;
	case 0xd0: /* int 8 to 64 */
	case 0xd1:
	case 0xd2:
	case 0xd3:
		head.n_body = 1u << (byte - 0xd0);
		break;
	case 0xd9: /* str 8, 16, 32 */
	case 0xda:
	case 0xdb:
		if (!read_claim(reader, 1u << (byte - 0xd9), &head.n_body))
			return PRECHECK_TRUNCATED;
		break;
	case 0xdc: /* array 16, 32 */
	case 0xdd:
		head.is_container = true;
		if (!read_claim(reader, 2u << (byte - 0xdc), &head.n_children))
			return PRECHECK_TRUNCATED;
		break;
	case 0xde: /* map 16, 32 */
	case 0xdf:
		head.is_container = true;
		if (!read_claim(reader, 2u << (byte - 0xde), &head.n_children))
			return PRECHECK_TRUNCATED;
		head.n_children *= 2;
		break;
	default: /* extensions and the byte that is never used */
		return PRECHECK_TYPE;
	}
	*ret = head;
	return 0;
}

int precheck(const uint8_t *data, size_t n, uint32_t max_depth, uint32_t max_values)
{
	struct reader reader = {data, data + n};
	uint64_t left[PRECHECK_MAX_DEPTH + 1]; /* values still to come, by depth */
	uint64_t n_values = 1;
	uint32_t depth = 0;

	assert(max_depth <= PRECHECK_MAX_DEPTH);
	left[0] = 1;
	for (;;) {
		struct head head;
		uint64_t n_rest;
		int r;

		while (left[depth] == 0) {
			if (depth == 0)
				return reader.at == reader.end ? 0 : PRECHECK_TRAILING;
			depth--;
		}
		left[depth]--;
		r = read_head(&reader, &head);
		if (r != 0)
			return r;
		/* A value takes a byte at least, so a claim of more values than bytes is false. */
		n_rest = (uint64_t)(reader.end - reader.at);
		if (head.n_body > n_rest || head.n_children > n_rest)
			return PRECHECK_TRUNCATED;
		reader.at += head.n_body;
		n_values += head.n_children;
		if (n_values > max_values)
			return PRECHECK_VALUES;
		if (!head.is_container)
			continue;
		if (depth == max_depth)
			return PRECHECK_DEPTH;
		left[++depth] = head.n_children;
	}
}
