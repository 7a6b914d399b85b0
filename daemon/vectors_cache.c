/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/vectors_cache.h"

#include "daemon/collection.h"
#include "daemon/daemon.h"

/* Bytes of codes that a load makes in a microsecond, roughly. */
#define LOAD_BYTES_PER_US 256u

static struct collection *collection_of(const struct cache_entry *entry)
{
	return LIST_ELEMENT(entry, struct collection, vectors_entry);
}

static uint64_t vectors_size(const struct cache_entry *entry)
{
	return codes_bytes(&collection_of(entry)->resident.codes);
}

static bool vectors_are_pinned(const struct cache_entry *entry)
{
	const struct collection *collection = collection_of(entry);

	/* While the file lacks rows it is what spares the database. */
	return collection->state != COLLECTION_OPEN || !list_empty(&collection->pins) ||
	       collection->upkeep.care[CARE_LOAD].active ||
	       collection->mapped_rows < collection->n_rows;
}

static void vectors_removed(struct cache_entry *entry, enum cache_removal why)
{
	struct collection *collection = collection_of(entry);

	(void)why;
	resident_release(&collection->resident);
	collection->upkeep.searched = 0; /* the next search wants it again */
	collection->upkeep.wants_codes = false;
}

/* It is part of its collection. */
static void vectors_free(struct cache_entry *entry)
{
	(void)entry;
}

const struct cache_type vectors_type = {
        .tag = "vectors",
        .size_bytes = vectors_size,
        .is_pinned = vectors_are_pinned,
        .removed = vectors_removed,
        .free = vectors_free,
};

static struct cache_key key_of(const struct collection *collection)
{
	return (struct cache_key){collection->entry.spec.uuid, 0, &vectors_type};
}

uint64_t vectors_cache_reserve(struct collection *collection, uint64_t n_rows)
{
	struct cache_entry *entry = &collection->vectors_entry;
	bool is_kept = entry->n_refs > 0;
	uint64_t n;

	/* In use: it is not what a full budget takes its room from. */
	if (is_kept)
		cache_entry_ref(entry);
	n = resident_reserve(&collection->resident, n_rows);
	if (is_kept)
		cache_entry_unref(entry);
	return n;
}

void vectors_cache_keep(struct collection *collection)
{
	struct cache_key key = key_of(collection);
	struct cache_entry *entry = &collection->vectors_entry;

	if (entry->n_refs > 0) {
		entry->load_us = vectors_size(entry) / LOAD_BYTES_PER_US;
		return;
	}
	cache_entry_init(entry, &key, vectors_size(entry) / LOAD_BYTES_PER_US);
	/* Without a place in the cache it stays until the collection closes, as what it was. */
	(void)cache_insert(collection->daemon->cache, entry);
	cache_entry_unref(entry);
}

void vectors_cache_use(struct collection *collection)
{
	struct cache_key key = key_of(collection);
	struct cache_entry *entry;

	if (collection->vectors_entry.n_refs > 0 &&
	    cache_get(collection->daemon->cache, &key, &entry) == 0)
		cache_entry_unref(entry);
}

void vectors_cache_forget(struct collection *collection)
{
	struct cache_prefix prefix = {collection->entry.spec.uuid, 0, &vectors_type};

	if (collection->vectors_entry.n_refs > 0)
		cache_invalidate(collection->daemon->cache, &prefix);
}
