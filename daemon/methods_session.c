/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of the group `session`: hello, ping, limits, subscribe. */

#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/dispatch.h"
#include "daemon/session.h"

void handle_hello(struct request *request)
{
	const struct hello_params *params = request_params(request, hello);
	struct session *session = request->session;

	if (params->protocol != WIRE_PROTOCOL) {
		request_finish_refusal(request, WIRE_ERROR_BAD_PROTOCOL, "protocol",
		                       "this daemon speaks protocol %d, not %u", WIRE_PROTOCOL,
		                       params->protocol);
		return;
	}
	session->greeted = true;
	memcpy(session->client, params->client.data, params->client.n);
	session->client[params->client.n] = '\0';
	request_finish_result(request, &(struct hello_result){
	                                       .protocol = WIRE_PROTOCOL,
	                                       .server = {KITH_VERSION, sizeof(KITH_VERSION) - 1},
	                                       .pid = (uint64_t)getpid(),
	                               });
}

void handle_ping(struct request *request)
{
	request_finish_result(request, &(struct ping_result){0});
}

void handle_limits(struct request *request)
{
#define LIMIT_VALUE(F, X, NAME, name, value, why) .name = LIMIT_##NAME,
	static const struct limits_result result = {LIMITS(LIMIT_VALUE, , )};
#undef LIMIT_VALUE

	request_finish_result(request, &result);
}

void handle_subscribe(struct request *request)
{
	uint32_t topics = request_params(request, subscribe)->topics;

	request->session->topics = topics;
	request_finish_result(request, &(struct subscribe_result){.topics = topics});
}
