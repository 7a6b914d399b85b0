/* SPDX-License-Identifier: Apache-2.0 */

/* Connections: those that do not read, those that leave, many of them, and how they end when the
 * daemon stops. */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/session.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/service_fixture.h"
#include "tests/lib/writers.h"

/* More than the daemon has open before anyone connects. */
#define FEW_FILES 64

static int notes_setup(void **state)
{
	struct service_fixture *service;

	service_setup(state);
	service = *state;
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	return 0;
}

struct connections {
	struct kith_conn *conn;
	uint32_t n;
};

static bool are_connected(void *ctx)
{
	const struct connections *wanted = ctx;
	struct kith_stats_result *stats;
	uint32_t n;

	DONE(wanted->conn, kith_stats(wanted->conn, &stats));
	n = stats->connections;
	kith_free(stats);
	return n == wanted->n;
}

/* Until the daemon has so many connections, that of conn included. */
static void await_connections(struct kith_conn *conn, uint32_t n)
{
	await(are_connected, &(struct connections){conn, n}, "connections are as many as wanted");
}

/* Whoever does not read ------------------------------------------------------------------------ */

#define TEXT_BYTES (256u << 10)
#define N_TEXTS 40u

/* A search for all of them is answered by ten megabytes. */
static void put_texts(struct kith_conn *conn)
{
	char *text = malloc(TEXT_BYTES);

	assert_non_null(text);
	memset(text, 'x', TEXT_BYTES);
	for (uint32_t i = 0; i < N_TEXTS; i++) {
		const struct kith_id id = kith_id_number(i);
		const struct kith_str column = kith_text_n(text, TEXT_BYTES);
		float vector[RECORD_DIM];
		struct kith_upsert_params params = {
		        .collection = kith_text("notes"),
		        .ids = {&id, 1},
		        .vectors = kith_vectors(record_vector(i, 1, vector), RECORD_DIM),
		        .texts = {&column, 1},
		};

		DONE(conn, kith_upsert(conn, &params, NULL));
	}
	free(text);
}

static bool is_nothing_in_flight(void *ctx)
{
	/* Nothing but the frame that asks. */
	return inflight_bytes(ctx) < 100;
}

/* Until all that went with the clients is given back. */
static void await_nothing_in_flight(struct kith_conn *conn)
{
	await(is_nothing_in_flight, conn, "nothing is in flight");
}

/* Sends as much of the frame, over and over, as the socket takes now; *at is where in the frame it
 * stands. Returns how many bytes went. */
static size_t send_what_goes(struct raw_client *raw, const struct wire_buf *frame, size_t *at)
{
	size_t sent = 0;

	for (;;) {
		ssize_t n = send(raw->fd, frame->data + *at, frame->n - *at,
		                 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			return sent;
		}
		*at = (*at + (size_t)n) % frame->n;
		sent += (size_t)n;
	}
}

/* The daemon stops reading when it has answers in store that are not read: then what is sent goes
 * nowhere. Others are served all the while. */
static void expect_others_served_until_sending_stops(struct service_fixture *service,
                                                     struct raw_client *raw,
                                                     const struct wire_buf *frame)
{
	size_t total = 0, sent, at = 0;
	uint32_t n_quiet = 0;

	while (n_quiet < 50) {
		sent = send_what_goes(raw, frame, &at);
		total += sent;
		n_quiet = sent ? 0 : n_quiet + 1;
		assert_true(total < (4u << 20));
		DONE(service->conn, kith_ping(service->conn));
		expect_count(service->conn, "notes", N_TEXTS);
		/* At most: what was allowed to wait, an answer more, and what the workers do. */
		assert_true(inflight_bytes(service->conn) < (96u << 20));
	}
}

static void a_client_that_does_not_read_is_not_read_and_closed_after_a_while(void **state)
{
	struct service_fixture *service = *state;
	const float query[RECORD_DIM] = {1};
	struct search_params search = {
	        .collection = {"notes", 5},
	        .vectors = {query, sizeof(query)},
	        .k = N_TEXTS,
	        .include = 1u << WIRE_include_texts,
	};
	struct wire_buf frame;
	struct raw_client raw;
	int64_t began_ms;

	put_texts(service->conn);
	wire_buf_init(&frame);
	assert_int_equal(message_encode_request(&frame, 1, WIRE_METHOD_search, &search), 0);
	raw_greet(service->daemon, &raw);
	await_connections(service->conn, 2);
	began_ms = now_ms();
	expect_others_served_until_sending_stops(service, &raw, &frame);
	await_connections(service->conn, 1);
	assert_true(now_ms() - began_ms >= SESSION_STALL_MS - 1000);
	assert_true(daemon_process_said(service->daemon, "it left"));
	await_nothing_in_flight(service->conn);
	raw_close(&raw);
	wire_buf_release(&frame);
}

