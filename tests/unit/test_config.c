/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/config.h"

#define MAX_ARGS 16

/* A home of the test's own, with what config_load() said last. */
struct home {
	char dir[256];
	char said[4096];
};

static void set_env(const char *name, const char *value)
{
	assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static int home_setup(void **state)
{
	struct home *home = calloc(1, sizeof(*home));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(home);
	snprintf(home->dir, sizeof(home->dir), "%s/kith-config-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(home->dir));
	set_env("HOME", "/nonexistent");
	set_env("XDG_CONFIG_HOME", home->dir);
	set_env("XDG_DATA_HOME", NULL);
	set_env("XDG_CACHE_HOME", NULL);
	set_env("XDG_RUNTIME_DIR", "/run/user/7");
	set_env("KITH_SOCKET", NULL);
	set_env("STATE_DIRECTORY", NULL);
	set_env("CACHE_DIRECTORY", NULL);
	*state = home;
	return 0;
}

static int home_teardown(void **state)
{
	struct home *home = *state;
	char path[512];

	snprintf(path, sizeof(path), "%s/kith/kith.conf", home->dir);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/kith", home->dir);
	(void)rmdir(path);
	snprintf(path, sizeof(path), "%s/said", home->dir);
	(void)unlink(path);
	assert_int_equal(rmdir(home->dir), 0);
	free(home);
	return 0;
}

/* Writes the config file at the usual place. */
static void write_conf(struct home *home, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/kith", home->dir);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/kith/kith.conf", home->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Runs config_load() with stdout and stderr going to home->said. args ends with NULL. */
static int load(struct home *home, struct config *config, char **args)
{
	char path[512];
	char *argv[MAX_ARGS + 2] = {"kithd"};
	int argc = 1;
	int out, err, fd, r;
	ssize_t n;

	for (; args && args[argc - 1]; argc++) {
		assert_true(argc <= MAX_ARGS);
		argv[argc] = args[argc - 1];
	}
	snprintf(path, sizeof(path), "%s/said", home->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	fflush(stdout);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	r = config_load(config, argc, argv);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	n = pread(fd, home->said, sizeof(home->said) - 1, 0);
	assert_true(n >= 0);
	home->said[n] = '\0';
	close(fd);
	return r;
}

#define ARGS(...) ((char *[]){__VA_ARGS__, NULL})

/* The load is refused and says this. */
static void assert_refused(struct home *home, char **args, const char *said)
{
	struct config config;

	assert_int_equal(load(home, &config, args), CONFIG_EXIT_USAGE);
	if (!strstr(home->said, said))
		fail_msg("wanted '%s' in: %s", said, home->said);
}

static void defaults_are_the_table_and_the_xdg_folders(void **state)
{
	struct config config;

	assert_int_equal(load(*state, &config, NULL), 0);
	assert_string_equal(config.socket, "/run/user/7/kith/kith.sock");
	assert_string_equal(config.data_dir, "/nonexistent/.local/share/kith");
	assert_string_equal(config.cache_dir, "/nonexistent/.cache/kith");
	assert_int_equal(config.log_level, CONFIG_LOG_INFO);
	assert_int_equal(config.index_cache_mb, 256);
	assert_int_equal(config.metadata_cache_mb, 64);
	assert_int_equal(config.inflight_mb, 64);
	assert_int_equal(config.interactive_threads, 0);
	assert_int_equal(config.write_threads, 2);
	assert_int_equal(config.background_threads, 0);
}

static void xdg_variables_move_the_folders_unless_they_are_relative(void **state)
{
	struct config config;

	set_env("XDG_DATA_HOME", "/tmp/data");
	set_env("XDG_CACHE_HOME", "relative");
	assert_int_equal(load(*state, &config, NULL), 0);
	assert_string_equal(config.data_dir, "/tmp/data/kith");
	assert_string_equal(config.cache_dir, "/nonexistent/.cache/kith");
}

static void the_service_managers_folders_come_before_xdg(void **state)
{
	struct config config;

	set_env("XDG_DATA_HOME", "/tmp/data");
	set_env("STATE_DIRECTORY", "/var/lib/kith:/var/lib/other");
	set_env("CACHE_DIRECTORY", "/var/cache/kith");
	assert_int_equal(load(*state, &config, NULL), 0);
	assert_string_equal(config.data_dir, "/var/lib/kith");
	assert_string_equal(config.cache_dir, "/var/cache/kith");
}

static void a_home_is_needed_only_for_a_path_that_nobody_named(void **state)
{
	struct config config;

	set_env("HOME", NULL);
	assert_refused(*state, ARGS("--cache-dir=/tmp/c"), "data_dir: no default");
	assert_refused(*state, ARGS("--data-dir=/tmp/d"), "cache_dir: no default");
	assert_int_equal(load(*state, &config, ARGS("--cache-dir=/tmp/c", "--data-dir=/tmp/d")), 0);
	set_env("XDG_CONFIG_HOME", NULL);
	assert_int_equal(load(*state, &config, ARGS("--cache-dir=/tmp/c", "--data-dir=/tmp/d")), 0);
}

static void the_file_overrides_defaults_and_options_override_the_file(void **state)
{
	struct config config;

	write_conf(*state, "# a comment\n"
	                   "; another\n"
	                   "\n"
	                   "index_cache_mb = 512\n"
	                   "write_threads=4 ; inline\n"
	                   "log_level = debug\n"
	                   "data_dir = /tmp/from the file\n"
	                   "socket = /tmp/s.sock\n");
	assert_int_equal(load(*state, &config, ARGS("--write-threads", "8", "--socket=rel.sock")),
	                 0);
	assert_int_equal(config.index_cache_mb, 512);
	assert_int_equal(config.write_threads, 8);
	assert_int_equal(config.log_level, CONFIG_LOG_DEBUG);
	assert_string_equal(config.data_dir, "/tmp/from the file");
	assert_string_equal(config.socket, "rel.sock");
}

static void of_an_option_given_twice_the_last_counts(void **state)
{
	struct config config;

	assert_int_equal(load(*state, &config, ARGS("--inflight-mb=40", "--inflight-mb=50")), 0);
	assert_int_equal(config.inflight_mb, 50);
}

static void a_named_file_is_read_and_must_exist(void **state)
{
	struct home *home = *state;
	struct config config;
	char path[512];

	write_conf(home, "write_threads = 3\n");
	snprintf(path, sizeof(path), "%s/kith/kith.conf", home->dir);
	set_env("XDG_CONFIG_HOME", NULL);
	assert_int_equal(load(home, &config, ARGS("--config", path)), 0);
	assert_int_equal(config.write_threads, 3);
	assert_refused(home, ARGS("--config=/nonexistent/kith.conf"),
	               "cannot open /nonexistent/kith.conf: No such file");
	assert_refused(home, ARGS("--config", home->dir), "cannot read ");
}

static void bad_lines_are_named_with_file_line_key_and_limit(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
	        {"\nindex_cache = 5\n", "kith.conf:2: index_cache: no such key"},
	        {"index-cache-mb = 5\n", "kith.conf:1: index-cache-mb: no such key"},
	        {"inflight_mb = 31\n", "kith.conf:1: inflight_mb: '31' is not a number from 32 to "
	                               "16384 MiB"},
	        {"\n\nwrite_threads = two\n", "kith.conf:3: write_threads: 'two' is not a number"},
	        {"write_threads =\n", "kith.conf:1: write_threads: '' is not a number"},
	        {"log_level = loud\n",
	         "kith.conf:1: log_level: 'loud' is not one of error, warning"},
	        {"cache_backend = disk\n",
	         "kith.conf:1: cache_backend: 'disk' is not one of arena, mmap"},
	        {"collection.notes.index_cache_mb = x\n",
	         "kith.conf:1: collection.notes.index_cache_mb: 'x' is not a number from 0 to "
	         "1048576 MiB"},
	        {"collection.a.index_cache_mb = 1\ncollection.a.index_cache_mb = 2\n",
	         "kith.conf:2: collection.a.index_cache_mb: already given"},
	        {"collection..index_cache_mb = 1\n",
	         "kith.conf:1: collection..index_cache_mb: no such key"},
	        {"allow_uids = 7 seven\n",
	         "kith.conf:1: allow_uids: 'seven' is not a number from 0 to 4294967294"},
	        {"allow_uids = 4294967295\n", "kith.conf:1: allow_uids: '4294967295' is not"},
	        {"allow_uids = 99999999999999999999\n", "kith.conf:1: allow_uids: '9999999999"},
	        {"allow_uids = 1,2\n", "kith.conf:1: allow_uids: '1,2' is not"},
	        {"data_dir = here\n", "kith.conf:1: data_dir: 'here' is not an absolute path"},
	        {"data_dir =\n", "kith.conf:1: data_dir: a path of 1 to 1023 bytes is wanted"},
	        {"[kithd]\nwrite_threads = 2\n", "kith.conf:2: [kithd]: there are no sections"},
	        {"write_threads = 1\n\nwrite_threads = 2\n",
	         "kith.conf:3: write_threads: already given in line 1"},
	        {"write_threads = 1\nnonsense\n", "kith.conf:2: not a line 'name = value'"},
	        {"[open\n", "kith.conf:1: not a line 'name = value'"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_conf(*state, cases[i].text);
		assert_refused(*state, NULL, cases[i].said);
	}
}

static void collections_have_shares_of_the_index_cache(void **state)
{
	struct home *home = *state;
	struct config config;
	char line[400], name[131];

	write_conf(home, "cache_backend = mmap\n"
	                 "collection.notes.index_cache_mb = 3\n"
	                 "collection.my.mails 2026.index_cache_mb = 0\n");
	assert_int_equal(load(home, &config, NULL), 0);
	assert_int_equal(config.cache_backend, CONFIG_CACHE_MMAP);
	assert_int_equal(config_share_bytes(&config, "notes"), 3u << 20);
	assert_int_equal(config_share_bytes(&config, "my.mails 2026"), 0);
	assert_int_equal(config_share_bytes(&config, "note"), UINT64_MAX);
	/* The longest name, and one more. */
	memset(name, 'n', 130);
	name[128] = '\0';
	snprintf(line, sizeof(line), "collection.%s.index_cache_mb = 1\n", name);
	write_conf(home, line);
	assert_int_equal(load(home, &config, NULL), 0);
	assert_int_equal(config_share_bytes(&config, name), 1u << 20);
	memset(name, 'n', 130);
	name[129] = '\0';
	snprintf(line, sizeof(line), "collection.%s.index_cache_mb = 1\n", name);
	write_conf(home, line);
	assert_refused(home, NULL, "kith.conf:1: the collection's name is longer than 128 bytes");
}

static void guests_are_up_to_sixteen_numbers(void **state)
{
	struct home *home = *state;
	struct config config;
	char list[64] = "";

	assert_int_equal(load(home, &config, NULL), 0);
	assert_int_equal(config.allow_uids.n, 0);
	write_conf(home, "allow_uids = 1001  0 4294967294\n");
	assert_int_equal(load(home, &config, NULL), 0);
	assert_int_equal(config.allow_uids.n, 3);
	assert_int_equal(config.allow_uids.uids[0], 1001);
	assert_int_equal(config.allow_uids.uids[2], 4294967294);
	assert_int_equal(load(home, &config, ARGS("--allow-uids=")), 0);
	assert_int_equal(config.allow_uids.n, 0);
	for (int i = 0; i < CONFIG_UIDS_MAX; i++)
		strcat(list, "7 ");
	assert_int_equal(load(home, &config, ARGS("--allow-uids", list)), 0);
	assert_int_equal(config.allow_uids.n, CONFIG_UIDS_MAX);
	strcat(list, "7");
	assert_refused(home, ARGS("--allow-uids", list), "--allow-uids: more than 16 users");
}

static void a_file_that_others_can_write_is_refused(void **state)
{
	static const mode_t open_modes[] = {0620, 0602, 0666}, closed_modes[] = {0600, 0644, 0444};
	struct home *home = *state;
	struct config config;
	char path[512];

	write_conf(home, "write_threads = 3\n");
	snprintf(path, sizeof(path), "%s/kith/kith.conf", home->dir);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(chmod(path, open_modes[i]), 0);
		assert_refused(home, NULL, "kith.conf can be written by others");
		assert_int_equal(chmod(path, closed_modes[i]), 0);
		assert_int_equal(load(home, &config, NULL), 0);
	}
	/* Only root can give a file away to try this. */
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 0), 0);
		assert_refused(home, NULL, "belongs to uid 12345, not to this user or root");
	}
}

