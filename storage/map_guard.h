/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A mapped page can be gone when it is touched: somebody cut the file short, or the medium cannot
 * read it. The kernel then sends SIGBUS. For mappings that are known here the access goes on
 * instead, over a page of zeros put in its place, and is counted. Whoever reads a mapping looks at
 * the count before and after, and when it has changed does not use what it read.
 *
 * Why zeros and not a jump out of the read: whoever reads may hold a lock or have half a result,
 * and need not be written for the case. (systemd's sigbus.c does likewise.)
 *
 * The handler is the process's, taken with the first mapping; a SIGBUS of anything else goes to who
 * had it before. Threads that read mappings must not block the signal.
 *
 * Threads: any. The handler looks at atomics only.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Pages that were gone, in all mappings that count here. It never goes back. */
struct map_faults {
	_Atomic uint64_t n;
};

/* Guards n bytes from addr, read-only and page-aligned; faults must outlive that. -ENOMEM. */
int map_guard_add(void *addr, size_t n, struct map_faults *faults);
/* Before it is unmapped. Fine when it is not guarded. */
void map_guard_remove(void *addr);

/* Puts a read-only mapping, with MAP_ flags as of mmap(), in the place of another that others may
 * be reading. -errno. */
int map_over(void *addr, size_t n, int flags, int fd, uint64_t offset);

static inline uint64_t map_faults_n(const struct map_faults *faults)
{
	/* Acquire: who sees a page of zeros sees its count, which came first. */
	return atomic_load_explicit(&faults->n, memory_order_acquire);
}
