/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Round trips go over the whole table. Refusals are made by encoding a good request, changing its
 * tree (one field's value replaced, taken out, doubled), packing it again and decoding that.
 */

#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/lib/wire_sample.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct wire_arena arena;
static struct wire_buf buf;

static int begin(void **state)
{
	(void)state;
	wire_arena_init(&arena);
	wire_buf_init(&buf);
	return 0;
}

static int end(void **state)
{
	(void)state;
	wire_arena_release(&arena);
	wire_buf_release(&buf);
	return 0;
}

/* The payload of the one frame in buf. */
static struct wire_bin payload(void)
{
	uint8_t header[FRAME_HEADER_BYTES];

	assert_false(buf.failed);
	assert_true(buf.n > sizeof(header));
	frame_put_header(header, (uint32_t)(buf.n - sizeof(header)));
	assert_memory_equal(buf.data, header, sizeof(header));
	return (struct wire_bin){buf.data + sizeof(header), buf.n - sizeof(header)};
}

static int decode(struct wire_bin bytes, struct wire_request *request, struct wire_error *error)
{
	return message_decode_request(bytes.data, bytes.n, &arena, request, error);
}

/* Round trips. */

static void every_request_comes_back_as_it_was(void **state)
{
	(void)state;
	for (int i = 0; i < WIRE_N_METHODS * WIRE_N_SAMPLES; i++) {
		enum wire_method_idx method = (enum wire_method_idx)(i / WIRE_N_SAMPLES);
		const struct wire_schema *schema = &wire_methods[method].params;
		uint64_t id = i % 2 == 0 ? (uint64_t)i : UINT64_MAX - 1;
		struct wire_request request = {0};
		struct wire_error error;
		void *params;

		params = wire_sample_make(schema, (enum wire_sample)(i % WIRE_N_SAMPLES), &arena);
		buf.n = 0;
		assert_int_equal(message_encode_request(&buf, id, method, params), 0);
		if (decode(payload(), &request, &error) != 0)
			fail_msg("%s: %s", wire_methods[method].name, error.message);
		assert_int_equal(request.method, method);
		assert_true(request.id == id);
		assert_true(wire_sample_equal(schema, params, request.params));
	}
}

static void every_result_comes_back_as_it_was(void **state)
{
	(void)state;
	for (int i = 0; i < WIRE_N_METHODS * WIRE_N_SAMPLES; i++) {
		enum wire_method_idx method = (enum wire_method_idx)(i / WIRE_N_SAMPLES);
		const struct wire_schema *schema = &wire_methods[method].result;
		void *decoded = wire_arena_alloc(&arena, schema->size);
		struct wire_error error;
		struct wire_peek peek;
		struct wire_bin bytes;
		void *result;

		result = wire_sample_make(schema, (enum wire_sample)(i % WIRE_N_SAMPLES), &arena);
		buf.n = 0;
		assert_int_equal(message_encode_result(&buf, 77, method, result), 0);
		bytes = payload();
		assert_int_equal(message_peek(bytes.data, bytes.n, &peek), 0);
		assert_int_equal(peek.type, WIRE_RESPONSE);
		assert_int_equal(peek.id, 77);
		assert_false(peek.is_error);
		if (message_decode_response(bytes.data, bytes.n, method, &arena, decoded, &error) !=
		    0)
			fail_msg("%s: %s", wire_methods[method].name, error.message);
		assert_true(wire_sample_equal(schema, result, decoded));
	}
}

static void every_event_comes_back_as_it_was(void **state)
{
	(void)state;
	for (int i = 0; i < WIRE_N_EVENTS * WIRE_N_SAMPLES; i++) {
		enum wire_event_idx event = (enum wire_event_idx)(i / WIRE_N_SAMPLES);
		const struct wire_schema *schema = &wire_events[event].fields;
		void *decoded = wire_arena_alloc(&arena, schema->size);
		struct wire_peek peek;
		struct wire_bin bytes;
		void *fields;

		fields = wire_sample_make(schema, (enum wire_sample)(i % WIRE_N_SAMPLES), &arena);
		buf.n = 0;
		assert_int_equal(message_encode_event(&buf, event, fields), 0);
		bytes = payload();
		assert_int_equal(message_peek(bytes.data, bytes.n, &peek), 0);
		assert_int_equal(peek.type, WIRE_EVENT);
		assert_int_equal(peek.event, event);
		assert_int_equal(message_decode_event(bytes.data, bytes.n, event, &arena, decoded),
		                 0);
		assert_true(wire_sample_equal(schema, fields, decoded));
	}
}

static void every_error_comes_back_as_it_was(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * WIRE_N_ERRORS; i++) {
		struct wire_error error, decoded;
		struct ping_result result;
		struct wire_peek peek;
		struct wire_bin bytes;

		if (i % 2 == 0)
			wire_error_set(&error, (enum wire_error_code)(i / 2), NULL, "number %d", i);
		else
			wire_error_set_row(&error, (enum wire_error_code)(i / 2), "ids",
			                   (uint64_t)i, "%s", "");
		buf.n = 0;
		assert_int_equal(message_encode_error(&buf, 5, &error), 0);
		bytes = payload();
		assert_int_equal(message_peek(bytes.data, bytes.n, &peek), 0);
		assert_true(peek.is_error);
		assert_int_equal(message_decode_response(bytes.data, bytes.n, WIRE_METHOD_ping,
		                                         &arena, &result, &decoded),
		                 MESSAGE_REFUSED);
		assert_int_equal(decoded.code, error.code);
		assert_string_equal(decoded.message, error.message);
		assert_string_equal(decoded.field, error.field);
		assert_true(decoded.row == error.row);
	}
}

