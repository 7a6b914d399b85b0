/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/peer.h"
#include "tests/bench/peer_vector.hh"

/* Defines functions: one file only can include it. */
#include <hnswlib/hnswlib.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace
{

/* Brute force. -------------------------------------------------------------------------------- */

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

/* Graph. -------------------------------------------------------------------------------------- */

/* Its own count is of links, met before or not; this one is of distances. */
struct distance_counter {
	hnswlib::DISTFUNC<float> distance;
	void *param;
	uint64_t n;
};

float counted_distance(const void *a, const void *b, const void *counter_of)
{
	auto counter = static_cast<distance_counter *>(const_cast<void *>(counter_of));

	counter->n++;
	return counter->distance(a, b, counter->param);
}

struct graph_of_hnswlib {
	const dataset *set;
	std::unique_ptr<hnswlib::SpaceInterface<float>> space;
	std::unique_ptr<hnswlib::HierarchicalNSW<float>> nodes;
	std::vector<float> queries;
};

void insert_rows(graph_of_hnswlib *graph, std::atomic<size_t> *next)
{
	std::vector<float> vector(graph->set->dim);
	size_t row;

	while ((row = next->fetch_add(1)) < graph->set->n_base) {
		peer_copy_vector(graph->set, dataset_row(graph->set, row), vector.data());
		graph->nodes->addPoint(vector.data(), row);
	}
}

void insert_all(graph_of_hnswlib *graph, uint32_t n_threads)
{
	std::vector<std::thread> threads;
	std::atomic<size_t> next(0);

	for (uint32_t i = 1; i < n_threads; i++)
		threads.emplace_back(insert_rows, graph, &next);
	insert_rows(graph, &next);
	for (auto &thread : threads)
		thread.join();
}

void *build_graph(const dataset *set, const graph_spec *spec)
{
	try {
		auto graph = std::make_unique<graph_of_hnswlib>();

		graph->set = set;
		if (set->metric == METRIC_COSINE)
			graph->space = std::make_unique<hnswlib::InnerProductSpace>(set->dim);
		else
			graph->space = std::make_unique<hnswlib::L2Space>(set->dim);
		graph->nodes = std::make_unique<hnswlib::HierarchicalNSW<float>>(
		        graph->space.get(), set->n_base, spec->M, spec->ef_construction);
		insert_all(graph.get(), spec->n_threads);
		graph->queries.resize(set->n_queries * set->dim);
		for (size_t i = 0; i < set->n_queries; i++)
			peer_copy_vector(set, dataset_query(set, i), &graph->queries[i * set->dim]);
		return graph.release();
	} catch (const std::exception &) {
		return nullptr;
	}
}

uint64_t bytes_of_graph(const void *graph)
{
	const auto &nodes = *static_cast<const graph_of_hnswlib *>(graph)->nodes;
	uint64_t n = nodes.cur_element_count;
	uint64_t bytes = n * (nodes.size_data_per_element_ + sizeof(char *));

	for (uint64_t i = 0; i < n; i++)
		bytes += (uint64_t)nodes.element_levels_[i] * nodes.size_links_per_element_;
	return bytes;
}

void search_graph(void *graph, size_t query_idx, uint32_t k, uint32_t ef, uint64_t *ret_rows,
                  uint64_t *ret_comparisons)
{
	auto own = static_cast<graph_of_hnswlib *>(graph);
	auto &nodes = *own->nodes;
	distance_counter counter = {nodes.fstdistfunc_, nodes.dist_func_param_, 0};

	nodes.setEf(ef);
	if (ret_comparisons) {
		nodes.fstdistfunc_ = counted_distance;
		nodes.dist_func_param_ = &counter;
	}
	auto hits = nodes.searchKnn(&own->queries[query_idx * own->set->dim], k);

	if (ret_comparisons) {
		nodes.fstdistfunc_ = counter.distance;
		nodes.dist_func_param_ = counter.param;
		*ret_comparisons = counter.n;
	}
	while (!hits.empty()) {
		ret_rows[hits.size() - 1] = hits.top().second;
		hits.pop();
	}
}

void close_graph(void *graph)
{
	delete static_cast<graph_of_hnswlib *>(graph);
}

} // namespace

extern "C" const peer peer_hnswlib = {"hnswlib brute force", open_index, search_index, close_index};

extern "C" const graph_peer graph_peer_hnswlib = {
        "hnswlib", 3, build_graph, bytes_of_graph, search_graph, close_graph};
