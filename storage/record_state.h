/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What records.db says of itself: the row of `state` and the list of epochs. Read once by each
 * connection that needs it, so no statements are kept. Nothing but record_*.c includes this.
 */

#include <sqlite3.h>

#include "storage/record_epochs.h"
#include "storage/record_store.h"

int record_state_read(sqlite3 *db, struct record_store_state *ret);
int record_state_read_epochs(sqlite3 *db, struct record_epochs *ret);
