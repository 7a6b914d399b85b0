/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Arbitrary bytes as a config file: it is refused, or every value is within its limits.
 */

#include "daemon/config.h"
#include "daemon/log.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_paths(const struct config *config)
{
	FUZZ_CHECK(strlen(config->socket) > 0 && strlen(config->socket) < ENDPOINT_PATH_SIZE);
	FUZZ_CHECK(strlen(config->data_dir) > 0 && strlen(config->data_dir) < CONFIG_PATH_SIZE);
	FUZZ_CHECK(strlen(config->cache_dir) > 0 && strlen(config->cache_dir) < CONFIG_PATH_SIZE);
}

static void check_values(const struct config *config)
{
#define CHECK_path(name, min, max)
#define CHECK_uids(name, min, max) FUZZ_CHECK(config->name.n <= (max));
#define CHECK_level(name, min, max) FUZZ_CHECK((uint64_t)config->name <= (uint64_t)(max));
#define CHECK_backend(name, min, max) CHECK_level(name, min, max)
#define CHECK_number(name, min, max) \
	FUZZ_CHECK((uint64_t)config->name + 1 > (min) && (uint64_t)config->name <= (uint64_t)(max));
#define CHECK(kind, name, def, min, max, unit, help) CHECK_##kind(name, min, max)
	CONFIG_KEYS(CHECK)
	FUZZ_CHECK(config->n_shares <= CONFIG_SHARES_MAX);
	for (uint32_t i = 0; i < config->n_shares; i++) {
		const char *name = config->shares[i].collection;

		FUZZ_CHECK(strlen(name) > 0 && strlen(name) < CONFIG_COLLECTION_SIZE);
		FUZZ_CHECK(config_share_bytes(config, name) ==
		           (uint64_t)config->shares[i].index_cache_mb << 20);
	}
}

static void ignore(void *ctx, bool is_warning, const char *text)
{
	(void)ctx;
	(void)is_warning;
	FUZZ_CHECK(text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Tens of kilobytes. */
	static struct config config;
	char path[64];
	char *argv[] = {"kithd", "--config", path, NULL};
	int fd = memfd_create("kith.conf", MFD_CLOEXEC), r;

	FUZZ_CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
	FUZZ_CHECK(size == 0 || write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	log_tell(ignore, NULL);
	r = config_load(&config, 3, argv);
	close(fd);
	FUZZ_CHECK(r == 0 || r == CONFIG_EXIT_USAGE);
	if (r == 0) {
		check_paths(&config);
		check_values(&config);
	}
	return 0;
}
