/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/array_cache.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct array_cache {
	struct cache_backend backend;
	bool is_careless;
	struct cache_entry *entries[ARRAY_CACHE_SIZE]; /* the oldest first */
	_Atomic uint64_t n;
};

static struct array_cache *of(const struct cache_backend *backend)
{
	return (struct array_cache *)backend;
}

static bool matches(const struct array_cache *array, const struct cache_key *a,
                    const struct cache_key *b)
{
	return array->is_careless
	               ? a->index == b->index && uuid_equal(&a->collection, &b->collection)
	               : cache_key_equal(a, b);
}

static struct cache_entry *array_get(struct cache_backend *backend, const struct cache_key *key)
{
	struct array_cache *array = of(backend);

	for (uint64_t i = 0; i < array->n; i++)
		if (matches(array, &array->entries[i]->key, key))
			return array->entries[i];
	return NULL;
}

static void take_out(struct array_cache *array, uint64_t at, enum cache_removal why)
{
	struct cache_entry *entry = array->entries[at];

	array->n--;
	for (uint64_t i = at; i < array->n; i++)
		array->entries[i] = array->entries[i + 1];
	cache_entry_let_go(entry, why);
}

static int array_insert(struct cache_backend *backend, struct cache_entry *entry)
{
	struct array_cache *array = of(backend);

	cache_entry_ref(entry);
	for (uint64_t i = 0; i < array->n; i++) {
		if (matches(array, &array->entries[i]->key, &entry->key)) {
			take_out(array, i, CACHE_REPLACED);
			break;
		}
	}
	if (array->n == ARRAY_CACHE_SIZE) {
		cache_entry_unref(entry);
		return -ENOMEM;
	}
	array->entries[array->n++] = entry;
	return 0;
}

static struct cache_entry *array_get_or_load(struct cache_backend *backend,
                                             const struct cache_key *key, void (*load)(void *ctx),
                                             void *ctx)
{
	struct cache_entry *entry = array_get(backend, key);

	if (!entry)
		load(ctx);
	return entry;
}

static uint64_t array_invalidate_prefix(struct cache_backend *backend,
                                        const struct cache_prefix *prefix, enum cache_removal why)
{
	struct array_cache *array = of(backend);
	uint64_t n = 0;

	for (uint64_t i = array->n; i-- > 0;) {
		if (!cache_key_has_prefix(&array->entries[i]->key, prefix))
			continue;
		take_out(array, i, why);
		n++;
	}
	return n;
}

static uint64_t array_shed(struct cache_backend *backend, const struct cache_shed_request *request,
                           uint64_t *n_gone)
{
	struct array_cache *array = of(backend);
	uint64_t freed = 0;

	for (uint64_t i = 0; i < array->n && freed < request->bytes;) {
		struct cache_entry *entry = array->entries[i];

		if (!cache_entry_may_go(entry, request)) {
			i++;
			continue;
		}
		freed += entry->key.type->size_bytes(entry);
		take_out(array, i, CACHE_EVICTED);
		++*n_gone;
	}
	return freed;
}

static void array_clear(struct cache_backend *backend)
{
	array_invalidate_prefix(backend, NULL, CACHE_INVALIDATED);
}

static uint64_t array_count(const struct cache_backend *backend)
{
	return of(backend)->n;
}

static uint64_t array_size_bytes(const struct cache_backend *backend)
{
	const struct array_cache *array = of(backend);
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < array->n; i++)
		bytes += array->entries[i]->key.type->size_bytes(array->entries[i]);
	return bytes;
}

/* Nobody can know it better without the entries themselves. */
static uint64_t array_approx_size_bytes(const struct cache_backend *backend)
{
	return of(backend)->n * (1u << 20);
}

static void array_free(struct cache_backend *backend)
{
	free(backend);
}

static const struct cache_backend_ops array_ops = {
        .name = "array",
        .is_resident = true,
        .get = array_get,
        .insert = array_insert,
        .get_or_load = array_get_or_load,
        .invalidate_prefix = array_invalidate_prefix,
        .shed = array_shed,
        .clear = array_clear,
        .count = array_count,
        .size_bytes = array_size_bytes,
        .approx_count = array_count,
        .approx_size_bytes = array_approx_size_bytes,
        .free = array_free,
};

int array_cache_new(struct cache_backend **ret)
{
	struct array_cache *array = calloc(1, sizeof(*array));

	if (!array)
		return -ENOMEM;
	array->backend.ops = &array_ops;
	*ret = &array->backend;
	return 0;
}

int array_cache_new_careless(struct cache_backend **ret)
{
	int r = array_cache_new(ret);

	if (r == 0)
		of(*ret)->is_careless = true;
	return r;
}
