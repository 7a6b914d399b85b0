/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/cli_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WORDS_MAX 64

extern char **environ;

struct cli_fixture *cli_fixture_new(fake_handler *handler, void *ctx)
{
	struct cli_fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->ctx = ctx;
	assert_int_equal(sem_init(&fixture->seen, 0, 0), 0);
	fake_daemon_init(&fixture->daemon, handler, fixture);
	fake_daemon_start(&fixture->daemon);
	setenv("KITH_SOCKET", fixture->daemon.socket, 1);
	return fixture;
}

void cli_fixture_free(struct cli_fixture *fixture)
{
	fake_daemon_release(&fixture->daemon);
	sem_destroy(&fixture->seen);
	free(fixture);
}

void cli_log(struct fake_daemon *daemon, const char *format, ...)
{
	struct cli_fixture *fixture = daemon->ctx;
	size_t n = strlen(fixture->log);
	va_list args;

	va_start(args, format);
	vsnprintf(fixture->log + n, sizeof(fixture->log) - n, format, args);
	va_end(args);
}

char *cli_path(struct cli_fixture *fixture, const char *name)
{
	static char path[SCRATCH_PATH_SIZE];

	return scratch_dir_path(&fixture->daemon.dir, name, path);
}

static void load(struct cli_fixture *fixture, const char *name, char *text, size_t size)
{
	size_t n;
	unsigned char *bytes = scratch_file_load(cli_path(fixture, name), &n);

	assert_true(n < size);
	memcpy(text, bytes, n);
	text[n] = '\0';
	free(bytes);
}

static pid_t spawn(char **argv, posix_spawn_file_actions_t *actions)
{
	const char *program = getenv("KITH");
	pid_t pid;

	assert_non_null(program);
	assert_int_equal(posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0), 0);
	assert_int_equal(posix_spawn(&pid, program, actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(actions);
	return pid;
}

static void await(struct cli_fixture *fixture, pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) || WIFSIGNALED(status));
	fixture->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int cli_run(struct cli_fixture *fixture, const char *format, ...)
{
	char line[2048], *argv[WORDS_MAX] = {"kith"}, *rest = line;
	posix_spawn_file_actions_t actions;
	int flags = O_WRONLY | O_CREAT | O_TRUNC;
	size_t n = 1;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	while (n < WORDS_MAX - 1 && (argv[n] = strsep(&rest, " ")))
		n++;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, cli_path(fixture, "out"), flags, 0600);
	posix_spawn_file_actions_addopen(&actions, 2, cli_path(fixture, "err"), flags, 0600);
	await(fixture, spawn(argv, &actions));
	load(fixture, "out", fixture->out, sizeof(fixture->out));
	load(fixture, "err", fixture->err, sizeof(fixture->err));
	return fixture->status;
}

int cli_run_into(struct cli_fixture *fixture, const char *path, char **argv)
{
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	await(fixture, spawn(argv, &actions));
	return fixture->status;
}

/* The side that plays the user; the other one is where *ret_slave is. */
static int open_terminal(unsigned short n_columns, int *ret_slave)
{
	struct winsize size = {.ws_row = 24, .ws_col = n_columns};
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	*ret_slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(*ret_slave >= 0);
	assert_int_equal(ioctl(*ret_slave, TIOCSWINSZ, &size), 0);
	return master;
}

void cli_run_on_terminal(struct cli_fixture *fixture, unsigned short n_columns, char **argv)
{
	posix_spawn_file_actions_t actions;
	int slave, master = open_terminal(n_columns, &slave);
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, slave, 1);
	posix_spawn_file_actions_adddup2(&actions, slave, 2);
	pid = spawn(argv, &actions);
	close(slave);
	while ((got = read(master, fixture->out + n, sizeof(fixture->out) - 1 - n)) > 0) {
		n += (size_t)got;
		fixture->out[n] = '\0';
		if (fixture->awaited && strstr(fixture->out, fixture->awaited)) {
			fixture->awaited = NULL;
			sem_post(&fixture->seen);
		}
	}
	fixture->out[n] = '\0';
	close(master);
	await(fixture, pid);
}
