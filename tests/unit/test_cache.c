/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/cache.h"
#include "daemon/cache_backend.h"
#include "tests/lib/array_cache.h"
#include "tests/lib/fake_clock.h"

/* What the tests cache. */
struct thing {
	struct cache_entry entry;
	uint64_t size_bytes;
	bool is_pinned;
	bool *gone;              /* set when it is freed */
	enum cache_removal *why; /* set when the cache lets go of it */
};

static struct thing *thing_of(const struct cache_entry *entry)
{
	return (struct thing *)entry;
}

static uint64_t thing_size(const struct cache_entry *entry)
{
	return thing_of(entry)->size_bytes;
}

static bool thing_is_pinned(const struct cache_entry *entry)
{
	return thing_of(entry)->is_pinned;
}

static void thing_removed(struct cache_entry *entry, enum cache_removal why)
{
	if (thing_of(entry)->why)
		*thing_of(entry)->why = why;
}

static void thing_free(struct cache_entry *entry)
{
	if (thing_of(entry)->gone)
		*thing_of(entry)->gone = true;
	free(entry);
}

static const struct cache_type graph = {"graph", thing_size, thing_is_pinned, thing_removed,
                                        thing_free};
static const struct cache_type codes = {"codes", thing_size, thing_is_pinned, thing_removed,
                                        thing_free};
static const struct cache_type *const types[] = {&graph, &codes};

static struct fake_clock clock_;

static struct cache_key key_of(uint8_t collection, uint64_t index, const struct cache_type *type)
{
	struct cache_key key = {.index = index, .type = type};

	memset(key.collection.bytes, collection, sizeof(key.collection.bytes));
	return key;
}

static struct thing *thing_new(struct cache_key key, uint64_t size_bytes)
{
	struct thing *thing = calloc(1, sizeof(*thing));

	assert_non_null(thing);
	cache_entry_init(&thing->entry, &key, 1000);
	thing->size_bytes = size_bytes;
	return thing;
}

/* Puts one there that only the cache refers to. */
static struct thing *put(struct cache *cache, struct cache_key key, uint64_t size_bytes)
{
	struct thing *thing = thing_new(key, size_bytes);

	assert_int_equal(cache_insert(cache, &thing->entry), 0);
	cache_entry_unref(&thing->entry);
	return thing;
}

static bool is_there(struct cache *cache, struct cache_key key)
{
	struct cache_entry *entry;

	if (cache_get(cache, &key, &entry) == CACHE_MISS)
		return false;
	cache_entry_unref(entry);
	return true;
}

/* Loads that end when the test says so. ------------------------------------------------------- */

struct slow_loader {
	struct cache_loader loader;
	uint32_t n_begun;
	int refuses;             /* begin() returns that */
	struct cache_load *load; /* the last */
};

static int slow_begin(struct cache_loader *base, struct cache_load *load)
{
	struct slow_loader *slow = (struct slow_loader *)base;

	slow->n_begun++;
	slow->load = load;
	return slow->refuses;
}

struct asker {
	struct cache_wait wait;
	uint32_t n_told;
	int result;
	struct cache_entry *entry;
};

static void told(struct cache_wait *wait, int result, struct cache_entry *entry)
{
	struct asker *asker = (struct asker *)wait;

	asker->n_told++;
	asker->result = result;
	asker->entry = entry;
}

static int ask(struct cache *cache, struct cache_key key, struct slow_loader *slow,
               struct asker *asker)
{
	struct cache_entry *entry = NULL;
	int r;

	*asker = (struct asker){.wait.done = told};
	r = cache_get_or_load(cache, &key, &slow->loader, &asker->wait, &entry);
	if (r == 0)
		asker->entry = entry;
	return r;
}

/* Every test runs on every backend. ----------------------------------------------------------- */

typedef int backend_maker(struct cache_backend **ret);

static backend_maker *const makers[] = {cache_backend_arena, cache_backend_mmap, array_cache_new};

enum {
	ARENA,
	MMAP,
	ARRAY
};

