/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/unpack.h"

#include "protocol/precheck.h"

#include <errno.h>

int unpack(const uint8_t *data, size_t n, uint32_t max_depth, uint32_t max_values,
           msgpack_unpacked *ret)
{
	msgpack_unpacked unpacked;
	int r;

	r = precheck(data, n, max_depth, max_values);
	if (r != 0)
		return r;
	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, (const char *)data, n, NULL) == MSGPACK_UNPACK_SUCCESS) {
		*ret = unpacked;
		return 0;
	}
	/* What passed the check has nothing wrong with it: memory ran out. */
	msgpack_unpacked_destroy(&unpacked);
	return -ENOMEM;
}