static void an_error_without_an_id_is_told_apart(void **state)
{
	struct wire_error error;
	struct wire_peek peek;
	struct wire_bin bytes;

	(void)state;
	wire_error_set(&error, WIRE_ERROR_BAD_FRAME, NULL, "no");
	assert_int_equal(message_encode_error(&buf, UINT64_MAX, &error), 0);
	bytes = payload();
	assert_int_equal(message_peek(bytes.data, bytes.n, &peek), 0);
	assert_true(peek.id == UINT64_MAX);
	assert_true(peek.is_error);
}

static void absent_fields_hold_their_defaults(void **state)
{
	static const uint8_t bytes[] = "\x94\x00\x01\xa6search\x82\xaa"
	                               "collection\xa1x\xa7vectors\xc4\x04"
	                               "1234";
	struct wire_request request;
	struct search_params *params;
	struct wire_error error;

	(void)state;
	assert_int_equal(message_decode_request(bytes, sizeof(bytes) - 1, &arena, &request, &error),
	                 0);
	params = request.params;
	assert_int_equal(params->k, 10);
	assert_null(params->space.data);
	assert_null(params->namespace.data);
	assert_int_equal(params->include, 0);
	/* Bins are borrowed, not copied. */
	assert_ptr_equal(params->vectors.data, bytes + sizeof(bytes) - 1 - 4);
}

static void defaults_are_not_sent(void **state)
{
	struct wire_str name = {"x", 1};
	struct scan_params params = {
	        .collection = name, .limit = 1000, .include = WIRE_INCLUDES_DEFAULT};

	(void)state;
	assert_int_equal(message_encode_request(&buf, 1, WIRE_METHOD_scan, &params), 0);
	assert_int_equal(payload().n, strlen("\x94.\x01\xa4scan\x81\xaa"
	                                     "collection\xa1x"));
}

static void an_empty_string_is_not_an_absent_one(void **state)
{
	struct count_params params = {.collection = {"x", 1}, .namespace = {"", 0}};
	struct wire_request request;
	struct wire_error error;

	(void)state;
	assert_int_equal(message_encode_request(&buf, 1, WIRE_METHOD_count, &params), 0);
	assert_int_equal(decode(payload(), &request, &error), 0);
	assert_non_null(((struct count_params *)request.params)->namespace.data);
	assert_int_equal(((struct count_params *)request.params)->namespace.n, 0);
}

/* A change of these bytes is a change of the protocol. */
static void the_example_of_the_specification_stays(void **state)
{
	static const char request[] = "\x00\x00\x00\x31\x94\x00\x07\xa6search\x83\xaa"
	                              "collection\xa5notes\xa7vectors\xc4\x08"
	                              "\x00\x00\x80\x3f\x00\x00\x00\x3f\xa1k\x01";
	static const char response[] = "\x00\x00\x00\xa0\x94\x01\x07\xc0\x8e\xa6"
	                               "counts\x91\x01\xa3ids\x91\xa1"
	                               "a\xa9"
	                               "distances\xc4\x04\x00\x00\x80\x3e\xa4mode\xa5"
	                               "exact\xa8"
	                               "coverage\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xaa"
	                               "generation\x00\xab"
	                               "comparisons\x00\xa7"
	                               "scanned\x03\xa9"
	                               "ef_search\x00\xa6"
	                               "cached\xc3\xa4"
	                               "bulk\xc2\xabserved_from\xa8resident\xa3seq\x05"
	                               "\xa7time_us\x28";
	uint32_t count = 1;
	struct wire_id id = {.text = "a", .n = 1};
	struct search_params params = {
	        .collection = {"notes", 5}, .vectors = {request + 42, 8}, .k = 1};
	struct search_result result = {
	        .counts = {&count, 1},
	        .ids = {&id, 1},
	        .distances = {response + 37, 4},
	        .coverage = 1,
	        .scanned = 3,
	        .cached = true,
	        .served_from = WIRE_source_resident,
	        .seq = 5,
	        .time_us = 40,
	};

	(void)state;
	assert_int_equal(message_encode_request(&buf, 7, WIRE_METHOD_search, &params), 0);
	assert_int_equal(buf.n, sizeof(request) - 1);
	assert_memory_equal(buf.data, request, buf.n);
	buf.n = 0;
	assert_int_equal(message_encode_result(&buf, 7, WIRE_METHOD_search, &result), 0);
	assert_int_equal(buf.n, sizeof(response) - 1);
	assert_memory_equal(buf.data, response, buf.n);
}

static void frames_follow_one_another_in_a_buffer(void **state)
{
	struct ping_params ping = {0};
	size_t first;

	(void)state;
	assert_int_equal(message_encode_request(&buf, 1, WIRE_METHOD_ping, &ping), 0);
	first = buf.n;
	assert_int_equal(message_encode_request(&buf, 1, WIRE_METHOD_ping, &ping), 0);
	assert_int_equal(buf.n, 2 * first);
	assert_memory_equal(buf.data, buf.data + first, first);
}

/* A frame's limit. */

