/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/cpu.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static cpu_set_t all;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What was allowed before anything was kept anywhere. */
static void read_all(void)
{
	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		CPU_SET(0, &all);
}

size_t cpu_count(void)
{
	pthread_once(&once, read_all);
	return (size_t)CPU_COUNT(&all);
}

/* Only the CPU of that number. */
static cpu_set_t one_of_all(size_t cpu_idx)
{
	cpu_set_t one;
	size_t left = cpu_idx % cpu_count();
	size_t cpu = 0;

	while (!CPU_ISSET(cpu, &all) || left-- > 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return one;
}

static int keep_each(pid_t process_id, const cpu_set_t *where)
{
	char path[64];
	DIR *threads;
	struct dirent *entry;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", process_id);
	threads = opendir(path);
	if (!threads)
		return -errno;
	while (!r && (entry = readdir(threads))) {
		pid_t thread_id = atoi(entry->d_name);

		if (thread_id > 0 && sched_setaffinity(thread_id, sizeof(*where), where) < 0)
			r = -errno;
	}
	closedir(threads);
	return r;
}

int cpu_keep(pid_t thread_id, size_t cpu_idx)
{
	cpu_set_t one = one_of_all(cpu_idx);

	return sched_setaffinity(thread_id, sizeof(one), &one) < 0 ? -errno : 0;
}

int cpu_keep_process(pid_t process_id, size_t cpu_idx)
{
	cpu_set_t one = one_of_all(cpu_idx);

	return keep_each(process_id, &one);
}

int cpu_keep_anywhere(pid_t process_id)
{
	pthread_once(&once, read_all);
	if (process_id)
		return keep_each(process_id, &all);
	return sched_setaffinity(0, sizeof(all), &all) < 0 ? -errno : 0;
}

double cpu_used_s(pid_t process_id)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(process_id, &clock) || clock_gettime(clock, &used))
		return 0.0;
	return (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
}
