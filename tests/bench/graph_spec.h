/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How the graphs that are compared are built, all of them alike: Kith's defaults. */

#include <stdint.h>

struct graph_spec {
	uint32_t M;
	uint32_t ef_construction;
	uint32_t n_threads;
};

#define GRAPH_SPEC_M 16
#define GRAPH_SPEC_EF_CONSTRUCTION 128
#define GRAPH_SPEC_MAX_THREADS 16