static void a_client_that_reads_late_gets_everything(void **state)
{
	struct service_fixture *service = *state;
	const float query[RECORD_DIM] = {1};
	struct search_params search = {
	        .collection = {"notes", 5},
	        .vectors = {query, sizeof(query)},
	        .k = N_TEXTS,
	        .include = 1u << WIRE_include_texts,
	};
	struct wire_buf frames;
	struct raw_client raw;
	uint64_t seen = 0;

	put_texts(service->conn);
	wire_buf_init(&frames);
	for (uint64_t id = 0; id < 30; id++)
		assert_int_equal(message_encode_request(&frames, id, WIRE_METHOD_search, &search),
		                 0);
	raw_greet(service->daemon, &raw);
	raw_send(&raw, frames.data, frames.n);
	/* Several rounds of others' requests later: */
	for (int i = 0; i < 100; i++)
		expect_count(service->conn, "notes", N_TEXTS);
	for (int i = 0; i < 30; i++) {
		const uint8_t *payload;
		struct wire_peek peek;
		uint32_t n;

		assert_true(raw_receive(&raw, &payload, &n));
		assert_int_equal(message_peek(payload, n, &peek), 0);
		assert_false(peek.is_error);
		assert_true(n > N_TEXTS * TEXT_BYTES);
		seen |= UINT64_C(1) << peek.id;
	}
	assert_int_equal(seen, (UINT64_C(1) << 30) - 1);
	raw_expect_alive(&raw);
	raw_close(&raw);
	wire_buf_release(&frames);
}

static void the_last_words_of_a_broken_stream_come_behind_its_answers(void **state)
{
	struct service_fixture *service = *state;
	const float query[RECORD_DIM] = {1};
	struct search_params search = {
	        .collection = {"notes", 5},
	        .vectors = {query, sizeof(query)},
	        .k = 8,
	        .include = 1u << WIRE_include_texts,
	};
	struct search_result found;
	struct wire_buf frame;
	struct raw_client raw;

	put_texts(service->conn);
	wire_buf_init(&frame);
	assert_int_equal(message_encode_request(&frame, 1, WIRE_METHOD_search, &search), 0);
	raw_greet(service->daemon, &raw);
	raw_send(&raw, frame.data, frame.n);
	/* Two megabytes wait to be read; the daemon still reads what comes. */
	while (inflight_bytes(service->conn) < (1u << 20))
		DONE(service->conn, kith_ping(service->conn));
	raw_say(&raw, "'what is this?'");
	raw_say(&raw, "[0, 2, 'ping', {}]");
	while (!daemon_process_said(service->daemon, "closed: a request is"))
		DONE(service->conn, kith_ping(service->conn));
	raw_expect_result(&raw, 1, WIRE_METHOD_search, &found);
	assert_int_equal(found.texts.n, 8);
	raw_expect_error(&raw, UINT64_MAX, WIRE_ERROR_BAD_MESSAGE, NULL);
	raw_expect_closed(&raw);
	raw_close(&raw);
	wire_buf_release(&frame);
}

/* Leaving -------------------------------------------------------------------------------------- */

/* Leaves in the middle of something; which of the things is drawn. */
static void leave_in_the_middle(struct service_fixture *service, uint32_t round)
{
	char name[32];
	float vectors[100 * RECORD_DIM];
	struct wire_id ids[100];
	struct upsert_params upsert = {
	        .collection = {"notes", 5},
	        .ids = {ids, 100},
	        .vectors = {vectors, sizeof(vectors)},
	};
	struct search_params search = {
	        .collection = {"notes", 5}, .vectors = {vectors, sizeof(vectors)}, .k = 100};
	struct wire_buf buf;
	struct raw_client raw;
	size_t n;

	for (uint32_t i = 0; i < 100; i++) {
		ids[i] = (struct wire_id){.number = 1000000 + round * 100 + i};
		record_vector(ids[i].number, 1, vectors + i * RECORD_DIM);
	}
	snprintf(name, sizeof(name), "left %u", round);
	wire_buf_init(&buf);
	for (uint64_t id = 0; id < 20; id++) {
		if ((round + id) % 3 == 0)
			(void)message_encode_request(&buf, id, WIRE_METHOD_upsert, &upsert);
		else
			(void)message_encode_request(&buf, id, WIRE_METHOD_search, &search);
	}
	raw_greet(service->daemon, &raw);
	if (round % 4 == 0)
		raw_say(&raw,
		        "[0, 1, 'create_collection', {'name': '%s', 'dim': 3, 'metric': "
		        "'l2'}]",
		        name);
	if (round % 4 == 1)
		raw_say(&raw, "[0, 1, 'subscribe', {'topics': ['changes', 'jobs']}]");
	n = buf.n - (round * 7919) % buf.n;
	raw_send(&raw, buf.data, n);
	raw_close(&raw);
	wire_buf_release(&buf);
}

