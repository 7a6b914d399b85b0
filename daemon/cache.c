/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/cache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cache_backend.h"

struct cache {
	struct cache_backend *backend;
	struct clock *clock;
	struct list loads; /* struct cache_load.link: those that may be joined */
	uint32_t n_loads;  /* under way, stale ones too */
	struct cache_figures figures;
};

struct cache_load {
	struct cache *cache;
	struct list link; /* in no list once it is stale: invalidated while it was under way */
	struct cache_key key;
	struct list waiters; /* struct cache_wait.link, the leader first */
	bool is_stale;
};

/* Keys and entries ----------------------------------------------------------------------------- */

bool cache_key_equal(const struct cache_key *a, const struct cache_key *b)
{
	return a->index == b->index && uuid_equal(&a->collection, &b->collection) &&
	       (a->type == b->type || strcmp(a->type->tag, b->type->tag) == 0);
}

bool cache_key_has_prefix(const struct cache_key *key, const struct cache_prefix *prefix)
{
	if (!prefix)
		return true;
	return uuid_equal(&key->collection, &prefix->collection) &&
	       (prefix->index == CACHE_ANY_INDEX ||
	        (prefix->index == key->index &&
	         (!prefix->type || strcmp(prefix->type->tag, key->type->tag) == 0)));
}

void cache_entry_init(struct cache_entry *entry, const struct cache_key *key, uint64_t load_us)
{
	*entry = (struct cache_entry){.key = *key, .n_refs = 1, .load_us = load_us};
	list_init(&entry->link);
}

struct cache_entry *cache_entry_ref(struct cache_entry *entry)
{
	entry->n_refs++;
	return entry;
}

void cache_entry_unref(struct cache_entry *entry)
{
	assert(entry->n_refs > 0);
	if (--entry->n_refs == 0)
		entry->key.type->free(entry);
}

bool cache_entry_may_go(const struct cache_entry *entry, const struct cache_shed_request *request)
{
	const struct cache_type *type = entry->key.type;

	return entry->n_refs == 1 && request->now_ns - entry->used_ns >= request->unused_ns &&
	       cache_key_has_prefix(&entry->key, request->prefix) &&
	       !(type->is_pinned && type->is_pinned(entry));
}

void cache_entry_let_go(struct cache_entry *entry, enum cache_removal why)
{
	if (entry->key.type->removed)
		entry->key.type->removed(entry, why);
	cache_entry_unref(entry);
}

/* Life ----------------------------------------------------------------------------------------- */

static bool tag_is_valid(const char *tag)
{
	size_t n = strspn(tag, "abcdefghijklmnopqrstuvwxyz");

	return n > 0 && n < CACHE_TAG_SIZE && tag[n] == '\0';
}

static bool types_are_valid(const struct cache_type *const *types, uint32_t n_types)
{
	for (uint32_t i = 0; i < n_types; i++) {
		if (!tag_is_valid(types[i]->tag))
			return false;
		for (uint32_t before = 0; before < i; before++)
			if (strcmp(types[before]->tag, types[i]->tag) == 0)
				return false;
	}
	return true;
}

int cache_new(struct cache_backend *backend, struct clock *clock,
              const struct cache_type *const *types, uint32_t n_types, struct cache **ret)
{
	bool is_valid = types_are_valid(types, n_types);
	struct cache *cache = is_valid ? calloc(1, sizeof(*cache)) : NULL;

	if (!cache) {
		backend->ops->free(backend);
		return is_valid ? -ENOMEM : -EINVAL;
	}
	cache->backend = backend;
	cache->clock = clock;
	list_init(&cache->loads);
	*ret = cache;
	return 0;
}

struct cache *cache_free(struct cache *cache)
{
	if (!cache)
		return NULL;
	assert(cache->n_loads == 0);
	cache->backend->ops->clear(cache->backend);
	cache->backend->ops->free(cache->backend);
	free(cache);
	return NULL;
}

/* Entries -------------------------------------------------------------------------------------- */

/* What the backend returned, when it is what was asked for. */
static struct cache_entry *found(struct cache *cache, const struct cache_key *key,
                                 struct cache_entry *entry)
{
	if (!entry || !cache_key_equal(&entry->key, key))
		return NULL;
	entry->used_ns = clock_monotonic_ns(cache->clock);
	cache->figures.hits++;
	return cache_entry_ref(entry);
}

int cache_get(struct cache *cache, const struct cache_key *key, struct cache_entry **ret)
{
	struct cache_entry *entry =
	        found(cache, key, cache->backend->ops->get(cache->backend, key));

	if (!entry) {
		cache->figures.misses++;
		return CACHE_MISS;
	}
	*ret = entry;
	return 0;
}

int cache_insert(struct cache *cache, struct cache_entry *entry)
{
	entry->used_ns = clock_monotonic_ns(cache->clock);
	return cache->backend->ops->insert(cache->backend, entry);
}

