/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The codes of error responses, once: ERROR(CONSTANT, "wire text", meaning). Codes are stable;
 * messages are for people and may change.
 */

#include <stdint.h>

#define WIRE_ERRORS(E)                                                                           \
	E(BAD_FRAME, "bad_frame", "the frame is empty, too large or not one MessagePack value")  \
	E(BAD_MESSAGE, "bad_message", "the value is not a request")                              \
	E(HELLO_FIRST, "hello_first", "the first request must be hello, and only the first")     \
	E(BAD_PROTOCOL, "bad_protocol", "the daemon does not speak that protocol version")       \
	E(UNKNOWN_METHOD, "unknown_method", "no method of that name")                            \
	E(UNKNOWN_FIELD, "unknown_field", "the method has no such field")                        \
	E(MISSING_FIELD, "missing_field", "a required field is absent")                          \
	E(BAD_KIND, "bad_kind", "the field holds another kind of value")                         \
	E(BAD_VALUE, "bad_value", "the value is not allowed")                                    \
	E(OVER_LIMIT, "over_limit", "the value is outside a limit that the message names")       \
	E(NO_COLLECTION, "no_collection", "no collection of that name")                          \
	E(COLLECTION_EXISTS, "collection_exists", "the name is taken")                           \
	E(DROPPED, "dropped", "the collection was dropped while the request waited")             \
	E(WRONG_SPACE, "wrong_space", "the collection holds vectors of another embedding space") \
	E(NO_INDEX, "no_index", "the collection has no index of that name")                      \
	E(INDEX_EXISTS, "index_exists", "there is one of that name with other parameters")       \
	E(BUILD_IN_FLIGHT, "build_in_flight", "a build with other parameters is under way")      \
	E(BUILD_FAILED, "build_failed", "the build that was asked for or joined failed")         \
	E(NO_JOB, "no_job", "no job of that number is under way")                                \
	E(TOO_LARGE_ANSWER, "too_large_answer", "the answer would not fit in a frame")           \
	E(STORAGE_FULL, "storage_full", "the disk is full; nothing of the request was kept")     \
	E(STORAGE_FAILED, "storage_failed", "the disk failed; nothing of the request was kept")  \
	E(DAMAGED, "damaged", "the collection's own database is damaged or from a newer Kith")   \
	E(OUT_OF_MEMORY, "out_of_memory", "the daemon could not get the memory that it needs")   \
	E(CANCELLED, "cancelled", "the request was cancelled")                                   \
	E(TOO_LATE, "too_late", "the request's deadline passed before it was done")              \
	E(OWNER_ONLY, "owner_only", "only the user that kithd runs as may ask for that")         \
	E(STOPPING, "stopping", "the daemon is stopping")

#define WIRE_ERROR_CONSTANT(NAME, text, meaning) WIRE_ERROR_##NAME,
enum wire_error_code {
	WIRE_ERRORS(WIRE_ERROR_CONSTANT) WIRE_N_ERRORS
};
#undef WIRE_ERROR_CONSTANT

/* The code's text on the wire, a literal; "internal" outside the table. */
const char *wire_error_text(enum wire_error_code code);

#define WIRE_ERROR_MESSAGE_SIZE 256
#define WIRE_ERROR_FIELD_SIZE 64
#define WIRE_ERROR_NO_ROW UINT64_MAX

/* What an error response carries. */
struct wire_error {
	enum wire_error_code code;
	char message[WIRE_ERROR_MESSAGE_SIZE];
	char field[WIRE_ERROR_FIELD_SIZE]; /* "": none is at fault */
	uint64_t row;                      /* position in a batch, or WIRE_ERROR_NO_ROW */
};

/* Fills error; field may be NULL. Texts that do not fit are cut; control characters and bytes that
 * are no UTF-8 become '?', so that a message may quote what a peer sent. */
void wire_error_set(struct wire_error *error, enum wire_error_code code, const char *field,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The same for one row of a batch. */
void wire_error_set_row(struct wire_error *error, enum wire_error_code code, const char *field,
                        uint64_t row, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
