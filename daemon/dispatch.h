/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From a decoded request to its handler: one table, a row a method. A handler ends in exactly one
 * request_finish(), now or later. [loop]
 */

#include "daemon/request.h"

void dispatch(struct request *request);

/* Handlers, by group; each file methods_<group>.c holds one group. */
#define DISPATCH_HANDLER(method) void handle_##method(struct request *request);
WIRE_METHODS(DISPATCH_HANDLER)
#undef DISPATCH_HANDLER
