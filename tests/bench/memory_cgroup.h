/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A memory cgroup (version 1) for one process and what it starts: what it has of anonymous memory
 * and of page cache together is limited, and the kernel kills it when it cannot do with less.
 * Threads: one owner.
 */

#include <stdint.h>
#include <sys/types.h>

struct memory_cgroup {
	char path[128]; /* "": there is none */
};

/* -errno when no memory controller of version 1 is mounted, or it is not writable. */
int memory_cgroup_make(struct memory_cgroup *cgroup, uint64_t limit_bytes);
int memory_cgroup_join(const struct memory_cgroup *cgroup, pid_t pid);
/* The most that it had, and how often it had to give something up for more; 0 when unknown. */
uint64_t memory_cgroup_peak_bytes(const struct memory_cgroup *cgroup);
uint64_t memory_cgroup_n_full(const struct memory_cgroup *cgroup);
/* Its processes must have ended. Fine when there is none. */
void memory_cgroup_remove(struct memory_cgroup *cgroup);
