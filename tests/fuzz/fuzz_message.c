/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Arbitrary bytes as a payload, to everything that reads payloads. A request that decodes is
 * encoded and decoded again, and both must agree; so must results and events. What wire structs
 * cannot hold (unknown choices of a newer daemon) is not encoded.
 */

#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/meta.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/wire_sample.h"

#include <errno.h>
#include <string.h>

static void fuzz_request(const uint8_t *data, size_t size)
{
	struct wire_request first, second;
	struct wire_arena arena;
	struct wire_error error;
	struct wire_buf buf;
	int r;

	wire_arena_init(&arena);
	wire_buf_init(&buf);
	r = message_decode_request(data, size, &arena, &first, &error);
	FUZZ_CHECK(r == 0 || r == MESSAGE_REFUSED || r == MESSAGE_BROKEN);
	if (r == 0) {
		r = message_encode_request(&buf, first.id, first.method, first.params);
		/* Wider floats can make a message longer than it came. */
		FUZZ_CHECK(r == 0 || (r == MESSAGE_REFUSED && size > LIMIT_FRAME_BYTES / 2));
	} else {
		FUZZ_CHECK(error.code < WIRE_N_ERRORS);
		FUZZ_CHECK(wire_utf8_valid(error.message, strlen(error.message)));
		FUZZ_CHECK(wire_utf8_valid(error.field, strlen(error.field)));
	}
	if (r == 0) {
		r = message_decode_request(buf.data + FRAME_HEADER_BYTES,
		                           buf.n - FRAME_HEADER_BYTES, &arena, &second, &error);
		FUZZ_CHECK(r == 0);
		FUZZ_CHECK(first.id == second.id && first.method == second.method);
		FUZZ_CHECK(wire_sample_equal(&wire_methods[first.method].params, first.params,
		                             second.params));
	}
	wire_buf_release(&buf);
	wire_arena_release(&arena);
}

static bool can_encode(const struct wire_schema *schema, const void *fields)
{
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];
		const void *at = (const uint8_t *)fields + field->offset;
		const struct wire_rows *rows = at;

		if (field->kind->base == WIRE_CHOICE &&
		    field->kind->choices[*(const uint32_t *)at] == NULL)
			return false;
		if (field->kind->base == WIRE_ROW && !can_encode(field->kind->schema, at))
			return false;
		for (uint32_t j = 0; field->kind->base == WIRE_ROWS && j < rows->n; j++) {
			if (!can_encode(field->kind->schema,
			                (const uint8_t *)rows->v + j * field->kind->schema->size))
				return false;
		}
	}
	return true;
}

static void fuzz_response(const uint8_t *data, size_t size, enum wire_method_idx method)
{
	const struct wire_schema *schema = &wire_methods[method].result;
	struct wire_arena arena;
	struct wire_error error;
	struct wire_buf buf;
	void *first, *second;
	int r;

	wire_arena_init(&arena);
	wire_buf_init(&buf);
	first = wire_arena_alloc(&arena, schema->size);
	second = wire_arena_alloc(&arena, schema->size);
	FUZZ_CHECK(first != NULL && second != NULL);
	r = message_decode_response(data, size, method, &arena, first, &error);
	FUZZ_CHECK(r == 0 || r == MESSAGE_REFUSED || r == MESSAGE_BROKEN);
	if (r == MESSAGE_REFUSED)
		FUZZ_CHECK(message_encode_error(&buf, 1, &error) == 0);
	if (r == 0 && can_encode(schema, first) &&
	    message_encode_result(&buf, 1, method, first) == 0) {
		r = message_decode_response(buf.data + FRAME_HEADER_BYTES,
		                            buf.n - FRAME_HEADER_BYTES, method, &arena, second,
		                            &error);
		FUZZ_CHECK(r == 0);
		FUZZ_CHECK(wire_sample_equal(schema, first, second));
	}
	wire_buf_release(&buf);
	wire_arena_release(&arena);
}

static void fuzz_event(const uint8_t *data, size_t size, enum wire_event_idx event)
{
	const struct wire_schema *schema = &wire_events[event].fields;
	struct wire_arena arena;
	void *fields;
	int r;

	wire_arena_init(&arena);
	fields = wire_arena_alloc(&arena, schema->size);
	FUZZ_CHECK(fields != NULL);
	r = message_decode_event(data, size, event, &arena, fields);
	FUZZ_CHECK(r == 0 || r == MESSAGE_BROKEN);
	wire_arena_release(&arena);
}

static int ignore(void *ctx, const struct wire_scalar *scalar, bool in_list)
{
	(void)ctx;
	(void)scalar;
	(void)in_list;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_peek peek;
	int r;

	fuzz_request(data, size);
	r = message_peek(data, size, &peek);
	FUZZ_CHECK(r == 0 || r == MESSAGE_REFUSED || r == MESSAGE_BROKEN);
	for (int method = 0; r != MESSAGE_BROKEN && method < WIRE_N_METHODS; method++)
		fuzz_response(data, size, (enum wire_method_idx)method);
	for (int event = 0; event < WIRE_N_EVENTS; event++)
		fuzz_event(data, size, (enum wire_event_idx)event);
	r = wire_meta_each((struct wire_bin){data, size}, ignore, NULL);
	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	return 0;
}
