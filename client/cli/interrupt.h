/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Being told to end (SIGINT, SIGTERM, SIGHUP) in the middle of what has to be put in order first.
 * The same signal again ends the program at once, and one that is ignored stays so.
 */

#include <stdbool.h>

/* From now on such a signal is only noted; what the program waits for in a read fails with EINTR.
 */
void interrupt_watch(void);
bool interrupt_came(void);
/* Ends the program by the signal that came, so that who waits for it sees that; returns when none
 * did. */
void interrupt_follow(void);
