/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Results as users hold them: a struct of kith.h with, hidden before it, all memory that it points
 * into. kith_free() finds it there. [any]
 */

#include <stddef.h>

#include "protocol/schema.h"
#include "protocol/wire.h"

struct result {
	struct wire_arena arena; /* decode into it */
	void *memory;            /* the payload that strings and columns point into; owned */
	_Alignas(max_align_t) unsigned char body[];
};

/* A zeroed body of that many bytes. Takes memory (also when it fails); NULL: none. */
struct result *result_new(size_t size, void *memory);
/* NULL is fine; returns NULL. */
struct result *result_free(struct result *result);
/* Moves columns of floats to where floats may stand. A payload has them at any address; what is
 * in front of one are its header and its name, which nobody reads any more. */
void result_align(struct result *result, const struct wire_schema *schema);
