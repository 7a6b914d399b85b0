/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Applications that know nothing of each other and want the same index at the same moment: each
 * is a thread with a connection of its own, and none asks before all are connected.
 *
 * Threads: one owner.
 */

#include <stdint.h>

#include "client/kith.h"

#define N_ENSURERS 8

struct ensurer {
	int r;            /* of kith.h */
	uint32_t outcome; /* enum kith_ensured */
	uint64_t job;
	char error[256];
};

/* Lets all of them ask for the collection's index and wait until it serves; returns when the last
 * has its answer. What became of each is in ret, whether it asked or could not even connect. */
void ensurers_run(const char *socket_path, const char *collection,
                  struct ensurer ret[static N_ENSURERS]);
