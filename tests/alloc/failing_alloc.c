/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The linker has every call of malloc() and its like in what is linked into the program, ours and
 * the sanitizers' twins of slabs included, come here first (--wrap). SQLite and libuv are told by
 * their own means.
 */

#include "tests/alloc/failing_alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <sqlite3.h>
#include <uv.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));

static _Atomic uint64_t n_allocs, fails_at;
static atomic_bool has_failed;
static _Thread_local bool is_spared;

static bool fails(void)
{
	if (is_spared || atomic_fetch_add(&n_allocs, 1) + 1 != atomic_load(&fails_at))
		return false;
	atomic_store(&has_failed, true);
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t n)
{
	return fails() ? NULL : __real_realloc(old, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return fails() ? NULL : __real_aligned_alloc(align, n);
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
	va_list args;
	int r;

	if (fails())
		return -1;
	va_start(args, format);
	r = vasprintf(ret, format, args);
	va_end(args);
	return r;
}

/* SQLite --------------------------------------------------------------------------------------- */

static sqlite3_mem_methods sqlite_real;

static void *sqlite_malloc(int n)
{
	return fails() ? NULL : sqlite_real.xMalloc(n);
}

static void *sqlite_realloc(void *old, int n)
{
	return fails() ? NULL : sqlite_real.xRealloc(old, n);
}

/* ---------------------------------------------------------------------------------------------- */

void failing_alloc_init(void)
{
	sqlite3_mem_methods methods;

	is_spared = true;
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_real) != SQLITE_OK)
		abort();
	methods = sqlite_real;
	methods.xMalloc = sqlite_malloc;
	methods.xRealloc = sqlite_realloc;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
	    uv_replace_allocator(__wrap_malloc, __wrap_realloc, __wrap_calloc, free) != 0)
		abort();
}

void failing_alloc_arm(uint64_t nth)
{
	atomic_store(&fails_at, nth);
	atomic_store(&has_failed, false);
	atomic_store(&n_allocs, 0);
}

uint64_t failing_alloc_disarm(void)
{
	atomic_store(&fails_at, 0);
	return atomic_load(&n_allocs);
}

bool failing_alloc_has_failed(void)
{
	return atomic_load(&has_failed);
}