static int encode_search_result(uint32_t n_vector_bytes)
{
	static uint8_t vectors[LIMIT_FRAME_BYTES + 1];
	struct search_result result = {.vectors = {vectors, n_vector_bytes}};

	return message_encode_result(&buf, 1, WIRE_METHOD_search, &result);
}

static void a_frame_ends_at_its_limit(void **state)
{
	uint32_t n_other;

	(void)state;
	assert_int_equal(encode_search_result(1u << 20), 0);
	n_other = (uint32_t)payload().n - (1u << 20);
	buf.n = 0;
	assert_int_equal(encode_search_result(LIMIT_FRAME_BYTES - n_other), 0);
	assert_int_equal(payload().n, LIMIT_FRAME_BYTES);
	buf.n = 7;
	assert_int_equal(encode_search_result(LIMIT_FRAME_BYTES - n_other + 1), MESSAGE_REFUSED);
	assert_int_equal(buf.n, 7);
	assert_false(buf.failed);
}

/* Changed requests. */

struct draft {
	msgpack_unpacked tree;
	msgpack_object_map *params; /* or the result */
	const char *method;
	struct wire_buf bytes;
};

static void draft_of_payload(struct draft *draft, int method)
{
	struct wire_bin bytes = payload();

	msgpack_unpacked_init(&draft->tree);
	assert_int_equal(msgpack_unpack_next(&draft->tree, bytes.data, bytes.n, NULL),
	                 MSGPACK_UNPACK_SUCCESS);
	draft->params = &draft->tree.data.via.array.ptr[3].via.map;
	draft->method = wire_methods[method].name;
	wire_buf_init(&draft->bytes);
}

static void draft_begin(struct draft *draft, int method, enum wire_sample sample)
{
	void *params = wire_sample_make(&wire_methods[method].params, sample, &arena);

	buf.n = 0;
	assert_int_equal(message_encode_request(&buf, 3, (enum wire_method_idx)method, params), 0);
	draft_of_payload(draft, method);
}

static void draft_end(struct draft *draft)
{
	msgpack_unpacked_destroy(&draft->tree);
	wire_buf_release(&draft->bytes);
}

/* NULL: not sent, since a sample cannot differ from the default where there is but one choice. */
static msgpack_object_kv *draft_find(struct draft *draft, const char *name)
{
	for (uint32_t i = 0; i < draft->params->size; i++) {
		const msgpack_object_str *key = &draft->params->ptr[i].key.via.str;

		if (key->size == strlen(name) && memcmp(key->ptr, name, key->size) == 0)
			return &draft->params->ptr[i];
	}
	return NULL;
}

static msgpack_object_kv *draft_pair(struct draft *draft, const char *name)
{
	msgpack_object_kv *pair = draft_find(draft, name);

	if (pair == NULL)
		fail_msg("%s has no %s", draft->method, name);
	return pair;
}

static int append(void *bytes, const char *data, size_t n)
{
	wire_buf_append(bytes, data, n);
	return 0;
}

/* The tree as it is now, in draft->bytes. */
static void draft_pack(struct draft *draft)
{
	msgpack_packer packer;

	draft->bytes.n = 0;
	msgpack_packer_init(&packer, &draft->bytes, append);
	assert_int_equal(msgpack_pack_object(&packer, draft->tree.data), 0);
}

/* What is decoded lives as long as the draft. */
static int draft_decode(struct draft *draft, struct wire_request *request, struct wire_error *error)
{
	draft_pack(draft);
	return decode((struct wire_bin){draft->bytes.data, draft->bytes.n}, request, error);
}

static void draft_passes(struct draft *draft)
{
	struct wire_request request = {0};
	struct wire_error error;

	if (draft_decode(draft, &request, &error) != 0)
		fail_msg("%s: %s", draft->method, error.message);
}

static struct wire_error draft_refused(struct draft *draft, enum wire_error_code code,
                                       const char *field)
{
	struct wire_request request = {0};
	struct wire_error error = {0};

	assert_int_equal(draft_decode(draft, &request, &error), MESSAGE_REFUSED);
	assert_int_equal(request.id, 3);
	if (error.code != code || strcmp(error.field, field) != 0)
		fail_msg("%s %s: %s for '%s': %s", draft->method, field,
		         wire_error_text(error.code), error.field, error.message);
	return error;
}

static msgpack_object object_unsigned(uint64_t value)
{
	return (msgpack_object){.type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = value};
}

static msgpack_object object_string(const char *text, uint32_t n)
{
	return (msgpack_object){.type = MSGPACK_OBJECT_STR, .via.str = {.ptr = text, .size = n}};
}

static msgpack_object object_nil(void)
{
	return (msgpack_object){.type = MSGPACK_OBJECT_NIL};
}

/* A value of `n` in what the field limits: the number, bytes, or rows. False: not possible. */
static bool object_of_size(const struct wire_field *field, uint64_t n, msgpack_object *ret)
{
	char *bytes;

	switch (field->kind->base) {
	case WIRE_U32:
	case WIRE_U64:
		*ret = object_unsigned(n);
		return true;
	case WIRE_NAME:
	case WIRE_STR:
	case WIRE_BIN:
		bytes = wire_arena_alloc(&arena, n);
		assert_non_null(bytes);
		memset(bytes, 'x', n);
		*ret = object_string(bytes, (uint32_t)n);
		if (field->kind->base == WIRE_BIN)
			ret->type = MSGPACK_OBJECT_BIN;
		return true;
	case WIRE_IDS:
	case WIRE_TEXTS:
	case WIRE_METAS:
		ret->type = MSGPACK_OBJECT_ARRAY;
		ret->via.array.size = (uint32_t)n;
		ret->via.array.ptr = wire_arena_alloc(&arena, n * sizeof(*ret));
		for (uint64_t i = 0; i < n; i++)
			ret->via.array.ptr[i] =
			        field->kind->base == WIRE_IDS ? object_unsigned(i) : object_nil();
		return true;
	default:
		return false;
	}
}

