/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a client can send that a good one would not: the daemon says what is wrong, by code and
 * field, ends the stream only when it cannot go on, and serves everybody else as before.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/raw_client.h"
#include "tests/lib/service_fixture.h"

/* One daemon for all tests here: it must survive all of them. */
static struct service_fixture *service;

static int group_setup(void **state)
{
	service_setup(state);
	service = *state;
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, 10, 1);
	return 0;
}

/* After each test: who was there before, and who comes now, is served. */
static int expect_daemon_alive(void **state)
{
	struct raw_client raw;

	(void)state;
	DONE(service->conn, kith_ping(service->conn));
	raw_greet(service->daemon, &raw);
	raw_expect_alive(&raw);
	raw_close(&raw);
	expect_records(service->conn, "notes", 0, 10, 1);
	expect_count(service->conn, "notes", 10);
	return 0;
}

/* The stream ends: the daemon says why, about no request, and closes. */
static void expect_broken(struct raw_client *raw, enum wire_error_code code)
{
	raw_expect_error(raw, UINT64_MAX, code, NULL);
	raw_expect_closed(raw);
	raw_close(raw);
}

/* hello --------------------------------------------------------------------------------------- */

static void the_first_request_must_be_hello(void **state)
{
	static const char *const others[] = {
	        "[0, 1, 'ping', {}]",
	        "[0, 1, 'stats', {}]",
	        "[0, 1, 'count', {'collection': 'notes'}]",
	        "[0, 1, 'subscribe', {'topics': []}]",
	        "[0, 1, 'create_collection', {'name': 'x', 'dim': 2, 'metric': 'l2'}]",
	};
	struct raw_client raw;

	(void)state;
	raw_connect(service->daemon, &raw);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		raw_say(&raw, "%s", others[i]);
		raw_expect_error(&raw, 1, WIRE_ERROR_HELLO_FIRST, NULL);
	}
	raw_close(&raw);
}

static void hello_is_said_once(void **state)
{
	struct raw_client raw;

	(void)state;
	raw_greet(service->daemon, &raw);
	raw_say(&raw, "[0, 2, 'hello', {'protocol': 1, 'client': 'again'}]");
	raw_expect_error(&raw, 2, WIRE_ERROR_HELLO_FIRST, NULL);
	raw_expect_alive(&raw);
	raw_close(&raw);
}

static void another_protocol_version_is_refused_and_may_be_corrected(void **state)
{
	struct hello_result hello;
	struct raw_client raw;

	(void)state;
	raw_connect(service->daemon, &raw);
	raw_say(&raw, "[0, 1, 'hello', {'protocol': 2, 'client': 'newer'}]");
	raw_expect_error(&raw, 1, WIRE_ERROR_BAD_PROTOCOL, "protocol");
	raw_say(&raw, "[0, 2, 'hello', {'protocol': 0, 'client': 'zero'}]");
	raw_expect_error(&raw, 2, WIRE_ERROR_OVER_LIMIT, "protocol");
	raw_say(&raw, "[0, 3, 'ping', {}]");
	raw_expect_error(&raw, 3, WIRE_ERROR_HELLO_FIRST, NULL);
	raw_say(&raw, "[0, 4, 'hello', {'protocol': 1, 'client': 'corrected'}]");
	raw_expect_result(&raw, 4, WIRE_METHOD_hello, &hello);
	assert_int_equal(hello.pid, service->daemon->pid);
	raw_expect_alive(&raw);
	raw_close(&raw);
}

/* Messages ------------------------------------------------------------------------------------ */

struct refusal {
	const char *said; /* behind "[0, 9, " */
	enum wire_error_code code;
	const char *field;
};

