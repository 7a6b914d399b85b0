/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/raw_client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <msgpack.h>

/* Nesting that wire_say() writes: more than any daemon takes. */
#define SAY_DEPTH 64
#define SAY_SIZE 4096
#define PING_ID 4000000000u

/* A value as text ------------------------------------------------------------------------------ */

/* Where the text is, and the containers around it. */
struct sayer {
	struct wire_buf *buf;
	msgpack_packer packer;
	const char *at;
	struct {
		size_t head; /* where its three bytes stand */
		uint32_t n;
		char end;
	} open[SAY_DEPTH];
	uint32_t depth;
};

static int append(void *data, const char *bytes, size_t n)
{
	wire_buf_append(data, bytes, n);
	return 0;
}

static uint8_t hex_byte(const char *at)
{
	const char digits[3] = {at[0], at[1], '\0'};
	char *end;
	unsigned long byte = strtoul(digits, &end, 16);

	assert_true(end == digits + 2);
	return (uint8_t)byte;
}

/* A quoted string, from its first quote; \xNN in it is a byte. */
static void say_string(struct sayer *sayer)
{
	char bytes[SAY_SIZE];
	size_t n = 0;

	for (sayer->at++; *sayer->at != '\''; sayer->at++) {
		assert_true(*sayer->at && n < sizeof(bytes));
		if (*sayer->at == '\\') {
			bytes[n++] = (char)hex_byte(sayer->at + 2);
			sayer->at += 3;
		} else {
			bytes[n++] = *sayer->at;
		}
	}
	sayer->at++;
	msgpack_pack_str_with_body(&sayer->packer, bytes, n);
}

static void say_bytes(struct sayer *sayer)
{
	uint8_t bytes[SAY_SIZE];
	size_t n = 0;

	for (sayer->at += 2; *sayer->at != '\''; sayer->at += 2) {
		assert_true(n < sizeof(bytes));
		bytes[n++] = hex_byte(sayer->at);
	}
	sayer->at++;
	msgpack_pack_bin_with_body(&sayer->packer, bytes, n);
}

static void say_number(struct sayer *sayer)
{
	size_t n = strspn(sayer->at, "+-.0123456789e");
	char *end;

	if (memchr(sayer->at, '.', n))
		msgpack_pack_double(&sayer->packer, strtod(sayer->at, &end));
	else if (*sayer->at == '-')
		msgpack_pack_int64(&sayer->packer, strtoll(sayer->at, &end, 10));
	else
		msgpack_pack_uint64(&sayer->packer, strtoull(sayer->at, &end, 10));
	if (end == sayer->at)
		fail_msg("no value: %s", sayer->at);
	sayer->at = end;
}

static bool say_word(struct sayer *sayer, const char *word)
{
	if (strncmp(sayer->at, word, strlen(word)) != 0)
		return false;
	sayer->at += strlen(word);
	return true;
}

static void say_scalar(struct sayer *sayer)
{
	if (*sayer->at == '\'')
		say_string(sayer);
	else if (strncmp(sayer->at, "x'", 2) == 0)
		say_bytes(sayer);
	else if (say_word(sayer, "nil"))
		msgpack_pack_nil(&sayer->packer);
	else if (say_word(sayer, "true"))
		msgpack_pack_true(&sayer->packer);
	else if (say_word(sayer, "false"))
		msgpack_pack_false(&sayer->packer);
	else
		say_number(sayer);
}

/* An array or map begins: its count is filled in at its end. */
static void say_open(struct sayer *sayer)
{
	bool is_array = *sayer->at++ == '[';
	const uint8_t head[3] = {is_array ? 0xdc : 0xde, 0, 0};

	assert_true(sayer->depth < SAY_DEPTH);
	sayer->open[sayer->depth].head = sayer->buf->n;
	sayer->open[sayer->depth].n = 0;
	sayer->open[sayer->depth].end = is_array ? ']' : '}';
	sayer->depth++;
	wire_buf_append(sayer->buf, head, sizeof(head));
}

static void say_close(struct sayer *sayer)
{
	uint32_t n = sayer->open[--sayer->depth].n;
	uint8_t *head = sayer->buf->data + sayer->open[sayer->depth].head;

	assert_int_equal(*sayer->at, sayer->open[sayer->depth].end);
	sayer->at++;
	if (head[0] == 0xde)
		n /= 2;
	head[1] = (uint8_t)(n >> 8);
	head[2] = (uint8_t)n;
}

