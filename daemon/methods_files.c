/* SPDX-License-Identifier: Apache-2.0 */

/* The methods about files: checkpoint, backup, restore, verify, repair, disk_usage. */

#include "daemon/backup.h"
#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/disk_usage.h"
#include "daemon/dispatch.h"
#include "daemon/repair.h"
#include "daemon/session.h"
#include "daemon/verify.h"

void handle_checkpoint(struct request *request)
{
	collection_enter(request, request_params(request, checkpoint)->collection,
	                 upkeep_checkpoint);
}

/* What reads and writes where the client says does so with the daemon's rights, which guests may
 * not have. */
static bool is_owner(struct request *request)
{
	if (request->session && request->session->peer->uid == request->daemon->owner)
		return true;
	request_finish_refusal(request, WIRE_ERROR_OWNER_ONLY, "directory",
	                       "only uid %u, that kithd runs as, may name directories to it",
	                       (unsigned)request->daemon->owner);
	return false;
}

void handle_backup(struct request *request)
{
	if (is_owner(request))
		backup(request);
}

void handle_restore(struct request *request)
{
	if (is_owner(request))
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