static struct cache *cache_of(backend_maker *make)
{
	struct cache_backend *backend;
	struct cache *cache;

	fake_clock_init(&clock_, 0);
	assert_int_equal(make(&backend), 0);
	assert_int_equal(cache_new(backend, &clock_.clock, types, 2, &cache), 0);
	return cache;
}

static struct cache *cache_on(void **state)
{
	return cache_of(makers[(uintptr_t)*state]);
}

static void what_was_put_is_found_until_it_is_evicted(void **state)
{
	struct cache *cache = cache_on(state);
	struct cache_key key = key_of(1, 7, &graph);
	struct cache_figures figures;
	enum cache_removal why = CACHE_REPLACED;

	assert_false(is_there(cache, key));
	put(cache, key, 100)->why = &why;
	assert_true(is_there(cache, key));
	assert_false(is_there(cache, key_of(1, 8, &graph)));
	assert_false(is_there(cache, key_of(2, 7, &graph)));
	assert_false(is_there(cache, key_of(1, 7, &codes)));
	cache_figures(cache, &figures);
	assert_int_equal(figures.hits, 1);
	assert_int_equal(figures.misses, 4);
	assert_int_equal(figures.n_entries, 1);
	assert_int_equal(figures.size_bytes, 100);
	assert_int_equal(cache_approx_count(cache), 1);

	assert_true(cache_evict(cache, &key));
	assert_int_equal(why, CACHE_EVICTED);
	assert_false(cache_evict(cache, &key));
	assert_false(is_there(cache, key));
	cache_figures(cache, &figures);
	assert_int_equal(figures.evictions, 1);
	assert_int_equal(figures.n_entries, 0);
	assert_int_equal(figures.size_bytes, 0);
	assert_int_equal(cache_approx_count(cache), 0);
	cache_free(cache);
}

/* What another thread sees while the cache's own changes it. */
struct onlooker {
	const struct cache *cache;
	pthread_t thread;
	sem_t go, done;
	uint64_t count, size_bytes;
	uint64_t max_count; /* of those that it saw meanwhile */
	atomic_bool ends;
};

static void *look_on(void *ctx)
{
	struct onlooker *onlooker = ctx;

	sem_wait(&onlooker->go);
	while (!atomic_load_explicit(&onlooker->ends, memory_order_relaxed)) {
		uint64_t count = cache_approx_count(onlooker->cache);

		if (count > onlooker->max_count)
			onlooker->max_count = count;
		(void)cache_approx_size_bytes(onlooker->cache);
	}
	sem_post(&onlooker->done);
	sem_wait(&onlooker->go);
	onlooker->count = cache_approx_count(onlooker->cache);
	onlooker->size_bytes = cache_approx_size_bytes(onlooker->cache);
	return NULL;
}

#define N_SEEN 8u

static void approximate_figures_are_for_any_thread(void **state)
{
	struct cache *cache = cache_on(state);
	struct onlooker onlooker = {.cache = cache};

	assert_int_equal(sem_init(&onlooker.go, 0, 0), 0);
	assert_int_equal(sem_init(&onlooker.done, 0, 0), 0);
	assert_int_equal(pthread_create(&onlooker.thread, NULL, look_on, &onlooker), 0);
	sem_post(&onlooker.go);
	for (uint32_t round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < N_SEEN; i++)
			put(cache, key_of(1, i, &graph), 100);
		cache_invalidate(cache, NULL);
	}
	atomic_store_explicit(&onlooker.ends, true, memory_order_relaxed);
	sem_wait(&onlooker.done);
	/* Nothing was there more often than there was room for, and when it stands still all is. */
	assert_in_range(onlooker.max_count, 0, N_SEEN);
	for (uint32_t i = 0; i < N_SEEN; i++)
		put(cache, key_of(1, i, &graph), 100);
	sem_post(&onlooker.go);
	assert_int_equal(pthread_join(onlooker.thread, NULL), 0);
	assert_int_equal(onlooker.count, N_SEEN);
	if ((uintptr_t)*state != ARRAY) /* which only knows how many there are */
		assert_int_equal(onlooker.size_bytes, N_SEEN * 100);
	sem_destroy(&onlooker.go);
	sem_destroy(&onlooker.done);
	cache_free(cache);
}

