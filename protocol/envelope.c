/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/envelope.h"

struct reader {
	const uint8_t *at, *end;
};

static bool read_byte(struct reader *reader, uint8_t *ret)
{
	if (reader->at == reader->end)
		return false;
	*ret = *reader->at++;
	return true;
}

static bool read_big_endian(struct reader *reader, unsigned width, uint64_t *ret)
{
	uint64_t value = 0;

	if ((size_t)(reader->end - reader->at) < width)
		return false;
	for (unsigned i = 0; i < width; i++)
		value = value << 8 | *reader->at++;
	*ret = value;
	return true;
}

/* Any form of an integer that is not negative. */
static bool read_unsigned(struct reader *reader, uint64_t *ret)
{
	uint8_t byte;
	unsigned width;

	if (!read_byte(reader, &byte))
		return false;
	if (byte < 0x80) {
		*ret = byte;
		return true;
	}
	if (byte < 0xcc || byte > 0xd3)
		return false;
	width = 1u << ((byte - 0xcc) & 3);
	if (!read_big_endian(reader, width, ret))
		return false;
	return byte < 0xd0 || *ret >> (8 * width - 1) == 0;
}

/* The size of an array. */
static bool read_array(struct reader *reader, uint64_t *ret)
{
	uint8_t byte;

	if (!read_byte(reader, &byte))
		return false;
	if (byte >= 0x90 && byte <= 0x9f) {
		*ret = byte & 0x0fu;
		return true;
	}
	if (byte != 0xdc && byte != 0xdd)
		return false;
	return read_big_endian(reader, byte == 0xdc ? 2 : 4, ret);
}

static bool read_string(struct reader *reader, struct wire_str *ret)
{
	uint64_t n;
	uint8_t byte;

	if (!read_byte(reader, &byte))
		return false;
	if (byte >= 0xa0 && byte <= 0xbf)
		n = byte & 0x1fu;
	else if (byte < 0xd9 || byte > 0xdb || !read_big_endian(reader, 1u << (byte - 0xd9), &n))
		return false;
	if (n > (uint64_t)(reader->end - reader->at))
		return false;
	*ret = (struct wire_str){(const char *)reader->at, (uint32_t)n};
	return true;
}

static bool next_is_nil(const struct reader *reader)
{
	return reader->at < reader->end && *reader->at == 0xc0;
}

static bool read_response(struct reader *reader, struct envelope *ret)
{
	if (next_is_nil(reader)) {
		reader->at++;
		ret->id = UINT64_MAX;
	} else if (!read_unsigned(reader, &ret->id)) {
		return false;
	}
	ret->is_error = !next_is_nil(reader);
	return reader->at < reader->end;
}

bool envelope_read(const uint8_t *payload, size_t n, struct envelope *ret)
{
	struct reader reader = {payload, payload + n};
	struct envelope envelope = {0};
	uint64_t n_items, type;
	bool ok = false;

	if (!read_array(&reader, &n_items) || !read_unsigned(&reader, &type) || type > WIRE_EVENT)
		return false;
	envelope.type = (enum wire_message_type)type;
	switch (envelope.type) {
	case WIRE_REQUEST:
		/* The largest id is how structs say `none`. */
		ok = (n_items == 4 || n_items == 5) && read_unsigned(&reader, &envelope.id) &&
		     envelope.id != UINT64_MAX;
		break;
	case WIRE_RESPONSE:
		ok = n_items == 4 && read_response(&reader, &envelope);
		break;
	case WIRE_EVENT:
		ok = n_items == 3 && read_string(&reader, &envelope.name);
		break;
	}
	if (!ok)
		return false;
	*ret = envelope;
	return true;
}
