/* SPDX-License-Identifier: Apache-2.0 */
#include "client/conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/endpoint.h"

/* Errors. ------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 0))) static int fail(struct kith_conn *conn, int r,
                                                      const char *format, va_list args)
{
	conn->error = (struct wire_error){.row = WIRE_ERROR_NO_ROW};
	vsnprintf(conn->error.message, sizeof(conn->error.message), format, args);
	return r;
}

int conn_fail(struct kith_conn *conn, int r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail(conn, r, format, args);
	va_end(args);
	return r;
}

int conn_break(struct kith_conn *conn, int r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail(conn, r, format, args);
	va_end(args);
	conn->broken = r;
	conn->broken_error = conn->error;
	return r;
}

int conn_broken(struct kith_conn *conn)
{
	conn->error = conn->broken_error;
	return conn->broken;
}

int conn_refuse(struct kith_conn *conn, const struct wire_error *error)
{
	conn->error = *error;
	if (error->code >= WIRE_N_ERRORS)
		return KITH_ERROR_OTHER;
	return KITH_ERROR_BAD_FRAME + (int)error->code;
}

const char *kith_error_message(const struct kith_conn *conn)
{
	return conn->error.message;
}

const char *kith_error_field(const struct kith_conn *conn)
{
	return conn->error.field[0] ? conn->error.field : NULL;
}

int64_t kith_error_row(const struct kith_conn *conn)
{
	return conn->error.row > INT64_MAX ? -1 : (int64_t)conn->error.row;
}

/* Opening. ------------------------------------------------------------------------------------ */

int kith_socket_path(const char *explicit_path, char *ret_path, size_t size_bytes)
{
	char path[ENDPOINT_PATH_SIZE];
	int r;

	r = endpoint_path(explicit_path, path);
	if (r)
		return r;
	if (strlen(path) >= size_bytes)
		return -ENAMETOOLONG;
	memcpy(ret_path, path, strlen(path) + 1);
	return 0;
}

void kith_set_deadline(struct kith_conn *conn, uint32_t deadline_ms)
{
	conn->deadline_ms = deadline_ms;
}

int kith_set_timeout(struct kith_conn *conn, int timeout_ms)
{
	struct timeval timeout = {0}; /* which the socket takes for none */

	if (timeout_ms < 0)
		return conn_fail(conn, -EINVAL, "a timeout cannot be %d ms", timeout_ms);
	if (timeout_ms == 0)
		timeout_ms = KITH_DEFAULT_TIMEOUT_MS;
	if (timeout_ms != KITH_FOREVER) {
		timeout.tv_sec = timeout_ms / 1000;
		timeout.tv_usec = (timeout_ms % 1000) * 1000L;
	}
	/* For a blocking recv(), and for connect(), which waits like a send(). */
	if (setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(conn->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return conn_fail(conn, -errno, "cannot set the socket's timeout: %s",
		                 strerror(errno));
	conn->timeout_ms = timeout_ms;
	return 0;
}

static int reach(struct kith_conn *conn, const char *explicit_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[ENDPOINT_PATH_SIZE];
	int r;

	r = endpoint_path(explicit_path, path);
	if (r)
		return conn_fail(conn, r, "the socket's path is too long: %s", explicit_path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	do
		r = connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno
		                                                                        : 0;
	while (r == -EINTR);
	if (r == -EAGAIN)
		return conn_fail(conn, -ETIMEDOUT, "the daemon at %s accepts no connection", path);
	if (r == -ENOENT || r == -ECONNREFUSED)
		return conn_fail(conn, r,
		                 "cannot reach the daemon at %s: %s (is kithd running? try: "
		                 "systemctl --user start kithd.socket)",
		                 path, strerror(-r));
	if (r)
		return conn_fail(conn, r, "cannot reach the daemon at %s: %s", path, strerror(-r));
	return 0;
}

/* Any name will do for a log, but it must be one. */
static struct wire_str client_name(const char *name)
{
	size_t n;

	if (name)
		return (struct wire_str){name, (uint32_t)strlen(name)};
#ifdef __GLIBC__
	name = program_invocation_short_name;
#else
	name = "libkith";
#endif
	n = strnlen(name, LIMIT_NAME_BYTES);
	for (size_t i = 0; i < n; i++) {
		if (name[i] < ' ' || name[i] > '~')
			n = 0;
	}
	if (n == 0)
		return (struct wire_str){"libkith", 7};
	return (struct wire_str){name, (uint32_t)n};
}

static int greet(struct kith_conn *conn, const char *client)
{
	struct hello_params params = {.protocol = WIRE_PROTOCOL, .client = client_name(client)};
	const struct hello_result *hello;
	void *result;
	int r;

	r = conn_call(conn, WIRE_METHOD_hello, &params, &result);
	if (r)
		return r;
	hello = result;
	conn->server_version = strndup(hello->server.data, hello->server.n);
	conn->server_pid = hello->pid;
	kith_free(result);
	return conn->server_version ? 0 : conn_fail(conn, -ENOMEM, "no memory for a connection");
}

static int open_socket(struct kith_conn *conn)
{
	conn->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		return conn_fail(conn, -errno, "cannot make a socket: %s", strerror(errno));
	return 0;
}

int kith_connect(const struct kith_options *options, struct kith_conn **ret)
{
	static const struct kith_options usual;
	struct kith_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!options)
		options = &usual;
	if (options->ret_message && options->message_size_bytes > 0)
		snprintf(options->ret_message, options->message_size_bytes,
		         "no memory for a connection");
	if (!conn)
		return -ENOMEM;
	conn->fd = -1;
	frame_splitter_init(&conn->in, LIMIT_FRAME_BYTES);
	wire_buf_init(&conn->out);
	event_queue_init(&conn->events);
	r = open_socket(conn);
	r = r ? r : kith_set_timeout(conn, options->timeout_ms);
	r = r ? r : reach(conn, options->socket_path);
	r = r ? r : greet(conn, options->client);
	if (r) {
		if (options->ret_message)
			snprintf(options->ret_message, options->message_size_bytes, "%s",
			         conn->error.message);
		kith_close(conn);
		return r;
	}
	if (options->ret_message && options->message_size_bytes > 0)
		options->ret_message[0] = '\0';
	*ret = conn;
	return 0;
}

void kith_close(struct kith_conn *conn)
{
	if (!conn)
		return;
	for (uint32_t i = 0; i < KITH_MAX_TICKETS && conn->n_tickets > 0; i++)
		kith_forget(conn, conn->tickets[i].id);
	event_queue_release(&conn->events);
	wire_buf_release(&conn->out);
	frame_splitter_release(&conn->in);
	free(conn->server_version);
	if (conn->fd >= 0)
		close(conn->fd);
	free(conn);
}

void kith_interrupt(struct kith_conn *conn)
{
	/* Seen by whoever the shutdown wakes: the system call is between them. */
	atomic_store_explicit(&conn->interrupted, true, memory_order_relaxed);
	shutdown(conn->fd, SHUT_RDWR);
}

/* Asking. ------------------------------------------------------------------------------------- */

const char *kith_server_version(const struct kith_conn *conn)
{
	return conn->server_version;
}

uint64_t kith_server_pid(const struct kith_conn *conn)
{
	return conn->server_pid;
}

int kith_fd(const struct kith_conn *conn)
{
	return conn->fd;
}
