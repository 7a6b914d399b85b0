/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/record_epochs.h"

#include <string.h>

/* n when it is none of them. */
static uint32_t find(const struct record_epochs *epochs, const struct uuid *id)
{
	uint32_t i = 0;

	while (i < epochs->n && !uuid_equal(&epochs->v[i].id, id))
		i++;
	return i;
}

void record_epochs_add(struct record_epochs *epochs, const struct record_epoch *epoch)
{
	if (epochs->n > 0 && uuid_equal(record_epochs_last(epochs), &epoch->id))
		return;
	if (epochs->n == RECORD_EPOCHS_MAX)
		memmove(epochs->v, epochs->v + 1, --epochs->n * sizeof(epochs->v[0]));
	epochs->v[epochs->n++] = *epoch;
}

bool record_epochs_end(const struct record_epochs *epochs, const struct uuid *id,
                       const struct record_epoch *now, struct record_epoch *ret)
{
	uint32_t i = find(epochs, id);

	if (i == epochs->n)
		return false;
	*ret = i + 1 < epochs->n ? epochs->v[i + 1] : *now;
	return true;
}

bool record_epochs_is_old(const struct record_epochs *epochs, const struct uuid *id)
{
	return epochs->n - find(epochs, id) > RECORD_EPOCHS_MAX / 2;
}
