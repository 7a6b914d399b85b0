/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/unpack.h"

#include "protocol/precheck.h"

#include <errno.h>

int unpack(const uint8_t *data, size_t n, uint32_t max_depth, uint32_t max_values,
           msgpack_unpacked *ret)
{
	msgpack_unpack_return result;
	msgpack_unpacked unpacked;
	int r;

	r = precheck(data, n, max_depth, max_values);
	if (r != 0)
		return r;
	msgpack_unpacked_init(&unpacked);
	result = msgpack_unpack_next(&unpacked, (const char *)data, n, NULL);
	if (result == MSGPACK_UNPACK_SUCCESS) {
		*ret = unpacked;
		return 0;
	}
	msgpack_unpacked_destroy(&unpacked);
	return result == MSGPACK_UNPACK_NOMEM_ERROR ? -ENOMEM : PRECHECK_TYPE;
}
