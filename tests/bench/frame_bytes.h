/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How long the frames of a measurement are, for echoes that are to move as many bytes. [any]
 */

#include <stddef.h>

#include "tests/bench/dataset.h"

/* Either way. */
size_t frame_bytes_ping(void);
/* A request to search for BENCH_K neighbours of one of the dataset's queries, and its answer. */
size_t frame_bytes_search(const char *collection, const struct dataset *dataset);
size_t frame_bytes_found(void);