bool cache_evict(struct cache *cache, const struct cache_key *key)
{
	struct cache_prefix prefix = {key->collection, key->index, key->type};
	uint64_t n = cache->backend->ops->invalidate_prefix(cache->backend, &prefix, CACHE_EVICTED);

	cache->figures.evictions += n;
	return n > 0;
}

uint64_t cache_shed(struct cache *cache, const struct cache_prefix *prefix, uint64_t bytes,
                    uint64_t unused_ns)
{
	struct cache_shed_request request = {
	        .prefix = prefix,
	        .bytes = bytes,
	        .now_ns = clock_monotonic_ns(cache->clock),
	        .unused_ns = unused_ns,
	};

	return cache->backend->ops->shed(cache->backend, &request, &cache->figures.evictions);
}

void cache_invalidate(struct cache *cache, const struct cache_prefix *prefix)
{
	struct list *link = cache->loads.next;

	while (link != &cache->loads) {
		struct cache_load *load = LIST_ELEMENT(link, struct cache_load, link);

		link = link->next;
		if (cache_key_has_prefix(&load->key, prefix)) {
			load->is_stale = true;
			list_remove(&load->link);
		}
	}
	cache->backend->ops->invalidate_prefix(cache->backend, prefix, CACHE_INVALIDATED);
}

/* Loads ---------------------------------------------------------------------------------------- */

static struct cache_load *find_load(const struct cache *cache, const struct cache_key *key)
{
	for (struct list *link = cache->loads.next; link != &cache->loads; link = link->next) {
		struct cache_load *load = LIST_ELEMENT(link, struct cache_load, link);

		if (cache_key_equal(&load->key, key))
			return load;
	}
	return NULL;
}

bool cache_is_loading(const struct cache *cache, const struct cache_key *key)
{
	return find_load(cache, key) != NULL;
}

/* One call of cache_get_or_load(), for the backend to call back. */
struct beginning {
	struct cache *cache;
	const struct cache_key *key;
	struct cache_loader *loader;
	struct cache_wait *wait;
	int result; /* CACHE_LOADING once it has begun */
};

static void begin_load(void *ctx)
{
	struct beginning *beginning = ctx;
	struct cache *cache = beginning->cache;
	struct cache_load *load = calloc(1, sizeof(*load));
	int r;

	if (!load) {
		beginning->result = -ENOMEM;
		return;
	}
	load->cache = cache;
	load->key = *beginning->key;
	list_init(&load->waiters);
	list_append(&load->waiters, &beginning->wait->link);
	list_append(&cache->loads, &load->link);
	cache->n_loads++;
	cache->figures.loads++;
	beginning->result = CACHE_LOADING;
	r = beginning->loader->begin(beginning->loader, load);
	if (r < 0)
		cache_load_end(load, r, NULL);
}

int cache_get_or_load(struct cache *cache, const struct cache_key *key, struct cache_loader *loader,
                      struct cache_wait *wait, struct cache_entry **ret)
{
	struct beginning beginning = {cache, key, loader, wait, 0};
	struct cache_load *load = find_load(cache, key);
	struct cache_entry *entry;

	if (load) {
		cache->figures.misses++;
		cache->figures.joined++;
		list_append(&load->waiters, &wait->link);
		return CACHE_LOADING;
	}
	entry = found(
	        cache, key,
	        cache->backend->ops->get_or_load(cache->backend, key, begin_load, &beginning));
	if (entry) {
		*ret = entry;
		return 0;
	}
	cache->figures.misses++;
	/* The backend had something else under the key: a miss like any other. */
	if (beginning.result == 0)
		begin_load(&beginning);
	return beginning.result;
}

int cache_load_end(struct cache_load *load, int result, struct cache_entry *entry)
{
	struct cache *cache = load->cache;
	struct list *link;
	int r = CACHE_MISS;

	assert((result == 0) == (entry != NULL));
	list_remove(&load->link);
	cache->n_loads--;
	if (result)
		cache->figures.failures++;
	else if (!load->is_stale)
		/* Without memory to keep it, those who waited have it all the same. */
		r = cache_insert(cache, entry);
	while ((link = list_pop(&load->waiters))) {
		struct cache_wait *wait = LIST_ELEMENT(link, struct cache_wait, link);

		wait->done(wait, result, entry ? cache_entry_ref(entry) : NULL);
	}
	free(load);
	return r;
}

/* Figures -------------------------------------------------------------------------------------- */

const char *cache_backend_name(const struct cache *cache)
{
	return cache->backend->ops->name;
}

bool cache_is_resident(const struct cache *cache)
{
	return cache->backend->ops->is_resident;
}

void cache_figures(const struct cache *cache, struct cache_figures *ret)
{
	*ret = cache->figures;
	ret->n_entries = cache->backend->ops->count(cache->backend);
	ret->size_bytes = cache->backend->ops->size_bytes(cache->backend);
}

uint64_t cache_approx_count(const struct cache *cache)
{
	return cache->backend->ops->approx_count(cache->backend);
}

uint64_t cache_approx_size_bytes(const struct cache *cache)
{
	return cache->backend->ops->approx_size_bytes(cache->backend);
}