static void bad_requests_are_refused_by_code_and_field(void **state)
{
	static const struct refusal refusals[] = {
	        {"'pong', {}]", WIRE_ERROR_UNKNOWN_METHOD, NULL},
	        {"'', {}]", WIRE_ERROR_UNKNOWN_METHOD, NULL},
	        {"'ping\\x00', {}]", WIRE_ERROR_UNKNOWN_METHOD, NULL},
	        {"'ping', {'x': 1}]", WIRE_ERROR_UNKNOWN_FIELD, "x"},
	        {"'count', {'collection': 'notes', 'colour': 1}]", WIRE_ERROR_UNKNOWN_FIELD,
	         "colour"},
	        {"'count', {'collection': 'notes', 'col\\x00lection': 1}]",
	         WIRE_ERROR_UNKNOWN_FIELD, "col"},
	        {"'count', {}]", WIRE_ERROR_MISSING_FIELD, "collection"},
	        {"'count', {'collection': nil}]", WIRE_ERROR_MISSING_FIELD, "collection"},
	        {"'get', {'collection': 'notes'}]", WIRE_ERROR_MISSING_FIELD, "ids"},
	        {"'count', {'collection': 'notes', 'collection': 'notes'}]", WIRE_ERROR_BAD_VALUE,
	         "collection"},
	        {"'count', {'collection': 7}]", WIRE_ERROR_BAD_KIND, "collection"},
	        {"'count', {'collection': x'00'}]", WIRE_ERROR_BAD_KIND, "collection"},
	        {"'count', {'collection': ['notes']}]", WIRE_ERROR_BAD_KIND, "collection"},
	        {"'count', {'collection': ''}]", WIRE_ERROR_OVER_LIMIT, "collection"},
	        {"'count', {'collection': 'no\\x0ates'}]", WIRE_ERROR_BAD_VALUE, "collection"},
	        {"'count', {'collection': 'no\\xfftes'}]", WIRE_ERROR_BAD_VALUE, "collection"},
	        {"'get', {'collection': 'notes', 'ids': 7}]", WIRE_ERROR_BAD_KIND, "ids"},
	        {"'get', {'collection': 'notes', 'ids': []}]", WIRE_ERROR_OVER_LIMIT, "ids"},
	        {"'get', {'collection': 'notes', 'ids': [1, 2.5]}]", WIRE_ERROR_BAD_KIND, "ids"},
	        {"'get', {'collection': 'notes', 'ids': [1, -1]}]", WIRE_ERROR_BAD_KIND, "ids"},
	        {"'get', {'collection': 'notes', 'ids': [1, nil]}]", WIRE_ERROR_BAD_KIND, "ids"},
	        {"'get', {'collection': 'notes', 'ids': ['\\xc0\\x80']}]", WIRE_ERROR_BAD_VALUE,
	         "ids"},
	        {"'get', {'collection': 'notes', 'ids': [1], 'include': 'texts'}]",
	         WIRE_ERROR_BAD_KIND, "include"},
	        {"'get', {'collection': 'notes', 'ids': [1], 'include': ['colours']}]",
	         WIRE_ERROR_BAD_VALUE, "include"},
	        {"'scan', {'collection': 'notes', 'limit': 0}]", WIRE_ERROR_OVER_LIMIT, "limit"},
	        {"'scan', {'collection': 'notes', 'limit': -1}]", WIRE_ERROR_OVER_LIMIT, "limit"},
	        {"'scan', {'collection': 'notes', 'limit': 1.5}]", WIRE_ERROR_BAD_KIND, "limit"},
	        {"'scan', {'collection': 'notes', 'cursor': 9223372036854775808}]",
	         WIRE_ERROR_OVER_LIMIT, "cursor"},
	        {"'search', {'collection': 'notes', 'vectors': [1.0, 2.0]}]", WIRE_ERROR_BAD_KIND,
	         "vectors"},
	        {"'search', {'collection': 'notes', 'vectors': x'00'}]", WIRE_ERROR_OVER_LIMIT,
	         "vectors"},
	        {"'search', {'collection': 'notes', 'vectors': x'0000803f'}]", WIRE_ERROR_BAD_VALUE,
	         "vectors"},
	        {"'search', {'collection': 'notes', 'vectors': x'0000803f', 'k': 0}]",
	         WIRE_ERROR_OVER_LIMIT, "k"},
	        {"'update', {'collection': 'notes', 'ids': [1], 'texts': [7]}]",
	         WIRE_ERROR_BAD_KIND, "texts"},
	        {"'update', {'collection': 'notes', 'ids': [1], 'texts': ['\\xed\\xa0\\x80']}]",
	         WIRE_ERROR_BAD_VALUE, "texts"},
	        {"'update', {'collection': 'notes', 'ids': [1], 'metas': [{'a': {'b': 1}}]}]",
	         WIRE_ERROR_BAD_KIND, "metas"},
	        {"'update', {'collection': 'notes', 'ids': [1], 'metas': [{'a': [[1]]}]}]",
	         WIRE_ERROR_BAD_KIND, "metas"},
	        {"'update', {'collection': 'notes', 'ids': [1], 'metas': [{'a': 1, 'a': 2}]}]",
	         WIRE_ERROR_BAD_VALUE, "metas"},
	        {"'update', {'collection': 'notes', 'ids': [1], 'metas': [{7: 1}]}]",
	         WIRE_ERROR_BAD_KIND, "metas"},
	        {"'create_collection', {'name': 'x', 'dim': 0, 'metric': 'l2'}]",
	         WIRE_ERROR_OVER_LIMIT, "dim"},
	        {"'create_collection', {'name': 'x', 'dim': 4097, 'metric': 'l2'}]",
	         WIRE_ERROR_OVER_LIMIT, "dim"},
	        {"'create_collection', {'name': 'x', 'dim': 4, 'metric': 'l3'}]",
	         WIRE_ERROR_BAD_VALUE, "metric"},
	        {"'create_collection', {'name': 'x', 'dim': 4, 'metric': 'l2', 'exist_ok': 1}]",
	         WIRE_ERROR_BAD_KIND, "exist_ok"},
	        {"'subscribe', {'topics': ['weather']}]", WIRE_ERROR_BAD_VALUE, "topics"},
	        {"'ping', []]", WIRE_ERROR_BAD_MESSAGE, NULL},
	        {"'ping', nil]", WIRE_ERROR_BAD_MESSAGE, NULL},
	        {"7, {}]", WIRE_ERROR_BAD_MESSAGE, NULL},
	        {"'ping', {7: 1}]", WIRE_ERROR_BAD_MESSAGE, NULL},
	        {"'ping', {}, 0]", WIRE_ERROR_OVER_LIMIT, "deadline_ms"},
	        {"'ping', {}, 86400001]", WIRE_ERROR_OVER_LIMIT, "deadline_ms"},
	        {"'ping', {}, -1]", WIRE_ERROR_BAD_KIND, "deadline_ms"},
	        {"'ping', {}, 'soon']", WIRE_ERROR_BAD_KIND, "deadline_ms"},
	};
	struct raw_client raw;

	(void)state;
	raw_greet(service->daemon, &raw);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		print_message("[0, 9, %s\n", refusals[i].said);
		raw_say(&raw, "[0, 9, %s", refusals[i].said);
		raw_expect_error(&raw, 9, refusals[i].code, refusals[i].field);
	}
	raw_expect_alive(&raw);
	raw_close(&raw);
}