static void check_size(struct draft *draft, const struct wire_field *field, uint64_t n, bool passes)
{
	msgpack_object_kv *pair = draft_pair(draft, field->name);
	msgpack_object before = pair->val;

	if (!object_of_size(field, n, &pair->val))
		return;
	if (passes) {
		draft_passes(draft);
	} else {
		struct wire_error error = draft_refused(draft, WIRE_ERROR_OVER_LIMIT, field->name);
		char limit[64];

		snprintf(limit, sizeof(limit), "the limit is %ju to %ju", (uintmax_t)field->min,
		         (uintmax_t)field->max);
		assert_non_null(strstr(error.message, limit));
		assert_non_null(strstr(error.message, field->name));
	}
	pair->val = before;
}

static void each_limit_holds_at_its_ends_and_beyond(void **state)
{
	(void)state;
	for (int method = 0; method < WIRE_N_METHODS; method++) {
		const struct wire_schema *schema = &wire_methods[method].params;

		for (uint32_t i = 0; i < schema->n_fields; i++) {
			const struct wire_field *field = &schema->fields[i];
			struct draft draft;

			if (field->max == 0)
				continue;
			draft_begin(&draft, method, WIRE_SAMPLE_SOME);
			check_size(&draft, field, field->min, true);
			if (field->min > 0)
				check_size(&draft, field, field->min - 1, false);
			/* More than a frame cannot come at all. */
			if (field->max < LIMIT_FRAME_BYTES || field->kind->base != WIRE_BIN) {
				check_size(&draft, field, field->max, true);
				if (field->max < UINT64_MAX)
					check_size(&draft, field, field->max + 1, false);
			}
			draft_end(&draft);
			wire_arena_release(&arena);
		}
	}
}

static void a_number_says_what_it_is_and_may_be(void **state)
{
	struct wire_error error;
	struct draft draft;

	(void)state;
	draft_begin(&draft, WIRE_METHOD_search, WIRE_SAMPLE_SOME);
	draft_pair(&draft, "k")->val = object_unsigned(20000);
	error = draft_refused(&draft, WIRE_ERROR_OVER_LIMIT, "k");
	assert_string_equal(error.message, "'k' is 20000; the limit is 1 to 10000");
	draft_pair(&draft, "k")->val =
	        (msgpack_object){.type = MSGPACK_OBJECT_NEGATIVE_INTEGER, .via.i64 = -1};
	error = draft_refused(&draft, WIRE_ERROR_OVER_LIMIT, "k");
	assert_string_equal(error.message, "'k' is -1; the limit is 1 to 10000");
	draft_end(&draft);
}

static void each_field_refuses_another_kind(void **state)
{
	const msgpack_object values[] = {
	        {.type = MSGPACK_OBJECT_BOOLEAN, .via.boolean = true},
	        object_unsigned(1),
	        {.type = MSGPACK_OBJECT_FLOAT64, .via.f64 = 1},
	        object_string("x", 1),
	        {.type = MSGPACK_OBJECT_BIN, .via.bin = {.ptr = "1234", .size = 4}},
	        {.type = MSGPACK_OBJECT_ARRAY},
	        {.type = MSGPACK_OBJECT_MAP},
	};

	(void)state;
	for (int method = 0; method < WIRE_N_METHODS; method++) {
		const struct wire_schema *schema = &wire_methods[method].params;

		for (uint32_t i = 0; i < schema->n_fields; i++) {
			struct draft draft;
			msgpack_object_kv *pair;
			msgpack_object_type type;

			draft_begin(&draft, method, WIRE_SAMPLE_SOME);
			pair = draft_find(&draft, schema->fields[i].name);
			type = pair == NULL ? MSGPACK_OBJECT_NIL : pair->val.type;
			for (size_t j = 0; pair != NULL && j < sizeof(values) / sizeof(values[0]);
			     j++) {
				if (values[j].type == type)
					continue;
				/* A whole number is one too. */
				if (schema->fields[i].kind->base == WIRE_F64 &&
				    values[j].type == MSGPACK_OBJECT_POSITIVE_INTEGER)
					continue;
				pair->val = values[j];
				draft_refused(&draft, WIRE_ERROR_BAD_KIND, schema->fields[i].name);
			}
			draft_end(&draft);
		}
	}
}

static void check_absence(struct draft *draft, const struct wire_field *field)
{
	if (field->required)
		draft_refused(draft, WIRE_ERROR_MISSING_FIELD, field->name);
	else
		draft_passes(draft);
}

