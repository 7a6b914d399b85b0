/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The namespaces of one collection by name, so that a search finds the number that it filters by
 * without SQL. The truth numbers them; this map follows what was committed. "" is number 0 and
 * needs no entry. Threads: the opening job, then [loop].
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct namespace_entry;

struct namespaces {
	struct namespace_entry **buckets;
	uint32_t n_buckets; /* a power of two, or 0 */
	uint32_t n;
};

void namespaces_init(struct namespaces *namespaces);
void namespaces_release(struct namespaces *namespaces);
/* Adds it unless it is there. -ENOMEM. */
int namespaces_add(struct namespaces *namespaces, const char *name, size_t n, uint32_t ns);
bool namespaces_find(const struct namespaces *namespaces, const char *name, size_t n,
                     uint32_t *ret_ns);