void wire_say(struct wire_buf *buf, const char *text)
{
	struct sayer sayer = {.buf = buf, .at = text};

	msgpack_packer_init(&sayer.packer, buf, append);
	for (;;) {
		sayer.at += strspn(sayer.at, " ,:");
		if (!*sayer.at)
			break;
		if (*sayer.at == ']' || *sayer.at == '}') {
			assert_true(sayer.depth > 0);
			say_close(&sayer);
			continue;
		}
		if (sayer.depth > 0)
			sayer.open[sayer.depth - 1].n++;
		if (*sayer.at == '[' || *sayer.at == '{')
			say_open(&sayer);
		else
			say_scalar(&sayer);
	}
	assert_int_equal(sayer.depth, 0);
	assert_false(buf->failed);
}

/* Connection ----------------------------------------------------------------------------------- */

static void take_fd(struct raw_client *raw, int fd)
{
	struct timeval patience = {.tv_sec = DAEMON_PROCESS_PATIENCE_MS / 1000};

	raw->fd = fd;
	assert_int_equal(setsockopt(raw->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
	                 0);
	assert_int_equal(setsockopt(raw->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)),
	                 0);
	frame_splitter_init(&raw->in, LIMIT_FRAME_BYTES);
	wire_arena_init(&raw->arena);
}

void raw_connect_at(const char *socket_path, struct raw_client *raw)
{
	int fd;

	assert_int_equal(socket_connect(socket_path, &fd), 0);
	take_fd(raw, fd);
}

void raw_connect(const struct daemon_process *daemon, struct raw_client *raw)
{
	raw_connect_at(daemon->socket, raw);
}

void raw_greet(const struct daemon_process *daemon, struct raw_client *raw)
{
	raw_greet_at(daemon->socket, raw);
}

static void greet(struct raw_client *raw)
{
	struct hello_result hello;

	raw_say(raw, "[0, 0, 'hello', {'protocol': %d, 'client': 'a raw test'}]", WIRE_PROTOCOL);
	raw_expect_result(raw, 0, WIRE_METHOD_hello, &hello);
	assert_int_equal(hello.protocol, WIRE_PROTOCOL);
}

void raw_greet_at(const char *socket_path, struct raw_client *raw)
{
	raw_connect_at(socket_path, raw);
	greet(raw);
}

/* A message of one byte that takes a descriptor along. */
struct parcel {
	struct msghdr message;
	struct iovec bytes;
	char byte;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};

static void parcel_init(struct parcel *parcel)
{
	memset(parcel, 0, sizeof(*parcel));
	parcel->bytes = (struct iovec){&parcel->byte, 1};
	parcel->message = (struct msghdr){.msg_iov = &parcel->bytes,
	                                  .msg_iovlen = 1,
	                                  .msg_control = parcel->control,
	                                  .msg_controllen = sizeof(parcel->control)};
}

/* Only what a child of a process with threads may do. */
static int connect_and_give(const char *socket_path, int to, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct parcel parcel;
		struct cmsghdr *head;
		int fd;

		if (socket_connect(socket_path, &fd))
			return 1;
		parcel_init(&parcel);
		head = CMSG_FIRSTHDR(&parcel.message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
		if (sendmsg(to, &parcel.message, MSG_NOSIGNAL) != 1)
			return 1;
		close(fd);
	}
	return 0;
}

void raw_greet_from_another(const char *socket_path, struct raw_client *raws, uint32_t n)
{
	int ends[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(connect_and_give(socket_path, ends[1], n));
	close(ends[1]);
	for (uint32_t i = 0; i < n; i++) {
		struct parcel parcel;
		int fd;

		parcel_init(&parcel);
		assert_int_equal(recvmsg(ends[0], &parcel.message, MSG_CMSG_CLOEXEC), 1);
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&parcel.message)), sizeof(fd));
		take_fd(&raws[i], fd);
		greet(&raws[i]);
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