static void every_bad_line_is_named_in_one_go(void **state)
{
	struct home *home = *state;

	write_conf(home, "nonsense\nnobody = 1\nwrite_threads = 0\n");
	assert_refused(home, NULL, "kith.conf:1: not a line");
	assert_non_null(strstr(home->said, "kith.conf:2: nobody: no such key"));
	assert_non_null(strstr(home->said, "kith.conf:3: write_threads: '0' is not"));
}

static void a_line_over_the_parsers_limit_is_refused_not_split(void **state)
{
	char text[400];

	/* Split in two, the tail would be read as a key of its own. */
	memset(text, 'x', sizeof(text));
	memcpy(text, "data_dir = /", 12);
	memcpy(text + 197, "\nwrite_threads = 5\n", 20);
	write_conf(*state, text);
	assert_int_equal(load(*state, &(struct config){0}, NULL), 0);
	memset(text + 197, 'x', 20);
	memcpy(text + 199, "write_threads = 5\n", 19);
	write_conf(*state, text);
	assert_refused(*state, NULL, "kith.conf:1: longer than the limit of 198 bytes");
}

static void a_file_of_zero_bytes_in_a_line_is_refused(void **state)
{
	struct home *home = *state;
	char path[512];
	int fd;

	write_conf(home, "");
	snprintf(path, sizeof(path), "%s/kith/kith.conf", home->dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "write_threads = 5\0 6\nwrite_threads = 7\n", 39), 39);
	close(fd);
	assert_refused(home, NULL, "kith.conf:1: longer than");
}