static void required_fields_are_missed_and_nil_is_absent(void **state)
{
	(void)state;
	for (int method = 0; method < WIRE_N_METHODS; method++) {
		const struct wire_schema *schema = &wire_methods[method].params;

		for (uint32_t i = 0; i < schema->n_fields; i++) {
			struct draft draft;
			msgpack_object_kv *pair;

			draft_begin(&draft, method, WIRE_SAMPLE_SOME);
			pair = draft_find(&draft, schema->fields[i].name);
			if (pair != NULL) {
				pair->val = object_nil();
				check_absence(&draft, &schema->fields[i]);
				*pair = draft.params->ptr[--draft.params->size];
			}
			check_absence(&draft, &schema->fields[i]);
			draft_end(&draft);
		}
	}
}

static void a_field_cannot_be_there_twice(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, WIRE_METHOD_search, WIRE_SAMPLE_SOME);
	*draft_pair(&draft, "space") = *draft_pair(&draft, "k");
	draft_refused(&draft, WIRE_ERROR_BAD_VALUE, "k");
	draft_end(&draft);
}

static void unknown_fields_are_refused_by_name(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, WIRE_METHOD_search, WIRE_SAMPLE_SOME);
	draft_pair(&draft, "k")->key = object_string("ef", 2);
	draft_refused(&draft, WIRE_ERROR_UNKNOWN_FIELD, "ef");
	draft_pair(&draft, "ef")->key = object_string("k\0z", 3);
	draft_refused(&draft, WIRE_ERROR_UNKNOWN_FIELD, "k");
	draft_end(&draft);
	draft_begin(&draft, WIRE_METHOD_count, WIRE_SAMPLE_SOME);
	draft_pair(&draft, "namespace")->key = object_unsigned(1);
	draft_refused(&draft, WIRE_ERROR_BAD_MESSAGE, "");
	draft_end(&draft);
}

static void names_are_utf8_without_control_characters(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, WIRE_METHOD_count, WIRE_SAMPLE_SOME);
	draft_pair(&draft, "collection")->val = object_string(" ~\xc2\x80", 4);
	draft_passes(&draft);
	draft_pair(&draft, "collection")->val = object_string("a\x1f", 2);
	draft_refused(&draft, WIRE_ERROR_BAD_VALUE, "collection");
	draft_pair(&draft, "collection")->val = object_string("\x7f", 1);
	draft_refused(&draft, WIRE_ERROR_BAD_VALUE, "collection");
	draft_pair(&draft, "collection")->val = object_string("\0", 1);
	draft_refused(&draft, WIRE_ERROR_BAD_VALUE, "collection");
	draft_pair(&draft, "collection")->val = object_string("\xff", 1);
	draft_refused(&draft, WIRE_ERROR_BAD_VALUE, "collection");
	draft_end(&draft);
	/* Other strings may have them. */
	draft_begin(&draft, WIRE_METHOD_count, WIRE_SAMPLE_SOME);
	draft_pair(&draft, "namespace")->val = object_string("a\tb", 3);
	draft_passes(&draft);
	draft_pair(&draft, "namespace")->val = object_string("\xed\xa0\x80", 3);
	draft_refused(&draft, WIRE_ERROR_BAD_VALUE, "namespace");
	draft_end(&draft);
}

static void choices_are_of_their_list(void **state)
{
	struct wire_error error;
	msgpack_object *topics;
	struct draft draft;

	(void)state;
	draft_begin(&draft, WIRE_METHOD_create_collection, WIRE_SAMPLE_SOME);
	draft_pair(&draft, "metric")->val = object_string("cos", 3);
	error = draft_refused(&draft, WIRE_ERROR_BAD_VALUE, "metric");
	assert_string_equal(error.message, "'metric' is 'cos'; it can be l2, ip, cosine");
	draft_end(&draft);
	draft_begin(&draft, WIRE_METHOD_subscribe, WIRE_SAMPLE_MOST);
	topics = draft_pair(&draft, "topics")->val.via.array.ptr;
	topics[1] = object_string("job", 3);
	error = draft_refused(&draft, WIRE_ERROR_BAD_VALUE, "topics");
	assert_int_equal(error.row, 1);
	topics[1] = object_unsigned(1);
	draft_refused(&draft, WIRE_ERROR_BAD_KIND, "topics");
	topics[1] = topics[0];
	draft_passes(&draft);
	draft_end(&draft);
}

/* Replaces row 2 of a column. */
static struct wire_error element_refused(struct draft *draft, const char *column,
                                         msgpack_object value, enum wire_error_code code)
{
	msgpack_object *element = &draft_pair(draft, column)->val.via.array.ptr[2];
	msgpack_object before = *element;
	struct wire_error error;

	*element = value;
	error = draft_refused(draft, code, column);
	assert_true(error.row == 2);
	*element = before;
	return error;
}

static void element_passes(struct draft *draft, const char *column, msgpack_object value)
{
	msgpack_object *element = &draft_pair(draft, column)->val.via.array.ptr[2];
	msgpack_object before = *element;

	*element = value;
	draft_passes(draft);
	*element = before;
}

