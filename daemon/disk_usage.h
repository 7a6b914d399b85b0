/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What stands on the disk: every file of every collection, with the part of it that is of use.
 * [loop]
 */

#include "daemon/request.h"

void disk_usage(struct request *request);
