/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Events to the sessions that subscribed: what changed, and how jobs get on. A session that does
 * not read them is treated like one that does not read its answers. [loop]
 */

#include "protocol/methods.h"

struct collection;
struct flight;

void events_change(struct collection *collection, enum wire_change what);
void events_job(const struct flight *flight);
/* The vector file's restoring: phase "restore" of no index and no job. */
void events_restore(struct collection *collection, uint64_t done, uint64_t total);
