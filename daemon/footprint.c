/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/footprint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/log.h"

#define NS_PER_S UINT64_C(1000000000)

/* All of a small file of /proc, made in memory: no disk is read. "" when it cannot be had. */
static void read_proc(const char *path, char *ret_text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(ret_text, 1, size - 1, file) : 0;

	if (file)
		fclose(file);
	ret_text[n] = '\0';
}

/* A line "Name:   n kB" in bytes. */
static uint64_t line_bytes(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) << 10 : 0;
}

/* Looking -------------------------------------------------------------------------------------- */

static void look_work(struct job *job, uint32_t worker)
{
	struct footprint *footprint = LIST_ELEMENT(job, struct footprint, job);
	char rollup[4096];

	(void)worker;
	read_proc("/proc/self/smaps_rollup", rollup, sizeof(rollup));
	footprint->seen_bytes = line_bytes(rollup, "\nPss:");
}

static void look_done(struct job *job)
{
	struct footprint *footprint = LIST_ELEMENT(job, struct footprint, job);
	struct daemon *daemon = LIST_ELEMENT(footprint, struct daemon, footprint);

	if (job->ran)
		footprint->pss_bytes = footprint->seen_bytes;
	footprint->looking = false;
	daemon_closed_one(daemon);
}

static void look(struct daemon *daemon)
{
	struct footprint *footprint = &daemon->footprint;

	footprint->job.what = "footprint";
	footprint->job.work = look_work;
	footprint->job.done = look_done;
	footprint->looking = true;
	lanes_submit(daemon->lanes, LANE_BACKGROUND, &footprint->job);
}

/* Whether anything can have changed since the last look: an idle daemon does not wake for one. */
static bool has_news(struct daemon *daemon)
{
	struct footprint *footprint = &daemon->footprint;
	struct budget_figures budget;
	bool is_news;

	budget_figures(daemon->budget, &budget);
	is_news = footprint->looked_ns == 0 || daemon->n_requests != footprint->seen_requests ||
	          budget.used_bytes != footprint->seen_used_bytes ||
	          budget.dirty_bytes != footprint->seen_dirty_bytes ||
	          !list_empty(&daemon->flights);
	footprint->seen_requests = daemon->n_requests;
	footprint->seen_used_bytes = budget.used_bytes;
	footprint->seen_dirty_bytes = budget.dirty_bytes;
	return is_news;
}

static void log_figures(const struct daemon *daemon)
{
	struct memory_row memory = footprint_row(daemon);
	struct cache_figures cache;
	struct budget_figures budget;

	cache_figures(daemon->cache, &cache);
	budget_figures(daemon->budget, &budget);
	log_info("cache: %llu entries of %llu bytes, %llu hits, %llu misses, %llu loads, "
	         "%llu evictions; budget: %llu of %llu bytes, %llu at most; memory: %llu bytes "
	         "anonymous, %llu of files, %llu swapped",
	         (unsigned long long)cache.n_entries, (unsigned long long)cache.size_bytes,
	         (unsigned long long)cache.hits, (unsigned long long)cache.misses,
	         (unsigned long long)cache.loads, (unsigned long long)cache.evictions,
	         (unsigned long long)budget.used_bytes, (unsigned long long)budget.limit_bytes,
	         (unsigned long long)budget.peak_bytes, (unsigned long long)memory.rss_anon_bytes,
	         (unsigned long long)memory.rss_file_bytes, (unsigned long long)memory.swap_bytes);
}

void footprint_tick(struct daemon *daemon, uint64_t now_ns)
{
	struct footprint *footprint = &daemon->footprint;
	uint64_t log_ns = daemon->config.log_cache_stats * NS_PER_S;

	if (!footprint->looking &&
	    (footprint->looked_ns == 0 || now_ns - footprint->looked_ns >= FOOTPRINT_LOOK_NS) &&
	    has_news(daemon)) {
		footprint->looked_ns = now_ns;
		look(daemon);
	}
	if (log_ns == 0)
		return;
	if (footprint->logged_ns == 0)
		footprint->logged_ns = daemon->started_ns;
	if (now_ns - footprint->logged_ns >= log_ns) {
		footprint->logged_ns = now_ns;
		log_figures(daemon);
	}
}

/* Telling -------------------------------------------------------------------------------------- */

struct memory_row footprint_row(const struct daemon *daemon)
{
	char status[4096];

	read_proc("/proc/self/status", status, sizeof(status));
	return (struct memory_row){
	        .rss_anon_bytes = line_bytes(status, "RssAnon:"),
	        .rss_file_bytes = line_bytes(status, "RssFile:"),
	        .pss_bytes = daemon->footprint.pss_bytes,
	        .swap_bytes = line_bytes(status, "VmSwap:"),
	        .inflight_bytes = daemon->inflight.request_bytes + daemon->inflight.answer_bytes,
	        .inflight_limit_bytes = daemon->inflight.limit_bytes,
	};
}

void footprint_note(struct daemon *daemon, enum wire_method_idx method, uint64_t used_before)
{
	struct footprint_account *account = &daemon->footprint.accounts[method];
	uint64_t used = budget_used_bytes(daemon->budget);

	account->requests++;
	if (used < used_before) {
		account->shrunk_bytes += used_before - used;
	} else {
		uint64_t grown = used - used_before;

		account->grown_bytes += grown;
		if (grown > account->most_bytes)
			account->most_bytes = grown;
	}
}

uint32_t footprint_operations(const struct daemon *daemon, struct operation_row *rows)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < WIRE_N_METHODS; i++) {
		const struct footprint_account *account = &daemon->footprint.accounts[i];
		const char *name = wire_methods[i].name;

		if (account->requests == 0)
			continue;
		if (rows)
			rows[n] = (struct operation_row){
			        .method = {name, (uint32_t)strlen(name)},
			        .requests = account->requests,
			        .grown_bytes = account->grown_bytes,
			        .shrunk_bytes = account->shrunk_bytes,
			        .most_bytes = account->most_bytes,
			};
		n++;
	}
	return n;
}
