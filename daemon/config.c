/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every value, whether a default, a line of the file or an option, goes through set_value(), so
 * that there is one place that knows what a value may be and one text that names its limit. The
 * options are read first (--config says which file to open) but applied last. Paths stay empty
 * until both have spoken: a default is only worked out, and can only fail, when it is needed.
 */

#include "daemon/config.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/log.h"

enum key_kind {
	KEY_path,
	KEY_uids,
	KEY_level,
	KEY_backend,
	KEY_number
};

struct key {
	enum key_kind kind;
	const char *name;
	const char *default_text;
	uint32_t min, max;
	const char *unit;
	const char *help;
	size_t offset; /* of the member in struct config */
};

#define KEY_ROW(kind, name, def, min, max, unit, help) \
	{KEY_##kind, #name, def, min, max, unit, help, offsetof(struct config, name)},
static const struct key keys[] = {CONFIG_KEYS(KEY_ROW)};
#undef KEY_ROW

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))
/* The longest name and its NUL. */
#define OPTION_NAME_SIZE 32
#define PROBLEM_SIZE 256
#define HELP_COLUMN 28

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const char *const backend_names[] = {"arena", "mmap"};

static int set_path(void *member, const struct key *key, const char *text,
                    char problem[static PROBLEM_SIZE])
{
	size_t length = strlen(text);

	if (length < key->min || length > key->max) {
		snprintf(problem, PROBLEM_SIZE, "a path of %u to %u bytes is wanted, not of %zu",
		         key->min, key->max, length);
		return CONFIG_EXIT_USAGE;
	}
	memcpy(member, text, length + 1);
	return 0;
}

static int set_backend(void *member, const char *text, char problem[static PROBLEM_SIZE])
{
	for (size_t i = 0; i < sizeof(backend_names) / sizeof(backend_names[0]); i++) {
		if (strcmp(text, backend_names[i]) == 0) {
			*(enum config_cache_backend *)member = (enum config_cache_backend)i;
			return 0;
		}
	}
	snprintf(problem, PROBLEM_SIZE, "'%.64s' is not one of arena, mmap", text);
	return CONFIG_EXIT_USAGE;
}

static int set_level(void *member, const char *text, char problem[static PROBLEM_SIZE])
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*(enum config_log_level *)member = (enum config_log_level)i;
			return 0;
		}
	}
	snprintf(problem, PROBLEM_SIZE, "'%.64s' is not one of error, warning, info, debug", text);
	return CONFIG_EXIT_USAGE;
}

static int set_number(void *member, const struct key *key, const char *text,
                      char problem[static PROBLEM_SIZE])
{
	size_t n_digits = strspn(text, "0123456789");
	/* strtoull() alone would take blanks and signs; a number that does not fit comes out as its
	 * largest, which is above every limit. */
	unsigned long long number = strtoull(text, NULL, 10);

	if (n_digits == 0 || text[n_digits] != '\0' || number < key->min || number > key->max) {
		snprintf(problem, PROBLEM_SIZE, "'%.64s' is not a number from %u to %u%s%s", text,
		         key->min, key->max, *key->unit ? " " : "", key->unit);
		return CONFIG_EXIT_USAGE;
	}
	*(uint32_t *)member = (uint32_t)number;
	return 0;
}

static int set_uids(struct config_uids *member, const char *text, char problem[static PROBLEM_SIZE])
{
	/* The largest is how the system says `no user`. */
	static const struct key uid = {.kind = KEY_number, .max = UINT32_MAX - 1, .unit = ""};
	struct config_uids uids = {0};
	char one[16];

	for (text += strspn(text, " \t"); *text; text += strspn(text, " \t")) {
		size_t n = strcspn(text, " \t");

		if (uids.n == CONFIG_UIDS_MAX) {
			snprintf(problem, PROBLEM_SIZE, "more than %d users", CONFIG_UIDS_MAX);
			return CONFIG_EXIT_USAGE;
		}
		/* A number that is cut is still too large. */
		snprintf(one, sizeof(one), "%.*s", (int)(n < sizeof(one) ? n : sizeof(one)), text);
		if (set_number(&uids.uids[uids.n++], &uid, one, problem) != 0)
			return CONFIG_EXIT_USAGE;
		text += n;
	}
	*member = uids;
	return 0;
}

