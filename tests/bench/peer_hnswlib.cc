/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/peer.h"

#include <hnswlib/hnswlib.h>

#include <new>

namespace
{

struct index_of_hnswlib {
	hnswlib::L2Space space;
	hnswlib::BruteforceSearch<float> rows;

	explicit index_of_hnswlib(const dataset *set) : space(set->dim), rows(&space, set->n_base)
	{
		for (size_t i = 0; i < set->n_base; i++)
			rows.addPoint(dataset_row(set, i), i);
	}
};

void *open_index(const dataset *set)
{
	try {
		return new index_of_hnswlib(set);
	} catch (const std::exception &) {
		return nullptr;
	}
}

void search_index(void *index, const float *query, uint32_t k, uint64_t *ret_rows)
{
	auto hits = static_cast<index_of_hnswlib *>(index)->rows.searchKnn(query, k);

	while (!hits.empty()) {
		ret_rows[hits.size() - 1] = hits.top().second;
		hits.pop();
	}
}

void close_index(void *index)
{
	delete static_cast<index_of_hnswlib *>(index);
}

} // namespace

extern "C" const peer peer_hnswlib = {"hnswlib brute force", open_index, search_index, close_index};
