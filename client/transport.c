/* SPDX-License-Identifier: Apache-2.0 */
#include "client/conn.h"

/*
 * Bytes in and out.
 *
 * The simple case, one request and its answer, is one send() and one recv(): the recv() blocks, the
 * socket's own receive timeout being the connection's. Whenever something else is asked for (bytes
 * that the daemon does not take yet, a deadline of which a part has passed) poll() watches both
 * directions, so that a daemon which stops reading until its answers are read is never waited for
 * in vain.
 *
 * The socket is a blocking one; what must not block says MSG_DONTWAIT.
 */

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* A large request's buffer is given back when it is larger than this: twice a usual batch. */
#define OUT_KEEP_BYTES (8u << 20)

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void deadline_init(struct deadline *deadline, const struct kith_conn *conn, int timeout_ms)
{
	deadline->untouched = timeout_ms < 0 || timeout_ms == conn->timeout_ms;
	if (timeout_ms < 0)
		timeout_ms = conn->timeout_ms;
	deadline->end_ms = timeout_ms == KITH_FOREVER ? INT64_MAX : now_ms() + timeout_ms;
}

/* What poll() wants to hear. */
static int deadline_left(const struct deadline *deadline)
{
	int64_t left;

	if (deadline->end_ms == INT64_MAX)
		return -1;
	left = deadline->end_ms - now_ms();
	if (left <= 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static bool is_again(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK;
}

static void out_reset(struct kith_conn *conn)
{
	conn->out.n = 0;
	conn->n_sent = 0;
	if (conn->out.size > OUT_KEEP_BYTES) {
		wire_buf_release(&conn->out);
		wire_buf_init(&conn->out);
	}
}

int conn_push(struct kith_conn *conn)
{
	while (conn_unsent(conn) > 0) {
		ssize_t n = send(conn->fd, conn->out.data + conn->n_sent, conn_unsent(conn),
		                 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			conn->n_sent += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (is_again(errno))
			return 0;
		if (errno != EPIPE && errno != ECONNRESET)
			return conn_break(conn, -errno, "cannot send to the daemon: %s",
			                  strerror(errno));
		/* It closed the connection; perhaps its last words say why. */
		conn->out_closed = true;
		break;
	}
	out_reset(conn);
	return 0;
}

/* Receives once. -EAGAIN: there is nothing. */
static int receive(struct kith_conn *conn, int flags)
{
	void *at;
	size_t room;
	ssize_t n;
	int r;

	r = frame_splitter_room(&conn->in, &at, &room);
	if (r)
		return conn_break(conn, r, "no memory for the daemon's answer");
	n = recv(conn->fd, at, room, flags);
	if (n > 0) {
		frame_splitter_fed(&conn->in, (size_t)n);
		return 0;
	}
	if (n < 0 && (is_again(errno) || errno == EINTR))
		return -EAGAIN;
	if (atomic_load_explicit(&conn->interrupted, memory_order_relaxed))
		return conn_break(conn, -ECANCELED, "interrupted");
	if (n < 0 && errno != ECONNRESET)
		return conn_break(conn, -errno, "cannot receive from the daemon: %s",
		                  strerror(errno));
	return conn_break(conn, -ECONNRESET, "the daemon closed the connection");
}

/* Waits for either direction, then does what can be done. */
static int exchange_polled(struct kith_conn *conn, const struct deadline *deadline)
{
	struct pollfd fd = {.fd = conn->fd, .events = POLLIN};
	int left = deadline_left(deadline);
	int r;

	if (conn_unsent(conn) > 0)
		fd.events |= POLLOUT;
	r = poll(&fd, 1, left);
	if (r < 0 && errno != EINTR)
		return conn_break(conn, -errno, "cannot wait for the daemon: %s", strerror(errno));
	if (r == 0 && left == 0)
		return conn_fail(conn, -ETIMEDOUT, "the daemon did not answer in time");
	if (r <= 0)
		return 0;
	if (fd.revents & POLLOUT) {
		r = conn_push(conn);
		if (r)
			return r;
	}
	if (fd.revents & (POLLIN | POLLHUP | POLLERR)) {
		r = receive(conn, MSG_DONTWAIT);
		if (r && r != -EAGAIN)
			return r;
	}
	return 0;
}

int conn_exchange(struct kith_conn *conn, struct deadline *deadline)
{
	int r;

	if (conn->broken)
		return conn_broken(conn);
	r = conn_push(conn);
	if (r)
		return r;
	if (deadline->untouched && conn_unsent(conn) == 0) {
		deadline->untouched = false;
		r = receive(conn, 0);
		return r == -EAGAIN ? 0 : r;
	}
	deadline->untouched = false;
	return exchange_polled(conn, deadline);
}

int conn_drain(struct kith_conn *conn, size_t n, struct deadline *deadline)
{
	int r;

	if (conn->broken)
		return conn_broken(conn);
	if (conn_unsent(conn) <= n)
		return 0;
	deadline->untouched = false;
	r = conn_push(conn);
	/* Once the daemon takes no more there are but its last words, and then the end. */
	while (!r && (conn_unsent(conn) > n || conn->out_closed)) {
		r = conn_route(conn, 0, NULL);
		if (!r)
			r = exchange_polled(conn, deadline);
	}
	return r;
}

int answer_keep(struct answer *answer, struct frame_splitter *in)
{
	if (answer->memory)
		return 0;
	if (answer->n > FRAME_SMALL_BYTES) {
		answer->memory = frame_splitter_take(in);
		return answer->memory ? 0 : -ENOMEM;
	}
	answer->memory = malloc(answer->n);
	if (!answer->memory)
		return -ENOMEM;
	memcpy(answer->memory, answer->payload, answer->n);
	answer->payload = answer->memory;
	return 0;
}

/* What the daemon says before it closes: it takes no connection now, or could not tell what it was
 * asked. */
static int last_words(struct kith_conn *conn, const struct answer *answer)
{
	struct ping_result nothing;
	struct wire_error error;
	struct wire_arena arena;
	int r;

	wire_arena_init(&arena);
	r = message_decode_response(answer->payload, answer->n, WIRE_METHOD_ping, &arena, &nothing,
	                            &error);
	wire_arena_release(&arena);
	if (r != MESSAGE_REFUSED)
		return conn_break(conn, -EPROTO, "the daemon closes and does not say why");
	if (error.code == WIRE_ERROR_BAD_FRAME || error.code == WIRE_ERROR_BAD_MESSAGE)
		return conn_break(conn, -EPROTO, "the daemon could not read a request: %s",
		                  error.message);
	r = conn_break(conn, conn_refuse(conn, &error), "%s", error.message);
	conn->error = conn->broken_error = error;
	return r;
}

/* Hands one payload to where it belongs: into *ret_answer when it is the answer to id. */
static int route_one(struct kith_conn *conn, struct answer *answer, uint64_t id,
                     struct answer *ret_answer)
{
	struct wire_peek peek;
	struct ticket *ticket;
	int r;

	r = message_peek(answer->payload, answer->n, &peek);
	if (r == MESSAGE_REFUSED)
		return 0;
	if (r)
		return conn_break(conn, -EPROTO, "what the daemon sent is not an answer");
	if (peek.type == WIRE_EVENT) {
		event_queue_push(&conn->events, peek.event, answer->payload, answer->n);
		return 0;
	}
	if (peek.id == UINT64_MAX)
		return last_words(conn, answer);
	answer->is_error = peek.is_error;
	if (id != 0 && peek.id == id) {
		*ret_answer = *answer;
		return 0;
	}
	ticket = conn_ticket(conn, peek.id);
	if (!ticket || ticket->answer.n > 0)
		return 0;
	r = answer_keep(answer, &conn->in);
	if (r)
		return conn_break(conn, r, "no memory to keep an answer");
	ticket->answer = *answer;
	return 0;
}

int conn_route(struct kith_conn *conn, uint64_t id, struct answer *ret_answer)
{
	for (;;) {
		struct answer answer = {0};
		int r = frame_splitter_next(&conn->in, &answer.payload, &answer.n);

		if (r == FRAME_MORE)
			return 0;
		if (r == FRAME_ASK) {
			frame_splitter_allow(&conn->in);
			continue;
		}
		if (r == FRAME_BROKEN)
			return conn_break(conn, -EPROTO,
			                  "the daemon announced a frame of %u bytes; at most %d "
			                  "are allowed",
			                  answer.n, LIMIT_FRAME_BYTES);
		r = route_one(conn, &answer, id, ret_answer);
		if (r || (id != 0 && ret_answer->n > 0))
			return r;
	}
}
