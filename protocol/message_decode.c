/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From payloads to envelopes and structs: the head is read first, since what is refused must still
 * be answered; then the structure is checked, msgpack-c makes its tree, decode.h walks it.
 */

#include "protocol/message.h"

#include "protocol/decode.h"
#include "protocol/envelope.h"
#include "protocol/precheck.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void set_structure_error(struct wire_error *error, int outcome)
{
	switch (outcome) {
	case PRECHECK_TRUNCATED:
		wire_error_set(error, WIRE_ERROR_BAD_FRAME, NULL, "a value ends behind the frame");
		break;
	case PRECHECK_TRAILING:
		wire_error_set(error, WIRE_ERROR_BAD_FRAME, NULL, "bytes stand behind the value");
		break;
	case PRECHECK_DEPTH:
		wire_error_set(error, WIRE_ERROR_OVER_LIMIT, NULL,
		               "the message is nested deeper than %d, the limit",
		               LIMIT_FRAME_DEPTH);
		break;
	case PRECHECK_VALUES:
		wire_error_set(error, WIRE_ERROR_OVER_LIMIT, NULL,
		               "the message has more values than %d, the limit",
		               LIMIT_FRAME_VALUES);
		break;
	default:
		wire_error_set(error, WIRE_ERROR_BAD_FRAME, NULL,
		               "the message has an extension or an unused type");
		break;
	}
}

/* The request's last item, which may be left out. */
static int decode_deadline(const msgpack_object *message, struct wire_request *request,
                           struct wire_error *error)
{
	const msgpack_object *deadline = &message->via.array.ptr[4];

	if (message->via.array.size < 5 || deadline->type == MSGPACK_OBJECT_NIL)
		return 0;
	if (deadline->type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
		wire_error_set(error, WIRE_ERROR_BAD_KIND, "deadline_ms",
		               "deadline_ms must be an unsigned integer");
		return MESSAGE_REFUSED;
	}
	if (deadline->via.u64 == 0 || deadline->via.u64 > LIMIT_DEADLINE_MS) {
		wire_error_set(error, WIRE_ERROR_OVER_LIMIT, "deadline_ms",
		               "deadline_ms is %llu; the limit is 1 to %d",
		               (unsigned long long)deadline->via.u64, LIMIT_DEADLINE_MS);
		return MESSAGE_REFUSED;
	}
	request->deadline_ms = (uint32_t)deadline->via.u64;
	return 0;
}

/* The array's items behind the type and the id. */
static int decode_call(msgpack_object *message, struct wire_arena *arena,
                       struct wire_request *request, struct wire_error *error)
{
	msgpack_object *name = &message->via.array.ptr[2], *params = &message->via.array.ptr[3];
	struct decoder decoder = {.arena = arena, .error = error, .strict = true};
	const struct wire_schema *schema;
	int method, r;

	if (name->type != MSGPACK_OBJECT_STR || params->type != MSGPACK_OBJECT_MAP) {
		wire_error_set(error, WIRE_ERROR_BAD_MESSAGE, NULL,
		               "a request is [0, id, method, {params}, deadline_ms?]");
		return MESSAGE_REFUSED;
	}
	method = wire_method_find((struct wire_str){name->via.str.ptr, name->via.str.size});
	if (method < 0) {
		wire_error_set(error, WIRE_ERROR_UNKNOWN_METHOD, NULL, "there is no method '%.*s'",
		               (int)(name->via.str.size < 64 ? name->via.str.size : 64),
		               name->via.str.ptr);
		return MESSAGE_REFUSED;
	}
	r = decode_deadline(message, request, error);
	if (r)
		return r;
	schema = &wire_methods[method].params;
	request->method = (enum wire_method_idx)method;
	request->params = wire_arena_alloc(arena, schema->size);
	if (request->params == NULL)
		return -ENOMEM;
	r = decode_fields(&decoder, params, schema, request->params);
	wire_buf_release(&decoder.scratch);
	return r;
}

int message_decode_request(const uint8_t *payload, size_t n, struct wire_arena *arena,
                           struct wire_request *ret, struct wire_error *ret_error)
{
	struct wire_request request = {0};
	struct envelope envelope;
	msgpack_unpacked unpacked;
	bool answerable;
	int r;

	answerable = envelope_read(payload, n, &envelope) && envelope.type == WIRE_REQUEST;
	if (answerable)
		ret->id = request.id = envelope.id;
	r = unpack(payload, n, LIMIT_FRAME_DEPTH, LIMIT_FRAME_VALUES, &unpacked);
	if (r < 0)
		return r;
	if (r > 0) {
		set_structure_error(ret_error, r);
		return answerable ? MESSAGE_REFUSED : MESSAGE_BROKEN;
	}
	if (answerable) {
		r = decode_call(&unpacked.data, arena, &request, ret_error);
	} else {
		wire_error_set(ret_error, WIRE_ERROR_BAD_MESSAGE, NULL,
		               "a request is [0, id, method, {params}, deadline_ms?]");
		r = MESSAGE_BROKEN;
	}
	msgpack_unpacked_destroy(&unpacked);
	if (r == 0)
		*ret = request;
	return r;
}

