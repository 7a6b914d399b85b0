/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/report.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME 64

struct report {
	json_t *rows; /* all of them */
	json_t *row;  /* the one between begin and end, owned by rows */
};

int report_new(struct report **ret)
{
	struct report *report = calloc(1, sizeof(*report));

	if (report)
		report->rows = json_array();
	if (!report || !report->rows) {
		free(report);
		return -ENOMEM;
	}
	*ret = report;
	return 0;
}

struct report *report_free(struct report *report)
{
	if (!report)
		return NULL;
	json_decref(report->rows);
	free(report);
	return NULL;
}

static void put(struct report *report, const char *name, json_t *value)
{
	if (json_object_set_new(report->row, name, value) < 0)
		abort();
}

void report_begin(struct report *report, const char *suite, const char *engine, const char *set)
{
	report->row = json_object();
	if (json_array_append_new(report->rows, report->row) < 0)
		abort();
	report_text(report, "suite", suite);
	report_text(report, "engine", engine);
	report_text(report, "set", set);
}

/* Four significant digits: more than a measurement on a shared machine has. */
static double rounded(double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.4g", value);
	return fabs(value) < 1e4 ? strtod(text, NULL) : round(value);
}

void report_number(struct report *report, const char *name, double value)
{
	put(report, name, json_real(rounded(value)));
}

void report_count(struct report *report, const char *name, uint64_t value)
{
	put(report, name, json_integer((json_int_t)value));
}

void report_text(struct report *report, const char *name, const char *value)
{
	put(report, name, json_string(value));
}

static void put_bar(struct report *report, const char *name, double value, double bar, bool holds)
{
	char key[MAX_NAME];

	report_number(report, name, value);
	snprintf(key, sizeof(key), "%s_bar", name);
	report_number(report, key, bar);
	snprintf(key, sizeof(key), "%s_holds", name);
	put(report, key, json_boolean(holds));
}

void report_at_most(struct report *report, const char *name, double value, double bar)
{
	put_bar(report, name, value, bar, value <= bar);
}

void report_at_least(struct report *report, const char *name, double value, double bar)
{
	put_bar(report, name, value, bar, value >= bar);
}

void report_end(struct report *report)
{
	json_dumpf(report->row, stdout,
	           JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
	putchar('\n');
	fflush(stdout);
	report->row = NULL;
}

/* The table. ---------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name);
	size_t n_suffix = strlen(suffix);

	return n > n_suffix && strcmp(name + n - n_suffix, suffix) == 0;
}

static bool is_heading(const char *name)
{
	return strcmp(name, "suite") == 0 || strcmp(name, "engine") == 0 ||
	       strcmp(name, "set") == 0;
}

/* What stands behind a figure that has a bar; whether it holds. */
static bool print_bar(const json_t *row, const char *name)
{
	char key[MAX_NAME];
	const json_t *bar;
	bool holds;

	snprintf(key, sizeof(key), "%s_bar", name);
	bar = json_object_get(row, key);
	if (!bar)
		return true;
	snprintf(key, sizeof(key), "%s_holds", name);
	holds = json_is_true(json_object_get(row, key));
	fprintf(stderr, "   bar %g: %s", json_number_value(bar), holds ? "holds" : "MISSED");
	return holds;
}

static bool print_row(json_t *row)
{
	const char *name;
	json_t *value;
	bool all_hold = true;

	fprintf(stderr, "\n%s: %s, %s\n", json_string_value(json_object_get(row, "suite")),
	        json_string_value(json_object_get(row, "engine")),
	        json_string_value(json_object_get(row, "set")));
	json_object_foreach(row, name, value)
	{
		if (is_heading(name) || ends_with(name, "_bar") || ends_with(name, "_holds"))
			continue;
		if (json_is_number(value))
			fprintf(stderr, "  %-28s %12.6g", name, json_number_value(value));
		else
			fprintf(stderr, "  %-28s %12s", name, json_string_value(value));
		all_hold &= print_bar(row, name);
		fputc('\n', stderr);
	}
	return all_hold;
}

bool report_print_table(const struct report *report)
{
	bool all_hold = true;
	size_t i;
	json_t *row;

	json_array_foreach(report->rows, i, row) all_hold &= print_row(row);
	return all_hold;
}
