/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From msgpack-c's tree to the structs of methods.h, by their descriptors. Inside protocol/ only.
 *
 * Functions return 0, MESSAGE_REFUSED with decoder->error filled, or -ENOMEM.
 */

#include "protocol/message.h"
#include "protocol/unpack.h"

struct decoder {
	struct wire_arena *arena;
	struct wire_error *error;
	struct wire_buf scratch; /* metadata is packed here, then goes to the arena */
	bool strict; /* of a request: limits, unknown fields, rules of metadata are checked */
};

/* A map into the struct that schema describes, which is zeroed. */
int decode_fields(struct decoder *decoder, msgpack_object *map, const struct wire_schema *schema,
                  void *fields);

/* One record's metadata. Strict decoding sorts the tree's map in place. */
int decode_meta(struct decoder *decoder, const struct wire_field *field, uint32_t row,
                msgpack_object *map, struct wire_meta *ret);