int message_peek(const uint8_t *payload, size_t n, struct wire_peek *ret)
{
	struct envelope envelope;
	struct wire_peek peek = {0};
	int event;

	if (!envelope_read(payload, n, &envelope) || envelope.type == WIRE_REQUEST)
		return MESSAGE_BROKEN;
	peek.type = envelope.type;
	peek.id = envelope.id;
	peek.is_error = envelope.is_error;
	if (envelope.type == WIRE_EVENT) {
		event = wire_event_find(envelope.name);
		if (event < 0)
			return MESSAGE_REFUSED;
		peek.event = (enum wire_event_idx)event;
	}
	*ret = peek;
	return 0;
}

/* What the daemon sends may have as many values as fit in a frame. */
static int unpack_answer(const uint8_t *payload, size_t n, msgpack_unpacked *ret,
                         struct wire_error *error)
{
	int r;

	r = unpack(payload, n, LIMIT_FRAME_DEPTH, UINT32_MAX, ret);
	if (r > 0) {
		set_structure_error(error, r);
		return MESSAGE_BROKEN;
	}
	return r;
}

/* Into *ret once all of it is decoded. MESSAGE_BROKEN: what the daemon sends must be right. */
static int decode_answer(msgpack_object *map, const struct wire_schema *schema,
                         struct wire_arena *arena, void *ret, struct wire_error *error)
{
	struct decoder decoder = {.arena = arena, .error = error};
	void *fields = wire_arena_alloc(arena, schema->size);
	int r;

	if (fields == NULL)
		return -ENOMEM;
	r = decode_fields(&decoder, map, schema, fields);
	wire_buf_release(&decoder.scratch);
	if (r == MESSAGE_REFUSED)
		return MESSAGE_BROKEN;
	if (r < 0)
		return r;
	memcpy(ret, fields, schema->size);
	return 0;
}

static int code_find(struct wire_str text)
{
	int code = 0;

	while (code < WIRE_N_ERRORS) {
		const char *known = wire_error_text((enum wire_error_code)code);

		if (wire_str_equal(text, (struct wire_str){known, (uint32_t)strlen(known)}))
			break;
		code++;
	}
	return code;
}

/* MESSAGE_REFUSED with the daemon's error in *error. */
static int decode_error(msgpack_object *map, struct wire_arena *arena, struct wire_error *error)
{
	struct error_row row;
	char field[WIRE_ERROR_FIELD_SIZE];
	int r;

	r = decode_answer(map, &error_row_schema, arena, &row, error);
	if (r != 0)
		return r;
	snprintf(field, sizeof(field), "%.*s", (int)row.field.n,
	         row.field.data == NULL ? "" : row.field.data);
	wire_error_set_row(error, (enum wire_error_code)code_find(row.code), field, row.row, "%.*s",
	                   (int)row.message.n, row.message.data);
	return MESSAGE_REFUSED;
}

int message_decode_response(const uint8_t *payload, size_t n, enum wire_method_idx method,
                            struct wire_arena *arena, void *ret_result,
                            struct wire_error *ret_error)
{
	struct envelope envelope;
	msgpack_unpacked unpacked;
	msgpack_object *items;
	int r;

	if (!envelope_read(payload, n, &envelope) || envelope.type != WIRE_RESPONSE) {
		wire_error_set(ret_error, WIRE_ERROR_BAD_MESSAGE, NULL,
		               "a response is [1, id, error, result]");
		return MESSAGE_BROKEN;
	}
	r = unpack_answer(payload, n, &unpacked, ret_error);
	if (r != 0)
		return r;
	items = unpacked.data.via.array.ptr;
	if (envelope.is_error)
		r = decode_error(&items[2], arena, ret_error);
	else
		r = decode_answer(&items[3], &wire_methods[method].result, arena, ret_result,
		                  ret_error);
	msgpack_unpacked_destroy(&unpacked);
	return r;
}

int message_decode_event(const uint8_t *payload, size_t n, enum wire_event_idx event,
                         struct wire_arena *arena, void *ret_fields)
{
	struct envelope envelope;
	msgpack_unpacked unpacked;
	struct wire_error error;
	int r;

	if (!envelope_read(payload, n, &envelope) || envelope.type != WIRE_EVENT)
		return MESSAGE_BROKEN;
	r = unpack_answer(payload, n, &unpacked, &error);
	if (r != 0)
		return r;
	r = decode_answer(&unpacked.data.via.array.ptr[2], &wire_events[event].fields, arena,
	                  ret_fields, &error);
	msgpack_unpacked_destroy(&unpacked);
	return r;
}
