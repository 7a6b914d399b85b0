/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/guest.h"

#include <assert.h>

#include "protocol/frame.h"
#include "protocol/limits.h"

void guests_init(struct guests *guests, const struct config_uids *uids)
{
	guests->n = uids->n;
	for (uint32_t i = 0; i < guests->n; i++) {
		guests->guests[i] = (struct guest){.uid = uids->uids[i]};
		list_init(&guests->guests[i].waiting);
	}
}

struct guest *guests_find(struct guests *guests, uid_t uid)
{
	for (uint32_t i = 0; i < guests->n; i++) {
		if (guests->guests[i].uid == uid)
			return &guests->guests[i];
	}
	return NULL;
}

/* The largest frame fits when nothing else is there. */
static bool has_room(const struct guest *guest, uint64_t bytes)
{
	return guest->request_bytes == 0 || guest->request_bytes + bytes <= LIMIT_GUEST_BYTES;
}

bool guest_ask(struct guest *guest, struct guest_wait *wait, uint64_t bytes)
{
	if (bytes > FRAME_SMALL_BYTES && !has_room(guest, bytes)) {
		wait->bytes = bytes;
		list_append(&guest->waiting, &wait->link);
		return false;
	}
	guest->request_bytes += bytes;
	return true;
}

void guest_forget(struct guest_wait *wait)
{
	list_remove(&wait->link);
}

void guest_give(struct guest *guest, uint64_t bytes)
{
	assert(guest->request_bytes >= bytes);
	guest->request_bytes -= bytes;
	/* One at a time: it asks when its turn comes, and the next is told when it gives. */
	if (!list_empty(&guest->waiting)) {
		struct guest_wait *wait =
		        LIST_ELEMENT(guest->waiting.next, struct guest_wait, link);

		if (has_room(guest, wait->bytes)) {
			list_remove(&wait->link);
			wait->roomy(wait);
		}
	}
}

bool guest_is_over(const struct guest *guest, struct wire_error *error)
{
	if (guest->n_requests > LIMIT_GUEST_REQUESTS) {
		wire_error_set(error, WIRE_ERROR_OVER_LIMIT, "guest_requests",
		               "uid %u has %d requests unanswered, which is the limit",
		               (unsigned)guest->uid, LIMIT_GUEST_REQUESTS);
		return true;
	}
	if (guest->request_bytes > LIMIT_GUEST_BYTES) {
		wire_error_set(error, WIRE_ERROR_OVER_LIMIT, "guest_bytes",
		               "the requests of uid %u that are unanswered take more than %d "
		               "bytes, which is the limit",
		               (unsigned)guest->uid, LIMIT_GUEST_BYTES);
		return true;
	}
	return false;
}
