/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From structs to frames. The header is reserved first and written when the payload's length is
 * known. msgpack-c writes through a callback that stops as soon as the frame is over its limit, so
 * a message that is far too large costs no more memory than the largest that is not.
 */

#include "protocol/message.h"

#include "protocol/frame.h"

#include <assert.h>
#include <errno.h>
#include <msgpack.h>
#include <string.h>

struct encoder {
	struct wire_buf *buf;
	size_t start; /* of the frame in buf */
	bool over;
	msgpack_packer packer;
};

static void encode_fields(struct encoder *encoder, const struct wire_schema *schema,
                          const void *fields);

static int append(void *data, const char *bytes, size_t n)
{
	struct encoder *encoder = data;
	struct wire_buf *buf = encoder->buf;

	if (encoder->over || buf->failed)
		return -1;
	if (n > encoder->start + FRAME_HEADER_BYTES + LIMIT_FRAME_BYTES - buf->n) {
		encoder->over = true;
		return -1;
	}
	wire_buf_append(buf, bytes, n);
	return buf->failed ? -1 : 0;
}

static void frame_begin(struct encoder *encoder, struct wire_buf *buf)
{
	static const uint8_t header[FRAME_HEADER_BYTES];

	*encoder = (struct encoder){.buf = buf, .start = buf->n};
	msgpack_packer_init(&encoder->packer, encoder, append);
	wire_buf_append(buf, header, sizeof(header));
}

static int frame_end(struct encoder *encoder)
{
	struct wire_buf *buf = encoder->buf;

	if (buf->failed)
		return -ENOMEM;
	if (encoder->over) {
		buf->n = encoder->start;
		return MESSAGE_REFUSED;
	}
	frame_put_header(buf->data + encoder->start,
	                 (uint32_t)(buf->n - encoder->start - FRAME_HEADER_BYTES));
	return 0;
}

/* Values. An absent string, bin or column that is required goes out empty. */

static void encode_text(struct encoder *encoder, const char *text)
{
	msgpack_pack_str_with_body(&encoder->packer, text, strlen(text));
}

static void encode_str(struct encoder *encoder, struct wire_str str)
{
	msgpack_pack_str_with_body(&encoder->packer, str.data, str.n);
}

static void encode_ids(struct encoder *encoder, const struct wire_ids *ids)
{
	msgpack_pack_array(&encoder->packer, ids->n);
	for (uint32_t i = 0; i < ids->n; i++) {
		const struct wire_id *id = &ids->v[i];

		if (id->text != NULL)
			msgpack_pack_str_with_body(&encoder->packer, id->text, id->n);
		else
			msgpack_pack_uint64(&encoder->packer, id->number);
	}
}

static void encode_texts(struct encoder *encoder, const struct wire_texts *texts)
{
	msgpack_pack_array(&encoder->packer, texts->n);
	for (uint32_t i = 0; i < texts->n; i++) {
		if (texts->v[i].data != NULL)
			encode_str(encoder, texts->v[i]);
		else
			msgpack_pack_nil(&encoder->packer);
	}
}

static void encode_metas(struct encoder *encoder, const struct wire_metas *metas)
{
	msgpack_pack_array(&encoder->packer, metas->n);
	for (uint32_t i = 0; i < metas->n; i++) {
		const struct wire_bin *blob = &metas->v[i].blob;

		if (blob->data != NULL)
			append(encoder, blob->data, blob->n);
		else
			msgpack_pack_nil(&encoder->packer);
	}
}

static void encode_u32s(struct encoder *encoder, const struct wire_u32s *numbers)
{
	msgpack_pack_array(&encoder->packer, numbers->n);
	for (uint32_t i = 0; i < numbers->n; i++)
		msgpack_pack_uint32(&encoder->packer, numbers->v[i]);
}

static void encode_choices(struct encoder *encoder, const char *const *choices, uint32_t set)
{
	msgpack_pack_array(&encoder->packer, (size_t)__builtin_popcount(set));
	for (uint32_t i = 0; set != 0; i++, set >>= 1) {
		assert(choices[i] != NULL);
		if (set & 1)
			encode_text(encoder, choices[i]);
	}
}

static void encode_rows(struct encoder *encoder, const struct wire_schema *schema,
                        const struct wire_rows *rows)
{
	msgpack_pack_array(&encoder->packer, rows->n);
	for (uint32_t i = 0; i < rows->n; i++)
		encode_fields(encoder, schema, (const uint8_t *)rows->v + i * schema->size);
}

static void encode_choice(struct encoder *encoder, const char *const *choices, uint32_t choice)
{
	for (uint32_t i = 0; i <= choice; i++)
		assert(choices[i] != NULL);
	encode_text(encoder, choices[choice]);
}

static void encode_value(struct encoder *encoder, const struct wire_kind *kind, const void *at)
{
	msgpack_packer *packer = &encoder->packer;
	const struct wire_bin *bin = at;

	switch (kind->base) {
	case WIRE_BOOL:
		if (*(const bool *)at)
			msgpack_pack_true(packer);
		else
			msgpack_pack_false(packer);
		break;
	case WIRE_U32:
		msgpack_pack_uint32(packer, *(const uint32_t *)at);
		break;
	case WIRE_U64:
		msgpack_pack_uint64(packer, *(const uint64_t *)at);
		break;
	case WIRE_F64:
		msgpack_pack_double(packer, *(const double *)at);
		break;
	case WIRE_NAME:
	case WIRE_STR:
		encode_str(encoder, *(const struct wire_str *)at);
		break;
	case WIRE_BIN:
		msgpack_pack_bin_with_body(packer, bin->data, bin->n);
		break;
	case WIRE_IDS:
		encode_ids(encoder, at);
		break;
	case WIRE_TEXTS:
		encode_texts(encoder, at);
		break;
	case WIRE_METAS:
		encode_metas(encoder, at);
		break;
	case WIRE_U32S:
		encode_u32s(encoder, at);
		break;
	case WIRE_CHOICE:
		encode_choice(encoder, kind->choices, *(const uint32_t *)at);
		break;
	case WIRE_CHOICES:
		encode_choices(encoder, kind->choices, *(const uint32_t *)at);
		break;
	case WIRE_ROW:
		encode_fields(encoder, kind->schema, at);
		break;
	case WIRE_ROWS:
		encode_rows(encoder, kind->schema, at);
		break;
	}
}

