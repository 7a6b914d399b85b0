/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/output.h"

#define TURN_MS 100
#define BAR_CELLS 24

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void progress_begin(struct progress *progress, const char *unit, uint64_t total)
{
	int64_t now = now_ms();

	*progress = (struct progress){
	        .unit = unit,
	        .total = total,
	        .started_ms = now,
	        .phase_ms = now,
	        .shown = isatty(STDERR_FILENO),
	};
}

static double seconds_since(int64_t before_ms)
{
	int64_t ms = now_ms() - before_ms;

	return (double)(ms > 0 ? ms : 1) / 1000;
}

double progress_seconds(const struct progress *progress)
{
	return seconds_since(progress->started_ms);
}

void progress_phase(struct progress *progress, struct kith_str phase, uint64_t done, uint64_t total,
                    double eta_s)
{
	char name[sizeof(progress->phase)];

	snprintf(name, sizeof(name), "%.*s", (int)phase.n, phase.data);
	if (strcmp(name, progress->phase) != 0 || done < progress->first) {
		memcpy(progress->phase, name, sizeof(name));
		progress->first = done;
		progress->phase_ms = now_ms();
	}
	progress->total = total;
	progress->eta_s = eta_s;
}

/* How long it may still take. */
static double seconds_left(const struct progress *progress, uint64_t done, double rate)
{
	if (progress->eta_s > 0)
		return progress->eta_s;
	return done < progress->total ? (double)(progress->total - done) / rate : 0;
}

void progress_update(struct progress *progress, uint64_t done)
{
	char bar[BAR_CELLS + 1], count[OUTPUT_CELL_SIZE], total[OUTPUT_CELL_SIZE];
	char rate_text[OUTPUT_CELL_SIZE], left[OUTPUT_CELL_SIZE] = "?";
	double rate = (double)(done - progress->first) / seconds_since(progress->phase_ms);
	double part = progress->total ? (double)done / (double)progress->total : 0;
	int64_t now = now_ms();

	if (!progress->shown || now - progress->drawn_ms < TURN_MS)
		return;
	progress->drawn_ms = now;
	output_count(done, count);
	output_count((uint64_t)rate, rate_text);
	fprintf(stderr, "\r\033[K%s%s", progress->phase, progress->phase[0] ? "  " : "");
	if (progress->total == 0 && done == 0 && progress->phase[0])
		return;
	if (progress->total == 0) {
		fprintf(stderr, "%s %s  %s/s", count, progress->unit, rate_text);
		return;
	}
	if (part > 1)
		part = 1;
	memset(bar, '.', BAR_CELLS);
	memset(bar, '#', (size_t)(part * BAR_CELLS));
	bar[BAR_CELLS] = '\0';
	if (rate > 0 || progress->eta_s > 0)
		output_duration(seconds_left(progress, done, rate) * 1e6, left);
	fprintf(stderr, "[%s] %3.0f%%  %s/%s %s  %s/s  %s to go", bar, part * 100, count,
	        output_count(progress->total, total), progress->unit, rate_text, left);
}

void progress_end(struct progress *progress)
{
	if (progress->shown && progress->drawn_ms)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
