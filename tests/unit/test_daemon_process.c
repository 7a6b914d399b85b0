/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/daemon_process.h"
#include "tests/lib/scratch_dir.h"

/* The harness around programs that are not kithd: what it does when things go wrong. */

struct stage {
	struct scratch_dir scratch;
	char script[SCRATCH_PATH_SIZE];
};

/* From now on, kithd is a shell script of these lines. */
static void set_script(struct stage *stage, const char *lines)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", lines);

	scratch_file_save(stage->script, text, (size_t)n);
	assert_int_equal(chmod(stage->script, 0700), 0);
}

static int set_up(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	scratch_dir_init(&stage->scratch);
	scratch_dir_path(&stage->scratch, "kithd", stage->script);
	setenv("KITHD", stage->script, 1);
	*state = stage;
	return 0;
}

static int tear_down(void **state)
{
	struct stage *stage = *state;

	scratch_dir_release(&stage->scratch);
	free(stage);
	return 0;
}

static void a_program_that_ends_at_once_is_not_waited_for(void **state)
{
	struct daemon_process *daemon;

	set_script(*state, "exit 3");
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_start(daemon), DAEMON_PROCESS_ENDED);
	assert_false(daemon_process_running(daemon));
	daemon_process_free(daemon);
}

static void a_program_that_is_not_there_ends_at_once(void **state)
{
	struct daemon_process *daemon;

	(void)state;
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_start(daemon), DAEMON_PROCESS_ENDED);
	daemon_process_free(daemon);
}

static void a_bad_end_is_told_with_its_status(void **state)
{
	struct daemon_process *daemon;
	int status = 0;

	set_script(*state, "exit 3");
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);
	assert_int_equal(daemon_process_wait(daemon, &status), DAEMON_PROCESS_FAILED);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	daemon_process_free(daemon);
}

static void options_and_variables_reach_every_start(void **state)
{
	struct daemon_process *daemon;

	set_script(*state, "echo \"$@\"; echo \"tune=$TUNE\"");
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_option(daemon, "--write-threads", "3"), 0);
	assert_int_equal(daemon_process_setenv(daemon, "TUNE", "slow"), 0);
	assert_int_equal(daemon_process_setenv(daemon, "TUNE", "fast"), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);
	assert_int_equal(daemon_process_wait(daemon, NULL), 0);
	assert_true(daemon_process_said(daemon, daemon->socket));
	assert_true(daemon_process_said(daemon, daemon->data_dir));
	assert_true(daemon_process_said(daemon, "--write-threads 3"));
	assert_true(daemon_process_said(daemon, "tune=fast"));
	assert_false(daemon_process_said(daemon, "tune=slow"));
	daemon_process_free(daemon);
}

static void the_users_own_kith_is_shut_out(void **state)
{
	struct daemon_process *daemon;

	setenv("KITH_SOCKET", "/the/users/own", 1);
	setenv("XDG_CONFIG_HOME", "/the/users/own", 1);
	setenv("STATE_DIRECTORY", "/the/users/own", 1);
	set_script(*state, "env");
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);
	assert_int_equal(daemon_process_wait(daemon, NULL), 0);
	assert_true(daemon_process_said(daemon, "PATH="));
	assert_false(daemon_process_said(daemon, "/the/users/own"));
	daemon_process_free(daemon);
	unsetenv("KITH_SOCKET");
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("STATE_DIRECTORY");
}

static void free_ends_the_process_and_leaves_no_file(void **state)
{
	struct daemon_process *daemon;
	char root[DAEMON_PROCESS_PATH_SIZE];
	pid_t pid;

	set_script(*state, "exec sleep 600");
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);
	pid = daemon->pid;
	strcpy(root, daemon->root);
	assert_int_equal(access(root, F_OK), 0);
	daemon_process_free(daemon);
	assert_int_equal(access(root, F_OK), -1);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

static void clearing_the_cache_keeps_the_directory(void **state)
{
	struct daemon_process *daemon;
	char path[DAEMON_PROCESS_PATH_SIZE + 16];

	set_script(*state, "mkdir -p \"$6/a/b\" && touch \"$6/a/b/c\"");
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_clear_cache(daemon), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);
	assert_int_equal(daemon_process_wait(daemon, NULL), 0);
	snprintf(path, sizeof(path), "%s/a/b/c", daemon->cache_dir);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(daemon_process_clear_cache(daemon), 0);
	snprintf(path, sizeof(path), "%s/a", daemon->cache_dir);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(daemon->cache_dir, F_OK), 0);
	daemon_process_free(daemon);
}

static void a_second_start_while_it_runs_is_refused(void **state)
{
	struct daemon_process *daemon;

	set_script(*state, "exec sleep 600");
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);
	assert_int_equal(daemon_process_spawn(daemon), -EBUSY);
	assert_true(daemon_process_running(daemon));
	assert_int_equal(daemon_process_kill(daemon), 0);
	assert_int_equal(daemon_process_kill(daemon), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);
	daemon_process_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(a_program_that_ends_at_once_is_not_waited_for,
	                                        set_up, tear_down),
	        cmocka_unit_test_setup_teardown(a_program_that_is_not_there_ends_at_once, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(a_bad_end_is_told_with_its_status, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(options_and_variables_reach_every_start, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(the_users_own_kith_is_shut_out, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(free_ends_the_process_and_leaves_no_file, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(clearing_the_cache_keeps_the_directory, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(a_second_start_while_it_runs_is_refused, set_up,
	                                        tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
