/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/dispatch.h"

#include "daemon/daemon.h"
#include "daemon/session.h"

static const request_step handlers[WIRE_N_METHODS] = {
#define HANDLER(method) [WIRE_METHOD_##method] = handle_##method,
        WIRE_METHODS(HANDLER)
#undef HANDLER
};

void dispatch(struct request *request)
{
	bool is_hello = request->wire.method == WIRE_METHOD_hello;
	struct wire_error error;
	uint64_t deadline_ms =
	        request->wire.deadline_ms ? request->wire.deadline_ms : LIMIT_USUAL_DEADLINE_MS;

	if (request->daemon->stopping) {
		request_finish_refusal(request, WIRE_ERROR_STOPPING, NULL,
		                       "the daemon is stopping");
		return;
	}
	if (request->session && request->session->greeted == is_hello) {
		request_finish_refusal(request, WIRE_ERROR_HELLO_FIRST, NULL,
		                       is_hello ? "hello was said already"
		                                : "the first request must be hello");
		return;
	}
	if (request->guest && guest_is_over(request->guest, &error)) {
		request_refuse_with(request, &error);
		request_finish(request);
		return;
	}
	request->due_ns = request->started_ns + deadline_ms * UINT64_C(1000000);
	if (request->session)
		session_note_deadline(request->session, request->due_ns);
	handlers[request->wire.method](request);
}
