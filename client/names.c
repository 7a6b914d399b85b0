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
CHOICE_NAMES(index_kind, WIRE_INDEX_KINDS)
CHOICE_NAMES(quantization, WIRE_QUANTIZATIONS)
CHOICE_NAMES(index_state, WIRE_INDEX_STATES)
CHOICE_NAMES(ensured, WIRE_ENSURED)

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
NAME_FUNCTION(index_kind)
NAME_FUNCTION(quantization)
NAME_FUNCTION(index_state)
NAME_FUNCTION(ensured)

static int find(const char *const names[], int n, const char *name)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return -EINVAL;
}

int kith_metric_find(const char *name)
{
	return find(metric_names, WIRE_N_metric, name);
}

int kith_dtype_find(const char *name)
{
	return find(dtype_names, WIRE_N_dtype, name);
}

int kith_index_kind_find(const char *name)
{
	return find(index_kind_names, WIRE_N_index_kind, name);
}

int kith_quantization_find(const char *name)
{
	return find(quantization_names, WIRE_N_quantization, name);
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
