/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/memory_cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROLLER "/sys/fs/cgroup/memory"

static FILE *open_file(const struct memory_cgroup *cgroup, const char *name, const char *mode)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", cgroup->path, name);
	return fopen(path, mode);
}

static int write_number(const struct memory_cgroup *cgroup, const char *name, uint64_t number)
{
	FILE *file = open_file(cgroup, name, "we");
	int r = 0;

	if (!file)
		return -errno;
	fprintf(file, "%llu", (unsigned long long)number);
	if (fclose(file) != 0)
		r = -errno;
	return r;
}

static uint64_t read_number(const struct memory_cgroup *cgroup, const char *name)
{
	FILE *file = open_file(cgroup, name, "re");
	unsigned long long number = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%llu", &number) != 1)
		number = 0;
	fclose(file);
	return number;
}

int memory_cgroup_make(struct memory_cgroup *cgroup, uint64_t limit_bytes)
{
	int r;

	snprintf(cgroup->path, sizeof(cgroup->path), CONTROLLER "/kith-bench-%d", (int)getpid());
	if (mkdir(cgroup->path, 0755) < 0) {
		r = -errno;
		cgroup->path[0] = '\0';
		return r;
	}
	r = write_number(cgroup, "memory.limit_in_bytes", limit_bytes);
	if (r < 0)
		memory_cgroup_remove(cgroup);
	return r;
}

int memory_cgroup_join(const struct memory_cgroup *cgroup, pid_t pid)
{
	return write_number(cgroup, "cgroup.procs", (uint64_t)pid);
}

uint64_t memory_cgroup_peak_bytes(const struct memory_cgroup *cgroup)
{
	return read_number(cgroup, "memory.max_usage_in_bytes");
}

uint64_t memory_cgroup_n_full(const struct memory_cgroup *cgroup)
{
	return read_number(cgroup, "memory.failcnt");
}

void memory_cgroup_remove(struct memory_cgroup *cgroup)
{
	if (cgroup->path[0])
		(void)rmdir(cgroup->path);
	cgroup->path[0] = '\0';
}