static void sizes_are_the_entries_own_however_they_grow(void **state)
{
	struct cache *cache = cache_on(state);
	struct thing *thing = put(cache, key_of(1, 1, &graph), 100);
	struct cache_figures figures;

	put(cache, key_of(1, 1, &codes), 30);
	thing->size_bytes = 500;
	cache_figures(cache, &figures);
	assert_int_equal(figures.size_bytes, 530);
	cache_free(cache);
}

static void what_is_replaced_is_let_go_of(void **state)
{
	struct cache *cache = cache_on(state);
	struct cache_key key = key_of(1, 1, &graph);
	enum cache_removal why = CACHE_EVICTED;
	struct cache_entry *entry;
	struct thing *second;
	bool gone = false;
	struct thing *first = put(cache, key, 1);

	first->why = &why;
	first->gone = &gone;
	second = put(cache, key, 2);
	assert_true(gone);
	assert_int_equal(why, CACHE_REPLACED);
	assert_int_equal(cache_get(cache, &key, &entry), 0);
	assert_ptr_equal(entry, &second->entry);
	cache_entry_unref(entry);
	/* By itself: nothing happens. */
	assert_int_equal(cache_insert(cache, &second->entry), 0);
	assert_true(is_there(cache, key));
	cache_free(cache);
}

static void what_is_in_use_outlives_its_eviction(void **state)
{
	struct cache *cache = cache_on(state);
	struct cache_key key = key_of(1, 1, &graph);
	struct cache_entry *used;
	bool gone = false;

	put(cache, key, 1)->gone = &gone;
	assert_int_equal(cache_get(cache, &key, &used), 0);
	assert_int_equal(cache_shed(cache, NULL, UINT64_MAX, 0), 0);
	assert_true(cache_evict(cache, &key));
	assert_false(gone);
	assert_int_equal(thing_of(used)->size_bytes, 1);
	cache_entry_unref(used);
	assert_true(gone);
	cache_free(cache);
}

static void what_is_pinned_or_was_used_just_now_is_not_shed(void **state)
{
	struct cache *cache = cache_on(state);
	struct thing *pinned = put(cache, key_of(1, 1, &graph), 10);

	pinned->is_pinned = true;
	fake_clock_advance_ms(&clock_, 1000);
	put(cache, key_of(2, 1, &graph), 10);
	fake_clock_advance_ms(&clock_, 100);
	assert_int_equal(cache_shed(cache, NULL, UINT64_MAX, 500 * UINT64_C(1000000)), 0);
	pinned->is_pinned = false;
	assert_int_equal(cache_shed(cache, NULL, UINT64_MAX, 500 * UINT64_C(1000000)), 10);
	assert_true(is_there(cache, key_of(2, 1, &graph)));
	/* Being found makes it new again. */
	fake_clock_advance_ms(&clock_, 400);
	assert_true(is_there(cache, key_of(2, 1, &graph)));
	fake_clock_advance_ms(&clock_, 400);
	assert_int_equal(cache_shed(cache, NULL, UINT64_MAX, 500 * UINT64_C(1000000)), 0);
	cache_free(cache);
}

static void shedding_ends_when_enough_is_free_and_keeps_to_its_prefix(void **state)
{
	struct cache *cache = cache_on(state);
	struct uuid one = key_of(1, 0, &graph).collection;
	struct cache_prefix ours = {one, CACHE_ANY_INDEX, NULL};
	struct cache_figures figures;

	for (uint64_t i = 1; i <= 4; i++) {
		put(cache, key_of(1, i, &graph), 10);
		put(cache, key_of(2, i, &graph), 10);
		fake_clock_advance_ms(&clock_, 1);
	}
	assert_int_equal(cache_shed(cache, &ours, 15, 0), 20);
	assert_false(is_there(cache, key_of(1, 1, &graph)));
	assert_false(is_there(cache, key_of(1, 2, &graph)));
	assert_true(is_there(cache, key_of(1, 3, &graph)));
	assert_true(is_there(cache, key_of(2, 1, &graph)));
	assert_int_equal(cache_shed(cache, &ours, UINT64_MAX, 0), 20);
	cache_figures(cache, &figures);
	assert_int_equal(figures.n_entries, 4);
	assert_int_equal(figures.evictions, 4);
	assert_int_equal(cache_shed(cache, &ours, 1, 0), 0);
	cache_free(cache);
}

