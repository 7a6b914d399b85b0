/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/daemon_process.h"

/*
 * Between fork and exec only async-signal-safe calls are made: a benchmark forks while its other
 * threads run. Arguments and environment are therefore put together before the fork.
 *
 * Waiting asks in short turns whether what was waited for has happened. A blocking wait would
 * need pidfd (Linux only) for the end of a process and inotify for the birth of a socket; the
 * turns are short enough to measure a start with.
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define TURN_NS 100000L
#define N_ARGS_OWN 7

extern char **environ;

/* What would lead a daemon to the user's own files or to the service manager of this process. */
static const char *const foreign_variables[] = {
        "KITH_SOCKET",     "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME",  "XDG_CACHE_HOME",
        "STATE_DIRECTORY", "CACHE_DIRECTORY", "NOTIFY_SOCKET",   "LISTEN_FDS",     "LISTEN_PID",
        "LISTEN_FDNAMES",  "WATCHDOG_USEC",   "WATCHDOG_PID",    "JOURNAL_STREAM",
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void take_turn(void)
{
	nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
}

/* Joins directory and name ("": the directory alone); -ENAMETOOLONG. */
static int join(char path[static DAEMON_PROCESS_PATH_SIZE], const char *directory, const char *name)
{
	int n = snprintf(path, DAEMON_PROCESS_PATH_SIZE, "%s%s%s", directory, *name ? "/" : "",
	                 name);

	return n < DAEMON_PROCESS_PATH_SIZE ? 0 : -ENAMETOOLONG;
}

/* Appends a copy of text to a NULL-terminated list. */
static int list_add(char ***list, const char *text)
{
	size_t n = 0;
	char **grown;

	while (*list && (*list)[n])
		n++;
	grown = realloc(*list, (n + 2) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	grown[n] = strdup(text);
	grown[n + 1] = NULL;
	return grown[n] ? 0 : -ENOMEM;
}

static char **list_free(char **list)
{
	for (char **at = list; at && *at; at++)
		free(*at);
	free(list);
	return NULL;
}

/* Making one. --------------------------------------------------------------------------------- */

/* kithd stands beside the program that runs, or in daemon/ of a directory above it. */
static int find_program(char path[static DAEMON_PROCESS_PATH_SIZE])
{
	const char *told = getenv("KITHD");
	char here[DAEMON_PROCESS_PATH_SIZE];
	ssize_t n;
	char *slash;

	if (told)
		return join(path, told, "");
	n = readlink("/proc/self/exe", here, sizeof(here) - 1);
	if (n < 0)
		return -errno;
	here[n] = '\0';
	while ((slash = strrchr(here, '/'))) {
		*slash = '\0';
		if (join(path, here, "kithd") == 0 && access(path, X_OK) == 0)
			return 0;
		if (join(path, here, "daemon/kithd") == 0 && access(path, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

static int make_directories(struct daemon_process *daemon)
{
	const char *tmp = getenv("TMPDIR");
	int r;

	r = join(daemon->root, tmp && *tmp ? tmp : "/tmp", "kith-XXXXXX");
	if (r)
		return r;
	if (!mkdtemp(daemon->root)) {
		r = -errno;
		daemon->root[0] = '\0';
		return r;
	}
	r = join(daemon->socket, daemon->root, "run/kith.sock");
	r = r ? r : join(daemon->data_dir, daemon->root, "data");
	r = r ? r : join(daemon->cache_dir, daemon->root, "cache");
	r = r ? r : join(daemon->log, daemon->root, "kithd.log");
	if (r)
		return r;
	if (strlen(daemon->socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

static bool is_foreign(const char *variable)
{
	for (size_t i = 0; i < sizeof(foreign_variables) / sizeof(*foreign_variables); i++) {
		size_t n = strlen(foreign_variables[i]);

		if (strncmp(variable, foreign_variables[i], n) == 0 && variable[n] == '=')
			return true;
	}
	return false;
}

/* This process's environment without what is foreign; configuration is looked for in root. */
static int make_environment(struct daemon_process *daemon)
{
	int r = 0;

	for (char **at = environ; *at && !r; at++)
		if (!is_foreign(*at))
			r = list_add(&daemon->env, *at);
	r = r ? r : daemon_process_setenv(daemon, "XDG_CONFIG_HOME", daemon->root);
	/* The machine's own pressure is no part of a test. */
	return r ? r : daemon_process_setenv(daemon, "MEMORY_PRESSURE_WATCH", "/dev/null");
}

int daemon_process_new(struct daemon_process **ret)
{
	struct daemon_process *daemon = calloc(1, sizeof(*daemon));
	int r;

	if (!daemon)
		return -ENOMEM;
	r = find_program(daemon->program);
	r = r ? r : make_directories(daemon);
	r = r ? r : make_environment(daemon);
	if (r) {
		daemon_process_free(daemon);
		return r;
	}
	*ret = daemon;
	return 0;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

struct daemon_process *daemon_process_free(struct daemon_process *daemon)
{
	if (!daemon)
		return NULL;
	daemon_process_kill(daemon);
	if (daemon->root[0])
		nftw(daemon->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	list_free(daemon->options);
	list_free(daemon->env);
	free(daemon);
	return NULL;
}

int daemon_process_option(struct daemon_process *daemon, const char *option, const char *value)
{
	int r = list_add(&daemon->options, option);

	return r ? r : list_add(&daemon->options, value);
}

int daemon_process_setenv(struct daemon_process *daemon, const char *name, const char *value)
{
	size_t n = strlen(name);
	char *variable;
	int r;

	if (asprintf(&variable, "%s=%s", name, value) < 0)
		return -ENOMEM;
	for (char **at = daemon->env; at && *at; at++) {
		if (strncmp(*at, variable, n + 1) == 0) {
			free(*at);
			*at = variable;
			return 0;
		}
	}
	r = list_add(&daemon->env, variable);
	free(variable);
	return r;
}

/* Its lives. ---------------------------------------------------------------------------------- */

/* Everything printed so far, for whoever has to find out what went wrong. */
static void show_log(const struct daemon_process *daemon)
{
	FILE *log = fopen(daemon->log, "r");
	char line[1024];

	if (!log)
		return;
	while (fgets(line, sizeof(line), log))
		fputs(line, stderr);
	fclose(log);
}

static _Noreturn void become_daemon(const struct daemon_process *daemon, char **args, int log,
                                    pid_t owner)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
#ifdef __linux__
	prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	if (getppid() == owner && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0)
		execve(daemon->program, args, daemon->env);
	_exit(127);
}

int daemon_process_spawn(struct daemon_process *daemon)
{
	char **args = NULL;
	const char *own[N_ARGS_OWN] = {daemon->program,  "--socket",       daemon->socket,
	                               "--data-dir",     daemon->data_dir, "--cache-dir",
	                               daemon->cache_dir};
	pid_t owner = getpid();
	pid_t pid;
	int log;
	int r = 0;

	if (daemon->pid)
		return -EBUSY;
	for (size_t i = 0; i < N_ARGS_OWN && !r; i++)
		r = list_add(&args, own[i]);
	for (char **at = daemon->options; at && *at && !r; at++)
		r = list_add(&args, *at);
	if (r) {
		list_free(args);
		return r;
	}
	log = open(daemon->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	pid = log < 0 ? -1 : fork();
	if (pid == 0)
		become_daemon(daemon, args, log, owner);
	if (pid < 0)
		r = -errno;
	else
		daemon->pid = pid;
	if (log >= 0)
		close(log);
	list_free(args);
	return r;
}

int daemon_process_await(struct daemon_process *daemon)
{
	int64_t deadline = now_ms() + DAEMON_PROCESS_PATIENCE_MS;

	while (now_ms() < deadline) {
		int fd;

		if (daemon_process_connect(daemon, &fd) == 0) {
			close(fd);
			return 0;
		}
		if (!daemon_process_running(daemon)) {
			show_log(daemon);
			return DAEMON_PROCESS_ENDED;
		}
		take_turn();
	}
	show_log(daemon);
	return -ETIMEDOUT;
}

int daemon_process_start(struct daemon_process *daemon)
{
	int r = daemon_process_spawn(daemon);

	return r ? r : daemon_process_await(daemon);
}

/* Reaps the child if it has ended; whether it has. */
static bool reap(struct daemon_process *daemon, int *ret_status)
{
	int status;
	pid_t pid;

	if (daemon->pid == 0)
		return true;
	do {
		pid = waitpid(daemon->pid, &status, WNOHANG);
	} while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	daemon->pid = 0;
	if (pid > 0 && ret_status)
		*ret_status = status;
	return true;
}

bool daemon_process_running(struct daemon_process *daemon)
{
	return !reap(daemon, NULL);
}

int daemon_process_wait(struct daemon_process *daemon, int *ret_status)
{
	int64_t deadline = now_ms() + DAEMON_PROCESS_PATIENCE_MS;
	int status = 0;

	while (!reap(daemon, &status)) {
		if (now_ms() >= deadline)
			return -ETIMEDOUT;
		take_turn();
	}
	if (ret_status)
		*ret_status = status;
	return status == 0 ? 0 : DAEMON_PROCESS_FAILED;
}

int daemon_process_kill(struct daemon_process *daemon)
{
	int r;

	if (daemon->pid == 0)
		return 0;
	if (kill(daemon->pid, SIGKILL) < 0 && errno != ESRCH)
		return -errno;
	r = daemon_process_wait(daemon, NULL);
	return r < 0 ? r : 0;
}

int daemon_process_restart(struct daemon_process *daemon)
{
	int r = daemon_process_kill(daemon);

	return r ? r : daemon_process_start(daemon);
}

int daemon_process_stop(struct daemon_process *daemon)
{
	int r;

	if (daemon->pid && kill(daemon->pid, SIGTERM) < 0 && errno != ESRCH)
		return -errno;
	r = daemon_process_wait(daemon, NULL);
	if (r)
		show_log(daemon);
	if (r < 0)
		daemon_process_kill(daemon);
	return r;
}

/* What is around it. -------------------------------------------------------------------------- */

int daemon_process_connect(const struct daemon_process *daemon, int *ret_fd)
{
	return socket_connect(daemon->socket, ret_fd);
}

int socket_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path)) {
		close(fd);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int remove_below(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	return ftw->level == 0 ? 0 : remove(path);
}

int daemon_process_clear_cache(const struct daemon_process *daemon)
{
	if (nftw(daemon->cache_dir, remove_below, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
		return 0;
	return -errno;
}

bool daemon_process_said(const struct daemon_process *daemon, const char *text)
{
	FILE *log = fopen(daemon->log, "r");
	bool found = false;
	char *line = NULL;
	size_t size = 0;

	if (!log)
		return false;
	while (!found && getline(&line, &size, log) >= 0)
		found = strstr(line, text) != NULL;
	free(line);
	fclose(log);
	return found;
}
