/* SPDX-License-Identifier: Apache-2.0 */

/* Names of choices and results. */

#include <errno.h>
#include <string.h>

#include "client/kith.h"
#include "protocol/errors.h"
#include "protocol/methods.h"

#define CHOICE_NAME(X, c) #c,
#define CHOICE_NAMES(choice, list) \
	static const char *const choice##_names[] = {list(CHOICE_NAME, ) "unknown"};
CHOICE_NAMES(metric, WIRE_METRICS)
CHOICE_NAMES(dtype, WIRE_DTYPES)
CHOICE_NAMES(mode, WIRE_MODES)
CHOICE_NAMES(source, WIRE_SOURCES)
CHOICE_NAMES(change, WIRE_CHANGES)

#define NAME_FUNCTION(choice)                                                               \
	const char *kith_##choice##_name(uint32_t choice)                                   \
	{                                                                                   \
		return choice##_names[choice < WIRE_N_##choice ? choice : WIRE_N_##choice]; \
	}
NAME_FUNCTION(metric)
NAME_FUNCTION(dtype)
NAME_FUNCTION(mode)
NAME_FUNCTION(source)
NAME_FUNCTION(change)

int kith_metric_find(const char *name)
{
	for (int metric = 0; metric < WIRE_N_metric; metric++) {
		if (strcmp(metric_names[metric], name) == 0)
			return metric;
	}
	return -EINVAL;
}

const char *kith_error_name(int result)
{
	if (result < 0)
		return strerror(-result);
	if (result == 0)
		return "ok";
	if (result < KITH_ERROR_BAD_FRAME || result - KITH_ERROR_BAD_FRAME >= WIRE_N_ERRORS)
		return "other";
	return wire_error_text((enum wire_error_code)(result - KITH_ERROR_BAD_FRAME));
}

const char *kith_version(void)
{
	return KITH_VERSION;
}
