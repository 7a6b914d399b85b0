/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/endpoint.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int endpoint_path(const char *explicit_path, char ret_path[static ENDPOINT_PATH_SIZE])
{
	const char *socket = explicit_path != NULL ? explicit_path : getenv("KITH_SOCKET");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char path[ENDPOINT_PATH_SIZE];
	int n;

	if (socket != NULL && (socket == explicit_path || socket[0] != '\0'))
		n = snprintf(path, sizeof(path), "%s", socket);
	else if (runtime != NULL && runtime[0] == '/')
		n = snprintf(path, sizeof(path), "%s/kith/kith.sock", runtime);
	else
		n = snprintf(path, sizeof(path), "/run/user/%ju/kith/kith.sock",
		             (uintmax_t)getuid());
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(ret_path, path, (size_t)n + 1);
	return 0;
}
