/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * For who writes a backend of the cache: what keeps its entries and decides who goes first. Two are
 * built in (cache_store.c) and differ in what they ask of who loads an entry: `arena` wants it in
 * the budget's memory, `mmap` served from its file. The config's cache_backend chooses.
 *
 * A backend embeds struct cache_backend first in its own struct. It need know nothing about loads,
 * counters or types: the cache calls it for one thing at a time and checks what it returns.
 *
 * What it must hold to:
 *   - It owns one reference of each entry that it keeps, and gives it up with
 *     cache_entry_let_go(), which tells the entry, whyever it goes.
 *   - An entry stays until it is replaced, invalidated, or may be shed: only one for which
 *     cache_entry_may_go() holds may leave on the backend's own account, and only within shed().
 *     (What was just built is nowhere else.)
 *   - Nothing is called back under it: cache_entry_let_go() may free the entry, but enters neither
 *     the cache nor the backend again. get_or_load() calls load() last of all.
 *   - count() and size_bytes() are exact when asked; the approximate forms may be called from any
 *     thread, so they read atomics that the others set.
 *
 * Threads: [loop], but the approximate forms.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/cache.h"

struct cache_shed_request {
	const struct cache_prefix *prefix; /* NULL: all */
	uint64_t bytes;                    /* to make free; more is fine */
	uint64_t now_ns;
	uint64_t unused_ns; /* only what was not found for so long */
};

struct cache_backend_ops {
	const char *name;
	bool is_resident; /* entries are to be loaded into memory, not served from files */
	/* The entry under the key, or NULL. No reference is taken. */
	struct cache_entry *(*get)(struct cache_backend *backend, const struct cache_key *key);
	/* Keeps a reference of its own. Replaces what stood there. -ENOMEM: it does not keep it,
	 * nor what stood there. */
	int (*insert)(struct cache_backend *backend, struct cache_entry *entry);
	/* As get(); with none there it calls load(ctx) once, before it returns, and keeps neither.
	 * A backend that could bring the entry at once by itself would do it here. */
	struct cache_entry *(*get_or_load)(struct cache_backend *backend,
	                                   const struct cache_key *key, void (*load)(void *ctx),
	                                   void *ctx);
	/* Lets go of all entries of the prefix, in use or not. Returns how many. */
	uint64_t (*invalidate_prefix)(struct cache_backend *backend,
	                              const struct cache_prefix *prefix, enum cache_removal why);
	/* Lets go of entries that may go until enough is free, and adds up how many. Returns their
	 * bytes. */
	uint64_t (*shed)(struct cache_backend *backend, const struct cache_shed_request *request,
	                 uint64_t *n_gone);
	/* Lets go of everything. */
	void (*clear)(struct cache_backend *backend);
	uint64_t (*count)(const struct cache_backend *backend);
	uint64_t (*size_bytes)(const struct cache_backend *backend);
	uint64_t (*approx_count)(const struct cache_backend *backend);      /* [any] */
	uint64_t (*approx_size_bytes)(const struct cache_backend *backend); /* [any] */
	/* It is empty. */
	void (*free)(struct cache_backend *backend);
};

struct cache_backend {
	const struct cache_backend_ops *ops;
};

/* What backends use. */
bool cache_key_equal(const struct cache_key *a, const struct cache_key *b);
/* Whether the key begins with the prefix; a prefix of NULL is that of all. */
bool cache_key_has_prefix(const struct cache_key *key, const struct cache_prefix *prefix);
/* Nobody uses it, it is not pinned, and it was not found for so long. */
bool cache_entry_may_go(const struct cache_entry *entry, const struct cache_shed_request *request);
/* Tells the entry and gives up the backend's reference. */
void cache_entry_let_go(struct cache_entry *entry, enum cache_removal why);

/* The built-in ones. -ENOMEM. */
int cache_backend_arena(struct cache_backend **ret);
int cache_backend_mmap(struct cache_backend **ret);
