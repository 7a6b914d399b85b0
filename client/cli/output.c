/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/output.h"

#include "client/cli/json.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#define DEFAULT_WIDTH 80
#define GAP 2
/* Of a text that others stand behind. */
#define MIDDLE_WIDTH 40u

/* Numbers. ------------------------------------------------------------------------------------ */

char *output_count(uint64_t n, char cell[static OUTPUT_CELL_SIZE])
{
	char digits[24];
	int n_digits = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	char *at = cell;

	for (int i = 0; i < n_digits; i++) {
		if (i > 0 && (n_digits - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return cell;
}

char *output_bytes(uint64_t n, char cell[static OUTPUT_CELL_SIZE])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double value = (double)n / 1024;
	size_t unit = 0;

	if (n < 1024) {
		snprintf(cell, OUTPUT_CELL_SIZE, "%u B", (unsigned)n);
		return cell;
	}
	while (value >= 1024 && unit < 3) {
		value /= 1024;
		unit++;
	}
	snprintf(cell, OUTPUT_CELL_SIZE, "%.1f %s", value, units[unit]);
	return cell;
}

char *output_duration(double us, char cell[static OUTPUT_CELL_SIZE])
{
	uint64_t seconds = (uint64_t)(us / 1e6);

	if (us < 1000)
		snprintf(cell, OUTPUT_CELL_SIZE, "%.0f us", us);
	else if (us < 1e6)
		snprintf(cell, OUTPUT_CELL_SIZE, "%.2f ms", us / 1e3);
	else if (us < 60e6)
		snprintf(cell, OUTPUT_CELL_SIZE, "%.2f s", us / 1e6);
	else if (seconds < 86400)
		snprintf(cell, OUTPUT_CELL_SIZE, "%u:%02u:%02u", (unsigned)(seconds / 3600),
		         (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
	else
		snprintf(cell, OUTPUT_CELL_SIZE, "%u days", (unsigned)(seconds / 86400));
	return cell;
}

char *output_share(double share, char cell[static OUTPUT_CELL_SIZE])
{
	/* What is a fraction in tenths of a thousand stays it; the doubles near it are less. */
	uint64_t parts = share > 0 ? (uint64_t)(share * 1e4 + 1e-6) : 0;

	if (share < 1 && parts > 9999)
		parts = 9999;
	snprintf(cell, OUTPUT_CELL_SIZE, "%.4g%%", (double)(parts < 10000 ? parts : 10000) / 100);
	return cell;
}

char *output_time(uint64_t ms, char cell[static OUTPUT_CELL_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (!localtime_r(&seconds, &tm) ||
	    strftime(cell, OUTPUT_CELL_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(cell, OUTPUT_CELL_SIZE, "%llu ms", (unsigned long long)ms);
	return cell;
}

/* Tables. ------------------------------------------------------------------------------------- */

struct cell {
	char *text; /* owned; NULL when memory ran out: shown empty */
	uint32_t width;
};

struct table {
	struct cell *cells;
	size_t n, size;
	uint32_t n_columns;
	bool whole; /* nothing is cut */
	uint32_t *widths;
	bool *right; /* the column is of numbers */
	bool *kept;  /* the column is not cut */
};

/* Controls, and what turns the direction of writing around. */
static bool is_shown(wchar_t c)
{
	if ((c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return false;
	return wcwidth(c) >= 0;
}

/* The next character, and how many bytes it took; bytes that are not text of the locale are '?'. */
static size_t next_character(const char *data, size_t n, wchar_t *ret)
{
	mbstate_t state = {0};
	size_t used = mbrtowc(ret, data, n, &state);

	if (used > 0 && used <= n)
		return used;
	*ret = used == 0 ? L' ' : L'?';
	return 1;
}

/* Copies what can be shown of n bytes, white space as one space, and measures it; stops where it
 * would be wider than max. */
static char *make_visible(const char *data, size_t n, uint32_t max, uint32_t *ret_width)
{
	char *text = malloc(n + 1), *at = text;
	uint32_t width = 0;
	bool space = false;

	for (size_t used = 0; text && n > 0; data += used, n -= used) {
		wchar_t c;
		uint32_t columns;
		bool shown;

		used = next_character(data, n, &c);
		if (iswspace((wint_t)c)) {
			space = at > text;
			continue;
		}
		shown = is_shown(c) && (c != L'?' || *data == '?');
		columns = shown ? (uint32_t)wcwidth(c) : 1;
		if (width + space + columns > max)
			break;
		if (space)
			*at++ = ' ';
		width += space + columns;
		space = false;
		if (shown)
			at = mempcpy(at, data, used);
		else
			*at++ = '?';
	}
	if (text)
		*at = '\0';
	*ret_width = width;
	return text;
}

struct table *table_new(uint32_t n_columns, const char *const titles[])
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->n_columns = n_columns;
	table->whole = !titles;
	table->widths = calloc(n_columns, sizeof(*table->widths));
	table->right = calloc(n_columns, sizeof(*table->right));
	table->kept = calloc(n_columns, sizeof(*table->kept));
	if (!table->widths || !table->right || !table->kept) {
		free(table->widths);
		free(table->right);
		free(table->kept);
		free(table);
		return NULL;
	}
	for (uint32_t i = 0; titles && i < n_columns; i++) {
		table->right[i] = titles[i][0] == '>';
		table->kept[i] = table->right[i] || titles[i][0] == '=';
		table_text(table, titles[i] + table->kept[i]);
	}
	return table;
}

/* Leaves what fits in so many columns, three dots at its end included: they take no more room than
 * what they stand for. Where even they do not fit, nothing is left. */
static void cut(struct cell *cell, uint32_t room)
{
	static const char dots[] = "...";
	uint32_t width = 0;
	char *text;

	text = cell->text && room > 3
	               ? make_visible(cell->text, strlen(cell->text), room - 3, &width)
	               : NULL;
	if (text) {
		memcpy(cell->text + strlen(text), dots, sizeof(dots));
		cell->width = width + 3;
	} else if (cell->text) {
		cell->text[0] = '\0';
		cell->width = 0;
	}
	free(text);
}

/* Also when memory runs out the columns stay in step: the cell is there, empty. */
static void add_cell(struct table *table, const char *data, size_t n)
{
	size_t column = table->n % table->n_columns;
	struct cell *cell;

	if (table->n == table->size) {
		size_t size = table->size ? 2 * table->size : 64;
		struct cell *cells = realloc(table->cells, size * sizeof(*cells));

		if (!cells)
			return;
		table->cells = cells;
		table->size = size;
	}
	cell = &table->cells[table->n++];
	cell->text = make_visible(data, n, UINT32_MAX / 2, &cell->width);
	if (cell->width > MIDDLE_WIDTH && !table->whole && !table->kept[column] &&
	    column + 1 < table->n_columns)
		cut(cell, MIDDLE_WIDTH);
	if (cell->width > table->widths[column])
		table->widths[column] = cell->width;
}

void table_text(struct table *table, const char *text)
{
	add_cell(table, text, strlen(text));
}

void table_str(struct table *table, struct kith_str str)
{
	add_cell(table, str.data ? str.data : "", str.data ? str.n : 0);
}

void table_format(struct table *table, const char *format, ...)
{
	char cell[256];
	va_list args;

	va_start(args, format);
	vsnprintf(cell, sizeof(cell), format, args);
	va_end(args);
	table_text(table, cell);
}

static uint32_t terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return DEFAULT_WIDTH;
}

void table_meta(struct table *table, const struct kith_meta *meta)
{
	json_t *object = meta->data ? json_from_meta(meta) : NULL;
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	table_text(table, text ? text : "");
	free(text);
	json_decref(object);
}

void table_print(struct table *table)
{
	uint32_t room = terminal_width(), last = table->n_columns - 1;

	for (uint32_t i = 0; i < last; i++)
		room -= room > table->widths[i] + GAP ? table->widths[i] + GAP : room;
	for (size_t i = 0; i < table->n; i++) {
		struct cell *cell = &table->cells[i];
		uint32_t column = (uint32_t)(i % table->n_columns);
		int pad = (int)(table->widths[column] - cell->width);
		const char *text;

		if (column == last && cell->width > room && !table->whole && !table->kept[column])
			cut(cell, room);
		text = cell->text ? cell->text : "";
		if (table->right[column])
			printf("%*s%s", pad, "", text);
		else
			printf("%s%*s", text, column < last ? pad : 0, "");
		if (column < last)
			printf("%*s", GAP, "");
		else
			putchar('\n');
	}
	for (size_t i = 0; i < table->n; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table->widths);
	free(table->right);
	free(table->kept);
	free(table);
}