static void invalidation_takes_all_of_a_prefix(void **state)
{
	struct cache *cache = cache_on(state);
	struct uuid one = key_of(1, 0, &graph).collection;
	enum cache_removal why = CACHE_EVICTED;

	put(cache, key_of(1, 1, &graph), 1)->why = &why;
	put(cache, key_of(1, 1, &codes), 1);
	put(cache, key_of(1, 2, &graph), 1);
	put(cache, key_of(2, 1, &graph), 1);
	cache_invalidate(cache, &(struct cache_prefix){one, 1, &graph});
	assert_int_equal(why, CACHE_INVALIDATED);
	assert_false(is_there(cache, key_of(1, 1, &graph)));
	assert_true(is_there(cache, key_of(1, 1, &codes)));
	cache_invalidate(cache, &(struct cache_prefix){one, CACHE_ANY_INDEX, NULL});
	assert_false(is_there(cache, key_of(1, 1, &codes)));
	assert_false(is_there(cache, key_of(1, 2, &graph)));
	assert_true(is_there(cache, key_of(2, 1, &graph)));
	cache_invalidate(cache, NULL);
	assert_false(is_there(cache, key_of(2, 1, &graph)));
	cache_free(cache);
}

static void however_many_ask_one_load_begins(void **state)
{
	struct cache *cache = cache_on(state);
	struct cache_key key = key_of(1, 1, &graph);
	struct slow_loader slow = {.loader.begin = slow_begin};
	struct asker askers[64];
	struct thing *thing = thing_new(key, 1);
	struct cache_figures figures;

	for (int i = 0; i < 64; i++)
		assert_int_equal(ask(cache, key, &slow, &askers[i]), CACHE_LOADING);
	assert_int_equal(slow.n_begun, 1);
	assert_true(cache_is_loading(cache, &key));
	cache_load_end(slow.load, 0, &thing->entry);
	assert_false(cache_is_loading(cache, &key));
	for (int i = 0; i < 64; i++) {
		assert_int_equal(askers[i].n_told, 1);
		assert_int_equal(askers[i].result, 0);
		assert_ptr_equal(askers[i].entry, &thing->entry);
		cache_entry_unref(askers[i].entry);
	}
	cache_entry_unref(&thing->entry);
	assert_int_equal(ask(cache, key, &slow, &askers[0]), 0);
	assert_int_equal(slow.n_begun, 1);
	assert_int_equal(askers[0].n_told, 0);
	cache_entry_unref(askers[0].entry);
	cache_figures(cache, &figures);
	assert_int_equal(figures.loads, 1);
	assert_int_equal(figures.joined, 63);
	assert_int_equal(figures.misses, 64);
	assert_int_equal(figures.hits, 1);
	cache_free(cache);
}

static void a_failed_load_fails_all_with_its_own_error_and_is_forgotten(void **state)
{
	struct cache *cache = cache_on(state);
	struct cache_key key = key_of(1, 1, &graph);
	struct slow_loader slow = {.loader.begin = slow_begin};
	struct asker first, second;
	struct cache_figures figures;

	assert_int_equal(ask(cache, key, &slow, &first), CACHE_LOADING);
	assert_int_equal(ask(cache, key, &slow, &second), CACHE_LOADING);
	cache_load_end(slow.load, -EBADMSG, NULL);
	assert_int_equal(first.result, -EBADMSG);
	assert_int_equal(second.result, -EBADMSG);
	assert_null(first.entry);
	assert_int_equal(ask(cache, key, &slow, &first), CACHE_LOADING);
	assert_int_equal(slow.n_begun, 2);
	cache_load_end(slow.load, -EIO, NULL);
	assert_int_equal(first.result, -EIO);
	cache_figures(cache, &figures);
	assert_int_equal(figures.failures, 2);
	cache_free(cache);
}

