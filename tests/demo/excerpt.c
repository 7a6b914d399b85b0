/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/demo/excerpt.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_WORD 32
/* Shorter words are rather "the" than what was asked for. */
#define MIN_WORD 4

/* How many words of the question stand in the line. */
static size_t words_in_common(const char *line, size_t n, const char *question)
{
	char copy[512];
	size_t common = 0;

	n = n < sizeof(copy) - 1 ? n : sizeof(copy) - 1;
	memcpy(copy, line, n);
	copy[n] = '\0';
	while (*question) {
		char word[MAX_WORD + 1];
		size_t n_word = strcspn(question, " ,.?!");

		if (n_word >= MIN_WORD && n_word <= MAX_WORD) {
			memcpy(word, question, n_word);
			word[n_word] = '\0';
			common += strcasestr(copy, word) != NULL;
		}
		question += n_word;
		question += strspn(question, " ,.?!");
	}
	return common;
}

static const char *best_line(const char *text, const char *question)
{
	const char *best = text;
	size_t most = 0;

	while (*text) {
		size_t n = strcspn(text, "\n");
		size_t common = words_in_common(text, n, question);

		if (common > most) {
			most = common;
			best = text;
		}
		text += n + (text[n] == '\n');
	}
	return best;
}

/* The next word and its length; comment signs at the start of a line are no words. */
static const char *next_word(const char *at, size_t *ret_n)
{
	for (;;) {
		at += strspn(at, " \n");
		*ret_n = strcspn(at, " \n");
		if (*ret_n == 0 || strspn(at, "*/#") < *ret_n)
			return at;
		at += *ret_n;
	}
}

void excerpt_print(const char *text, const char *question, const char *indent, size_t width,
                   size_t n_lines)
{
	size_t n;
	const char *word = next_word(best_line(text, question), &n);

	for (size_t line = 0; line < n_lines && n > 0; line++) {
		size_t used = 0;

		fputs(indent, stdout);
		while (n > 0 && (used == 0 || used + 1 + n <= width)) {
			used += (size_t)printf("%s%.*s", used ? " " : "", (int)n, word);
			word = next_word(word + n, &n);
		}
		puts(line + 1 == n_lines && n > 0 ? " ..." : "");
	}
}
