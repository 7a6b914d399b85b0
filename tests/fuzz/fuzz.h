/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What fuzz targets share. Each target is one file with LLVMFuzzerTestOneInput(); in a fuzz build
 * libFuzzer calls it, in every build replay.c does, with the inputs under corpus/.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Holds in release builds too. */
#define FUZZ_CHECK(condition)                                                            \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, \
			        #condition);                                             \
			abort();                                                         \
		}                                                                        \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
