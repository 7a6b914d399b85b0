/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Other engines, for a comparison on the same machine in the same run (--peers). Each is built in
 * only where its library was found. Threads: one owner.
 */

#include <stdint.h>

#include "tests/bench/dataset.h"

struct peer {
	const char *name;
	/* An exact l2 index over all base rows, its own copy of them; NULL when it cannot. */
	void *(*open)(const struct dataset *dataset);
	/* The k nearest rows, nearest first. */
	void (*search)(void *index, const float *query, uint32_t k, uint64_t *ret_rows);
	void (*close)(void *index);
};

#ifdef __cplusplus
extern "C" const struct peer peer_hnswlib;
#else
extern const struct peer peer_hnswlib;
#endif

/* Those that are built in; NULL-terminated. */
extern const struct peer *const peers[];