static void an_error_names_the_row_and_quotes_without_control_characters(void **state)
{
	const uint8_t *payload;
	struct ping_result nothing;
	struct wire_error error;
	struct raw_client raw;
	uint32_t n;

	(void)state;
	raw_greet(service->daemon, &raw);
	raw_say(&raw, "[0, 1, 'get', {'collection': 'notes', 'ids': [1, 2, true, 4]}]");
	raw_say(&raw, "[0, 2, 'sh\\x0a\\x1b[31mout\\xff', {}]");
	assert_true(raw_receive(&raw, &payload, &n));
	assert_int_equal(
	        message_decode_response(payload, n, WIRE_METHOD_ping, &raw.arena, &nothing, &error),
	        MESSAGE_REFUSED);
	assert_int_equal(error.row, 2);
	assert_true(raw_receive(&raw, &payload, &n));
	assert_int_equal(
	        message_decode_response(payload, n, WIRE_METHOD_ping, &raw.arena, &nothing, &error),
	        MESSAGE_REFUSED);
	assert_int_equal(error.code, WIRE_ERROR_UNKNOWN_METHOD);
	assert_string_equal(error.message, "there is no method 'sh??[31mout?'");
	raw_close(&raw);
}

static void a_deadline_may_be_named_up_to_the_limit(void **state)
{
	static const char *const said[] = {"1", "86400000", "nil"};
	struct ping_result ping;
	struct raw_client raw;

	(void)state;
	raw_greet(service->daemon, &raw);
	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
		raw_say(&raw, "[0, 9, 'ping', {}, %s]", said[i]);
		raw_expect_result(&raw, 9, WIRE_METHOD_ping, &ping);
	}
	raw_close(&raw);
}

