/* SPDX-License-Identifier: Apache-2.0 */

/*
 * kithd under a service manager: the manager's half is played by systemd-socket-activate, which
 * hands over a socket as systemd does, and by a notify socket of the test's own.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cmocka.h>

#include "tests/lib/daemon_process.h"
#include "tests/lib/scratch_dir.h"

#define ACTIVATOR "systemd-socket-activate"
#define MESSAGE_SIZE 4096

/* A child whose stdout and stderr come through a pipe. */
struct child {
	pid_t pid;
	FILE *output;
};

static struct child child_start(char *const argv[])
{
	struct child child;
	pid_t owner = getpid();
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
#ifdef __linux__
		prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
		if (getppid() == owner && dup2(fds[1], STDOUT_FILENO) >= 0 &&
		    dup2(fds[1], STDERR_FILENO) >= 0)
			execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	child.output = fdopen(fds[0], "r");
	assert_non_null(child.output);
	return child;
}

/* Reads up to a line that holds text. */
static void child_await_line(struct child *child, const char *text)
{
	char line[MESSAGE_SIZE];

	while (fgets(line, sizeof(line), child->output)) {
		if (strstr(line, text))
			return;
		fputs(line, stderr);
	}
	fail_msg("the child ended without a line '%s'", text);
}

/* Waits for the end; what it still says is shown when the exit status is not the wanted one. */
static void child_assert_exit(struct child *child, int wanted)
{
	char line[MESSAGE_SIZE];
	int status;

	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != wanted) {
		while (fgets(line, sizeof(line), child->output))
			fputs(line, stderr);
		fail_msg("exit status %d wanted, wait status is %#x", wanted, (unsigned)status);
	}
	fclose(child->output);
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	assert_true(strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	return address;
}

/* Whether the machine has what plays the manager; bootstrap installs it. */
static bool has_activator(void)
{
	char *argv[] = {ACTIVATOR, "--version", NULL};
	struct child child = child_start(argv);
	int status;

	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	fclose(child.output);
	return status == 0;
}

/* kithd behind a listening socket at path, to be started by the first that comes; option: another
 * kind of socket, or NULL. */
static struct child activator_start(const struct scratch_dir *dir, const char *path,
                                    const char *option)
{
	char data[SCRATCH_PATH_SIZE], cache[SCRATCH_PATH_SIZE];
	char home[SCRATCH_PATH_SIZE + 16];
	char *program = getenv("KITHD");
	char *argv[16] = {ACTIVATOR};
	struct child child;
	int n = 1;

	assert_non_null(program);
	/* The activator passes on little of its environment; the user's config file stays out. */
	snprintf(home, sizeof(home), "XDG_CONFIG_HOME=%s", dir->path);
	if (option)
		argv[n++] = (char *)option;
	argv[n++] = "-E";
	argv[n++] = home;
	argv[n++] = "-l";
	argv[n++] = (char *)path;
	argv[n++] = program;
	argv[n++] = "--data-dir";
	argv[n++] = scratch_dir_path(dir, "data", data);
	argv[n++] = "--cache-dir";
	argv[n++] = scratch_dir_path(dir, "cache", cache);
	child = child_start(argv);
	child_await_line(&child, "Listening on");
	return child;
}

static void a_socket_that_was_handed_over_is_served_and_left_in_place(void **state)
{
	const struct scratch_dir *dir = *state;
	char path[SCRATCH_PATH_SIZE];
	char *ping[] = {getenv("KITH"), "ping", NULL};
	struct child daemon, client;

	if (!has_activator())
		skip();
	scratch_dir_path(dir, "kith.sock", path);
	daemon = activator_start(dir, path, NULL);
	assert_non_null(ping[0]);
	assert_int_equal(setenv("KITH_SOCKET", path, 1), 0);
	client = child_start(ping);
	child_assert_exit(&client, 0);
	assert_int_equal(kill(daemon.pid, SIGTERM), 0);
	child_assert_exit(&daemon, 0);
	/* It is the manager's, who starts the next daemon with it. */
	assert_int_equal(access(path, F_OK), 0);
}

static void a_socket_of_another_kind_is_refused(void **state)
{
	const struct scratch_dir *dir = *state;
	char path[SCRATCH_PATH_SIZE];
	struct sockaddr_un address;
	struct child daemon;
	int fd;

	if (!has_activator())
		skip();
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	scratch_dir_path(dir, "kith.sock", path);
	daemon = activator_start(dir, path, "--datagram");
	address = address_of(path);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)), 1);
	child_assert_exit(&daemon, 1);
	close(fd);
}

/* A notify socket; what does not come within the harness's patience fails the test. */
static int notify_open(const char *path)
{
	struct sockaddr_un address = address_of(path);
	struct timeval patience = {.tv_sec = DAEMON_PROCESS_PATIENCE_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Receives up to the message that has wanted as one of its lines; none before it may have early,
 * which NULL leaves out. */
static void notify_await(int fd, const char *wanted, const char *early)
{
	char message[MESSAGE_SIZE];

	for (;;) {
		ssize_t n = recv(fd, message, sizeof(message) - 1, 0);
		char *rest = message;

		if (n < 0)
			fail_msg("no '%s': %s", wanted, strerror(errno));
		message[n] = '\0';
		for (char *line; (line = strsep(&rest, "\n"));) {
			if (strcmp(line, wanted) == 0)
				return;
			if (early && strcmp(line, early) == 0)
				fail_msg("'%s' came before '%s'", early, wanted);
		}
	}
}

static void the_manager_is_told_of_readiness_and_of_the_stop(void **state)
{
	const struct scratch_dir *dir = *state;
	char path[SCRATCH_PATH_SIZE];
	struct daemon_process *daemon;
	int manager, client, status;

	manager = notify_open(scratch_dir_path(dir, "notify", path));
	assert_int_equal(daemon_process_new(&daemon), 0);
	assert_int_equal(daemon_process_setenv(daemon, "NOTIFY_SOCKET", path), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);

	notify_await(manager, "READY=1", "STOPPING=1");
	/* Ready means that nobody who comes now is turned away. */
	assert_int_equal(daemon_process_connect(daemon, &client), 0);
	close(client);

	assert_int_equal(kill(daemon->pid, SIGTERM), 0);
	notify_await(manager, "STOPPING=1", "READY=1");
	assert_int_equal(daemon_process_wait(daemon, &status), 0);
	assert_int_equal(status, 0);
	daemon_process_free(daemon);
	close(manager);
}

static int scratch_setup(void **state)
{
	struct scratch_dir *dir = malloc(sizeof(*dir));

	assert_non_null(dir);
	scratch_dir_init(dir);
	*state = dir;
	return 0;
}

static int scratch_teardown(void **state)
{
	scratch_dir_release(*state);
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(
	                a_socket_that_was_handed_over_is_served_and_left_in_place, scratch_setup,
	                scratch_teardown),
	        cmocka_unit_test_setup_teardown(a_socket_of_another_kind_is_refused, scratch_setup,
	                                        scratch_teardown),
	        cmocka_unit_test_setup_teardown(the_manager_is_told_of_readiness_and_of_the_stop,
	                                        scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests_name("systemd", tests, NULL, NULL);
}
