/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looking again and again: a live view on a terminal, else a line of JSON for each look. It ends
 * when a look fails, when nobody reads its lines any more, or by a signal (^C). */

#include "client/cli/cli.h"

#define WATCH_USUAL_MS 1000
#define WATCH_LEAST_MS 100

/* look() prints once and returns an exit status, CLI_DONE to go on. Goes by --interval. */
int watch_run(struct cli *cli, int (*look)(struct cli *cli));
