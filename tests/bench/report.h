/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a benchmark found: one JSON object a line on stdout as soon as it is known, all of it as a
 * table on stderr at the end.
 *
 *	report_begin(report, "write", "kith", "fashion-mnist");
 *	report_number(report, "p50_us", 512.3);
 *	report_at_most(report, "ratio", 2.1, 3.0);
 *	report_end(report);
 *
 * A figure with a bar has "<name>_bar" and "<name>_holds" beside it. Threads: one owner.
 */

#include <stdbool.h>
#include <stdint.h>

struct report;

/* -ENOMEM. Later calls abort when memory runs out. */
int report_new(struct report **ret);
/* NULL is fine; returns NULL. */
struct report *report_free(struct report *report);

void report_begin(struct report *report, const char *suite, const char *engine, const char *set);
void report_number(struct report *report, const char *name, double value);
void report_count(struct report *report, const char *name, uint64_t value);
void report_text(struct report *report, const char *name, const char *value);
/* A figure that should not be above, or below, its bar. */
void report_at_most(struct report *report, const char *name, double value, double bar);
void report_at_least(struct report *report, const char *name, double value, double bar);
void report_end(struct report *report);

/* The table; says whether every bar held. */
bool report_print_table(const struct report *report);
