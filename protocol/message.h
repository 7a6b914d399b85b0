/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Messages: MessagePack-RPC values between frames and the structs of methods.h.
 *
 *   request   [0, id, method, {params}, deadline_ms?]   id: unsigned integer, of the client's
 *   response  [1, id, error, result]         error nil, or {code, message, field?, row?}
 *   event     [2, name, {params}]
 *
 * Decoding checks everything that the table states: kinds, required fields, unknown fields,
 * limits, UTF-8. What it returns borrows from the payload and the arena. Encoding appends whole
 * frames, header included. Both walk the descriptors; no method is known by name here. [any]
 */

#include "protocol/errors.h"
#include "protocol/methods.h"
#include "protocol/wire.h"

/* Outcomes of decoding. */
enum {
	MESSAGE_REFUSED = 1, /* the peer is at fault, *ret_error says how; the stream can go on */
	MESSAGE_BROKEN = 2,  /* not even an envelope, *ret_error says how: close the stream */
};

struct wire_request {
	uint64_t id;
	enum wire_method_idx method;
	uint32_t deadline_ms; /* 0: it names none */
	void *params;         /* struct <method>_params, in the arena */
};

/* For the daemon. On MESSAGE_REFUSED and -ENOMEM ret->id is set, so that the refusal can be
 * answered. */
int message_decode_request(const uint8_t *payload, size_t n, struct wire_arena *arena,
                           struct wire_request *ret, struct wire_error *ret_error);

enum wire_message_type {
	WIRE_REQUEST = 0,
	WIRE_RESPONSE = 1,
	WIRE_EVENT = 2
};

/* For clients: what came, before it is decoded. */
struct wire_peek {
	enum wire_message_type type;
	uint64_t id;   /* of a response; a response to nothing (id nil) has UINT64_MAX */
	bool is_error; /* of a response */
	enum wire_event_idx event; /* of an event */
};

/* MESSAGE_BROKEN when it is neither; MESSAGE_REFUSED for an event that this version does not
 * know (ignore it). */
int message_peek(const uint8_t *payload, size_t n, struct wire_peek *ret);
/* ret_result: struct <method>_result. Unknown fields are skipped, so that a newer daemon can add
 * some; an unknown choice becomes the length of its list, or is left out of a list of choices;
 * limits are not checked; metadata is handed over as a blob without scalars. MESSAGE_REFUSED: the
 * daemon refused, *ret_error is its error. MESSAGE_BROKEN. -ENOMEM. A code that this version does
 * not know becomes WIRE_N_ERRORS. */
int message_decode_response(const uint8_t *payload, size_t n, enum wire_method_idx method,
                            struct wire_arena *arena, void *ret_result,
                            struct wire_error *ret_error);
/* ret_fields: struct <event>_event. MESSAGE_BROKEN. -ENOMEM. */
int message_decode_event(const uint8_t *payload, size_t n, enum wire_event_idx event,
                         struct wire_arena *arena, void *ret_fields);

/* Encoding. A message over LIMIT_FRAME_BYTES is taken back (buf holds what it held) and
 * MESSAGE_REFUSED returned. -ENOMEM, and buf->failed is set. The values of choices must be in
 * their lists. */
int message_encode_request(struct wire_buf *buf, uint64_t id, enum wire_method_idx method,
                           const void *params);
/* The same with a deadline; 0 for none. */
int message_encode_request_by(struct wire_buf *buf, uint64_t id, enum wire_method_idx method,
                              const void *params, uint32_t deadline_ms);
int message_encode_result(struct wire_buf *buf, uint64_t id, enum wire_method_idx method,
                          const void *result);
/* id UINT64_MAX: nil, the answer to something that had no id. */
int message_encode_error(struct wire_buf *buf, uint64_t id, const struct wire_error *error);
int message_encode_event(struct wire_buf *buf, enum wire_event_idx event, const void *fields);
