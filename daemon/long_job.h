/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A request that reads or writes whole files: backup, restore, verify, repair. It is worked on in
 * steps, each one job in the background lane, so that builds and loads have their turn in between,
 * and only one of them at once. (A repair is one step, the catalog's: collections_restore.) When
 * its client goes, its deadline passes, or the daemon stops, it is cancelled. [loop]
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/lanes.h"
#include "daemon/request.h"

struct daemon;
struct long_job;

struct long_job_kind {
	const char *what;                                    /* a literal: "backup" */
	void (*work)(struct long_job *job, uint32_t worker); /* [worker] */
	/* A step has ended, or was skipped (job.ran): begins another, or answers and ends. */
	void (*stepped)(struct long_job *job);
};

struct long_job {
	struct job job;
	const struct long_job_kind *kind;
	struct request *request;
};

/* Takes a place for the request; false after refusing it, since there is none. */
bool long_job_begin(struct long_job *job, const struct long_job_kind *kind,
                    struct request *request);
void long_job_step(struct long_job *job);
/* Nobody waits for it any more: no further step is worth it, but what clears up. */
bool long_job_is_unwanted(const struct long_job *job);
/* Asks the one under way, if any, to end early. */
void long_job_cancel(struct daemon *daemon);
/* Gives the place back: its request is finished next. */
void long_job_end(struct long_job *job);
