/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/peer.h"

#include <stddef.h>
#include <string.h>

const struct peer *const peers[] = {
#ifdef BENCH_WITH_HNSWLIB
        &peer_hnswlib,
#endif
        NULL,
};

const struct graph_peer *const graph_peers[] = {
#ifdef BENCH_WITH_HNSWLIB
        &graph_peer_hnswlib,
#endif
#ifdef BENCH_WITH_FAISS
        &graph_peer_faiss_flat,
        &graph_peer_faiss_sq8,
#endif
        NULL,
};

bool peer_is_wanted(const char *name, const char *wanted)
{
	return !wanted || strncmp(name, wanted, strlen(wanted)) == 0;
}
