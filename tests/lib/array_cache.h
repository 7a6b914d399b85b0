/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A backend of the cache as somebody else might write it: an array, the oldest goes first, and no
 * regard to types: it finds whatever stands under {collection, index}, so that what asks for
 * another type sees that a mismatch is a miss. Threads: [loop], as cache_backend.h says.
 */

#include "daemon/cache_backend.h"

#define ARRAY_CACHE_SIZE 64u

/* -ENOMEM. */
int array_cache_new(struct cache_backend **ret);
/* The same, but the keys' types are not compared. */
int array_cache_new_careless(struct cache_backend **ret);
