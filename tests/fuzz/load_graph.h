/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A graph from chunks that may be anything, over a fixture's rows: refused, or sound and searched.
 */

#include "tests/lib/hnsw_fixture.h"

/* Aborts when it is neither. */
void load_graph(struct hnsw_fixture *fixture, struct hnsw_source *source);