/* CONFIG_EXIT_USAGE fills problem and leaves config as it was. */
static int set_value(struct config *config, const struct key *key, const char *text,
                     char problem[static PROBLEM_SIZE])
{
	void *member = (char *)config + key->offset;

	switch (key->kind) {
	case KEY_path:
		return set_path(member, key, text, problem);
	case KEY_uids:
		return set_uids(member, text, problem);
	case KEY_level:
		return set_level(member, text, problem);
	case KEY_backend:
		return set_backend(member, text, problem);
	case KEY_number:
		return set_number(member, key, text, problem);
	}
	return -EINVAL;
}

/* NULL when it is not set or not an absolute path, which the XDG specification treats alike. */
static const char *env_path(const char *name)
{
	const char *path = getenv(name);

	return path && path[0] == '/' ? path : NULL;
}

/* $xdg/below, else $HOME/home_part/below. -ENOENT when neither is set; -ENAMETOOLONG. */
static int xdg_path(const char *xdg, const char *home_part, const char *below,
                    char ret_path[static CONFIG_PATH_SIZE])
{
	char path[CONFIG_PATH_SIZE];
	const char *base = env_path(xdg);
	const char *home = env_path("HOME");
	int n;

	if (base)
		n = snprintf(path, sizeof(path), "%s/%s", base, below);
	else if (home)
		n = snprintf(path, sizeof(path), "%s/%s/%s", home, home_part, below);
	else
		return -ENOENT;
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(ret_path, path, (size_t)n + 1);
	return 0;
}

/* The default of a folder of ours: the service manager's list of folders comes first. */
static int default_dir(const char *managed, const char *xdg, const char *home_part,
                       char ret_path[static CONFIG_PATH_SIZE])
{
	const char *list = env_path(managed);
	size_t length;

	if (!list)
		return xdg_path(xdg, home_part, "kith", ret_path);
	length = strcspn(list, ":");
	if (length >= CONFIG_PATH_SIZE)
		return -ENAMETOOLONG;
	memcpy(ret_path, list, length);
	ret_path[length] = '\0';
	return 0;
}

static int path_trouble(const char *name, int error)
{
	if (error == 0)
		return 0;
	if (error == -ENOENT)
		log_error("%s: no default, for $HOME is not set", name);
	else
		log_error("%s: the default is too long: %s", name, strerror(-error));
	return CONFIG_EXIT_USAGE;
}

/* Gives the paths that neither the file nor an option named. */
static int set_default_paths(struct config *config)
{
	int r = 0;

	if (config->socket[0] == '\0')
		r = path_trouble("socket", endpoint_path(NULL, config->socket));
	if (r == 0 && config->data_dir[0] == '\0')
		r = path_trouble("data_dir", default_dir("STATE_DIRECTORY", "XDG_DATA_HOME",
		                                         ".local/share", config->data_dir));
	if (r == 0 && config->cache_dir[0] == '\0')
		r = path_trouble("cache_dir", default_dir("CACHE_DIRECTORY", "XDG_CACHE_HOME",
		                                          ".cache", config->cache_dir));
	return r;
}

struct config_file {
	FILE *stream;
	const char *path;
	struct config *config;
	unsigned int line;            /* that the parser is at */
	unsigned int seen_at[N_KEYS]; /* line of each key; 0: not yet */
	unsigned int first_bad_line;  /* that was logged; 0: none */
};

