/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/kith.h"
#include "protocol/frame.h"
#include "tests/lib/fake_daemon.h"

struct fixture {
	struct fake_daemon daemon;
	struct kith_conn *conn;
	sem_t gate;
};

static struct fixture *fixture_new(fake_handler *handler)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct kith_options options = {0};

	assert_non_null(fixture);
	assert_int_equal(sem_init(&fixture->gate, 0, 0), 0);
	fake_daemon_init(&fixture->daemon, handler, fixture);
	fake_daemon_start(&fixture->daemon);
	options.socket_path = fixture->daemon.socket;
	assert_int_equal(kith_connect(&options, &fixture->conn), 0);
	return fixture;
}

static void fixture_free(struct fixture *fixture)
{
	kith_close(fixture->conn);
	fake_daemon_release(&fixture->daemon);
	sem_destroy(&fixture->gate);
	free(fixture);
}

static uint64_t submit_count(struct kith_conn *conn)
{
	struct kith_count_params params = {.collection = kith_text("notes")};
	uint64_t ticket = 0;

	assert_int_equal(kith_submit_count(conn, &params, &ticket), 0);
	return ticket;
}

/* Counts are answered once the gate opens, with their ids; everything else at once. */
static void answer_late(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct fixture *fixture = daemon->ctx;

	if (request->method == WIRE_METHOD_count) {
		sem_wait(&fixture->gate);
		fake_answer(daemon, request, &(struct count_result){.count = request->id});
	} else if (request->method == WIRE_METHOD_upsert) {
		fake_answer(daemon, request, &(struct upsert_result){.seq = request->id});
	} else {
		fake_answer(daemon, request, &(struct ping_result){0});
	}
}

static void an_answer_after_the_deadline_is_dropped(void **state)
{
	struct fixture *fixture = fixture_new(answer_late);
	struct kith_count_params params = {.collection = kith_text("notes")};
	struct kith_count_result *result;

	(void)state;
	assert_int_equal(kith_set_timeout(fixture->conn, 10), 0);
	assert_int_equal(kith_count(fixture->conn, &params, &result), -ETIMEDOUT);
	assert_string_equal(kith_error_message(fixture->conn), "the daemon did not answer in time");
	assert_int_equal(kith_set_timeout(fixture->conn, KITH_FOREVER), 0);
	sem_post(&fixture->gate);
	assert_int_equal(kith_ping(fixture->conn), 0);
	sem_post(&fixture->gate);
	assert_int_equal(kith_count(fixture->conn, &params, &result), 0);
	assert_int_equal(result->count, 4); /* hello, the late one, ping, this one */
	kith_free(result);
	fixture_free(fixture);
}

static void a_frame_half_sent_at_the_deadline_is_sent_to_its_end(void **state)
{
	struct fixture *fixture = fixture_new(answer_late);
	size_t n_floats = 2u << 20;
	float *many = calloc(n_floats, sizeof(float));
	const struct kith_id id = kith_id_number(1);
	struct kith_upsert_params params = {.collection = kith_text("notes"),
	                                    .ids = {&id, 1},
	                                    .vectors = kith_vectors(many, n_floats)};

	(void)state;
	assert_non_null(many);
	submit_count(fixture->conn); /* holds the daemon's thread, so that it does not read */
	assert_int_equal(kith_set_timeout(fixture->conn, 10), 0);
	assert_int_equal(kith_upsert(fixture->conn, &params, NULL), -ETIMEDOUT);
	assert_int_equal(kith_ping(fixture->conn), -ETIMEDOUT);
	assert_int_equal(kith_set_timeout(fixture->conn, 0), 0);
	sem_post(&fixture->gate);
	assert_int_equal(kith_ping(fixture->conn), 0);
	assert_int_equal(kith_upsert(fixture->conn, &params, NULL), 0);
	free(many);
	fixture_free(fixture);
}

/* One byte at a time, the gate being how the client asks for the next. */
static void answer_in_crumbs(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct wire_buf buf;

	wire_buf_init(&buf);
	FAKE_MUST(message_encode_result(&buf, request->id, request->method,
	                                &(struct count_result){.count = 42}) == 0);
	for (size_t i = 0; i < buf.n; i++)
		fake_send(daemon, buf.data + i, 1);
	wire_buf_release(&buf);
}

static void an_answer_in_crumbs_is_an_answer(void **state)
{
	struct fixture *fixture = fixture_new(answer_in_crumbs);
	struct kith_count_params params = {.collection = kith_text("notes")};
	struct kith_count_result *result;

	(void)state;
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(kith_count(fixture->conn, &params, &result), 0);
		assert_int_equal(result->count, 42);
		kith_free(result);
	}
	fixture_free(fixture);
}

/* The first count is answered; the second gets half an answer and the end. */
static void answer_one_and_a_half(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct fixture *fixture = daemon->ctx;
	struct wire_buf buf;

	wire_buf_init(&buf);
	FAKE_MUST(message_encode_result(&buf, request->id, request->method,
	                                &(struct count_result){.count = 42}) == 0);
	if (sem_trywait(&fixture->gate) == 0) {
		fake_send(daemon, buf.data, buf.n);
	} else {
		fake_send(daemon, buf.data, buf.n / 2);
		fake_hang_up(daemon);
	}
	wire_buf_release(&buf);
}

