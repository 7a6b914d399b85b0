/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How much a test does that grows with its numbers: a third under the thread sanitizer, which makes
 * everything some twenty times slower and looks for races, that fewer records show as well.
 */
#ifdef __SANITIZE_THREAD__
#define SCALED(n) ((n) / 3)
#else
#define SCALED(n) (n)
#endif
