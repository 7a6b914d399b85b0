/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/retry.h"

#define NS_PER_MS UINT64_C(1000000)

void retry_failed(struct retry *retry, uint64_t now_ns, uint64_t first_ms, uint64_t max_ms)
{
	uint64_t pause_ms = retry->pause_ms ? retry->pause_ms * 2 : first_ms;

	retry->pause_ms = pause_ms < max_ms ? pause_ms : max_ms;
	retry_put_off(retry, now_ns, retry->pause_ms);
}

void retry_put_off(struct retry *retry, uint64_t now_ns, uint64_t pause_ms)
{
	retry->due_ns = now_ns + pause_ms * NS_PER_MS;
}

void retry_succeeded(struct retry *retry)
{
	*retry = (struct retry){0};
}

void retry_at_once(struct retry *retry)
{
	retry->due_ns = 0;
}

bool retry_is_due(const struct retry *retry, uint64_t now_ns)
{
	return now_ns >= retry->due_ns;
}
