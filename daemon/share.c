/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/share.h"

void asking_note(struct asking *asking, uint64_t number, uint64_t now_ns)
{
	if (asking->number == number)
		return;
	asking->changed = asking->number != 0;
	asking->changed_ns = now_ns;
	asking->number = number;
}

bool asking_is_shared(const struct asking *asking, uint64_t now_ns)
{
	return asking->changed && now_ns - asking->changed_ns < SHARE_LATELY_NS;
}

bool share_spend(struct loop_share *share, uint64_t began_ns, uint64_t now_ns)
{
	if (began_ns - share->since_ns >= SHARE_MOMENT_NS) {
		share->since_ns = began_ns;
		share->spent_ns = 0;
	}
	share->spent_ns += now_ns - began_ns;
	return share->spent_ns < SHARE_NS;
}

void share_renew(struct loop_share *share)
{
	share->spent_ns = 0;
}
