/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/memory_watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct memory_watch {
	pid_t pid;
	pthread_t thread;
	pthread_mutex_t mutex; /* protects all below */
	struct memory_figures figures;
	bool stopping;
};

/* The whole of a small file of /proc; "" when the process is gone. */
static void read_proc(pid_t pid, const char *name, char *ret_text, size_t size)
{
	char path[64];
	FILE *file;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "re");
	if (file) {
		n = fread(ret_text, 1, size - 1, file);
		fclose(file);
	}
	ret_text[n] = '\0';
}

/* A line "Name:   n kB", in bytes. */
static uint64_t bytes_of(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) << 10 : 0;
}

/* The mutex is held. */
static void look(struct memory_watch *watch)
{
	struct memory_figures *figures = &watch->figures;
	char text[4096];

	read_proc(watch->pid, "status", text, sizeof(text));
	figures->anon_bytes = bytes_of(text, "RssAnon:");
	figures->file_bytes = bytes_of(text, "RssFile:");
	if (figures->anon_bytes > figures->anon_peak_bytes)
		figures->anon_peak_bytes = figures->anon_bytes;
	if (figures->file_bytes > figures->file_peak_bytes)
		figures->file_peak_bytes = figures->file_bytes;
	figures->n_looks++;
}

static void *watch_main(void *arg)
{
	struct memory_watch *watch = arg;
	bool stopping = false;

	while (!stopping) {
		nanosleep(&(struct timespec){.tv_nsec = MEMORY_WATCH_MS * 1000000L}, NULL);
		pthread_mutex_lock(&watch->mutex);
		look(watch);
		stopping = watch->stopping;
		pthread_mutex_unlock(&watch->mutex);
	}
	return NULL;
}

int memory_watch_new(pid_t pid, struct memory_watch **ret)
{
	struct memory_watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	watch->pid = pid;
	pthread_mutex_init(&watch->mutex, NULL);
	r = pthread_create(&watch->thread, NULL, watch_main, watch);
	if (r) {
		pthread_mutex_destroy(&watch->mutex);
		free(watch);
		return -r;
	}
	*ret = watch;
	return 0;
}

struct memory_watch *memory_watch_free(struct memory_watch *watch)
{
	if (!watch)
		return NULL;
	pthread_mutex_lock(&watch->mutex);
	watch->stopping = true;
	pthread_mutex_unlock(&watch->mutex);
	pthread_join(watch->thread, NULL);
	pthread_mutex_destroy(&watch->mutex);
	free(watch);
	return NULL;
}

void memory_watch_begin(struct memory_watch *watch)
{
	pthread_mutex_lock(&watch->mutex);
	watch->figures = (struct memory_figures){0};
	look(watch);
	pthread_mutex_unlock(&watch->mutex);
}

void memory_watch_figures(struct memory_watch *watch, struct memory_figures *ret)
{
	pthread_mutex_lock(&watch->mutex);
	look(watch);
	*ret = watch->figures;
	pthread_mutex_unlock(&watch->mutex);
}

void memory_watch_rollup(const struct memory_watch *watch, uint64_t *ret_pss_bytes,
                         uint64_t *ret_swap_bytes)
{
	char text[4096];

	read_proc(watch->pid, "smaps_rollup", text, sizeof(text));
	*ret_pss_bytes = bytes_of(text, "\nPss:");
	*ret_swap_bytes = bytes_of(text, "\nSwap:");
}
