/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/log.h"

/* stderr goes into a pipe; a line is at most LOG_LINE_SIZE, so what a test logs fits in it. */
struct capture {
	int pipe[2];
	int saved;
	char text[4 * LOG_LINE_SIZE];
};

static int capture_setup(void **state)
{
	struct capture *capture = calloc(1, sizeof(*capture));

	assert_non_null(capture);
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	assert_int_equal(pipe(capture->pipe), 0);
	capture->saved = dup(STDERR_FILENO);
	assert_true(capture->saved >= 0);
	assert_true(dup2(capture->pipe[1], STDERR_FILENO) >= 0);
	*state = capture;
	return 0;
}

static int capture_teardown(void **state)
{
	struct capture *capture = *state;

	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	close(capture->pipe[0]);
	close(capture->pipe[1]);
	free(capture);
	return 0;
}

/* All that was logged since the last call; something was. */
static const char *logged(struct capture *capture)
{
	ssize_t n = read(capture->pipe[0], capture->text, sizeof(capture->text) - 1);

	assert_true(n > 0);
	capture->text[n] = '\0';
	return capture->text;
}

static void lines_below_the_level_are_dropped(void **state)
{
	log_open(CONFIG_LOG_WARNING);
	log_debug("a");
	log_info("b");
	log_warning("c %d", 3);
	log_error("d");
	assert_string_equal(logged(*state), "kithd: c 3\nkithd: d\n");
	log_open(CONFIG_LOG_DEBUG);
	log_debug("e");
	log_info("f");
	assert_string_equal(logged(*state), "kithd: e\nkithd: f\n");
}

static void the_journal_gets_priorities(void **state)
{
	struct stat stat;
	char stream[64];

	assert_int_equal(fstat(STDERR_FILENO, &stat), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)stat.st_dev,
	         (unsigned long long)stat.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	log_open(CONFIG_LOG_DEBUG);
	log_error("a");
	log_warning("b");
	log_info("c");
	log_debug("d");
	assert_string_equal(logged(*state), "<3>a\n<4>b\n<6>c\n<7>d\n");
}

static void another_stream_is_not_taken_for_the_journal(void **state)
{
	static const char *const streams[] = {"1:1", "", "x", "9999999999999999999999:1"};

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		assert_int_equal(setenv("JOURNAL_STREAM", streams[i], 1), 0);
		log_open(CONFIG_LOG_INFO);
		log_error("a");
		assert_string_equal(logged(*state), "kithd: a\n");
	}
}

static void control_characters_cannot_forge_a_line(void **state)
{
	log_open(CONFIG_LOG_INFO);
	log_error("'%s'", "name\nkithd: all is well\x1b[2J\x7f gr\xc3\xbc\xc3\x9f"
	                  "e");
	assert_string_equal(logged(*state),
	                    "kithd: 'name?kithd: all is well?[2J? gr\xc3\xbc\xc3\x9f"
	                    "e'\n");
}

static void a_long_line_is_cut_at_the_limit(void **state)
{
	char text[2 * LOG_LINE_SIZE];
	const char *line;
	/* What fits beside the name in front and the newline. */
	size_t room = LOG_LINE_SIZE - 1 - strlen("kithd: ");

	log_open(CONFIG_LOG_INFO);
	memset(text, 'x', sizeof(text));
	text[room] = '\0';
	log_error("%s", text);
	line = logged(*state);
	assert_int_equal(strlen(line), LOG_LINE_SIZE);
	assert_null(strstr(line, "..."));
	text[room] = 'x';
	text[room + 1] = '\0';
	log_error("%s", text);
	line = logged(*state);
	assert_int_equal(strlen(line), LOG_LINE_SIZE);
	assert_string_equal(line + LOG_LINE_SIZE - 4, "...\n");
}

static void errno_is_kept(void **state)
{
	close(STDERR_FILENO);
	errno = ENOSPC;
	log_error("nobody reads this");
	assert_int_equal(errno, ENOSPC);
	(void)state;
}

#define CAPTURE_TEST(f) cmocka_unit_test_setup_teardown(f, capture_setup, capture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        CAPTURE_TEST(lines_below_the_level_are_dropped),
	        CAPTURE_TEST(the_journal_gets_priorities),
	        CAPTURE_TEST(another_stream_is_not_taken_for_the_journal),
	        CAPTURE_TEST(control_characters_cannot_forge_a_line),
	        CAPTURE_TEST(a_long_line_is_cut_at_the_limit),
	        CAPTURE_TEST(errno_is_kept),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
