/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The head of a message, read from its bytes without unpacking them: enough to route a response
 * and to answer a request that is refused. Inside protocol/ only. [any]
 */

#include "protocol/message.h"

struct envelope {
	enum wire_message_type type;
	uint64_t id;          /* of requests and responses; UINT64_MAX: nil */
	bool is_error;        /* of a response */
	struct wire_str name; /* of an event; borrowed */
};

/* False when it is neither [0, id, ...] of 4, [1, id or nil, ...] of 4, nor [2, name, ...] of 3. */
bool envelope_read(const uint8_t *payload, size_t n, struct envelope *ret);