static void a_connection_that_ends_in_the_middle_stays_ended(void **state)
{
	struct fixture *fixture = fixture_new(answer_one_and_a_half);
	struct kith_count_result *result;
	uint64_t first, second, third;

	(void)state;
	sem_post(&fixture->gate);
	first = submit_count(fixture->conn);
	second = submit_count(fixture->conn);
	third = submit_count(fixture->conn);
	assert_int_equal(kith_collect_count(fixture->conn, second, KITH_USUAL, &result),
	                 -ECONNRESET);
	assert_string_equal(kith_error_message(fixture->conn), "the daemon closed the connection");
	assert_int_equal(kith_collect_count(fixture->conn, second, KITH_USUAL, &result), -EINVAL);
	assert_int_equal(kith_ping(fixture->conn), -ECONNRESET);
	assert_string_equal(kith_error_message(fixture->conn), "the daemon closed the connection");
	assert_int_equal(kith_flush(fixture->conn), -ECONNRESET);
	assert_int_equal(kith_next_event(fixture->conn, 0, NULL), -ECONNRESET);
	assert_int_equal(kith_collect_count(fixture->conn, third, KITH_USUAL, &result),
	                 -ECONNRESET);
	assert_int_equal(kith_collect_count(fixture->conn, first, KITH_USUAL, &result), 0);
	assert_int_equal(result->count, 42);
	kith_free(result);
	fixture_free(fixture);
}

static void announce_too_much(struct fake_daemon *daemon, const struct wire_request *request)
{
	uint8_t header[FRAME_HEADER_BYTES];

	(void)request;
	frame_put_header(header, LIMIT_FRAME_BYTES + 1);
	fake_send(daemon, header, sizeof(header));
}

static void talk_nonsense(struct fake_daemon *daemon, const struct wire_request *request)
{
	(void)request;
	fake_send(daemon, "\0\0\0\3\x93\1\2", 7);
}

/* [1, id, nil, {}], which lacks every field of the result. */
static void answer_nothing(struct fake_daemon *daemon, const struct wire_request *request)
{
	const uint8_t frame[] = {0, 0, 0, 5, 0x94, 1, (uint8_t)request->id, 0xc0, 0x80};

	fake_send(daemon, frame, sizeof(frame));
}

static void complain_without_id(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct wire_error error;

	(void)request;
	wire_error_set(&error, WIRE_ERROR_BAD_FRAME, NULL, "bytes stand behind the value");
	fake_refuse(daemon, UINT64_MAX, &error);
	fake_hang_up(daemon);
}

static void a_daemon_that_does_not_speak_the_protocol_is_left(void **state)
{
	static const struct {
		fake_handler *handler;
		const char *message;
	} cases[] = {
	        {announce_too_much,
	         "the daemon announced a frame of 16777217 bytes; at most 16777216 are allowed"},
	        {talk_nonsense, "what the daemon sent is not an answer"},
	        {answer_nothing, "the answer to count cannot be read: "},
	        {complain_without_id,
	         "the daemon could not read a request: bytes stand behind the value"},
	};
	struct kith_count_params params = {.collection = kith_text("notes")};
	struct kith_count_result *result;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *fixture = fixture_new(cases[i].handler);

		assert_int_equal(kith_count(fixture->conn, &params, &result), -EPROTO);
		assert_memory_equal(kith_error_message(fixture->conn), cases[i].message,
		                    strlen(cases[i].message));
		assert_int_equal(kith_ping(fixture->conn), -EPROTO);
		fixture_free(fixture);
	}
}

static void say_why_and_close(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct fixture *fixture = daemon->ctx;
	struct wire_error error;

	wire_error_set(&error, WIRE_ERROR_STOPPING, NULL, "the daemon is stopping");
	fake_refuse(daemon, request->id, &error);
	fake_hang_up(daemon);
	sem_post(&fixture->gate);
}

static void last_words_are_heard_although_nothing_can_be_sent(void **state)
{
	struct fixture *fixture = fixture_new(say_why_and_close);
	uint64_t first, second;

	(void)state;
	first = submit_count(fixture->conn);
	assert_int_equal(kith_flush(fixture->conn), 0);
	sem_wait(&fixture->gate);
	second = submit_count(fixture->conn);
	assert_int_equal(kith_flush(fixture->conn), -ECONNRESET);
	assert_int_equal(kith_collect_count(fixture->conn, second, KITH_USUAL, NULL), -ECONNRESET);
	assert_int_equal(kith_collect_count(fixture->conn, first, KITH_USUAL, NULL),
	                 KITH_ERROR_STOPPING);
	fixture_free(fixture);
}

static void tell_the_gate(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct fixture *fixture = daemon->ctx;

	(void)request;
	sem_post(&fixture->gate);
}

static void *interrupt(void *ctx)
{
	struct fixture *fixture = ctx;

	sem_wait(&fixture->gate);
	kith_interrupt(fixture->conn);
	return NULL;
}

static void an_interrupt_ends_the_call_that_waits(void **state)
{
	struct fixture *fixture = fixture_new(tell_the_gate);
	pthread_t thread;

	(void)state;
	assert_int_equal(kith_set_timeout(fixture->conn, KITH_FOREVER), 0);
	assert_int_equal(pthread_create(&thread, NULL, interrupt, fixture), 0);
	assert_int_equal(kith_ping(fixture->conn), -ECANCELED);
	assert_int_equal(kith_ping(fixture->conn), -ECANCELED);
	pthread_join(thread, NULL);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_answer_after_the_deadline_is_dropped),
	        cmocka_unit_test(a_frame_half_sent_at_the_deadline_is_sent_to_its_end),
	        cmocka_unit_test(an_answer_in_crumbs_is_an_answer),
	        cmocka_unit_test(a_connection_that_ends_in_the_middle_stays_ended),
	        cmocka_unit_test(a_daemon_that_does_not_speak_the_protocol_is_left),
	        cmocka_unit_test(last_words_are_heard_although_nothing_can_be_sent),
	        cmocka_unit_test(an_interrupt_ends_the_call_that_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
