/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/demo/roff.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* What \(xx and \[xx] print; other glyphs print as a space. */
static const struct {
	char name[3];
	char printed;
} glyphs[] = {
        {"lq", '"'}, {"rq", '"'},  {"dq", '"'}, {"oq", '\''}, {"cq", '\''}, {"aq", '\''},
        {"ga", '`'}, {"em", '-'},  {"en", '-'}, {"hy", '-'},  {"mi", '-'},  {"ti", '~'},
        {"ha", '^'}, {"rs", '\\'}, {"bu", '*'}, {"sl", '/'},  {"at", '@'},  {"sh", '#'},
};

static char glyph(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(glyphs) / sizeof(*glyphs); i++)
		if (n == 2 && memcmp(name, glyphs[i].name, 2) == 0)
			return glyphs[i].printed;
	return ' ';
}

/* Length of a name at at[0..n): "x", "(xx" or "[...]". */
static size_t name_length(const char *at, size_t n)
{
	const char *end;

	if (n == 0)
		return 0;
	if (at[0] == '(')
		return n < 3 ? n : 3;
	if (at[0] != '[')
		return 1;
	end = memchr(at, ']', n);
	return end ? (size_t)(end - at) + 1 : n;
}

/* Length of what follows \s: a sign and up to two digits. */
static size_t size_length(const char *at, size_t n)
{
	size_t used = n > 0 && (at[0] == '+' || at[0] == '-') ? 1 : 0;

	for (int digits = 0; digits < 2 && used < n && isdigit((unsigned char)at[used]); digits++)
		used++;
	return used;
}

/* The escape whose backslash stands before at[0..n): returns its length, *ret_printed what it
 * prints ('\0': nothing). */
static size_t read_escape(const char *at, size_t n, char *ret_printed)
{
	size_t used;

	*ret_printed = '\0';
	if (n == 0)
		return 0;
	switch (at[0]) {
	case '"':
		return n;
	case '-':
	case '\'':
	case '`':
	case '.':
		*ret_printed = at[0];
		return 1;
	case 'e':
	case '\\':
		*ret_printed = '\\';
		return 1;
	case ' ':
	case '~':
	case '0':
	case 't':
		*ret_printed = ' ';
		return 1;
	case '(':
	case '[':
		used = name_length(at, n);
		*ret_printed = used > 3 ? glyph(at + 1, used - 2) : glyph(at + 1, used - 1);
		return used;
	case 'f':
	case '*':
	case 'n':
		return 1 + name_length(at + 1, n - 1);
	case 's':
		return 1 + size_length(at + 1, n - 1);
	default:
		return 1;
	}
}

/* Where the text of a macro's line begins; n when there is none. */
static size_t skip_macro(const char *line, size_t n)
{
	size_t at = 1;

	if (n < 2 || !isupper((unsigned char)line[1]))
		return n;
	while (at < n && !isspace((unsigned char)line[at]))
		at++;
	while (at < n && isspace((unsigned char)line[at]))
		at++;
	return at;
}

size_t roff_plain_line(char *line, size_t n)
{
	bool is_macro = n > 0 && (line[0] == '.' || line[0] == '\'');
	size_t at = is_macro ? skip_macro(line, n) : 0;
	size_t end = 0;

	while (at < n) {
		char c = line[at++];

		if (c == '\\')
			at += read_escape(line + at, n - at, &c);
		else if (c == '"' && is_macro)
			c = '\0';
		if (c)
			line[end++] = c;
	}
	return end;
}
