/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A space in which one row is nowhere: infinitely far from every query, so that a search neither
 * finds it nor is led by it. [any]
 */

#include <stdint.h>

#include "index/hnsw.h"

struct hnsw_space_without {
	struct hnsw_space space; /* give its address to the graph */
	const struct hnsw_space *whole;
	uint32_t row; /* may be set to another one between searches */
};

/* Borrows the whole space. */
void hnsw_space_without_init(struct hnsw_space_without *space, const struct hnsw_space *whole,
                             uint32_t row);