__attribute__((format(printf, 2, 3))) static void line_error(struct config_file *file,
                                                             const char *format, ...)
{
	char text[PROBLEM_SIZE + OPTION_NAME_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_error("%s:%u: %s", file->path, file->line, text);
	if (file->first_bad_line == 0)
		file->first_bad_line = file->line;
}

/* inih neither tells the line to its handler nor notices one that overruns its buffer, so the
 * lines are handed to it here. */
static char *read_line(char *buffer, int size, void *context)
{
	struct config_file *file = context;

	if (!fgets(buffer, size, file->stream))
		return NULL;
	file->line++;
	if (!strchr(buffer, '\n') && !feof(file->stream)) {
		line_error(file, "longer than the limit of %d bytes, or not text", size - 2);
		return NULL;
	}
	return buffer;
}

#define SHARE_PREFIX "collection."
#define SHARE_SUFFIX ".index_cache_mb"

/* Whether the key is "collection.NAME.index_cache_mb"; the name may have dots of its own. */
static bool is_share(const char *name, size_t *ret_n)
{
	size_t n = strlen(name), around = sizeof(SHARE_PREFIX) - 1 + sizeof(SHARE_SUFFIX) - 1;

	if (n <= around || strncmp(name, SHARE_PREFIX, sizeof(SHARE_PREFIX) - 1) != 0 ||
	    strcmp(name + n - (sizeof(SHARE_SUFFIX) - 1), SHARE_SUFFIX) != 0)
		return false;
	*ret_n = n - around;
	return true;
}

static void take_share(struct config_file *file, const char *key, size_t n, const char *text)
{
	static const struct key number = {
	        .kind = KEY_number, .min = 0, .max = 1u << 20, .unit = "MiB"};
	struct config *config = file->config;
	struct config_share *share = &config->shares[config->n_shares];
	char problem[PROBLEM_SIZE];

	if (config->n_shares == CONFIG_SHARES_MAX) {
		line_error(file, "more than %d collections have a share", CONFIG_SHARES_MAX);
		return;
	}
	if (n >= sizeof(share->collection)) {
		line_error(file, "the collection's name is longer than %zu bytes",
		           sizeof(share->collection) - 1);
		return;
	}
	memcpy(share->collection, key + sizeof(SHARE_PREFIX) - 1, n);
	share->collection[n] = '\0';
	if (config_share_bytes(config, share->collection) != UINT64_MAX)
		line_error(file, "%.150s: already given", key);
	else if (set_number(&share->index_cache_mb, &number, text, problem) != 0)
		line_error(file, "%.150s: %s", key, problem);
	else
		config->n_shares++;
}

/* inih's handler: 0 says that the line is bad. */
static int take_line(void *context, const char *section, const char *name, const char *text)
{
	struct config_file *file = context;
	char problem[PROBLEM_SIZE];
	size_t i = 0, n;

	if (*section == '\0' && is_share(name, &n)) {
		take_share(file, name, n, text);
		return file->first_bad_line == 0;
	}
	while (i < N_KEYS && strcmp(name, keys[i].name) != 0)
		i++;
	if (*section != '\0')
		line_error(file, "[%.64s]: there are no sections", section);
	else if (i == N_KEYS)
		line_error(file, "%.64s: no such key", name);
	else if (file->seen_at[i] != 0)
		line_error(file, "%s: already given in line %u", name, file->seen_at[i]);
	else if (keys[i].kind == KEY_path && *text != '\0' && *text != '/')
		line_error(file, "%s: '%.64s' is not an absolute path", name, text);
	else if (set_value(file->config, &keys[i], text, problem) != 0)
		line_error(file, "%s: %s", name, problem);
	if (i < N_KEYS)
		file->seen_at[i] = file->line;
	return file->first_bad_line == 0;
}

static int parse_file(struct config *config, const char *path, FILE *stream)
{
	struct config_file file = {.stream = stream, .path = path, .config = config};
	int bad_line = ini_parse_stream(read_line, &file, take_line, &file);

	if (ferror(stream)) {
		log_error("cannot read %s: %s", path, strerror(errno));
		return CONFIG_EXIT_USAGE;
	}
	if (bad_line < 0)
		return -ENOMEM;
	/* What the handler did not see is what inih could not take apart. */
	if (bad_line > 0 && (unsigned int)bad_line != file.first_bad_line)
		log_error("%s:%d: not a line 'name = value'", path, bad_line);
	return bad_line != 0 || file.first_bad_line != 0 ? CONFIG_EXIT_USAGE : 0;
}

/* Who can write the file says who may connect and where the records are. */
static int check_file(const char *path, FILE *stream)
{
	struct stat status;

	if (fstat(fileno(stream), &status) < 0) {
		log_error("cannot look at %s: %s", path, strerror(errno));
		return CONFIG_EXIT_USAGE;
	}
	if (status.st_uid != geteuid() && status.st_uid != 0) {
		log_error("%s belongs to uid %u, not to this user or root", path,
		          (unsigned)status.st_uid);
		return CONFIG_EXIT_USAGE;
	}
	if (S_ISREG(status.st_mode) && (status.st_mode & 022)) {
		log_error("%s can be written by others: chmod go-w", path);
		return CONFIG_EXIT_USAGE;
	}
	return 0;
}

/* path: NULL for the usual place, where it may be absent. */
static int load_file(struct config *config, const char *path)
{
	char usual[CONFIG_PATH_SIZE];
	FILE *stream;
	int r;

	if (!path) {
		r = xdg_path("XDG_CONFIG_HOME", ".config", "kith/kith.conf", usual);
		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return path_trouble("config", r);
	}
	stream = fopen(path ? path : usual, "re");
	if (!stream && !path && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (!stream) {
		log_error("cannot open %s: %s", path ? path : usual, strerror(errno));
		return CONFIG_EXIT_USAGE;
	}
	r = check_file(path ? path : usual, stream);
	if (r == 0)
		r = parse_file(config, path ? path : usual, stream);
	fclose(stream);
	return r;
}

enum {
	OPTION_CONFIG = 'c',
	OPTION_HELP = 'h',
	OPTION_VERSION = 'V',
	OPTION_KEYS = 256 /* + index in keys[]; above every character */
};

struct options {
	const char *config_path;
	const char *values[N_KEYS]; /* NULL: not given */
};

static void option_name(char ret_name[static OPTION_NAME_SIZE], const struct key *key)
{
	snprintf(ret_name, OPTION_NAME_SIZE, "%s", key->name);
	for (char *c = ret_name; *c != '\0'; c++) {
		if (*c == '_')
			*c = '-';
	}
}

static void print_key(const struct key *key)
{
	static const char *const values[] = {[KEY_path] = "PATH",
	                                     [KEY_uids] = "UIDS",
	                                     [KEY_level] = "LEVEL",
	                                     [KEY_backend] = "BACKEND",
	                                     [KEY_number] = "N"};
	char name[OPTION_NAME_SIZE];
	int used;

	option_name(name, key);
	used = printf("  --%s %s", name, values[key->kind]);
	printf("%*s%s [%s", used < HELP_COLUMN ? HELP_COLUMN - used : 1, "", key->help,
	       key->default_text);
	if (key->kind == KEY_number)
		printf(", %u to %u%s%s", key->min, key->max, *key->unit ? " " : "", key->unit);
	else if (key->kind == KEY_level)
		printf("; error, warning, info or debug");
	else if (key->kind == KEY_uids)
		printf("none; at most %u", key->max);
	else if (key->kind == KEY_backend)
		printf("; arena or mmap");
	printf("]\n");
}

static void print_help(void)
{
	printf("Usage: kithd [OPTION]...\n"
	       "The nearest-neighbour memory that all programs of a user share.\n\n");
	for (size_t i = 0; i < N_KEYS; i++)
		print_key(&keys[i]);
	printf("%-*s%s\n", HELP_COLUMN, "  --config FILE",
	       "the config file [$XDG_CONFIG_HOME/kith/kith.conf]");
	printf("%-*s%s\n", HELP_COLUMN, "  --help, -h", "print this and exit");
	printf("%-*s%s\n", HELP_COLUMN, "  --version, -V", "print the version and exit");
	printf("\nEach option but the last three is also a key of the config file, written with\n"
	       "underscores: see kith.conf(5). In brackets: default and limits.\n");
}

/* What getopt_long() stopped at. It leaves 0 in optopt for an unknown long option; -h and -V exist,
 * so that with them only --help=x and its like come here. */
static int option_error(char **argv, bool wants_value)
{
	const char *word = argv[optind - 1];

	if (wants_value)
		log_error("%s: a value is missing; see kithd --help", word);
	else if (optopt == OPTION_HELP || optopt == OPTION_VERSION)
		log_error("%s: takes no value; see kithd --help", word);
	else if (optopt != 0)
		log_error("-%c: no such option; see kithd --help", optopt);
	else
		log_error("%s: no such option; see kithd --help", word);
	return CONFIG_EXIT_USAGE;
}

static int read_options(struct options *options, int argc, char **argv)
{
	char names[N_KEYS][OPTION_NAME_SIZE];
	struct option table[N_KEYS + 4] = {
	        [N_KEYS] = {"config", required_argument, NULL, OPTION_CONFIG},
	        [N_KEYS + 1] = {"help", no_argument, NULL, OPTION_HELP},
	        [N_KEYS + 2] = {"version", no_argument, NULL, OPTION_VERSION}};
	int c;

	for (size_t i = 0; i < N_KEYS; i++) {
		option_name(names[i], &keys[i]);
		table[i] = (struct option){names[i], required_argument, NULL, OPTION_KEYS + (int)i};
	}
	optind = 0; /* starts over, with every libc: tests parse more than once */
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":hV", table, NULL)) != -1) {
		if (c >= OPTION_KEYS) {
			options->values[c - OPTION_KEYS] = optarg;
			continue;
		}
		switch (c) {
		case OPTION_CONFIG:
			options->config_path = optarg;
			break;
		case OPTION_HELP:
			print_help();
			return CONFIG_EXIT_OK;
		case OPTION_VERSION:
			printf("kithd %s\n", KITH_VERSION);
			return CONFIG_EXIT_OK;
		default:
			return option_error(argv, c == ':');
		}
	}
	if (optind < argc) {
		log_error("%s: kithd takes options only; see kithd --help", argv[optind]);
		return CONFIG_EXIT_USAGE;
	}
	return 0;
}