static void a_load_that_cannot_begin_tells_who_asked(void **state)
{
	struct cache *cache = cache_on(state);
	struct slow_loader slow = {.loader.begin = slow_begin, .refuses = -EMFILE};
	struct asker asker;

	assert_int_equal(ask(cache, key_of(1, 1, &graph), &slow, &asker), CACHE_LOADING);
	assert_int_equal(asker.n_told, 1);
	assert_int_equal(asker.result, -EMFILE);
	assert_false(cache_is_loading(cache, &(struct cache_key){.index = 1, .type = &graph}));
	cache_free(cache);
}

static void a_load_in_flight_does_not_resurrect_what_was_invalidated(void **state)
{
	struct cache *cache = cache_on(state);
	struct cache_key key = key_of(1, 1, &graph);
	struct slow_loader before = {.loader.begin = slow_begin}, after = before;
	struct asker early, late;
	struct thing *old = thing_new(key, 1), *new = thing_new(key, 2);
	bool gone = false;

	old->gone = &gone;
	assert_int_equal(ask(cache, key, &before, &early), CACHE_LOADING);
	cache_invalidate(cache, &(struct cache_prefix){key.collection, CACHE_ANY_INDEX, NULL});
	assert_false(cache_is_loading(cache, &key));
	/* Who asks from now on gets a load of its own. */
	assert_int_equal(ask(cache, key, &after, &late), CACHE_LOADING);
	assert_int_equal(after.n_begun, 1);
	cache_load_end(after.load, 0, &new->entry);
	assert_ptr_equal(late.entry, &new->entry);
	/* The early one has what it asked for, and nobody else does. */
	cache_load_end(before.load, 0, &old->entry);
	assert_int_equal(early.result, 0);
	assert_ptr_equal(early.entry, &old->entry);
	cache_entry_unref(early.entry);
	cache_entry_unref(&old->entry);
	assert_true(gone);
	assert_int_equal(ask(cache, key, &after, &early), 0);
	assert_ptr_equal(early.entry, &new->entry);
	cache_entry_unref(early.entry);
	cache_entry_unref(late.entry);
	cache_entry_unref(&new->entry);
	cache_free(cache);
}

/* The built-in rule. -------------------------------------------------------------------------- */

static void of_two_alike_the_longer_unused_goes_first(void **state)
{
	struct cache *cache = cache_on(state);

	put(cache, key_of(1, 1, &graph), 10);
	fake_clock_advance_ms(&clock_, 10);
	put(cache, key_of(2, 1, &graph), 10);
	fake_clock_advance_ms(&clock_, 10);
	assert_true(is_there(cache, key_of(1, 1, &graph)));
	fake_clock_advance_ms(&clock_, 10);
	cache_shed(cache, NULL, 1, 0);
	assert_true(is_there(cache, key_of(1, 1, &graph)));
	assert_false(is_there(cache, key_of(2, 1, &graph)));
	cache_free(cache);
}

static void what_is_large_and_cheap_to_load_goes_first(void **state)
{
	struct cache *cache = cache_on(state);
	struct thing *cheap = put(cache, key_of(1, 1, &graph), 1000);
	struct thing *dear = put(cache, key_of(2, 1, &graph), 1000);
	struct thing *small = put(cache, key_of(3, 1, &graph), 10);

	cheap->entry.load_us = 100;
	dear->entry.load_us = 100000;
	small->entry.load_us = 100;
	fake_clock_advance_ms(&clock_, 10);
	cache_shed(cache, NULL, 1, 0);
	assert_false(is_there(cache, key_of(1, 1, &graph)));
	fake_clock_advance_ms(&clock_, 10);
	cache_shed(cache, NULL, 1, 0);
	assert_true(is_there(cache, key_of(2, 1, &graph)) != is_there(cache, key_of(3, 1, &graph)));
	cache_free(cache);
}