static void ids_are_short_strings_or_unsigned(void **state)
{
	char id[LIMIT_ID_BYTES + 1];
	struct wire_error error;
	struct draft draft;

	(void)state;
	memset(id, 'i', sizeof(id));
	draft_begin(&draft, WIRE_METHOD_upsert, WIRE_SAMPLE_SOME);
	element_passes(&draft, "ids", object_unsigned(0));
	element_passes(&draft, "ids", object_unsigned(UINT64_MAX));
	element_passes(&draft, "ids", object_string(id, 1));
	element_passes(&draft, "ids", object_string(id, LIMIT_ID_BYTES));
	error = element_refused(&draft, "ids", object_string(id, LIMIT_ID_BYTES + 1),
	                        WIRE_ERROR_OVER_LIMIT);
	assert_string_equal(error.message, "'ids' has an id of 513 bytes; the limit is 1 to 512");
	element_refused(&draft, "ids", object_string(id, 0), WIRE_ERROR_OVER_LIMIT);
	element_refused(&draft, "ids", object_string("\xff", 1), WIRE_ERROR_BAD_VALUE);
	element_refused(&draft, "ids", object_nil(), WIRE_ERROR_BAD_KIND);
	element_refused(&draft, "ids",
	                (msgpack_object){.type = MSGPACK_OBJECT_NEGATIVE_INTEGER, .via.i64 = -1},
	                WIRE_ERROR_BAD_KIND);
	draft_end(&draft);
}

static void texts_are_strings_or_nil(void **state)
{
	static char text[LIMIT_TEXT_BYTES + 1];
	struct draft draft;

	(void)state;
	memset(text, 't', sizeof(text));
	draft_begin(&draft, WIRE_METHOD_upsert, WIRE_SAMPLE_SOME);
	element_passes(&draft, "texts", object_nil());
	element_passes(&draft, "texts", object_string(text, 0));
	element_passes(&draft, "texts", object_string(text, LIMIT_TEXT_BYTES));
	element_refused(&draft, "texts", object_string(text, LIMIT_TEXT_BYTES + 1),
	                WIRE_ERROR_OVER_LIMIT);
	element_refused(&draft, "texts", object_string("\xff", 1), WIRE_ERROR_BAD_VALUE);
	element_refused(&draft, "texts", object_unsigned(1), WIRE_ERROR_BAD_KIND);
	draft_end(&draft);
}

/* Envelopes. */

static int decode_text(const char *bytes, size_t n, struct wire_request *request,
                       struct wire_error *error)
{
	return decode((struct wire_bin){bytes, n}, request, error);
}

#define DECODE(literal) decode_text(literal, sizeof(literal) - 1, &request, &error)

static void a_deadline_comes_back_as_it_was(void **state)
{
	const struct ping_params params = {0};
	struct wire_request request;
	struct wire_error error;

	(void)state;
	buf.n = 0;
	assert_int_equal(
	        message_encode_request_by(&buf, 7, WIRE_METHOD_ping, &params, LIMIT_DEADLINE_MS),
	        0);
	assert_int_equal(decode_text((const char *)buf.data + FRAME_HEADER_BYTES,
	                             buf.n - FRAME_HEADER_BYTES, &request, &error),
	                 0);
	assert_int_equal(request.deadline_ms, LIMIT_DEADLINE_MS);
	assert_int_equal(DECODE("\x94\x00\x01\xa4ping\x80"), 0);
	assert_int_equal(request.deadline_ms, 0);
	assert_int_equal(DECODE("\x95\x00\x01\xa4ping\x80\xc0"), 0);
	assert_int_equal(request.deadline_ms, 0);
	assert_int_equal(DECODE("\x95\x00\x01\xa4ping\x80\x80"), MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_BAD_KIND);
	assert_string_equal(error.field, "deadline_ms");
	assert_int_equal(DECODE("\x95\x00\x01\xa4ping\x80\x00"), MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_OVER_LIMIT);
}

static void what_is_no_envelope_breaks_the_stream(void **state)
{
	struct wire_request request;
	struct wire_error error;

	(void)state;
	assert_int_equal(DECODE("\xdd\x05\x00\x00\x00"), MESSAGE_BROKEN);
	assert_int_equal(error.code, WIRE_ERROR_BAD_FRAME);
	assert_int_equal(DECODE("\x01"), MESSAGE_BROKEN);
	assert_int_equal(error.code, WIRE_ERROR_BAD_MESSAGE);
	assert_int_equal(DECODE("\x90"), MESSAGE_BROKEN);
	assert_int_equal(DECODE("\x93\x00\x01"), MESSAGE_BROKEN);
	assert_int_equal(error.code, WIRE_ERROR_BAD_FRAME);
	assert_int_equal(DECODE("\x93\x00\x01\xa4ping\x80"), MESSAGE_BROKEN);
	assert_int_equal(DECODE("\x96\x00\x01\xa4ping\x80\x01\x01"), MESSAGE_BROKEN);
	assert_int_equal(DECODE("\x94\x01\x01\xc0\x80"), MESSAGE_BROKEN);
	assert_int_equal(DECODE("\x93\x02\xa3job\x80"), MESSAGE_BROKEN);
	assert_int_equal(DECODE("\x94\x00\xff\xa4ping\x80"), MESSAGE_BROKEN);
	assert_int_equal(DECODE("\x94\x00\xd0\x80\xa4ping\x80"), MESSAGE_BROKEN);
	assert_int_equal(DECODE("\x94\x00\xc0\xa4ping\x80"), MESSAGE_BROKEN);
	assert_int_equal(DECODE("\x94\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa4ping\x80"),
	                 MESSAGE_BROKEN);
	assert_int_equal(error.code, WIRE_ERROR_BAD_MESSAGE);
}

