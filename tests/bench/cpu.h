/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where threads run. CPUs are counted among those that this process may use. [any]
 */

#include <stddef.h>
#include <sys/types.h>

size_t cpu_count(void);
/* Keeps a thread on one CPU; 0 is the calling thread, a process's id its main thread. -errno. */
int cpu_keep(pid_t thread_id, size_t cpu_idx);
/* The same for all threads that a process has now. */
int cpu_keep_process(pid_t process_id, size_t cpu_idx);
/* What a process, 0 for this one, has had of all CPUs so far, in seconds; 0.0 when it is gone. On a
 * busy machine it says more than the clock. */
double cpu_used_s(pid_t process_id);
/* Lets the calling thread, or all threads of another process, run on all of them again. */
int cpu_keep_anywhere(pid_t process_id);
