/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/request.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/session.h"

struct request *request_new(struct daemon *daemon, struct session *session, uint32_t frame_bytes)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->daemon = daemon;
	request->session = session;
	request->session_number = session->number;
	request->frame_bytes = frame_bytes;
	request->guest = session->guest;
	if (request->guest)
		request->guest->n_requests++;
	request->started_ns = clock_monotonic_ns(daemon->clock);
	request->due_ns = UINT64_MAX;
	request->used_before = budget_used_bytes(daemon->budget);
	wire_arena_init(&request->arena);
	wire_buf_init(&request->answer);
	list_init(&request->followers);
	list_init(&request->wait_link);
	list_append(&session->requests, &request->session_link);
	session->n_requests++;
	daemon->n_open_requests++;
	session->request_bytes += frame_bytes;
	return request;
}

void request_refuse_with(struct request *request, const struct wire_error *error)
{
	request->refused = true;
	request->answer.n = 0;
	(void)message_encode_error(&request->answer, request->wire.id, error);
}

void request_refuse(struct request *request, enum wire_error_code code, const char *field,
                    const char *format, ...)
{
	struct wire_error error;
	char message[WIRE_ERROR_MESSAGE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	wire_error_set(&error, code, field, "%s", message);
	request_refuse_with(request, &error);
}

void request_refuse_errno(struct request *request, int error, const char *doing)
{
	request->failed = error == -ECANCELED ? 0 : error;
	request->doing = doing;
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
		request_refuse(request, WIRE_ERROR_STORAGE_FULL, NULL, "%s: the disk is full",
		               doing);
		return;
	case -ENOMEM:
		request_refuse(request, WIRE_ERROR_OUT_OF_MEMORY, NULL, "%s: out of memory", doing);
		return;
	case -ECANCELED:
		request_refuse(request, WIRE_ERROR_CANCELLED, NULL, "%s: cancelled", doing);
		return;
	case -EBADMSG:
		request_refuse(request, WIRE_ERROR_DAMAGED, NULL,
		               "%s: the collection's database is damaged", doing);
		return;
	default:
		request_refuse(request, WIRE_ERROR_STORAGE_FAILED, NULL, "%s: %s", doing,
		               strerror(-error));
	}
}

void request_result(struct request *request, const void *result)
{
	request->answer.n = 0;
	if (message_encode_result(&request->answer, request->wire.id, request->wire.method,
	                          result) == MESSAGE_REFUSED)
		request_refuse(request, WIRE_ERROR_TOO_LARGE_ANSWER, NULL,
		               "the answer is larger than a frame of %u bytes: ask for less",
		               (unsigned)LIMIT_FRAME_BYTES);
}

void request_expire(struct request *request)
{
	struct wire_error error;
	struct wire_buf answer;

	request->late = true;
	if (request->job)
		job_cancel(request->job);
	wire_error_set(&error, WIRE_ERROR_TOO_LATE, NULL, "%s was not done within %llu ms",
	               wire_methods[request->wire.method].name,
	               (unsigned long long)((request->due_ns - request->started_ns) / 1000000));
	wire_buf_init(&answer);
	if (message_encode_error(&answer, request->wire.id, &error) == 0)
		session_send(request->session, &answer);
	else
		session_close(request->session);
	wire_buf_release(&answer);
}

static void request_free(struct request *request)
{
	struct daemon *daemon = request->daemon;

	if (request->collection)
		collection_unref(request->collection);
	wire_arena_release(&request->arena);
	wire_buf_release(&request->answer);
	free(request->frame);
	inflight_give(&daemon->inflight, request->frame_bytes);
	if (request->guest) {
		request->guest->n_requests--;
		guest_give(request->guest, request->guest_bytes);
	}
	daemon->n_open_requests--;
	free(request);
	daemon_closed_one(daemon);
}

static void log_failure(const struct request *request)
{
	if (request->collection)
		log_error("collection '%s': %s: %s", request->collection->entry.name,
		          request->doing, strerror(-request->failed));
	else
		log_error("%s: %s", request->doing, strerror(-request->failed));
}

void request_finish(struct request *request)
{
	struct session *session = request->session;
	struct list *link;

	assert(request_is_answered(request));
	if (request->failed)
		log_failure(request);
	if (request->wire.params)
		footprint_note(request->daemon, (enum wire_method_idx)request->wire.method,
		               request->used_before);
	request->daemon->n_requests++;
	request->daemon->n_refused += request->refused || request->late;
	list_remove(&request->wait_link);
	if (session && !request->late) {
		if (request->answer.failed)
			session_close(session);
		else
			session_send(session, &request->answer);
	}
	while ((link = list_pop(&request->followers))) {
		struct request *follower = LIST_ELEMENT(link, struct request, wait_link);

		follower->next(follower);
	}
	/* Sending or a follower may have closed the session: then it let go of its requests. */
	session = request->session;
	if (session)
		session_answered(session, request);
	request_free(request);
}

void request_finish_result(struct request *request, const void *result)
{
	request_result(request, result);
	request_finish(request);
}

void request_finish_refusal(struct request *request, enum wire_error_code code, const char *field,
                            const char *format, ...)
{
	char message[WIRE_ERROR_MESSAGE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	request_refuse(request, code, field, "%s", message);
	request_finish(request);
}