static void numbers_are_taken_at_their_limits_and_refused_beyond(void **state)
{
	struct config config;

#define LIMITS_path(name, min, max)
#define LIMITS_uids(name, min, max)
#define LIMITS_level(name, min, max)
#define LIMITS_backend(name, min, max)
#define LIMITS_number(name, min, max) {#name, offsetof(struct config, name), min, max},
#define LIMITS(kind, name, def, min, max, unit, help) LIMITS_##kind(name, min, max)
	static const struct {
		const char *name;
		size_t offset;
		uint32_t min, max;
	} numbers[] = {CONFIG_KEYS(LIMITS)};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const uint32_t at[] = {numbers[i].min, numbers[i].max};
		const long long beyond[] = {(long long)numbers[i].min - 1,
		                            (long long)numbers[i].max + 1};
		char line[128];

		for (size_t j = 0; j < 2; j++) {
			snprintf(line, sizeof(line), "%s = %u\n", numbers[i].name, at[j]);
			write_conf(*state, line);
			assert_int_equal(load(*state, &config, NULL), 0);
			assert_int_equal(*(uint32_t *)((char *)&config + numbers[i].offset), at[j]);
			snprintf(line, sizeof(line), "%s = %lld\n", numbers[i].name, beyond[j]);
			write_conf(*state, line);
			assert_refused(*state, NULL, numbers[i].name);
		}
	}
}

