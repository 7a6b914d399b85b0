/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The built-in backends: a hash table of entries, and a rule for who goes first. They differ in
 * nothing but their name and where they want entries to be loaded to.
 *
 * The rule: an entry's weight is the time since it was last found, times its bytes, divided by the
 * time that it takes to load again: what it costs to keep it, in what it saves. The heaviest goes.
 * So of two that are alike the one longer unused goes, of two unused alike the larger for its load,
 * and what is cheap to load goes before what is not. Weights change with time, so no order of them
 * can be kept: each eviction looks at all entries. There are a few for each index, and an eviction
 * returns megabytes to pages that have to be purged, which takes longer.
 *
 * Rejected: GreedyDual-Size, which keeps a queue by inflating ranks, but tells entries apart by age
 * only from one eviction to the next; and a list in the order of use alone, by which one search of
 * a large cold index would push out many small ones that are searched all the time.
 */

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cache_backend.h"

/* Some thousand entries are the most there can be in practice, and a hit looks at one bucket. */
#define N_BUCKETS 512u

struct store {
	struct cache_backend backend;
	struct list buckets[N_BUCKETS]; /* struct cache_entry.link */
	_Atomic uint64_t n_entries;
	_Atomic uint64_t n_bytes; /* as of the last change: entries grow by themselves */
};

static struct list *bucket_of(struct store *store, const struct cache_key *key)
{
	uint64_t hash;

	/* A uuid is random already. */
	memcpy(&hash, key->collection.bytes, sizeof(hash));
	hash = (hash ^ key->index) * UINT64_C(0x9e3779b97f4a7c15);
	hash ^= (uint64_t)(unsigned char)key->type->tag[0] << 56;
	return &store->buckets[(hash >> 48) % N_BUCKETS];
}

static struct cache_entry *entry_of(struct list *link)
{
	return LIST_ELEMENT(link, struct cache_entry, link);
}

/* Figures -------------------------------------------------------------------------------------- */

static uint64_t store_count(const struct cache_backend *backend)
{
	return atomic_load_explicit(&((const struct store *)backend)->n_entries,
	                            memory_order_relaxed);
}

static uint64_t store_size_bytes(const struct cache_backend *backend)
{
	const struct store *store = (const struct store *)backend;
	uint64_t n_bytes = 0;

	for (uint32_t i = 0; i < N_BUCKETS; i++)
		for (struct list *link = store->buckets[i].next; link != &store->buckets[i];
		     link = link->next)
			n_bytes += entry_of(link)->key.type->size_bytes(entry_of(link));
	return n_bytes;
}

static uint64_t store_approx_size_bytes(const struct cache_backend *backend)
{
	return atomic_load_explicit(&((const struct store *)backend)->n_bytes,
	                            memory_order_relaxed);
}

/* The figures stand for themselves and order nothing: relaxed. */
static void changed(struct store *store, int64_t n_entries)
{
	atomic_fetch_add_explicit(&store->n_entries, (uint64_t)n_entries, memory_order_relaxed);
	atomic_store_explicit(&store->n_bytes, store_size_bytes(&store->backend),
	                      memory_order_relaxed);
}

/* Entries -------------------------------------------------------------------------------------- */

static struct cache_entry *store_get(struct cache_backend *backend, const struct cache_key *key)
{
	struct list *bucket = bucket_of((struct store *)backend, key);

	for (struct list *link = bucket->next; link != bucket; link = link->next)
		if (cache_key_equal(&entry_of(link)->key, key))
			return entry_of(link);
	return NULL;
}

static void remove_entry(struct store *store, struct cache_entry *entry, enum cache_removal why)
{
	list_remove(&entry->link);
	changed(store, -1);
	cache_entry_let_go(entry, why);
}

static int store_insert(struct cache_backend *backend, struct cache_entry *entry)
{
	struct store *store = (struct store *)backend;
	struct cache_entry *before = store_get(backend, &entry->key);

	if (before == entry)
		return 0;
	if (before)
		remove_entry(store, before, CACHE_REPLACED);
	assert(list_empty(&entry->link));
	list_append(bucket_of(store, &entry->key), &cache_entry_ref(entry)->link);
	changed(store, 1);
	return 0;
}

