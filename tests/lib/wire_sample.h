/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Structs of methods.h filled and compared by their descriptors, for tests that go over the whole
 * table. The same arguments give the same struct.
 */

#include "protocol/methods.h"

enum wire_sample {
	WIRE_SAMPLE_LEAST, /* what is required, as small as allowed */
	WIRE_SAMPLE_SOME,  /* every field, neither end of its limits, none at its default */
	WIRE_SAMPLE_MOST,  /* numbers and strings at their limit, columns of 40 rows */
	WIRE_N_SAMPLES
};

/* A struct in the arena. */
void *wire_sample_make(const struct wire_schema *schema, enum wire_sample sample,
                       struct wire_arena *arena);

/* Whether both hold the same; an empty string, bin or column equals an absent one when it is
 * required. Scalars of metadata are not compared, since encoding does not need them. */
bool wire_sample_equal(const struct wire_schema *schema, const void *a, const void *b);
