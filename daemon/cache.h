/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The cache of what is derived and can be loaded again: graphs, codes. This header is for who uses
 * it; who writes a backend for it reads cache_backend.h.
 *
 *      users ──► cache      typed keys, one load a key, counters                cache.c
 *                  │
 *                  └──────► backend   what is kept, and who goes first          cache_backend.h
 *                           arena | mmap (cache_store.c), or another's
 *
 * An entry is embedded in what it caches and counted by references: the cache has one, each user
 * one more. So nothing is taken away under who uses it; what the cache let go of is freed by its
 * last user. Memory is not the cache's business: entries hold grants of the budget, which was asked
 * before they were made and makes room by cache_shed().
 *
 * A key is {collection, index, type}. A type has a tag, which is stable and unique; what is found
 * under a key with another tag is a miss.
 *
 * One load a key: cache_get_or_load() finds the entry, joins the load that is under way, or begins
 * one, in one step. Who waits gets the leader's entry, or its error. The loader is called at most
 * once, before the call returns, and not kept.
 *
 * Invalidation is complete when it returns: nothing that was loaded or began to be loaded before is
 * found afterwards. Those who waited for such a load get what it brings, since they asked before;
 * the cache does not keep it.
 *
 * Threads: [loop], but the approximate figures [any].
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/list.h"
#include "storage/clock.h"
#include "storage/uuid.h"

#define CACHE_TAG_SIZE 16 /* with the terminator */
#define CACHE_ANY_INDEX UINT64_MAX

/* Outcomes. */
enum {
	CACHE_MISS = 1,
	CACHE_LOADING = 2, /* the wait is told when it is there */
};

struct cache;
struct cache_backend;
struct cache_entry;
struct cache_load;

/* Why the cache lets go of an entry. */
enum cache_removal {
	CACHE_EVICTED,     /* for room, for being idle, or because somebody asked */
	CACHE_REPLACED,    /* by another under the same key */
	CACHE_INVALIDATED, /* it is of no use any more */
};

struct cache_type {
	const char *tag; /* 1 to 15 letters a to z; never changes, never used for another type */
	/* Every byte that it holds. */
	uint64_t (*size_bytes)(const struct cache_entry *entry);
	/* It cannot be loaded again as it is: it stays, however little it is used. May be NULL. */
	bool (*is_pinned)(const struct cache_entry *entry);
	/* The cache lets go of it; its reference goes next. May be NULL. */
	void (*removed)(struct cache_entry *entry, enum cache_removal why);
	/* The last reference has gone. */
	void (*free)(struct cache_entry *entry);
};

struct cache_key {
	struct uuid collection;
	uint64_t index; /* identity of the index; 0: the collection's own. Not CACHE_ANY_INDEX */
	const struct cache_type *type;
};

/* Some of the keys. It owns what it says: entries that it names may be freed under it. */
struct cache_prefix {
	struct uuid collection;
	uint64_t index;                /* CACHE_ANY_INDEX: all of the collection's */
	const struct cache_type *type; /* NULL: all of the index's */
};

struct cache_entry {
	struct cache_key key;
	uint32_t n_refs;
	uint64_t load_us; /* what it takes to load it again, as far as it is known */
	uint64_t used_ns; /* when it was last found */
	/* The backend's. */
	struct list link;
};

/* With one reference, the caller's. */
void cache_entry_init(struct cache_entry *entry, const struct cache_key *key, uint64_t load_us);
struct cache_entry *cache_entry_ref(struct cache_entry *entry);
void cache_entry_unref(struct cache_entry *entry);

/* Takes the backend, also when it fails. -EINVAL for a tag that is none or that two types have:
 * programs check that at their start. -ENOMEM. */
int cache_new(struct cache_backend *backend, struct clock *clock,
              const struct cache_type *const *types, uint32_t n_types, struct cache **ret);
/* No load may be under way. Lets go of all entries. NULL is fine; returns NULL. */
struct cache *cache_free(struct cache *cache);

/* Entries */

/* 0: *ret is a reference of the caller's. CACHE_MISS. */
int cache_get(struct cache *cache, const struct cache_key *key, struct cache_entry **ret);
/* Keeps an entry, with a reference of its own; one that stood under its key is let go of. -ENOMEM:
 * it is not kept, nor is the one before. */
int cache_insert(struct cache *cache, struct cache_entry *entry);
/* Lets go of an entry, in use or not; false: it was not there. One that is pinned too: whoever asks
 * looks first. */
bool cache_evict(struct cache *cache, const struct cache_key *key);
/* Lets go of entries of the prefix (NULL: of all) that nobody uses, that are not pinned, and that
 * were not found for unused_ns, until `bytes` are free: first those that are large, long unused and
 * quick to load again. Returns how many bytes that were. */
uint64_t cache_shed(struct cache *cache, const struct cache_prefix *prefix, uint64_t bytes,
                    uint64_t unused_ns);
/* What the prefix (NULL: all) names is of no use any more. */
void cache_invalidate(struct cache *cache, const struct cache_prefix *prefix);

/* Loads */

struct cache_wait {
	struct list link;
	/* Called once, by the time that the load has ended: entry is a reference of the callee's
	 * when result is 0. */
	void (*done)(struct cache_wait *wait, int result, struct cache_entry *entry);
};

struct cache_loader {
	/* Begins to load; cache_load_end() comes once, perhaps before this returns, unless this
	 * returns < 0. */
	int (*begin)(struct cache_loader *loader, struct cache_load *load);
};

/* 0: it was there, *ret is a reference of the caller's, and the wait is not used. CACHE_LOADING:
 * the wait is told, perhaps it was already. -ENOMEM: nothing began. */
int cache_get_or_load(struct cache *cache, const struct cache_key *key, struct cache_loader *loader,
                      struct cache_wait *wait, struct cache_entry **ret);
/* The load has ended; the caller's reference stays the caller's. With an error entry is NULL. 0:
 * the cache keeps the entry. CACHE_MISS: it does not, for it was invalidated meanwhile, or there is
 * none; -ENOMEM. */
int cache_load_end(struct cache_load *load, int result, struct cache_entry *entry);
/* Whether a load of that key is under way. */
bool cache_is_loading(const struct cache *cache, const struct cache_key *key);

/* Figures */

struct cache_figures {
	uint64_t hits, misses;
	uint64_t loads;    /* begun */
	uint64_t failures; /* of them */
	uint64_t joined;   /* askers that found a load under way */
	uint64_t evictions;
	uint64_t n_entries;
	uint64_t size_bytes;
};

const char *cache_backend_name(const struct cache *cache);
/* Whether entries are to be loaded into the budget's memory, or served from their files. */
bool cache_is_resident(const struct cache *cache);
void cache_figures(const struct cache *cache, struct cache_figures *ret);
/* As they were at the last change of the set of entries. [any] */
uint64_t cache_approx_count(const struct cache *cache);
uint64_t cache_approx_size_bytes(const struct cache *cache);