static struct cache_entry *store_get_or_load(struct cache_backend *backend,
                                             const struct cache_key *key, void (*load)(void *ctx),
                                             void *ctx)
{
	struct cache_entry *entry = store_get(backend, key);

	if (!entry)
		load(ctx);
	return entry;
}

static uint64_t store_invalidate_prefix(struct cache_backend *backend,
                                        const struct cache_prefix *prefix, enum cache_removal why)
{
	struct store *store = (struct store *)backend;
	uint64_t n = 0;

	for (uint32_t i = 0; i < N_BUCKETS; i++) {
		struct list *link = store->buckets[i].next;

		while (link != &store->buckets[i]) {
			struct cache_entry *entry = entry_of(link);

			link = link->next;
			if (!cache_key_has_prefix(&entry->key, prefix))
				continue;
			remove_entry(store, entry, why);
			n++;
		}
	}
	return n;
}

static void store_clear(struct cache_backend *backend)
{
	store_invalidate_prefix(backend, NULL, CACHE_INVALIDATED);
}

/* Who goes first ------------------------------------------------------------------------------- */

static double weight(const struct cache_entry *entry, uint64_t now_ns)
{
	double idle = (double)(now_ns - entry->used_ns) + 1;
	double bytes = (double)entry->key.type->size_bytes(entry) + 1;

	return idle * bytes / ((double)entry->load_us + 1);
}

static struct cache_entry *heaviest(struct store *store, const struct cache_shed_request *request)
{
	struct cache_entry *heaviest = NULL;
	double most = -1;

	for (uint32_t i = 0; i < N_BUCKETS; i++) {
		for (struct list *link = store->buckets[i].next; link != &store->buckets[i];
		     link = link->next) {
			double is;

			if (!cache_entry_may_go(entry_of(link), request))
				continue;
			is = weight(entry_of(link), request->now_ns);
			if (is > most) {
				most = is;
				heaviest = entry_of(link);
			}
		}
	}
	return heaviest;
}

static uint64_t store_shed(struct cache_backend *backend, const struct cache_shed_request *request,
                           uint64_t *n_gone)
{
	struct store *store = (struct store *)backend;
	struct cache_entry *entry;
	uint64_t freed = 0;

	while (freed < request->bytes && (entry = heaviest(store, request))) {
		freed += entry->key.type->size_bytes(entry);
		remove_entry(store, entry, CACHE_EVICTED);
		++*n_gone;
	}
	return freed;
}

/* Life ----------------------------------------------------------------------------------------- */

static void store_free(struct cache_backend *backend)
{
	free(backend);
}

#define STORE_OPS(ops_name, ops_is_resident)                                                \
	{                                                                                   \
		.name = (ops_name), .is_resident = (ops_is_resident), .get = store_get,     \
		.insert = store_insert, .get_or_load = store_get_or_load,                   \
		.invalidate_prefix = store_invalidate_prefix, .shed = store_shed,           \
		.clear = store_clear, .count = store_count, .size_bytes = store_size_bytes, \
		.approx_count = store_count, .approx_size_bytes = store_approx_size_bytes,  \
		.free = store_free,                                                         \
	}

static const struct cache_backend_ops arena_ops = STORE_OPS("arena", true);
static const struct cache_backend_ops mmap_ops = STORE_OPS("mmap", false);

static int store_new(const struct cache_backend_ops *ops, struct cache_backend **ret)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->backend.ops = ops;
	for (uint32_t i = 0; i < N_BUCKETS; i++)
		list_init(&store->buckets[i]);
	*ret = &store->backend;
	return 0;
}

int cache_backend_arena(struct cache_backend **ret)
{
	return store_new(&arena_ops, ret);
}

int cache_backend_mmap(struct cache_backend **ret)
{
	return store_new(&mmap_ops, ret);
}
