/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Looking a collection's files through: the truth first, then, when that is sound, what is derived
 * from it. Nothing is changed, and nothing that is wrong is an error of the request: it is what was
 * asked for. [loop]
 */

#include "daemon/request.h"

/* Of the request's collection, which is open, or cannot be opened. */
void verify(struct request *request);
