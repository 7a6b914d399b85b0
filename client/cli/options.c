/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What getopt_long() returns for the option at i: past every letter. */
#define OPTION_VALUE(i) (256 + (i))

/* A number without sign or anything behind it. */
static bool parse_number(const char *text, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end)
		return false;
	*ret = value;
	return true;
}

static bool parse_seconds(const char *text, uint64_t *ret_ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.001) || seconds > (double)(KITH_FOREVER / 1000))
		return false;
	*ret_ms = (uint64_t)(seconds * 1000 + 0.5);
	return true;
}

static bool parse_share(const char *text, double *ret)
{
	char *end;
	double share = strtod(text, &end);

	if (end == text || *end || !(share > 0 && share < 1))
		return false;
	*ret = share;
	return true;
}

static bool parse_include(const char *text, uint64_t *ret)
{
	static const char *const names[] = {"vectors", "texts", "metas", "namespaces"};
	uint64_t include = 0;

	if (strcmp(text, "none") == 0) {
		*ret = 0;
		return true;
	}
	for (;;) {
		size_t n = strcspn(text, ",");
		size_t i = 0;

		while (i < 4 && (strlen(names[i]) != n || strncmp(names[i], text, n) != 0))
			i++;
		if (i == 4)
			return false;
		include |= UINT64_C(1) << i;
		if (text[n] == '\0')
			break;
		text += n + 1;
	}
	*ret = include;
	return true;
}

static bool set_number(const char *name, const struct cli_option *option, const char *text,
                       uint64_t *ret)
{
	uint64_t value;

	if (parse_number(text, &value) && value >= option->min && value <= option->max) {
		*ret = value;
		return true;
	}
	if (option->max == UINT64_MAX)
		fprintf(stderr, "%s: --%s is a number from %llu on, not '%s'\n", name, option->name,
		        (unsigned long long)option->min, text);
	else
		fprintf(stderr, "%s: --%s is a number from %llu to %llu, not '%s'\n", name,
		        option->name, (unsigned long long)option->min,
		        (unsigned long long)option->max, text);
	return false;
}

static bool set_option(const char *name, const struct cli_option *option, char *text,
                       struct cli_args *args)
{
	void *at = (char *)args + option->offset;

	switch (option->kind) {
	case CLI_FLAG:
		*(bool *)at = true;
		return true;
	case CLI_TEXT:
		*(const char **)at = text;
		return true;
	case CLI_NUMBER:
		return set_number(name, option, text, at);
	case CLI_SECONDS:
		if (parse_seconds(text, at))
			return true;
		fprintf(stderr, "%s: --%s is a number of seconds, not '%s'\n", name, option->name,
		        text);
		return false;
	case CLI_SHARE:
		if (parse_share(text, at))
			return true;
		fprintf(stderr, "%s: --%s is a number above 0 and below 1, not '%s'\n", name,
		        option->name, text);
		return false;
	case CLI_INCLUDE:
		if (parse_include(text, at))
			return true;
		fprintf(stderr,
		        "%s: --%s is a list of vectors, texts, metas, namespaces, or none; not "
		        "'%s'\n",
		        name, option->name, text);
		return false;
	}
	return false;
}

/* The option that getopt_long() meant. */
static const struct cli_option *find_option(int value)
{
	for (int i = 0; i < CLI_N_OPTIONS; i++) {
		if (value == OPTION_VALUE(i) ||
		    (cli_options[i].letter && value == cli_options[i].letter))
			return &cli_options[i];
	}
	return NULL;
}

bool cli_parse(const char *name, uint64_t options, int argc, char **argv, bool stop_early,
               struct cli_args *args, int *ret_first)
{
	struct option names[CLI_N_OPTIONS + 1] = {0};
	char letters[2 * CLI_N_OPTIONS + 2];
	size_t n_names = 0, n_letters = 0;
	int value;

	if (stop_early)
		letters[n_letters++] = '+';
	for (int i = 0; i < CLI_N_OPTIONS; i++) {
		const struct cli_option *option = &cli_options[i];
		int has_value = option->value ? required_argument : no_argument;

		if (!(options & CLI_OPTION_BIT(i)))
			continue;
		names[n_names++] = (struct option){option->name, has_value, NULL, OPTION_VALUE(i)};
		if (!option->letter)
			continue;
		letters[n_letters++] = option->letter;
		if (option->value)
			letters[n_letters++] = ':';
	}
	letters[n_letters] = '\0';

	optind = 0; /* anew */
	while ((value = getopt_long(argc, argv, letters, names, NULL)) != -1) {
		const struct cli_option *option = find_option(value);

		if (!option || !set_option(name, option, optarg, args))
			return false;
	}
	*ret_first = optind;
	return true;
}