static void numbers_are_plain_decimals(void **state)
{
	static char *const bad[] = {
	        "--index-cache-mb=",    "--index-cache-mb=+5",
	        "--index-cache-mb= 5",  "--index-cache-mb=5 ",
	        "--index-cache-mb=0x5", "--index-cache-mb=5MiB",
	        "--index-cache-mb=1e3", "--index-cache-mb=18446744073709551617"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(*state, ARGS(bad[i]), "is not a number from 0 to 1048576 MiB");
}

static void paths_are_taken_at_their_limit_and_refused_beyond(void **state)
{
	char option[CONFIG_PATH_SIZE + 32];
	struct config config;

	memset(option, 'p', sizeof(option));
	memcpy(option, "--socket=/", 10);
	option[9 + ENDPOINT_PATH_SIZE - 1] = '\0';
	assert_int_equal(load(*state, &config, ARGS(option)), 0);
	assert_string_equal(config.socket, option + 9);
	option[9 + ENDPOINT_PATH_SIZE - 1] = 'p';
	option[9 + ENDPOINT_PATH_SIZE] = '\0';
	assert_refused(*state, ARGS(option),
	               "--socket: a path of 1 to 107 bytes is wanted, not of 108");

	memset(option, 'p', sizeof(option));
	memcpy(option, "--data-dir=/", 12);
	option[11 + CONFIG_PATH_SIZE - 1] = '\0';
	assert_int_equal(load(*state, &config, ARGS(option)), 0);
	assert_string_equal(config.data_dir, option + 11);
	option[11 + CONFIG_PATH_SIZE - 1] = 'p';
	option[11 + CONFIG_PATH_SIZE] = '\0';
	assert_refused(*state, ARGS(option), "--data-dir: a path of 1 to 1023 bytes is wanted");
}

static void a_default_path_over_its_limit_is_refused(void **state)
{
	char home[CONFIG_PATH_SIZE + 8];

	memset(home, 'h', sizeof(home));
	home[0] = '/';
	home[CONFIG_PATH_SIZE - 2] = '\0';
	set_env("XDG_DATA_HOME", home);
	assert_refused(*state, NULL, "data_dir: the default is too long");
	set_env("XDG_DATA_HOME", NULL);
	home[CONFIG_PATH_SIZE - 2] = 'h';
	home[CONFIG_PATH_SIZE] = '\0';
	set_env("STATE_DIRECTORY", home);
	assert_refused(*state, NULL, "data_dir: the default is too long");
	set_env("STATE_DIRECTORY", NULL);
	home[ENDPOINT_PATH_SIZE] = '\0';
	set_env("KITH_SOCKET", home);
	assert_refused(*state, NULL, "socket: the default is too long");
}

static void bad_options_are_named(void **state)
{
	assert_refused(*state, ARGS("--nonsense"), "--nonsense: no such option");
	assert_refused(*state, ARGS("--nonsense=5"), "--nonsense=5: no such option");
	assert_refused(*state, ARGS("-x"), "-x: no such option");
	assert_refused(*state, ARGS("--socket"), "--socket: a value is missing");
	assert_refused(*state, ARGS("--help=all"), "--help=all: takes no value");
	assert_refused(*state, ARGS("start"), "start: kithd takes options only");
	assert_refused(*state, ARGS("--log-level=loud"), "--log-level: 'loud' is not one of");
	assert_refused(*state, ARGS("--write-threads=17"),
	               "--write-threads: '17' is not a number from 1 to 16");
}

static void a_failed_load_leaves_the_config_alone(void **state)
{
	struct config config, before;

	memset(&config, 0x5a, sizeof(config));
	memcpy(&before, &config, sizeof(config));
	assert_int_equal(load(*state, &config, ARGS("--write-threads=4", "--inflight-mb=1")),
	                 CONFIG_EXIT_USAGE);
	assert_memory_equal(&config, &before, sizeof(config));
}

static void help_names_every_option_with_its_default(void **state)
{
	struct home *home = *state;
	struct config config;
	char name[64];

#define HELP(kind, key, def, min, max, unit, text) {#key, def, text},
	static const struct {
		const char *name, *def, *help;
	} keys[] = {CONFIG_KEYS(HELP)};

	/* Nothing is checked before it: a broken file must not keep the help away. */
	write_conf(home, "nonsense\n");
	assert_int_equal(load(home, &config, ARGS("--help")), CONFIG_EXIT_OK);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char wanted[256];

		snprintf(name, sizeof(name), "%s", keys[i].name);
		for (char *c = name; *c; c++)
			*c = *c == '_' ? '-' : *c;
		snprintf(wanted, sizeof(wanted), "\n  --%s ", name);
		assert_non_null(strstr(home->said, wanted));
		snprintf(wanted, sizeof(wanted), "%s [%s", keys[i].help, keys[i].def);
		assert_non_null(strstr(home->said, wanted));
	}
	assert_int_equal(load(home, &config, ARGS("-V")), CONFIG_EXIT_OK);
	assert_string_equal(home->said, "kithd " KITH_VERSION "\n");
}