static void what_has_an_id_is_refused_with_it(void **state)
{
	struct wire_request request = {0};
	struct wire_error error;

	(void)state;
	assert_int_equal(DECODE("\x94\x00\x07\x05\x80"), MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_BAD_MESSAGE);
	assert_int_equal(request.id, 7);
	assert_int_equal(DECODE("\x94\x00\xcc\x08\xa4ping\x90"), MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_BAD_MESSAGE);
	assert_int_equal(request.id, 8);
	assert_int_equal(DECODE("\x94\x00\x09\xa4pong\x80"), MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_UNKNOWN_METHOD);
	assert_string_equal(error.message, "there is no method 'pong'");
	assert_int_equal(request.id, 9);
	assert_int_equal(DECODE("\x94\x00\x0a\xa4ping\x81\xa1t\xd6\xff"
	                        "1234"),
	                 MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_BAD_FRAME);
	assert_int_equal(request.id, 10);
	assert_int_equal(DECODE("\x94\x00\x0b\xa4ping\x81\xa1t\x91\x91\x91\x91\x91\x91\x90"),
	                 MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_OVER_LIMIT);
	assert_int_equal(request.id, 11);
	assert_int_equal(DECODE("\x94\x00\x0c\xa4ping\x80\x01"), MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_BAD_FRAME);
	assert_int_equal(request.id, 12);
}

static void ids_come_in_every_width(void **state)
{
	struct wire_request request = {0};
	struct wire_error error;

	(void)state;
	assert_int_equal(DECODE("\x94\x00\xcd\x01\x02\xa4ping\x80"), 0);
	assert_true(request.id == 0x0102);
	assert_int_equal(DECODE("\x94\x00\xce\x01\x02\x03\x04\xa4ping\x80"), 0);
	assert_true(request.id == 0x01020304);
	assert_int_equal(DECODE("\x94\x00\xcf\x01\x02\x03\x04\x05\x06\x07\x08\xa4ping\x80"), 0);
	assert_true(request.id == 0x0102030405060708);
	assert_int_equal(DECODE("\x94\x00\xd1\x7f\xff\xa4ping\x80"), 0);
	assert_true(request.id == 0x7fff);
	assert_int_equal(DECODE("\xdc\x00\x04\x00\xd3\x00\x00\x00\x00\x00\x00\x00\x01\xa4ping\x80"),
	                 0);
	assert_true(request.id == 1);
	assert_int_equal(DECODE("\xdd\x00\x00\x00\x04\xcc\x00\x02\xd9\x04ping\xde\x00\x00"), 0);
	assert_true(request.id == 2);
}

static void a_message_has_no_more_values_than_the_limit(void **state)
{
	const uint32_t n_head = 6; /* the envelope's, `x` and the array */
	uint32_t n = LIMIT_FRAME_VALUES - n_head - 1;
	struct wire_request request = {0};
	struct wire_error error;
	uint8_t *bytes;

	(void)state;
	for (uint32_t more = 0; more < 2; more++, n++) {
		const uint8_t head[] = "\x94\x00\x07\xa4ping\x81\xa1x\xdd";

		bytes = calloc(sizeof(head) + 3 + n, 1);
		assert_non_null(bytes);
		memcpy(bytes, head, sizeof(head) - 1);
		frame_put_header(bytes + sizeof(head) - 1, n);
		assert_int_equal(
		        decode((struct wire_bin){bytes, sizeof(head) + 3 + n}, &request, &error),
		        MESSAGE_REFUSED);
		assert_int_equal(error.code,
		                 more == 0 ? WIRE_ERROR_UNKNOWN_FIELD : WIRE_ERROR_OVER_LIMIT);
		free(bytes);
	}
}

/* What a newer daemon may send. */

static void draft_begin_result(struct draft *draft, int method)
{
	void *result = wire_sample_make(&wire_methods[method].result, WIRE_SAMPLE_MOST, &arena);

	buf.n = 0;
	assert_int_equal(message_encode_result(&buf, 3, (enum wire_method_idx)method, result), 0);
	draft_of_payload(draft, method);
}

static int draft_decode_result(struct draft *draft, enum wire_method_idx method, void *ret)
{
	struct wire_error error;

	draft_pack(draft);
	return message_decode_response(draft->bytes.data, draft->bytes.n, method, &arena, ret,
	                               &error);
}

static void a_client_skips_what_it_does_not_know(void **state)
{
	struct subscribe_result topics;
	struct search_result result;
	struct draft draft;

	(void)state;
	draft_begin_result(&draft, WIRE_METHOD_search);
	draft_pair(&draft, "mode")->val = object_string("graph", 5);
	draft_pair(&draft, "texts")->key = object_string("titles", 6);
	assert_int_equal(draft_decode_result(&draft, WIRE_METHOD_search, &result), 0);
	assert_int_equal(result.mode, WIRE_N_mode);
	assert_null(result.texts.v);
	assert_int_equal(result.ids.n, 40);
	draft_end(&draft);
	draft_begin_result(&draft, WIRE_METHOD_subscribe);
	draft_pair(&draft, "topics")->val.via.array.ptr[0] = object_string("moods", 5);
	assert_int_equal(draft_decode_result(&draft, WIRE_METHOD_subscribe, &topics), 0);
	assert_int_equal(topics.topics, 1u << WIRE_topic_jobs);
	draft_end(&draft);
}

