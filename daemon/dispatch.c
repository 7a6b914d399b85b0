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
	handlers[request->wire.method](request);
}
