/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/fake_daemon.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/frame.h"

_Noreturn void fake_abort(const char *what)
{
	fprintf(stderr, "fake daemon: does not hold: %s\n", what);
	abort();
}

static void serve_request(struct fake_daemon *daemon, const struct wire_request *request)
{
	static const struct hello_result hello = {
	        .protocol = WIRE_PROTOCOL, .server = {"1.2.3", 5}, .pid = 4711};

	if (request->method != WIRE_METHOD_hello)
		daemon->handler(daemon, request);
	else if (daemon->refuse_hello)
		fake_refuse(daemon, request->id, daemon->refuse_hello);
	else
		fake_answer(daemon, request, &hello);
}

static void serve_payload(struct fake_daemon *daemon, const uint8_t *payload, uint32_t n)
{
	struct wire_request request = {0};
	struct wire_error error;
	struct wire_arena arena;
	int r;

	wire_arena_init(&arena);
	r = message_decode_request(payload, n, &arena, &request, &error);
	FAKE_MUST(r >= 0 && r != MESSAGE_BROKEN);
	if (r == MESSAGE_REFUSED)
		fake_refuse(daemon, request.id, &error);
	else
		serve_request(daemon, &request);
	wire_arena_release(&arena);
}

/* Until either side hangs up. */
static void serve_connection(struct fake_daemon *daemon, int fd)
{
	struct frame_splitter in;
	const uint8_t *payload;
	ssize_t got = 1;
	size_t room;
	uint32_t n;
	void *at;
	int r;

	frame_splitter_init(&in, LIMIT_FRAME_BYTES);
	while (got > 0) {
		while ((r = frame_splitter_next(&in, &payload, &n)) != FRAME_MORE) {
			FAKE_MUST(r != FRAME_BROKEN);
			if (r == FRAME_ASK)
				frame_splitter_allow(&in);
			else
				serve_payload(daemon, payload, n);
		}
		FAKE_MUST(frame_splitter_room(&in, &at, &room) == 0);
		got = recv(fd, at, room, 0);
		if (got > 0)
			frame_splitter_fed(&in, (size_t)got);
	}
	frame_splitter_release(&in);
}

static void *run(void *ctx)
{
	struct fake_daemon *daemon = ctx;

	while (!atomic_load(&daemon->stopping)) {
		int fd = accept(daemon->listen_fd, NULL, NULL);

		if (fd < 0)
			continue;
		atomic_store(&daemon->fd, fd);
		atomic_fetch_add(&daemon->n_connections, 1);
		if (daemon->turn_away)
			fake_refuse(daemon, UINT64_MAX, daemon->turn_away);
		else if (!atomic_load(&daemon->stopping))
			serve_connection(daemon, fd);
		atomic_store(&daemon->fd, -1);
		close(fd);
	}
	return NULL;
}

void fake_daemon_init(struct fake_daemon *daemon, fake_handler *handler, void *ctx)
{
	memset(daemon, 0, sizeof(*daemon));
	daemon->handler = handler;
	daemon->ctx = ctx;
	atomic_store(&daemon->fd, -1);
	scratch_dir_init(&daemon->dir);
	scratch_dir_path(&daemon->dir, "kith.sock", daemon->socket);
}

void fake_daemon_start(struct fake_daemon *daemon)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	FAKE_MUST(strlen(daemon->socket) < sizeof(address.sun_path));
	memcpy(address.sun_path, daemon->socket, strlen(daemon->socket) + 1);
	daemon->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FAKE_MUST(daemon->listen_fd >= 0);
	FAKE_MUST(bind(daemon->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	FAKE_MUST(listen(daemon->listen_fd, 8) == 0);
	FAKE_MUST(pthread_create(&daemon->thread, NULL, run, daemon) == 0);
	daemon->running = true;
}

void fake_daemon_stop(struct fake_daemon *daemon)
{
	if (!daemon->running)
		return;
	daemon->running = false;
	atomic_store(&daemon->stopping, true);
	shutdown(daemon->listen_fd, SHUT_RDWR);
	fake_hang_up(daemon);
	pthread_join(daemon->thread, NULL);
	close(daemon->listen_fd);
}

void fake_daemon_release(struct fake_daemon *daemon)
{
	fake_daemon_stop(daemon);
	scratch_dir_release(&daemon->dir);
}

void fake_send(struct fake_daemon *daemon, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	while (n > 0) {
		ssize_t sent = send(atomic_load(&daemon->fd), at, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return;
		at += sent;
		n -= (size_t)sent;
	}
}

static void send_buf(struct fake_daemon *daemon, struct wire_buf *buf, int r)
{
	FAKE_MUST(r == 0);
	fake_send(daemon, buf->data, buf->n);
	wire_buf_release(buf);
}

void fake_answer_id(struct fake_daemon *daemon, uint64_t id, enum wire_method_idx method,
                    const void *result)
{
	struct wire_buf buf;

	wire_buf_init(&buf);
	send_buf(daemon, &buf, message_encode_result(&buf, id, method, result));
}

void fake_answer(struct fake_daemon *daemon, const struct wire_request *request, const void *result)
{
	fake_answer_id(daemon, request->id, request->method, result);
}

void fake_refuse(struct fake_daemon *daemon, uint64_t id, const struct wire_error *error)
{
	struct wire_buf buf;

	wire_buf_init(&buf);
	send_buf(daemon, &buf, message_encode_error(&buf, id, error));
}

void fake_event(struct fake_daemon *daemon, enum wire_event_idx event, const void *fields)
{
	struct wire_buf buf;

	wire_buf_init(&buf);
	send_buf(daemon, &buf, message_encode_event(&buf, event, fields));
}

void fake_hang_up(struct fake_daemon *daemon)
{
	int fd = atomic_load(&daemon->fd);

	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
}

void fake_signal(struct fake_daemon *daemon, int signal)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	FAKE_MUST(getsockopt(atomic_load(&daemon->fd), SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0);
	FAKE_MUST(peer.pid != getpid());
	FAKE_MUST(kill(peer.pid, signal) == 0);
}
