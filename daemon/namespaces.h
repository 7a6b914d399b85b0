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

#define NAMESPACES_FIRST_BUCKETS 16u

struct namespace_entry;

struct namespaces {
	struct namespace_entry **buckets; /* `first`, or owned */
	struct namespace_entry *first[NAMESPACES_FIRST_BUCKETS];
	uint32_t n_buckets; /* a power of two */
	uint32_t n;
};

/* Made before a commit, which is followed without fail: namespaces_put(). NULL: no memory. */
struct namespace_entry *namespace_entry_new(const char *name, size_t n, uint32_t ns);
/* NULL is fine; returns NULL. */
struct namespace_entry *namespace_entry_free(struct namespace_entry *entry);

void namespaces_init(struct namespaces *namespaces);
void namespaces_release(struct namespaces *namespaces);
/* Takes the entry; it goes when its name is there already. */
void namespaces_put(struct namespaces *namespaces, struct namespace_entry *entry);
/* Both in one. -ENOMEM. */
int namespaces_add(struct namespaces *namespaces, const char *name, size_t n, uint32_t ns);
bool namespaces_find(const struct namespaces *namespaces, const char *name, size_t n,
                     uint32_t *ret_ns);
