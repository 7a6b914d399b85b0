/* SPDX-License-Identifier: Apache-2.0 */

/*
 * usage: protocol_doc PROTOCOL.md
 *
 * Holds the tables of PROTOCOL.md against those of protocol/: each choice, limit, error, row,
 * method and event has its row, with its kind, default and limit, and no table has a row more.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/methods.h"

static const char *document;
static int n_bad;

static void object(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void object(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	n_bad++;
}

/* One heading's text, up to the next heading that begins alike. */
struct section {
	char heading[128];
	const char *text;
	size_t n;
	unsigned n_rows; /* that were found */
};

static bool section_find(struct section *section, const char *level, const char *title)
{
	char line[160], next[8];
	const char *end;

	snprintf(section->heading, sizeof(section->heading), "%s %s", level, title);
	snprintf(line, sizeof(line), "\n%s\n", section->heading);
	section->n_rows = 0;
	section->text = strstr(document, line);
	if (section->text == NULL) {
		object("no section '%s'", section->heading);
		return false;
	}
	section->text += strlen(line) - 1;
	end = section->text + strlen(section->text);
	/* A heading of a higher level ends it too. */
	for (size_t n = 1; n <= strlen(level); n++) {
		const char *at;

		snprintf(next, sizeof(next), "\n%.*s ", (int)n, level);
		at = strstr(section->text, next);
		if (at != NULL && at < end)
			end = at;
	}
	section->n = (size_t)(end - section->text);
	return true;
}

/* The section must have a line that begins so. */
static void section_row(struct section *section, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void section_row(struct section *section, const char *format, ...)
{
	char row[512] = "\n";
	const char *at;
	va_list args;

	va_start(args, format);
	vsnprintf(row + 1, sizeof(row) - 1, format, args);
	va_end(args);
	at = strstr(section->text, row);
	if (at == NULL || at >= section->text + section->n)
		object("'%s' has no row '%s'", section->heading, row + 1);
	else
		section->n_rows++;
}

/* It must have no other rows that name something. */
static void section_end(const struct section *section)
{
	const char *at = section->text;
	unsigned n = 0;

	while ((at = strstr(at, "\n| `")) != NULL && at < section->text + section->n) {
		n++;
		at++;
	}
	if (n != section->n_rows)
		object("'%s' has %u rows, of which %u are in the tables of protocol/",
		       section->heading, n, section->n_rows);
}

static void check_choices(void)
{
#define CHOICE(X, c) " `" #c "`,"
#define CHOICES(choice, list) {#choice, list(CHOICE, )},
	static const struct {
		const char *name, *choices;
	} lists[] = {WIRE_CHOICE_LISTS(CHOICES)};
#undef CHOICES
#undef CHOICE
	struct section section;

	if (!section_find(&section, "##", "Choices"))
		return;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		section_row(&section, "| `%s` |%.*s |", lists[i].name,
		            (int)strlen(lists[i].choices) - 1, lists[i].choices);
	section_end(&section);
}

static void check_limits(void)
{
#define LIMIT_ROW(F, X, NAME, name, value, why) {#name, value, why},
	static const struct {
		const char *name;
		uint64_t value;
		const char *why;
	} limits[] = {LIMITS(LIMIT_ROW, , )};
#undef LIMIT_ROW
	struct section section;

	if (!section_find(&section, "##", "Limits"))
		return;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		section_row(&section, "| `%s` | %" PRIu64 " | %s |", limits[i].name,
		            limits[i].value, limits[i].why);
	section_end(&section);
}

static void check_errors(void)
{
#define ERROR_ROW(NAME, text, meaning) {text, meaning},
	static const struct {
		const char *text, *meaning;
	} errors[] = {WIRE_ERRORS(ERROR_ROW)};
#undef ERROR_ROW
	struct section section;

	if (!section_find(&section, "##", "Errors"))
		return;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		section_row(&section, "| `%s` | %s |", errors[i].text, errors[i].meaning);
	section_end(&section);
}

/* As the column `default` tells it. */
static void describe_default(const struct wire_field *field, char *text, size_t size)
{
	size_t n = 0;

	if (field->required) {
		snprintf(text, size, "required");
		return;
	}
	switch (field->kind->base) {
	case WIRE_BOOL:
		snprintf(text, size, "%s", field->def ? "true" : "false");
		break;
	case WIRE_U32:
	case WIRE_U64:
	case WIRE_F64:
		snprintf(text, size, "%" PRIu64, field->def);
		break;
	case WIRE_CHOICE:
		snprintf(text, size, "`%s`", field->kind->choices[field->def]);
		break;
	case WIRE_CHOICES:
		snprintf(text, size, "none");
		for (uint32_t i = 0; field->kind->choices[i] != NULL; i++) {
			if (field->def & UINT64_C(1) << i)
				n += (size_t)snprintf(text + n, size - n, "%s`%s`",
				                      n == 0 ? "" : ", ", field->kind->choices[i]);
		}
		break;
	default:
		snprintf(text, size, "absent");
		break;
	}
}

/* As the column `limit` tells it. */
static void describe_limit(const struct wire_field *field, char *text, size_t size)
{
	enum wire_base base = field->kind->base;
	const char *unit = base == WIRE_U32 || base == WIRE_U64                        ? ""
	                   : base == WIRE_NAME || base == WIRE_STR || base == WIRE_BIN ? " bytes"
	                                                                               : " rows";

	if (field->max == 0)
		snprintf(text, size, " ");
	else
		snprintf(text, size, " %" PRIu64 " to %" PRIu64 "%s ", field->min, field->max,
		         unit);
}

static void check_params(struct section *section, const struct wire_schema *schema)
{
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];
		char def[128], limit[128];

		describe_default(field, def, sizeof(def));
		describe_limit(field, limit, sizeof(limit));
		section_row(section, "| `%s` | %s | %s |%s|", field->name, field->kind->name, def,
		            limit);
	}
}

