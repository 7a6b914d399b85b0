/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Saving what can be read of a collection whose truth is damaged, as a new collection. The old one
 * is left as it is. [loop]
 */

#include "daemon/request.h"

/* Of the request's collection, which is open, or cannot be opened. */
void repair(struct request *request);
