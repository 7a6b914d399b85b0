/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The resident codes of a collection's vectors as an entry of the cache: it goes when the
 * collection is idle or its room is needed, and the next search has them made again, piece by
 * piece, in the background. What uses it is every pin of the collection, so it stays while there is
 * one.
 *
 * Threads: all [loop].
 */

#include "daemon/cache.h"

struct collection;

extern const struct cache_type vectors_type;

/* Gets room for rows up to n_rows as far as the budget goes; returns how many have some. */
uint64_t vectors_cache_reserve(struct collection *collection, uint64_t n_rows);
/* Some of it is there: the cache keeps it from now on. Fine when it does already. */
void vectors_cache_keep(struct collection *collection);
/* A search is planned. */
void vectors_cache_use(struct collection *collection);
/* The collection closes. */
void vectors_cache_forget(struct collection *collection);