static void check_result(struct section *section, const struct wire_schema *schema)
{
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];

		section_row(section, "| `%s` | %s%s |", field->name, field->kind->name,
		            field->required ? "" : ", optional");
	}
}

static void check_schema(const char *kind, const char *name, const struct wire_schema *schema)
{
	struct section section;
	char title[128];

	snprintf(title, sizeof(title), "%s `%s`", kind, name);
	if (!section_find(&section, "###", title))
		return;
	check_result(&section, schema);
	section_end(&section);
}

static void check_methods(void)
{
	for (int i = 0; i < WIRE_N_METHODS; i++) {
		const struct wire_method *method = &wire_methods[i];
		struct section section;
		char title[128];

		snprintf(title, sizeof(title), "`%s`", method->name);
		if (!section_find(&section, "###", title))
			continue;
		check_params(&section, &method->params);
		/* The result of `limits` is the table of limits. */
		if (i != WIRE_METHOD_limits)
			check_result(&section, &method->result);
		section_end(&section);
	}
}

static char *read_document(const char *path)
{
	FILE *file = fopen(path, "rb");
	char *text = NULL;
	size_t size = 0;

	if (file == NULL || getdelim(&text, &size, '\0', file) < 0) {
		perror(path);
		exit(1);
	}
	fclose(file);
	return text;
}

int main(int argc, char **argv)
{
	char *text;

	if (argc != 2) {
		fprintf(stderr, "usage: %s PROTOCOL.md\n", argv[0]);
		return 2;
	}
	document = text = read_document(argv[1]);
	check_choices();
	check_limits();
	check_errors();
#define CHECK_ROW(row) check_schema("row", #row, &row##_row_schema);
	WIRE_ROW_LIST(CHECK_ROW)
#undef CHECK_ROW
	check_methods();
	for (int i = 0; i < WIRE_N_EVENTS; i++)
		check_schema("event", wire_events[i].name, &wire_events[i].fields);
	free(text);
	return n_bad == 0 ? 0 : 1;
}
