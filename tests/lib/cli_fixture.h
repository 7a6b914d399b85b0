/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The program `kith` ($KITH) as its users run it, with its output in files or on a terminal, and a
 * fake daemon that it finds by $KITH_SOCKET. Failures are cmocka's.
 */

#include <semaphore.h>

#include "tests/lib/fake_daemon.h"

struct cli_fixture {
	struct fake_daemon daemon; /* its ctx is the fixture */
	void *ctx;                 /* the test's */
	char log[8192];            /* by cli_log(); read it when the daemon is stopped */
	char out[65536], err[8192];
	int status; /* -N: signal N ended it */
	/* On a terminal: `seen` is posted once this stands in the output. */
	const char *awaited;
	sem_t seen;
};

/* With a daemon that runs. Owned by the caller: free it with cli_fixture_free(). */
struct cli_fixture *cli_fixture_new(fake_handler *handler, void *ctx);
void cli_fixture_free(struct cli_fixture *fixture);

/* Inside a handler: adds to the log. */
void cli_log(struct fake_daemon *daemon, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* A file in the fixture's own directory; valid until the next call. */
char *cli_path(struct cli_fixture *fixture, const char *name);
/* Runs `kith line` (words between single blanks) with out and err filled; returns the status. */
int cli_run(struct cli_fixture *fixture, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* Runs it with a terminal of so many columns, which out then holds; err is left alone. */
void cli_run_on_terminal(struct cli_fixture *fixture, unsigned short n_columns, char **argv);
/* Runs it with its output to that file and its messages nowhere; returns the status. */
int cli_run_into(struct cli_fixture *fixture, const char *path, char **argv);
