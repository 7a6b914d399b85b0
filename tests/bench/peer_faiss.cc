/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/peer.h"
#include "tests/bench/peer_vector.hh"

#include <faiss/IndexHNSW.h>
#include <faiss/IndexScalarQuantizer.h>
#include <omp.h>

#include <exception>
#include <memory>
#include <vector>

namespace
{

struct graph_of_faiss {
	const dataset *set;
	std::unique_ptr<faiss::IndexHNSW> index;
	std::vector<float> queries;
};

std::vector<float> copy_vectors(const dataset *set, const float *from, size_t n)
{
	std::vector<float> to(n * set->dim);

	for (size_t i = 0; i < n; i++)
		peer_copy_vector(set, from + i * set->dim, &to[i * set->dim]);
	return to;
}

/* Its threads are OpenMP's, which outlive the build: a search has to be told to be alone. */
graph_of_faiss *fill(const dataset *set, const graph_spec *spec,
                     std::unique_ptr<faiss::IndexHNSW> index)
{
	auto graph = std::make_unique<graph_of_faiss>();
	auto rows = copy_vectors(set, set->base, set->n_base);

	graph->set = set;
	index->hnsw.efConstruction = (int)spec->ef_construction;
	omp_set_num_threads((int)spec->n_threads);
	index->train((faiss::Index::idx_t)set->n_base, rows.data());
	index->add((faiss::Index::idx_t)set->n_base, rows.data());
	omp_set_num_threads(1);
	graph->index = std::move(index);
	graph->queries = copy_vectors(set, set->queries, set->n_queries);
	return graph.release();
}

faiss::MetricType metric_of(const dataset *set)
{
	return set->metric == METRIC_COSINE ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2;
}

void *build_flat(const dataset *set, const graph_spec *spec)
{
	try {
		return fill(set, spec,
		            std::make_unique<faiss::IndexHNSWFlat>((int)set->dim, (int)spec->M,
		                                                   metric_of(set)));
	} catch (const std::exception &) {
		return nullptr;
	}
}

void *build_sq8(const dataset *set, const graph_spec *spec)
{
	try {
		return fill(set, spec,
		            std::make_unique<faiss::IndexHNSWSQ>((int)set->dim,
		                                                 faiss::ScalarQuantizer::QT_8bit,
		                                                 (int)spec->M, metric_of(set)));
	} catch (const std::exception &) {
		return nullptr;
	}
}

uint64_t bytes_of_graph(const void *graph)
{
	const auto &index = *static_cast<const graph_of_faiss *>(graph)->index;
	const auto &hnsw = index.hnsw;
	const auto *rows = dynamic_cast<const faiss::IndexFlatCodes *>(index.storage);

	return (rows ? rows->codes.size() : 0) + hnsw.neighbors.size() * sizeof(hnsw.neighbors[0]) +
	       hnsw.offsets.size() * sizeof(hnsw.offsets[0]) +
	       hnsw.levels.size() * sizeof(hnsw.levels[0]);
}

/* It counts distances at level 0 only. */
void search_graph(void *graph, size_t query_idx, uint32_t k, uint32_t ef, uint64_t *ret_rows,
                  uint64_t *ret_comparisons)
{
	auto own = static_cast<graph_of_faiss *>(graph);
	std::vector<float> distances(k);
	std::vector<faiss::Index::idx_t> rows(k);
	size_t before = faiss::hnsw_stats.n3;

	own->index->hnsw.efSearch = (int)ef;
	own->index->search(1, &own->queries[query_idx * own->set->dim], k, distances.data(),
	                   rows.data());
	if (ret_comparisons)
		*ret_comparisons = faiss::hnsw_stats.n3 - before;
	for (uint32_t i = 0; i < k; i++)
		ret_rows[i] = rows[i] < 0 ? 0 : (uint64_t)rows[i];
}

void close_graph(void *graph)
{
	delete static_cast<graph_of_faiss *>(graph);
}

} // namespace

extern "C" const graph_peer graph_peer_faiss_flat = {
        "faiss flat", 1, build_flat, bytes_of_graph, search_graph, close_graph};
extern "C" const graph_peer graph_peer_faiss_sq8 = {
        "faiss sq8", 1, build_sq8, bytes_of_graph, search_graph, close_graph};