static void a_client_breaks_on_a_wrong_result_and_leaves_its_struct(void **state)
{
	struct count_result result = {.count = 11, .seq = 12};
	struct draft draft;

	(void)state;
	draft_begin_result(&draft, WIRE_METHOD_count);
	draft_pair(&draft, "seq")->val = object_string("x", 1);
	assert_int_equal(draft_decode_result(&draft, WIRE_METHOD_count, &result), MESSAGE_BROKEN);
	draft_pair(&draft, "seq")->val = object_nil();
	assert_int_equal(draft_decode_result(&draft, WIRE_METHOD_count, &result), MESSAGE_BROKEN);
	draft.tree.data.via.array.ptr[3] = object_nil();
	assert_int_equal(draft_decode_result(&draft, WIRE_METHOD_count, &result), MESSAGE_BROKEN);
	draft.tree.data.via.array.ptr[2] = object_unsigned(1);
	assert_int_equal(draft_decode_result(&draft, WIRE_METHOD_count, &result), MESSAGE_BROKEN);
	assert_int_equal(result.count, 11);
	assert_int_equal(result.seq, 12);
	draft_end(&draft);
}

static void a_code_of_a_newer_daemon_is_no_known_one(void **state)
{
	static const uint8_t bytes[] = "\x94\x01\x01\x82\xa4"
	                               "code\xa3new\xa7message\xa2hi\xc0";
	struct ping_result result;
	struct wire_error error;

	(void)state;
	assert_int_equal(message_decode_response(bytes, sizeof(bytes) - 1, WIRE_METHOD_ping, &arena,
	                                         &result, &error),
	                 MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_N_ERRORS);
	assert_string_equal(error.message, "hi");
	assert_string_equal(error.field, "");
	assert_true(error.row == WIRE_ERROR_NO_ROW);
}

static void peek_tells_other_messages_apart(void **state)
{
	static const char unknown[] = "\x93\x02\xa4mood\x80",
	                  request[] = "\x94\x00\x01\xa4ping\x80";
	struct wire_peek peek;

	(void)state;
	assert_int_equal(message_peek((const uint8_t *)unknown, sizeof(unknown) - 1, &peek),
	                 MESSAGE_REFUSED);
	assert_int_equal(message_peek((const uint8_t *)request, sizeof(request) - 1, &peek),
	                 MESSAGE_BROKEN);
	for (size_t n = 0; n < 7; n++)
		assert_int_equal(message_peek((const uint8_t *)unknown, n, &peek), MESSAGE_BROKEN);
	assert_int_equal(message_peek((const uint8_t *)"\x94\x01\x05", 3, &peek), MESSAGE_BROKEN);
	assert_int_equal(message_peek((const uint8_t *)"\x94\x01\x05\xc0", 4, &peek), 0);
	assert_false(peek.is_error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(every_request_comes_back_as_it_was, begin, end),
	        cmocka_unit_test_setup_teardown(every_result_comes_back_as_it_was, begin, end),
	        cmocka_unit_test_setup_teardown(every_event_comes_back_as_it_was, begin, end),
	        cmocka_unit_test_setup_teardown(every_error_comes_back_as_it_was, begin, end),
	        cmocka_unit_test_setup_teardown(an_error_without_an_id_is_told_apart, begin, end),
	        cmocka_unit_test_setup_teardown(absent_fields_hold_their_defaults, begin, end),
	        cmocka_unit_test_setup_teardown(defaults_are_not_sent, begin, end),
	        cmocka_unit_test_setup_teardown(an_empty_string_is_not_an_absent_one, begin, end),
	        cmocka_unit_test_setup_teardown(the_example_of_the_specification_stays, begin, end),
	        cmocka_unit_test_setup_teardown(frames_follow_one_another_in_a_buffer, begin, end),
	        cmocka_unit_test_setup_teardown(a_frame_ends_at_its_limit, begin, end),
	        cmocka_unit_test_setup_teardown(each_limit_holds_at_its_ends_and_beyond, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(a_number_says_what_it_is_and_may_be, begin, end),
	        cmocka_unit_test_setup_teardown(each_field_refuses_another_kind, begin, end),
	        cmocka_unit_test_setup_teardown(required_fields_are_missed_and_nil_is_absent, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(a_field_cannot_be_there_twice, begin, end),
	        cmocka_unit_test_setup_teardown(unknown_fields_are_refused_by_name, begin, end),
	        cmocka_unit_test_setup_teardown(names_are_utf8_without_control_characters, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(choices_are_of_their_list, begin, end),
	        cmocka_unit_test_setup_teardown(ids_are_short_strings_or_unsigned, begin, end),
	        cmocka_unit_test_setup_teardown(texts_are_strings_or_nil, begin, end),
	        cmocka_unit_test_setup_teardown(a_deadline_comes_back_as_it_was, begin, end),
	        cmocka_unit_test_setup_teardown(what_is_no_envelope_breaks_the_stream, begin, end),
	        cmocka_unit_test_setup_teardown(what_has_an_id_is_refused_with_it, begin, end),
	        cmocka_unit_test_setup_teardown(ids_come_in_every_width, begin, end),
	        cmocka_unit_test_setup_teardown(a_message_has_no_more_values_than_the_limit, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(a_client_skips_what_it_does_not_know, begin, end),
	        cmocka_unit_test_setup_teardown(
	                a_client_breaks_on_a_wrong_result_and_leaves_its_struct, begin, end),
	        cmocka_unit_test_setup_teardown(a_code_of_a_newer_daemon_is_no_known_one, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(peek_tells_other_messages_apart, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