#define HOME_TEST(f) cmocka_unit_test_setup_teardown(f, home_setup, home_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        HOME_TEST(defaults_are_the_table_and_the_xdg_folders),
	        HOME_TEST(xdg_variables_move_the_folders_unless_they_are_relative),
	        HOME_TEST(the_service_managers_folders_come_before_xdg),
	        HOME_TEST(a_home_is_needed_only_for_a_path_that_nobody_named),
	        HOME_TEST(the_file_overrides_defaults_and_options_override_the_file),
	        HOME_TEST(of_an_option_given_twice_the_last_counts),
	        HOME_TEST(a_named_file_is_read_and_must_exist),
	        HOME_TEST(bad_lines_are_named_with_file_line_key_and_limit),
	        HOME_TEST(collections_have_shares_of_the_index_cache),
	        HOME_TEST(guests_are_up_to_sixteen_numbers),
	        HOME_TEST(a_file_that_others_can_write_is_refused),
	        HOME_TEST(every_bad_line_is_named_in_one_go),
	        HOME_TEST(a_line_over_the_parsers_limit_is_refused_not_split),
	        HOME_TEST(a_file_of_zero_bytes_in_a_line_is_refused),
	        HOME_TEST(numbers_are_taken_at_their_limits_and_refused_beyond),
	        HOME_TEST(numbers_are_plain_decimals),
	        HOME_TEST(paths_are_taken_at_their_limit_and_refused_beyond),
	        HOME_TEST(a_default_path_over_its_limit_is_refused),
	        HOME_TEST(bad_options_are_named),
	        HOME_TEST(a_failed_load_leaves_the_config_alone),
	        HOME_TEST(help_names_every_option_with_its_default),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