static void what_is_no_request_ends_the_stream(void **state)
{
	static const char *const said[] = {
	        "[1, 1, nil, {}]",
	        "[2, 'change', {}]",
	        "[0, 1, 'ping']",
	        "[0, 1, 'ping', {}, 1, 1]",
	        "[0, -1, 'ping', {}]",
	        "[0, 'one', 'ping', {}]",
	        "[3, 1, 'ping', {}]",
	        "{'method': 'ping'}",
	        "'ping'",
	        "nil",
	        "[]",
	        "[0, 18446744073709551615, 'ping', {}]",
	};
	struct raw_client raw;

	(void)state;
	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
		print_message("%s\n", said[i]);
		raw_greet(service->daemon, &raw);
		raw_say(&raw, "%s", said[i]);
		expect_broken(&raw, WIRE_ERROR_BAD_MESSAGE);
	}
}

/* Frames -------------------------------------------------------------------------------------- */

static void a_length_that_is_none_ends_the_stream(void **state)
{
	static const uint32_t lengths[] = {0, LIMIT_FRAME_BYTES + 1, UINT32_MAX};
	uint8_t header[FRAME_HEADER_BYTES];
	struct raw_client raw;

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		raw_greet(service->daemon, &raw);
		frame_put_header(header, lengths[i]);
		raw_send(&raw, header, sizeof(header));
		expect_broken(&raw, WIRE_ERROR_BAD_FRAME);
	}
	/* So does what speaks another language. */
	raw_connect(service->daemon, &raw);
	raw_send(&raw, "GET / HTTP/1.1\r\n\r\n", 18);
	expect_broken(&raw, WIRE_ERROR_BAD_FRAME);
}

static void bytes_that_are_no_message_end_the_stream(void **state)
{
	static const struct {
		size_t n;
		const char *bytes;
	} payloads[] = {
	        {5, "\xdd\x05\x00\x00\x00"}, /* five bytes that claim 83,886,080 values */
	        {5, "\xdd\xff\xff\xff\xff"},
	        {5, "\xdf\xff\xff\xff\xff"},
	        {5, "\xc6\xff\xff\xff\xff"},
	        {1, "\xc1"},
	        {2, "\xc0\xc0"}, /* a value too many */
	        {3, "\xd4\x01\x00"},
	        {1, "\x94"},
	};
	uint64_t noise = 0;
	uint8_t bytes[64];
	const uint8_t *payload;
	struct raw_client raw;
	uint32_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(payloads) / sizeof(*payloads); i++) {
		raw_greet(service->daemon, &raw);
		raw_send_frame(&raw, payloads[i].bytes, payloads[i].n);
		expect_broken(&raw, WIRE_ERROR_BAD_FRAME);
	}
	for (int round = 0; round < 100; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			noise = noise * UINT64_C(6364136223846793005) +
			        UINT64_C(1442695040888963407);
			bytes[i] = (uint8_t)(noise >> 56);
		}
		/* Never a request: its first byte would be an array of four. */
		bytes[0] |= 0xc0;
		bytes[0] &= 0xcf;
		raw_greet(service->daemon, &raw);
		raw_send_frame(&raw, bytes, sizeof(bytes));
		assert_true(raw_receive(&raw, &payload, &n));
		raw_expect_closed(&raw);
		raw_close(&raw);
	}
}

