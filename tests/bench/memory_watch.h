/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What another process has in memory, looked at all the while by a thread of its own: peaks are
 * what a ceiling is about, and they pass. From /proc/PID/status, which is cheap to read, so that
 * looking does not slow who is looked at; PSS and swap, which are not, from smaps_rollup when
 * asked.
 *
 * Threads: one owner.
 */

#include <stdint.h>
#include <sys/types.h>

/* How often it looks. */
#define MEMORY_WATCH_MS 5

struct memory_watch;

struct memory_figures {
	uint64_t anon_bytes, anon_peak_bytes;
	uint64_t file_bytes, file_peak_bytes;
	uint64_t n_looks; /* since memory_watch_begin() */
};

/* -errno. */
int memory_watch_new(pid_t pid, struct memory_watch **ret);
/* NULL is fine; returns NULL. */
struct memory_watch *memory_watch_free(struct memory_watch *watch);
/* Forgets the peaks so far, and looks. */
void memory_watch_begin(struct memory_watch *watch);
/* Looks once more and tells. */
void memory_watch_figures(struct memory_watch *watch, struct memory_figures *ret);
/* Proportional share and swap, 0 where the kernel does not tell. */
void memory_watch_rollup(const struct memory_watch *watch, uint64_t *ret_pss_bytes,
                         uint64_t *ret_swap_bytes);
