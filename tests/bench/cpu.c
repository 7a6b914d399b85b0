/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/cpu.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

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

int cpu_keep(pid_t thread_id, size_t cpu_idx)
{
	cpu_set_t one;
	size_t left = cpu_idx % cpu_count();
	size_t cpu = 0;

	while (!CPU_ISSET(cpu, &all) || left-- > 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(thread_id, sizeof(one), &one) < 0 ? -errno : 0;
}

int cpu_keep_anywhere(pid_t thread_id)
{
	pthread_once(&once, read_all);
	return sched_setaffinity(thread_id, sizeof(all), &all) < 0 ? -errno : 0;
}
