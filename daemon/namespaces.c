/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/namespaces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct namespace_entry {
	struct namespace_entry *next;
	uint32_t ns;
	uint32_t n;
	char name[];
};

/* FNV-1a: names are short and few. */
static uint32_t hash(const char *name, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)name[i]) * 16777619u;
	return h;
}

struct namespace_entry *namespace_entry_new(const char *name, size_t n, uint32_t ns)
{
	struct namespace_entry *entry = malloc(sizeof(*entry) + n);

	if (!entry)
		return NULL;
	entry->ns = ns;
	entry->n = (uint32_t)n;
	memcpy(entry->name, name, n);
	return entry;
}

struct namespace_entry *namespace_entry_free(struct namespace_entry *entry)
{
	free(entry);
	return NULL;
}

void namespaces_init(struct namespaces *namespaces)
{
	*namespaces = (struct namespaces){
	        .buckets = namespaces->first,
	        .n_buckets = NAMESPACES_FIRST_BUCKETS,
	};
}

void namespaces_release(struct namespaces *namespaces)
{
	for (uint32_t i = 0; i < namespaces->n_buckets; i++) {
		struct namespace_entry *entry = namespaces->buckets[i];

		while (entry) {
			struct namespace_entry *next = entry->next;

			namespace_entry_free(entry);
			entry = next;
		}
	}
	if (namespaces->buckets != namespaces->first)
		free(namespaces->buckets);
	namespaces_init(namespaces);
}

static void chain(struct namespace_entry **buckets, uint32_t n_buckets,
                  struct namespace_entry *entry)
{
	uint32_t at = hash(entry->name, entry->n) & (n_buckets - 1);

	entry->next = buckets[at];
	buckets[at] = entry;
}

/* Without memory the chains get longer. */
static void grow(struct namespaces *namespaces)
{
	uint32_t n_buckets = namespaces->n_buckets * 2;
	struct namespace_entry **buckets = calloc(n_buckets, sizeof(struct namespace_entry *));

	if (!buckets)
		return;
	for (uint32_t i = 0; i < namespaces->n_buckets; i++) {
		struct namespace_entry *entry = namespaces->buckets[i];

		while (entry) {
			struct namespace_entry *next = entry->next;

			chain(buckets, n_buckets, entry);
			entry = next;
		}
	}
	if (namespaces->buckets != namespaces->first)
		free(namespaces->buckets);
	namespaces->buckets = buckets;
	namespaces->n_buckets = n_buckets;
}

bool namespaces_find(const struct namespaces *namespaces, const char *name, size_t n,
                     uint32_t *ret_ns)
{
	const struct namespace_entry *entry;

	if (n == 0) {
		*ret_ns = 0;
		return true;
	}
	entry = namespaces->buckets[hash(name, n) & (namespaces->n_buckets - 1)];
	for (; entry; entry = entry->next) {
		if (entry->n == n && memcmp(entry->name, name, n) == 0) {
			*ret_ns = entry->ns;
			return true;
		}
	}
	return false;
}

void namespaces_put(struct namespaces *namespaces, struct namespace_entry *entry)
{
	uint32_t ns;

	if (namespaces_find(namespaces, entry->name, entry->n, &ns)) {
		namespace_entry_free(entry);
		return;
	}
	if (namespaces->n >= namespaces->n_buckets)
		grow(namespaces);
	chain(namespaces->buckets, namespaces->n_buckets, entry);
	namespaces->n++;
}

int namespaces_add(struct namespaces *namespaces, const char *name, size_t n, uint32_t ns)
{
	struct namespace_entry *entry = namespace_entry_new(name, n, ns);

	if (!entry)
		return -ENOMEM;
	namespaces_put(namespaces, entry);
	return 0;
}