static void clients_may_leave_in_the_middle_of_everything(void **state)
{
	struct service_fixture *service = *state;
	struct kith_count_params params = {.collection = kith_text("notes")};
	struct kith_count_result *count;

	put_records(service->conn, "notes", 0, 2000, 1);
	for (uint32_t round = 0; round < 150; round++)
		leave_in_the_middle(service, round);
	await_connections(service->conn, 1);
	expect_records(service->conn, "notes", 0, 2000, 1);
	/* What they wrote is there in whole batches. */
	DONE(service->conn, kith_count(service->conn, &params, &count));
	assert_int_equal(count->count % 100, 0);
	kith_free(count);
	put_records(service->conn, "notes", 5000, 10, 1);
	await_nothing_in_flight(service->conn);
}

/* Whoever is slow ------------------------------------------------------------------------------ */

/* Between two bytes of the one, others write and search. */
static void a_client_that_sends_byte_by_byte_holds_up_nobody(void **state)
{
	struct service_fixture *service = *state;
	struct wire_id id = {.number = 77};
	float vector[RECORD_DIM];
	struct upsert_params upsert = {
	        .collection = {"notes", 5}, .ids = {&id, 1}, .vectors = {vector, sizeof(vector)}};
	struct upsert_result written;
	struct wire_buf frame;
	struct raw_client raw;

	record_vector(77, 1, vector);
	wire_buf_init(&frame);
	assert_int_equal(message_encode_request(&frame, 1, WIRE_METHOD_upsert, &upsert), 0);
	raw_greet(service->daemon, &raw);
	for (size_t at = 0; at < frame.n; at++) {
		raw_send(&raw, frame.data + at, 1);
		if (at % 16 == 0)
			put_records(service->conn, "notes", 1000 + at, 1, 1);
		else
			DONE(service->conn, kith_ping(service->conn));
	}
	raw_expect_result(&raw, 1, WIRE_METHOD_upsert, &written);
	expect_records(service->conn, "notes", 1000, 1, 1);
	raw_close(&raw);
	wire_buf_release(&frame);
}

/* Each claims the largest frame and sends nothing behind: two of them have all memory for large
 * frames, until somebody wants some of it. */
static void claims_without_bytes_keep_nobody_out(void **state)
{
	struct service_fixture *service = *state;
	enum {
		N = 4
	};
	struct raw_client raws[N];
	uint8_t header[FRAME_HEADER_BYTES + 1] = {0};

	frame_put_header(header, LIMIT_FRAME_BYTES);
	for (uint32_t i = 0; i < N; i++) {
		raw_greet(service->daemon, &raws[i]);
		raw_send(&raws[i], header, sizeof(header));
	}
	/* Small requests never wait for them, a large one not for long. */
	put_records(service->conn, "notes", 5000, 10, 1);
	put_records(service->conn, "notes", 0, 1000, 1);
	expect_records(service->conn, "notes", 990, 10, 1);
	assert_true(daemon_process_said(service->daemon, "did not come while others waited"));
	for (uint32_t i = 0; i < N; i++)
		raw_close(&raws[i]);
	await_connections(service->conn, 1);
	await_nothing_in_flight(service->conn);
}

static void a_half_closed_connection_is_closed(void **state)
{
	struct service_fixture *service = *state;
	struct raw_client raw;

	raw_greet(service->daemon, &raw);
	raw_expect_alive(&raw);
	assert_int_equal(shutdown(raw.fd, SHUT_WR), 0);
	raw_expect_closed(&raw);
	await_connections(service->conn, 1);
	raw_close(&raw);
}

/* Those that leave before they are accepted, those that never say a word, those that say half of
 * one. */
