/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What can still be read of a damaged record store, as a new one. The damaged one is not changed.
 *
 * Threads: any; the connections are its own. [worker]
 */

#include <stdbool.h>
#include <stdint.h>

#include "storage/record_store.h"

/* Asked before each row: anything but 0 ends it, and is why. */
struct record_salvage_watch {
	int (*why_stop)(struct record_salvage_watch *watch);
};

struct record_salvage {
	uint64_t n_records; /* that were saved */
	uint64_t n_partial; /* of these, without the text and metadata that they may have had */
	uint64_t n_lost;    /* at least so many could not be */
};

/* Makes a store of that spec in to_dir, which exists and is empty, with every live record of the
 * one in dir whose id and vector can be read, and the indexes that are declared.
 * RECORD_STORE_MISSING, _FOREIGN, _NEWER, and -EBADMSG when nothing at all can be read. What an
 * error leaves in to_dir is the caller's to remove. watch may be NULL. */
int record_salvage(struct store_io *io, const char *dir, const char *to_dir,
                   const struct record_spec *spec, struct record_salvage_watch *watch,
                   struct record_salvage *ret);