/* Fields. */

/* Whether an optional field holds what its absence means. */
static bool is_default(const struct wire_field *field, const void *at)
{
	switch (field->kind->base) {
	case WIRE_BOOL:
		return *(const bool *)at == (field->def != 0);
	case WIRE_U32:
	case WIRE_CHOICE:
	case WIRE_CHOICES:
		return *(const uint32_t *)at == field->def;
	case WIRE_U64:
		return *(const uint64_t *)at == field->def;
	case WIRE_F64:
		return *(const double *)at == (double)field->def;
	case WIRE_NAME:
	case WIRE_STR:
		return ((const struct wire_str *)at)->data == NULL;
	case WIRE_BIN:
		return ((const struct wire_bin *)at)->data == NULL;
	case WIRE_IDS:
		return ((const struct wire_ids *)at)->v == NULL;
	case WIRE_TEXTS:
		return ((const struct wire_texts *)at)->v == NULL;
	case WIRE_METAS:
		return ((const struct wire_metas *)at)->v == NULL;
	case WIRE_U32S:
		return ((const struct wire_u32s *)at)->v == NULL;
	case WIRE_ROWS:
		return ((const struct wire_rows *)at)->v == NULL;
	case WIRE_ROW: /* always sent: a struct cannot be absent */
		return false;
	}
	__builtin_unreachable();
}

static void encode_fields(struct encoder *encoder, const struct wire_schema *schema,
                          const void *fields)
{
	uint64_t left_out = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];

		if (!field->required && is_default(field, (const uint8_t *)fields + field->offset))
			left_out |= UINT64_C(1) << i;
		else
			n++;
	}
	msgpack_pack_map(&encoder->packer, n);
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];

		if (left_out & UINT64_C(1) << i)
			continue;
		encode_text(encoder, field->name);
		encode_value(encoder, field->kind, (const uint8_t *)fields + field->offset);
	}
}

/* Messages. */

static void encode_response_head(struct encoder *encoder, uint64_t id)
{
	msgpack_pack_array(&encoder->packer, 4);
	msgpack_pack_int(&encoder->packer, WIRE_RESPONSE);
	if (id == UINT64_MAX)
		msgpack_pack_nil(&encoder->packer);
	else
		msgpack_pack_uint64(&encoder->packer, id);
}

int message_encode_request(struct wire_buf *buf, uint64_t id, enum wire_method_idx method,
                           const void *params)
{
	return message_encode_request_by(buf, id, method, params, 0);
}

int message_encode_request_by(struct wire_buf *buf, uint64_t id, enum wire_method_idx method,
                              const void *params, uint32_t deadline_ms)
{
	struct encoder encoder;

	frame_begin(&encoder, buf);
	msgpack_pack_array(&encoder.packer, deadline_ms ? 5 : 4);
	msgpack_pack_int(&encoder.packer, WIRE_REQUEST);
	msgpack_pack_uint64(&encoder.packer, id);
	encode_text(&encoder, wire_methods[method].name);
	encode_fields(&encoder, &wire_methods[method].params, params);
	if (deadline_ms)
		msgpack_pack_uint32(&encoder.packer, deadline_ms);
	return frame_end(&encoder);
}

int message_encode_result(struct wire_buf *buf, uint64_t id, enum wire_method_idx method,
                          const void *result)
{
	struct encoder encoder;

	frame_begin(&encoder, buf);
	encode_response_head(&encoder, id);
	msgpack_pack_nil(&encoder.packer);
	encode_fields(&encoder, &wire_methods[method].result, result);
	return frame_end(&encoder);
}

int message_encode_error(struct wire_buf *buf, uint64_t id, const struct wire_error *error)
{
	const char *code = wire_error_text(error->code);
	const struct error_row row = {
	        .code = {code, (uint32_t)strlen(code)},
	        .message = {error->message, (uint32_t)strlen(error->message)},
	        .field = {error->field[0] == '\0' ? NULL : error->field,
	                  (uint32_t)strlen(error->field)},
	        .row = error->row,
	};
	struct encoder encoder;

	frame_begin(&encoder, buf);
	encode_response_head(&encoder, id);
	encode_fields(&encoder, &error_row_schema, &row);
	msgpack_pack_nil(&encoder.packer);
	return frame_end(&encoder);
}

int message_encode_event(struct wire_buf *buf, enum wire_event_idx event, const void *fields)
{
	struct encoder encoder;

	frame_begin(&encoder, buf);
	msgpack_pack_array(&encoder.packer, 3);
	msgpack_pack_int(&encoder.packer, WIRE_EVENT);
	encode_text(&encoder, wire_events[event].name);
	encode_fields(&encoder, &wire_events[event].fields, fields);
	return frame_end(&encoder);
}
