/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A collection is made, written, indexed, searched, and its index loaded again, while one thing
 * fails; over and over on one daemon. (The long one, with every file operation, is story.h.)
 *
 *	struct short_story story = {.daemon = daemon, .clock = &clock, .conn = conn, .name = "a"};
 *	... let something fail, once ...
 *	short_story_tell(&story);
 *	... heal ...
 *	short_story_expect_in_order(&story);
 *
 * Whatever fails: what was acknowledged is there, what was not is there wholly or not at all, and
 *no answer is wrong. A request may be refused, or its connection closed: then there is another one
 *in `conn`, which is the caller's to close.
 *
 * Threads: the test's own.
 */

#include <stdint.h>

#include "client/kith.h"
#include "tests/lib/daemon_thread.h"
#include "tests/lib/fake_clock.h"

#define SHORT_STORY_RECORDS 60u

struct short_story {
	const struct daemon_thread *daemon;
	struct fake_clock *clock;
	struct kith_conn *conn;
	const char *name;
	/* What each record may be: after the last acknowledged write, or one that was not. */
	uint32_t sure[SHORT_STORY_RECORDS], perhaps[SHORT_STORY_RECORDS];
};

void short_story_tell(struct short_story *story);
/* Nothing fails any more: it comes to a whole index, holds what it should and is dropped. */
void short_story_expect_in_order(struct short_story *story);
