/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The real kithd as a child process with a socket, a data and a cache directory of its own, all
 * inside one temporary directory. Integration tests, benchmarks and the demo tell their stories
 * with it:
 *
 *	struct daemon_process *daemon;
 *
 *	daemon_process_new(&daemon);
 *	daemon_process_start(daemon);     // ... write through daemon->socket ...
 *	daemon_process_kill(daemon);      // kill -9
 *	daemon_process_start(daemon);     // ... everything acknowledged is there ...
 *	daemon_process_stop(daemon);      // SIGTERM, exit status 0
 *	daemon_process_free(daemon);      // nothing of it is left
 *
 * What must hold: nothing of the user's own Kith is touched (environment and configuration are
 * shut out), waiting follows the event and never a guessed time, no process outlives its owner
 * (not even when that one is killed), and a daemon that fails says why: what it printed is copied
 * to stderr.
 *
 * libc only, so that anyone can link it. Threads: one owner, the thread that starts the daemon;
 * the daemon ends with that thread.
 */

#include <stdbool.h>
#include <sys/types.h>

#define DAEMON_PROCESS_PATH_SIZE 512
/* How long a daemon may take to come up or go down, on a slow machine and under a sanitizer. */
#define DAEMON_PROCESS_PATIENCE_MS 60000

/* Outcomes. */
enum {
	DAEMON_PROCESS_ENDED = 1,  /* it ended before it listened */
	DAEMON_PROCESS_FAILED = 2, /* it ended by a signal or with an exit status other than 0 */
};

struct daemon_process {
	char program[DAEMON_PROCESS_PATH_SIZE];
	char root[DAEMON_PROCESS_PATH_SIZE]; /* holds everything below */
	char socket[DAEMON_PROCESS_PATH_SIZE];
	char data_dir[DAEMON_PROCESS_PATH_SIZE];
	char cache_dir[DAEMON_PROCESS_PATH_SIZE];
	char log[DAEMON_PROCESS_PATH_SIZE]; /* what it printed, over all its lives */
	pid_t pid;                          /* 0: not running */
	char **options;                     /* owned; NULL-terminated, as is env */
	char **env;
};

/* Making one. --------------------------------------------------------------------------------- */

/* Makes the directories below $TMPDIR or /tmp; starts nothing. The program is $KITHD, else the
 * kithd of the build tree or directory that the calling program is in; -ENOENT without any. */
int daemon_process_new(struct daemon_process **ret);
/* Kills it when it runs and removes the directories. NULL is fine; returns NULL. */
struct daemon_process *daemon_process_free(struct daemon_process *daemon);

/* Every later start gets the option (an option given twice: kithd takes the last, so these win
 * over the private directories) or the variable. Copied. */
int daemon_process_option(struct daemon_process *daemon, const char *option, const char *value);
int daemon_process_setenv(struct daemon_process *daemon, const char *name, const char *value);

/* Its lives. ---------------------------------------------------------------------------------- */

/* Starts the program and returns at once. The directories are the same each time. */
int daemon_process_spawn(struct daemon_process *daemon);
/* Waits until it accepts connections. ENDED when it does not come to that, -ETIMEDOUT. */
int daemon_process_await(struct daemon_process *daemon);
/* Spawns and awaits. */
int daemon_process_start(struct daemon_process *daemon);

/* kill -9, and gone when it returns. Fine when it is not running. */
int daemon_process_kill(struct daemon_process *daemon);
/* kill -9, then a start on the same directories. */
int daemon_process_restart(struct daemon_process *daemon);
/* SIGTERM, and gone when it returns. FAILED as below; -ETIMEDOUT when it had to be killed. */
int daemon_process_stop(struct daemon_process *daemon);
/* Waits for an end that is already on its way. FAILED when it is a bad one; *ret_status (may be
 * NULL) is what waitpid() told either way. */
int daemon_process_wait(struct daemon_process *daemon, int *ret_status);
/* Whether it runs right now. */
bool daemon_process_running(struct daemon_process *daemon);

/* What is around it. -------------------------------------------------------------------------- */

/* A connection below the client library, for what a good client does not send. */
int daemon_process_connect(const struct daemon_process *daemon, int *ret_fd);
/* The same for any daemon, by its socket. */
int socket_connect(const char *path, int *ret_fd);
/* Empties the cache directory: everything derived is gone. Not while it runs. */
int daemon_process_clear_cache(const struct daemon_process *daemon);
/* Whether text is in what it printed. */
bool daemon_process_said(const struct daemon_process *daemon, const char *text);
