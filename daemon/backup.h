/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Backups. A backup is a directory like a daemon's data directory: a catalog and, for each
 * collection, a directory with its database. It is written as <directory>.kith-tmp, looked through,
 * synced and renamed, so that under its name it is whole or not there.
 *
 * Who names directories is a client: only absolute paths, and none through a symbolic link.
 *
 * [loop]
 */

#include "daemon/request.h"

/* Copies collections to a new directory. */
void backup(struct request *request);
/* Takes them back. */
void restore(struct request *request);
