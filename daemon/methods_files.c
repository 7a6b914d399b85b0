/* SPDX-License-Identifier: Apache-2.0 */

/* The methods about files: checkpoint, backup, restore, verify, repair, disk_usage. */

#include "daemon/backup.h"
#include "daemon/collection.h"
#include "daemon/disk_usage.h"
#include "daemon/dispatch.h"
#include "daemon/repair.h"
#include "daemon/verify.h"

void handle_checkpoint(struct request *request)
{
	collection_enter(request, request_params(request, checkpoint)->collection,
	                 upkeep_checkpoint);
}

void handle_backup(struct request *request)
{
	backup(request);
}

void handle_restore(struct request *request)
{
	restore(request);
}

/* One that cannot be opened is verified all the more. */
void handle_verify(struct request *request)
{
	request->unopened = verify;
	collection_enter(request, request_params(request, verify)->collection, verify);
}

/* One that cannot be opened is repaired all the more. */
void handle_repair(struct request *request)
{
	request->unopened = repair;
	collection_enter(request, request_params(request, repair)->collection, repair);
}

void handle_disk_usage(struct request *request)
{
	disk_usage(request);
}
