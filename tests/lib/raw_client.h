/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A client below the client library: it sends any bytes, in any pieces, and takes apart what comes
 * back. Messages are written as text:
 *
 *	raw_say(raw, "[0, 7, 'count', {'collection': 'notes'}]");
 *	raw_expect_error(raw, 7, WIRE_ERROR_NO_COLLECTION, "collection");
 *
 * Failures fail the test. Threads: one owner.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/lib/daemon_process.h"

struct raw_client {
	int fd; /* -1: closed */
	struct frame_splitter in;
	struct wire_arena arena; /* what the last answer points to */
};

void raw_connect(const struct daemon_process *daemon, struct raw_client *raw);
/* The same with any daemon, by its socket. */
void raw_connect_at(const char *socket_path, struct raw_client *raw);
/* The same, and says hello. */
void raw_greet(const struct daemon_process *daemon, struct raw_client *raw);
/* The same with any daemon, by its socket. */
void raw_greet_at(const char *socket_path, struct raw_client *raw);
/* The same with n connections of another process, as the daemon sees it: it connects, gives them to
 * this one and ends. */
void raw_greet_from_another(const char *socket_path, struct raw_client *raws, uint32_t n);
/* Fine to call twice. */
void raw_close(struct raw_client *raw);

/* Sending. ------------------------------------------------------------------------------------ */

/* Appends the value of text as MessagePack: nil, true, false, integers, floats (with a point),
 * 'strings' (\xNN is a byte), x'0000803f' for bytes, [arrays], {maps}. Arrays and maps have
 * 16-bit counts. */
void wire_say(struct wire_buf *buf, const char *text);
/* Sends the value as one frame. */
void raw_say(struct raw_client *raw, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sends a frame of any payload. */
void raw_send_frame(struct raw_client *raw, const void *payload, size_t n);
/* Sends bytes as they are. Ends early, without failing, when the daemon closes the connection. */
void raw_send(struct raw_client *raw, const void *bytes, size_t n);

/* Receiving. ---------------------------------------------------------------------------------- */

/* The next payload, valid until the next call; false when the daemon closed the connection. */
bool raw_receive(struct raw_client *raw, const uint8_t **ret_payload, uint32_t *ret_n);
/* The next message is the result of request id; ret_result: struct <method>_result. Valid until
 * the next call. */
void raw_expect_result(struct raw_client *raw, uint64_t id, enum wire_method_idx method,
                       void *ret_result);
/* The next message refuses request id (UINT64_MAX: no request at all). field: NULL for none. */
void raw_expect_error(struct raw_client *raw, uint64_t id, enum wire_error_code code,
                      const char *field);
/* Sends a ping and gets its answer. */
void raw_expect_alive(struct raw_client *raw);
/* Nothing else comes: the daemon closes the connection. */
void raw_expect_closed(struct raw_client *raw);