/* Types. -------------------------------------------------------------------------------------- */

static void another_type_under_the_key_is_a_miss(void **state)
{
	struct cache *cache = cache_of(array_cache_new_careless);
	struct cache_key key = key_of(1, 1, &codes);
	struct slow_loader slow = {.loader.begin = slow_begin};
	struct asker asker;
	struct thing *thing = thing_new(key, 5);

	(void)state;
	put(cache, key_of(1, 1, &graph), 1);
	assert_false(is_there(cache, key));
	assert_int_equal(ask(cache, key, &slow, &asker), CACHE_LOADING);
	assert_int_equal(slow.n_begun, 1);
	cache_load_end(slow.load, 0, &thing->entry);
	assert_ptr_equal(asker.entry, &thing->entry);
	cache_entry_unref(asker.entry);
	cache_entry_unref(&thing->entry);
	assert_true(is_there(cache, key));
	cache_free(cache);
}

static int cache_with(const struct cache_type *const *some, uint32_t n)
{
	struct cache_backend *backend;
	struct cache *cache = NULL;
	int r;

	assert_int_equal(array_cache_new(&backend), 0);
	r = cache_new(backend, &clock_.clock, some, n, &cache);
	cache_free(cache);
	return r;
}

static void tags_are_checked(void **state)
{
	static const struct cache_type empty = {.tag = ""}, odd = {.tag = "Graph"},
	                               spaced = {.tag = "a graph"},
	                               longest = {.tag = "abcdefghijklmno"},
	                               too_long = {.tag = "abcdefghijklmnop"},
	                               twin = {.tag = "graph"};

	(void)state;
	assert_int_equal(cache_with(types, 2), 0);
	assert_int_equal(cache_with((const struct cache_type *[]){&longest}, 1), 0);
	assert_int_equal(cache_with((const struct cache_type *[]){&empty}, 1), -EINVAL);
	assert_int_equal(cache_with((const struct cache_type *[]){&odd}, 1), -EINVAL);
	assert_int_equal(cache_with((const struct cache_type *[]){&spaced}, 1), -EINVAL);
	assert_int_equal(cache_with((const struct cache_type *[]){&too_long}, 1), -EINVAL);
	assert_int_equal(cache_with((const struct cache_type *[]){&graph, &codes, &twin}, 3),
	                 -EINVAL);
}

#define ON(test, backend)                                                               \
	{                                                                               \
#test " (" #backend ")", test, NULL, NULL, (void *)(uintptr_t)(backend) \
	}
#define ON_EACH(test) ON(test, ARENA), ON(test, MMAP), ON(test, ARRAY)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        ON_EACH(what_was_put_is_found_until_it_is_evicted),
	        ON_EACH(approximate_figures_are_for_any_thread),
	        ON_EACH(sizes_are_the_entries_own_however_they_grow),
	        ON_EACH(what_is_replaced_is_let_go_of),
	        ON_EACH(what_is_in_use_outlives_its_eviction),
	        ON_EACH(what_is_pinned_or_was_used_just_now_is_not_shed),
	        ON_EACH(shedding_ends_when_enough_is_free_and_keeps_to_its_prefix),
	        ON_EACH(invalidation_takes_all_of_a_prefix),
	        ON_EACH(however_many_ask_one_load_begins),
	        ON_EACH(a_failed_load_fails_all_with_its_own_error_and_is_forgotten),
	        ON_EACH(a_load_that_cannot_begin_tells_who_asked),
	        ON_EACH(a_load_in_flight_does_not_resurrect_what_was_invalidated),
	        ON(of_two_alike_the_longer_unused_goes_first, ARENA),
	        ON(what_is_large_and_cheap_to_load_goes_first, ARENA),
	        cmocka_unit_test(another_type_under_the_key_is_a_miss),
	        cmocka_unit_test(tags_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
