/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What can still be read of a damaged record store, as a new one. The damaged one is not changed.
 *
 * Threads: any; the connections are its own. [worker]
 */

#include <stdatomic.h>
#include <stdint.h>

#include "storage/record_store.h"
#include "storage/reserve.h"

struct record_salvage {
	uint64_t n_records; /* that were saved */
	uint64_t n_partial; /* of these, without the text and metadata that they may have had */
	uint64_t n_lost;    /* at least so many could not be */
};

/* Makes a store of that spec in to_dir, which exists and is empty, with every live record of the
 * one in dir whose id and vector can be read, and the indexes that are declared. When cancelled
 * becomes true: -ECANCELED, soon; when the reserve is given up: -ENOSPC.
 * RECORD_STORE_MISSING, _FOREIGN, _NEWER, and -EBADMSG when nothing at all can be read. */
int record_salvage(struct store_io *io, const char *dir, const char *to_dir,
                   const struct record_spec *spec, const atomic_bool *cancelled,
                   const struct reserve *reserve, struct record_salvage *ret);