static void a_request_with_a_bad_body_is_answered_and_the_stream_goes_on(void **state)
{
	char deep[256] = "[0, 5, 'ping', {'x': ";
	static const uint8_t claims[] = {0x94, 0x00, 0x06, 0xa4, 'p',  'i', 'n',
	                                 'g',  0xdf, 0x05, 0x00, 0x00, 0x00};
	struct raw_client raw;

	(void)state;
	for (int i = 0; i < 30; i++)
		strcat(deep, "[");
	for (int i = 0; i < 30; i++)
		strcat(deep, "]");
	strcat(deep, "}]");
	raw_greet(service->daemon, &raw);
	raw_say(&raw, "%s", deep);
	raw_expect_error(&raw, 5, WIRE_ERROR_OVER_LIMIT, NULL);
	raw_send_frame(&raw, claims, sizeof(claims));
	raw_expect_error(&raw, 6, WIRE_ERROR_BAD_FRAME, NULL);
	raw_expect_alive(&raw);
	raw_close(&raw);
}

/* A request of LIMIT_FRAME_BYTES + extra bytes, header included in *ret_n. */
static uint8_t *padded_request(size_t extra, size_t *ret_n)
{
	size_t n = LIMIT_FRAME_BYTES + extra;
	uint8_t *bytes = malloc(FRAME_HEADER_BYTES + n);
	/* [0, 8, "ping", {"x": bin 32}] */
	static const uint8_t head[] = {0x94, 0x00, 0x08, 0xa4, 'p', 'i',
	                               'n',  'g',  0x81, 0xa1, 'x', 0xc6};
	uint32_t body = (uint32_t)(n - sizeof(head) - 4);

	assert_non_null(bytes);
	frame_put_header(bytes, (uint32_t)n);
	memcpy(bytes + FRAME_HEADER_BYTES, head, sizeof(head));
	frame_put_header(bytes + FRAME_HEADER_BYTES + sizeof(head), body);
	memset(bytes + FRAME_HEADER_BYTES + sizeof(head) + 4, 0, body);
	*ret_n = FRAME_HEADER_BYTES + n;
	return bytes;
}

static void a_frame_may_be_as_large_as_the_limit_and_no_larger(void **state)
{
	struct raw_client raw;
	uint8_t *bytes;
	size_t n;

	(void)state;
	raw_greet(service->daemon, &raw);
	bytes = padded_request(0, &n);
	raw_send(&raw, bytes, n);
	raw_expect_error(&raw, 8, WIRE_ERROR_UNKNOWN_FIELD, "x");
	raw_expect_alive(&raw);
	free(bytes);
	bytes = padded_request(1, &n);
	raw_send(&raw, bytes, n);
	expect_broken(&raw, WIRE_ERROR_BAD_FRAME);
	free(bytes);
}

static void a_client_may_leave_in_the_middle_of_a_frame(void **state)
{
	struct raw_client raw;
	uint8_t *bytes;
	size_t n;

	(void)state;
	bytes = padded_request(0, &n);
	for (size_t cut = 1; cut < n; cut = cut * 3 + 1) {
		raw_greet(service->daemon, &raw);
		raw_send(&raw, bytes, cut);
		raw_close(&raw);
	}
	free(bytes);
}

