/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/namespaces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 16u

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

void namespaces_init(struct namespaces *namespaces)
{
	*namespaces = (struct namespaces){0};
}

void namespaces_release(struct namespaces *namespaces)
{
	for (uint32_t i = 0; i < namespaces->n_buckets; i++) {
		struct namespace_entry *entry = namespaces->buckets[i];

		while (entry) {
			struct namespace_entry *next = entry->next;

			free(entry);
			entry = next;
		}
	}
	free(namespaces->buckets);
	namespaces_init(namespaces);
}

static int grow(struct namespaces *namespaces)
{
	uint32_t n_buckets = namespaces->n_buckets ? namespaces->n_buckets * 2 : FIRST_BUCKETS;
	struct namespace_entry **buckets = calloc(n_buckets, sizeof(struct namespace_entry *));

	if (!buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < namespaces->n_buckets; i++) {
		struct namespace_entry *entry = namespaces->buckets[i];

		while (entry) {
			struct namespace_entry *next = entry->next;
			uint32_t at = hash(entry->name, entry->n) & (n_buckets - 1);

			entry->next = buckets[at];
			buckets[at] = entry;
			entry = next;
		}
	}
	free(namespaces->buckets);
	namespaces->buckets = buckets;
	namespaces->n_buckets = n_buckets;
	return 0;
}

bool namespaces_find(const struct namespaces *namespaces, const char *name, size_t n,
                     uint32_t *ret_ns)
{
	const struct namespace_entry *entry;

	if (n == 0) {
		*ret_ns = 0;
		return true;
	}
	if (namespaces->n_buckets == 0)
		return false;
	entry = namespaces->buckets[hash(name, n) & (namespaces->n_buckets - 1)];
	for (; entry; entry = entry->next) {
		if (entry->n == n && memcmp(entry->name, name, n) == 0) {
			*ret_ns = entry->ns;
			return true;
		}
	}
	return false;
}

int namespaces_add(struct namespaces *namespaces, const char *name, size_t n, uint32_t ns)
{
	struct namespace_entry *entry;
	uint32_t at;

	if (namespaces_find(namespaces, name, n, &at))
		return 0;
	if (namespaces->n == namespaces->n_buckets && grow(namespaces) < 0)
		return -ENOMEM;
	entry = malloc(sizeof(*entry) + n);
	if (!entry)
		return -ENOMEM;
	entry->ns = ns;
	entry->n = (uint32_t)n;
	memcpy(entry->name, name, n);
	at = hash(name, n) & (namespaces->n_buckets - 1);
	entry->next = namespaces->buckets[at];
	namespaces->buckets[at] = entry;
	namespaces->n++;
	return 0;
}