static int apply_options(struct config *config, const struct options *options)
{
	char name[OPTION_NAME_SIZE];
	char problem[PROBLEM_SIZE];

	for (size_t i = 0; i < N_KEYS; i++) {
		if (!options->values[i] ||
		    set_value(config, &keys[i], options->values[i], problem) == 0)
			continue;
		option_name(name, &keys[i]);
		log_error("--%s: %s", name, problem);
		return CONFIG_EXIT_USAGE;
	}
	return 0;
}

static int set_defaults(struct config *config)
{
	char problem[PROBLEM_SIZE];
	int r = 0;

	memset(config, 0, sizeof(*config));
	for (size_t i = 0; i < N_KEYS && r == 0; i++) {
		if (keys[i].kind != KEY_path)
			r = set_value(config, &keys[i], keys[i].default_text, problem);
	}
	return r;
}

uint64_t config_share_bytes(const struct config *config, const char *collection)
{
	for (uint32_t i = 0; i < config->n_shares; i++) {
		if (strcmp(config->shares[i].collection, collection) == 0)
			return (uint64_t)config->shares[i].index_cache_mb << 20;
	}
	return UINT64_MAX;
}

int config_load(struct config *config, int argc, char **argv)
{
	struct options options = {0};
	struct config loaded;
	int r;

	r = read_options(&options, argc, argv);
	if (r == 0)
		r = set_defaults(&loaded);
	if (r == 0)
		r = load_file(&loaded, options.config_path);
	if (r == 0)
		r = apply_options(&loaded, &options);
	if (r == 0)
		r = set_default_paths(&loaded);
	if (r == 0)
		*config = loaded;
	return r;
}