static void frames_may_come_byte_by_byte(void **state)
{
	static const char *const said[] = {
	        "[0, 1, 'hello', {'protocol': 1, 'client': 'slow'}]",
	        "[0, 2, 'ping', {}]",
	        "[0, 3, 'limits', {}]",
	};
	struct hello_result hello;
	struct ping_result ping;
	struct limits_result limits;
	struct raw_client raw;

	(void)state;
	raw_connect(service->daemon, &raw);
	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
		struct wire_buf buf;
		uint8_t header[FRAME_HEADER_BYTES];

		wire_buf_init(&buf);
		wire_say(&buf, said[i]);
		frame_put_header(header, (uint32_t)buf.n);
		for (size_t at = 0; at < sizeof(header); at++)
			raw_send(&raw, header + at, 1);
		for (size_t at = 0; at < buf.n; at++)
			raw_send(&raw, buf.data + at, 1);
		wire_buf_release(&buf);
	}
	raw_expect_result(&raw, 1, WIRE_METHOD_hello, &hello);
	raw_expect_result(&raw, 2, WIRE_METHOD_ping, &ping);
	raw_expect_result(&raw, 3, WIRE_METHOD_limits, &limits);
	raw_close(&raw);
}

static void a_thousand_pings_in_one_write_are_all_answered_in_order(void **state)
{
	struct wire_buf all, one;
	struct ping_result ping;
	struct raw_client raw;
	uint8_t header[FRAME_HEADER_BYTES];
	char text[64];

	(void)state;
	wire_buf_init(&all);
	for (uint64_t id = 1; id <= 1000; id++) {
		wire_buf_init(&one);
		snprintf(text, sizeof(text), "[0, %llu, 'ping', {}]",
		         (unsigned long long)(id == 1000 ? UINT64_MAX - 1 : id));
		wire_say(&one, text);
		frame_put_header(header, (uint32_t)one.n);
		wire_buf_append(&all, header, sizeof(header));
		wire_buf_append(&all, one.data, one.n);
		wire_buf_release(&one);
	}
	raw_greet(service->daemon, &raw);
	raw_send(&raw, all.data, all.n);
	for (uint64_t id = 1; id <= 1000; id++)
		raw_expect_result(&raw, id == 1000 ? UINT64_MAX - 1 : id, WIRE_METHOD_ping, &ping);
	wire_buf_release(&all);
	raw_close(&raw);
}

static void limits_are_told_as_they_are(void **state)
{
	struct kith_limits_result *limits;

	(void)state;
	DONE(service->conn, kith_limits(service->conn, &limits));
#define EXPECT_LIMIT(F, X, NAME, name, value, why) assert_int_equal(limits->name, LIMIT_##NAME);
	LIMITS(EXPECT_LIMIT, , )
#undef EXPECT_LIMIT
	kith_free(limits);
}

int main(void)
{
#define SURVIVED(test) cmocka_unit_test_teardown(test, expect_daemon_alive)
	const struct CMUnitTest tests[] = {
	        SURVIVED(the_first_request_must_be_hello),
	        SURVIVED(hello_is_said_once),
	        SURVIVED(another_protocol_version_is_refused_and_may_be_corrected),
	        SURVIVED(bad_requests_are_refused_by_code_and_field),
	        SURVIVED(an_error_names_the_row_and_quotes_without_control_characters),
	        SURVIVED(a_deadline_may_be_named_up_to_the_limit),
	        SURVIVED(what_is_no_request_ends_the_stream),
	        SURVIVED(a_length_that_is_none_ends_the_stream),
	        SURVIVED(bytes_that_are_no_message_end_the_stream),
	        SURVIVED(a_request_with_a_bad_body_is_answered_and_the_stream_goes_on),
	        SURVIVED(a_frame_may_be_as_large_as_the_limit_and_no_larger),
	        SURVIVED(a_client_may_leave_in_the_middle_of_a_frame),
	        SURVIVED(frames_may_come_byte_by_byte),
	        SURVIVED(a_thousand_pings_in_one_write_are_all_answered_in_order),
	        SURVIVED(limits_are_told_as_they_are),
	};

	return cmocka_run_group_tests_name("protocol", tests, group_setup, service_teardown);
}
