/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/peer.h"

#include <stddef.h>

const struct peer *const peers[] = {
#ifdef BENCH_WITH_HNSWLIB
        &peer_hnswlib,
#endif
        NULL,
};
