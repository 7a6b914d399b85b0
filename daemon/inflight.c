/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/inflight.h"

#include <assert.h>

void inflight_init(struct inflight *inflight, uint64_t limit_bytes)
{
	inflight->limit_bytes = limit_bytes;
	inflight->request_bytes = 0;
	inflight->answer_bytes = 0;
	inflight->granting = false;
	list_init(&inflight->waiting[0]);
	list_init(&inflight->waiting[1]);
}

static bool is_large(uint64_t bytes)
{
	return bytes > INFLIGHT_SMALL_BYTES;
}

static bool fits(const struct inflight *inflight, uint64_t bytes)
{
	uint64_t limit = is_large(bytes) ? inflight->limit_bytes / 2 : inflight->limit_bytes;

	return inflight->request_bytes == 0 || inflight->request_bytes + bytes <= limit;
}

bool inflight_ask(struct inflight *inflight, struct inflight_wait *wait, uint64_t bytes)
{
	struct list *waiting = &inflight->waiting[is_large(bytes)];

	if (list_empty(waiting) && fits(inflight, bytes)) {
		inflight->request_bytes += bytes;
		return true;
	}
	wait->bytes = bytes;
	list_append(waiting, &wait->link);
	return false;
}

void inflight_forget(struct inflight_wait *wait)
{
	list_remove(&wait->link);
}

bool inflight_is_waited_for(const struct inflight *inflight)
{
	return !list_empty(&inflight->waiting[0]) || !list_empty(&inflight->waiting[1]);
}

static void grant(struct inflight *inflight, struct list *waiting)
{
	while (!list_empty(waiting)) {
		struct inflight_wait *wait =
		        LIST_ELEMENT(waiting->next, struct inflight_wait, link);

		if (!fits(inflight, wait->bytes))
			return;
		list_remove(&wait->link);
		inflight->request_bytes += wait->bytes;
		wait->granted(wait);
	}
}

void inflight_give(struct inflight *inflight, uint64_t bytes)
{
	assert(inflight->request_bytes >= bytes);
	inflight->request_bytes -= bytes;
	/* granted() may answer at once and so give again: the outer call goes on granting. */
	if (inflight->granting)
		return;
	inflight->granting = true;
	grant(inflight, &inflight->waiting[0]);
	grant(inflight, &inflight->waiting[1]);
	inflight->granting = false;
}

void inflight_add_answer(struct inflight *inflight, uint64_t bytes)
{
	inflight->answer_bytes += bytes;
}

void inflight_give_answer(struct inflight *inflight, uint64_t bytes)
{
	assert(inflight->answer_bytes >= bytes);
	inflight->answer_bytes -= bytes;
}

bool inflight_answers_full(const struct inflight *inflight)
{
	return inflight->answer_bytes >= inflight->limit_bytes;
}
