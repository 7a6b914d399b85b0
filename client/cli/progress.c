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
	*progress = (struct progress){
	        .unit = unit,
	        .total = total,
	        .started_ms = now_ms(),
	        .shown = isatty(STDERR_FILENO),
	};
}

double progress_seconds(const struct progress *progress)
{
	int64_t ms = now_ms() - progress->started_ms;

	return (double)(ms > 0 ? ms : 1) / 1000;
}

void progress_update(struct progress *progress, uint64_t done)
{
	char bar[BAR_CELLS + 1], count[OUTPUT_CELL_SIZE], total[OUTPUT_CELL_SIZE];
	char rate_text[OUTPUT_CELL_SIZE], left[OUTPUT_CELL_SIZE] = "?";
	double rate = (double)done / progress_seconds(progress);
	double part = progress->total ? (double)done / (double)progress->total : 0;
	int64_t now = now_ms();

	if (!progress->shown || now - progress->drawn_ms < TURN_MS)
		return;
	progress->drawn_ms = now;
	output_count(done, count);
	output_count((uint64_t)rate, rate_text);
	if (progress->total == 0) {
		fprintf(stderr, "\r\033[K%s %s  %s/s", count, progress->unit, rate_text);
		return;
	}
	if (part > 1)
		part = 1;
	memset(bar, '.', BAR_CELLS);
	memset(bar, '#', (size_t)(part * BAR_CELLS));
	bar[BAR_CELLS] = '\0';
	if (rate > 0)
		output_duration((double)(progress->total - done) / rate * 1e6, left);
	fprintf(stderr, "\r\033[K[%s] %3.0f%%  %s/%s %s  %s/s  %s to go", bar, part * 100, count,
	        output_count(progress->total, total), progress->unit, rate_text, left);
}

void progress_end(struct progress *progress)
{
	if (progress->shown && progress->drawn_ms)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
