/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/watch.h"

#include <stdio.h>
#include <time.h>

/* To the upper left, and nothing on the screen. */
#define CLEAR "\033[H\033[2J"

int watch_run(struct cli *cli, int (*look)(struct cli *cli))
{
	uint64_t ms = cli->args.interval_ms ? cli->args.interval_ms : WATCH_USUAL_MS;
	struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
	                         .tv_nsec = (long)(ms % 1000) * 1000000};
	int status = CLI_DONE;

	while (status == CLI_DONE) {
		if (!cli->json)
			fputs(CLEAR, stdout);
		status = look(cli);
		/* What is wrong with it is said when the program ends. */
		if (fflush(stdout) || ferror(stdout))
			break;
		if (status == CLI_DONE)
			nanosleep(&pause, NULL);
	}
	return status;
}
