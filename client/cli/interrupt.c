/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

static volatile sig_atomic_t came; /* its number, or 0 */

static void note(int signal)
{
	came = signal;
}

void interrupt_watch(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		struct sigaction before,
		        action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};

		/* Who runs it by nohup, or in the background, has some of them ignored. */
		if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
}

bool interrupt_came(void)
{
	return came != 0;
}

void interrupt_follow(void)
{
	if (!came)
		return;
	fflush(stdout);
	signal(came, SIG_DFL);
	raise(came);
}