void raw_close(struct raw_client *raw)
{
	if (raw->fd < 0)
		return;
	close(raw->fd);
	raw->fd = -1;
	frame_splitter_release(&raw->in);
	wire_arena_release(&raw->arena);
}

/* Sending -------------------------------------------------------------------------------------- */

void raw_send(struct raw_client *raw, const void *bytes, size_t n)
{
	for (size_t sent = 0; sent < n;) {
		ssize_t r = send(raw->fd, (const uint8_t *)bytes + sent, n - sent, MSG_NOSIGNAL);

		if (r < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		if (r < 0)
			fail_msg("sending: %s", strerror(errno));
		sent += (size_t)r;
	}
}

void raw_send_frame(struct raw_client *raw, const void *payload, size_t n)
{
	uint8_t header[FRAME_HEADER_BYTES];

	frame_put_header(header, (uint32_t)n);
	raw_send(raw, header, sizeof(header));
	raw_send(raw, payload, n);
}

void raw_say(struct raw_client *raw, const char *format, ...)
{
	char text[SAY_SIZE];
	struct wire_buf buf;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(text));
	wire_buf_init(&buf);
	wire_say(&buf, text);
	raw_send_frame(raw, buf.data, buf.n);
	wire_buf_release(&buf);
}

/* Receiving ------------------------------------------------------------------------------------ */

bool raw_receive(struct raw_client *raw, const uint8_t **ret_payload, uint32_t *ret_n)
{
	for (;;) {
		int r = frame_splitter_next(&raw->in, ret_payload, ret_n);
		void *at;
		size_t room;
		ssize_t n;

		if (r == 0)
			return true;
		assert_int_not_equal(r, FRAME_BROKEN);
		if (r == FRAME_ASK) {
			frame_splitter_allow(&raw->in);
			continue;
		}
		assert_int_equal(frame_splitter_room(&raw->in, &at, &room), 0);
		n = recv(raw->fd, at, room, 0);
		/* A reset is an end too: the daemon closed while it had something unread. */
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return false;
		if (n < 0)
			fail_msg("receiving: %s", strerror(errno));
		frame_splitter_fed(&raw->in, (size_t)n);
	}
}

/* The next message, which must be the response to id. */
static int receive_response(struct raw_client *raw, uint64_t id, enum wire_method_idx method,
                            void *ret_result, struct wire_error *ret_error)
{
	const uint8_t *payload;
	struct wire_peek peek;
	uint32_t n;

	if (!raw_receive(raw, &payload, &n))
		fail_msg("the daemon closed the connection instead of answering %llu",
		         (unsigned long long)id);
	assert_int_equal(message_peek(payload, n, &peek), 0);
	assert_int_equal(peek.type, WIRE_RESPONSE);
	assert_int_equal(peek.id, id);
	wire_arena_release(&raw->arena);
	wire_arena_init(&raw->arena);
	return message_decode_response(payload, n, method, &raw->arena, ret_result, ret_error);
}

void raw_expect_result(struct raw_client *raw, uint64_t id, enum wire_method_idx method,
                       void *ret_result)
{
	struct wire_error error;
	int r = receive_response(raw, id, method, ret_result, &error);

	if (r == MESSAGE_REFUSED)
		fail_msg("%s was refused: %s", wire_methods[method].name, error.message);
	assert_int_equal(r, 0);
}

void raw_expect_error(struct raw_client *raw, uint64_t id, enum wire_error_code code,
                      const char *field)
{
	struct ping_result nothing;
	struct wire_error error;

	assert_int_equal(receive_response(raw, id, WIRE_METHOD_ping, &nothing, &error),
	                 MESSAGE_REFUSED);
	if (error.code != code)
		fail_msg("%s wanted; it was %s: %s", wire_error_text(code),
		         wire_error_text(error.code), error.message);
	assert_string_equal(error.field, field ? field : "");
	assert_true(error.message[0]);
}

void raw_expect_alive(struct raw_client *raw)
{
	struct ping_result nothing;

	raw_say(raw, "[0, %u, 'ping', {}]", PING_ID);
	raw_expect_result(raw, PING_ID, WIRE_METHOD_ping, &nothing);
}

void raw_expect_closed(struct raw_client *raw)
{
	const uint8_t *payload;
	uint32_t n;

	assert_false(raw_receive(raw, &payload, &n));
}