static void a_flood_of_connects_leaves_nothing_behind(void **state)
{
	struct service_fixture *service = *state;
	struct raw_client raw;

	for (uint32_t i = 0; i < 3000; i++) {
		raw_connect(service->daemon, &raw);
		if (i % 3 == 1)
			raw_send(&raw, "\0\0", 2);
		raw_close(&raw);
		if (i % 100 == 0)
			DONE(service->conn, kith_ping(service->conn));
	}
	await_connections(service->conn, 1);
	await_nothing_in_flight(service->conn);
}

/* Many ----------------------------------------------------------------------------------------- */

static void three_hundred_connections_are_all_served(void **state)
{
	struct service_fixture *service = *state;
	enum {
		N = 300
	};
	struct kith_conn *conns[N];

	for (uint32_t i = 0; i < N; i++)
		conns[i] = service_client(service);
	for (uint32_t i = 0; i < N; i++)
		put_records(conns[i], "notes", i * 10, 10, 1);
	for (uint32_t i = 0; i < N; i++)
		expect_records(conns[i], "notes", (N - 1 - i) * 10, 10, 1);
	await_connections(service->conn, N + 1);
	for (uint32_t i = 0; i < N; i++)
		kith_close(conns[i]);
	await_connections(service->conn, 1);
}

static void one_connection_more_than_the_limit_is_refused(void **state)
{
	struct service_fixture *service = *state;
	enum {
		N_OTHERS = LIMIT_CONNECTIONS - LIMIT_PROCESS_CONNECTIONS
	};
	static struct raw_client raws[LIMIT_PROCESS_CONNECTIONS];
	struct raw_client others[N_OTHERS];
	char message[256], expected[256];
	const struct kith_options options = {.socket_path = service->daemon->socket,
	                                     .ret_message = message,
	                                     .message_size_bytes = sizeof(message)};
	struct kith_conn *refused;
	struct rlimit files;
	struct raw_client more;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	if (files.rlim_max < 2 * LIMIT_CONNECTIONS)
		skip();
	for (uint32_t i = 1; i < LIMIT_PROCESS_CONNECTIONS; i++)
		raw_greet(service->daemon, &raws[i]);
	await_connections(service->conn, LIMIT_PROCESS_CONNECTIONS);
	raw_connect(service->daemon, &more);
	raw_expect_error(&more, UINT64_MAX, WIRE_ERROR_OVER_LIMIT, "process_connections");
	raw_expect_closed(&more);
	raw_close(&more);
	assert_int_equal(kith_connect(&options, &refused), KITH_ERROR_OVER_LIMIT);
	snprintf(expected, sizeof(expected), "process %d has 1000 connections, which is the limit",
	         (int)getpid());
	assert_string_equal(message, expected);
	/* There is room for another process. */
	raw_greet_from_another(service->daemon->socket, others, N_OTHERS);
	await_connections(service->conn, LIMIT_CONNECTIONS);
	raw_connect(service->daemon, &more);
	raw_expect_error(&more, UINT64_MAX, WIRE_ERROR_OVER_LIMIT, "connections");
	raw_expect_closed(&more);
	raw_close(&more);
	assert_int_equal(kith_connect(&options, &refused), KITH_ERROR_OVER_LIMIT);
	assert_string_equal(message, "there are 1024 connections, which is the limit");
	assert_true(daemon_process_said(service->daemon, "which is the limit"));
	raw_expect_alive(&raws[1]);
	raw_expect_alive(&raws[LIMIT_PROCESS_CONNECTIONS - 1]);
	raw_expect_alive(&others[N_OTHERS - 1]);
	/* One leaves, one may come. */
	raw_close(&raws[7]);
	await_connections(service->conn, LIMIT_CONNECTIONS - 1);
	raw_greet(service->daemon, &raws[7]);
	raw_expect_alive(&raws[7]);
	for (uint32_t i = 1; i < LIMIT_PROCESS_CONNECTIONS; i++)
		raw_close(&raws[i]);
	for (uint32_t i = 0; i < N_OTHERS; i++)
		raw_close(&others[i]);
}

