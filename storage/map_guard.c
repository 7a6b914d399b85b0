/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/map_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK_RANGES 64

/* A guarded mapping; start is 0 where there is none. The handler may come while another range is
 * being changed, never this one: who touches a mapping keeps it. */
struct range {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
	struct map_faults *_Atomic faults;
};

/* Blocks are only ever added, so the handler walks them without a lock. */
struct block {
	struct range ranges[BLOCK_RANGES];
	struct block *_Atomic next;
};

static struct block first_block;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* protects who adds and removes */
static struct sigaction action_before;
static size_t page_bytes;

static struct range *find(uintptr_t addr)
{
	for (struct block *block = &first_block; block; block = atomic_load(&block->next)) {
		for (int i = 0; i < BLOCK_RANGES; i++) {
			struct range *range = &block->ranges[i];
			uintptr_t start = atomic_load(&range->start);

			if (start != 0 && start <= addr && addr < atomic_load(&range->end))
				return range;
		}
	}
	return NULL;
}

/* By the system call itself: it is the kernel that changes what others read, and a sanitizer would
 * take mmap() for a write of this thread. */
int map_over(void *addr, size_t n, int flags, int fd, uint64_t offset)
{
	return syscall(SYS_mmap, addr, n, PROT_READ, flags | MAP_FIXED, fd, (off_t)offset) == -1
	               ? -errno
	               : 0;
}

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	uintptr_t page = addr & ~(uintptr_t)(page_bytes - 1);
	struct range *range = info->si_code > 0 ? find(addr) : NULL;
	int error = errno;

	(void)signo;
	(void)context;
	if (range) {
		/* Counted first: nobody sees the zeros and not the count. */
		atomic_fetch_add(&atomic_load(&range->faults)->n, 1);
		if (map_over((void *)page, page_bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == 0) {
			errno = error;
			return;
		}
	}
	/* Not ours: the same access comes to who had the signal before. */
	sigaction(SIGBUS, &action_before, NULL);
}

/* Takes the signal, also again from who took it since (test frameworks do). */
static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
	struct sigaction now;

	page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	sigaction(SIGBUS, NULL, &now);
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus)
		return;
	action_before = now;
	sigaction(SIGBUS, &action, NULL);
}

static struct range *free_range(void)
{
	struct block *block = &first_block, *last = NULL;

	for (; block; last = block, block = atomic_load(&block->next)) {
		for (int i = 0; i < BLOCK_RANGES; i++)
			if (atomic_load(&block->ranges[i].start) == 0)
				return &block->ranges[i];
	}
	block = calloc(1, sizeof(*block));
	if (!block)
		return NULL;
	atomic_store(&last->next, block);
	return &block->ranges[0];
}

int map_guard_add(void *addr, size_t n, struct map_faults *faults)
{
	struct range *range;

	pthread_mutex_lock(&mutex);
	install();
	range = free_range();
	if (range) {
		atomic_store(&range->faults, faults);
		atomic_store(&range->end, (uintptr_t)addr + n);
		atomic_store(&range->start, (uintptr_t)addr);
	}
	pthread_mutex_unlock(&mutex);
	return range ? 0 : -ENOMEM;
}

void map_guard_remove(void *addr)
{
	struct range *range;

	pthread_mutex_lock(&mutex);
	range = find((uintptr_t)addr);
	if (range)
		atomic_store(&range->start, 0);
	pthread_mutex_unlock(&mutex);
}