/* It is told at once, instead of waiting until somebody leaves. */
static void a_connection_that_no_descriptor_is_left_for_is_refused(void **state)
{
	struct service_fixture *service = *state;
	struct kith_conn *conns[FEW_FILES];
	const struct kith_options options = {.socket_path = service->daemon->socket};
	struct rlimit usual, few;
	uint32_t n = 0;
	int r = 0;

	assert_int_equal(prlimit(service->daemon->pid, RLIMIT_NOFILE, NULL, &usual), 0);
	few = usual;
	few.rlim_cur = FEW_FILES;
	assert_int_equal(prlimit(service->daemon->pid, RLIMIT_NOFILE, &few, NULL), 0);
	while (n < FEW_FILES && (r = kith_connect(&options, &conns[n])) == 0)
		n++;
	assert_int_equal(r, KITH_ERROR_OVER_LIMIT);
	DONE(service->conn, kith_ping(service->conn));
	assert_true(daemon_process_said(service->daemon, "no file descriptors are left"));
	assert_int_equal(prlimit(service->daemon->pid, RLIMIT_NOFILE, &usual, NULL), 0);
	kith_close(service_client(service));
	while (n > 0)
		kith_close(conns[--n]);
}

/* Stopping ------------------------------------------------------------------------------------- */

static void stop_under_load(struct service_fixture *service, int signal)
{
	struct writers writers;
	struct raw_client reader;
	int status;

	writers_init(&writers, 4, "notes", 42);
	raw_greet(service->daemon, &reader);
	writers_start(&writers, service);
	writers_await(&writers, 30);
	kith_close(service->conn);
	service->conn = NULL;
	assert_int_equal(kill(service->daemon->pid, signal), 0);
	assert_int_equal(daemon_process_wait(service->daemon, &status), 0);
	assert_int_equal(status, 0);
	writers_join(&writers);
	raw_expect_closed(&reader);
	raw_close(&reader);
	/* It left nothing behind but its files. */
	assert_int_equal(access(service->daemon->socket, F_OK), -1);
	service_start(service);
	writers_check(&writers, service->conn);
	writers_release(&writers);
}

static void sigterm_under_load_ends_cleanly_and_keeps_every_word(void **state)
{
	stop_under_load(*state, SIGTERM);
}

static void sigint_under_load_ends_cleanly_and_keeps_every_word(void **state)
{
	stop_under_load(*state, SIGINT);
}

static void a_stop_does_not_wait_for_a_client_that_does_not_read(void **state)
{
	struct service_fixture *service = *state;
	struct raw_client raw;

	put_texts(service->conn);
	raw_greet(service->daemon, &raw);
	for (int id = 0; id < 10; id++)
		raw_say(&raw, "[0, %d, 'scan', {'collection': 'notes'}]", id);
	/* The answers are on their way when others' come back. */
	while (inflight_bytes(service->conn) < (1u << 20))
		DONE(service->conn, kith_ping(service->conn));
	service_stop(service);
	/* Not by the patience that it has with one who does not read. */
	assert_true(daemon_process_said(service->daemon, "closed by the stop: it left "));
	raw_close(&raw);
	service_start(service);
	expect_count(service->conn, "notes", N_TEXTS);
}

static void a_daemon_may_be_stopped_the_moment_it_listens(void **state)
{
	struct service_fixture *service = *state;

	service_stop(service);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(daemon_process_start(service->daemon), 0);
		assert_int_equal(daemon_process_stop(service->daemon), 0);
	}
}

int main(void)
{
#define ON_NOTES(test) cmocka_unit_test_setup_teardown(test, notes_setup, service_teardown)
	const struct CMUnitTest tests[] = {
	        ON_NOTES(a_client_that_does_not_read_is_not_read_and_closed_after_a_while),
	        ON_NOTES(a_client_that_reads_late_gets_everything),
	        ON_NOTES(the_last_words_of_a_broken_stream_come_behind_its_answers),
	        ON_NOTES(clients_may_leave_in_the_middle_of_everything),
	        ON_NOTES(a_client_that_sends_byte_by_byte_holds_up_nobody),
	        ON_NOTES(claims_without_bytes_keep_nobody_out),
	        ON_NOTES(a_half_closed_connection_is_closed),
	        ON_NOTES(a_flood_of_connects_leaves_nothing_behind),
	        ON_NOTES(three_hundred_connections_are_all_served),
	        ON_NOTES(one_connection_more_than_the_limit_is_refused),
	        ON_NOTES(a_connection_that_no_descriptor_is_left_for_is_refused),
	        ON_NOTES(sigterm_under_load_ends_cleanly_and_keeps_every_word),
	        ON_NOTES(sigint_under_load_ends_cleanly_and_keeps_every_word),
	        ON_NOTES(a_stop_does_not_wait_for_a_client_that_does_not_read),
	        ON_NOTES(a_daemon_may_be_stopped_the_moment_it_listens),
	};

	return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
