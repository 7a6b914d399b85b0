/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Looks at the structure one fact at a time; every list, then the entry point, then who can be
 * reached. The first fault ends it. Nothing is assumed of a link before its range was checked, so
 * a graph that was read from a damaged file can be looked at too.
 */

#include "index/hnsw_graph.h"

#include <errno.h>
#include <stdlib.h>

static int fault(struct hnsw_check_report *report, uint32_t node, uint32_t level, const char *text)
{
	report->fault = text;
	report->node = node;
	report->level = level;
	return -EBADMSG;
}

static uint32_t load(const _Atomic uint32_t *link)
{
	return atomic_load_explicit(link, memory_order_acquire);
}

static int check_link(const struct hnsw *hnsw, const _Atomic uint32_t *list, uint32_t idx,
                      uint32_t node, uint32_t level, struct hnsw_check_report *report)
{
	uint32_t link = load(&list[idx]);

	if (level == 0)
		link &= ~HNSW_LINK_BRANCH;
	if (link >= report->n_nodes)
		return fault(report, node, level, "a link to no node");
	if (link == node)
		return fault(report, node, level, "a link to the node itself");
	if (hnsw_level(hnsw, link) < level)
		return fault(report, node, level, "a link to a node that is not at its level");
	for (uint32_t before = 0; before < idx; before++) {
		if ((load(&list[before]) & ~HNSW_LINK_BRANCH) == link)
			return fault(report, node, level, "a link twice");
	}
	return 0;
}

static int check_list(const struct hnsw *hnsw, uint32_t node, uint32_t level,
                      struct hnsw_check_report *report)
{
	uint32_t capacity = hnsw_capacity(hnsw, level);
	const _Atomic uint32_t *list = hnsw_list(hnsw, node, level);
	uint32_t n = 0;

	for (; n < capacity && load(&list[n]) != HNSW_NO_LINK; n++) {
		int r = check_link(hnsw, list, n, node, level, report);
		if (r < 0)
			return r;
	}
	for (uint32_t i = n; i < capacity; i++) {
		if (load(&list[i]) != HNSW_NO_LINK)
			return fault(report, node, level, "a hole in a list");
	}
	if (level == 0)
		report->n_links += n;
	else
		report->n_upper_links += n;
	return 0;
}

static int check_node(const struct hnsw *hnsw, uint32_t node, struct hnsw_check_report *report)
{
	uint32_t own_top = hnsw_level(hnsw, node);

	if (own_top != hnsw_draw_level(&hnsw->params, node))
		return fault(report, node, own_top, "a level that was not drawn");
	if (node > 0 && hnsw_slot(hnsw, node) <= hnsw_slot(hnsw, node - 1))
		return fault(report, node, 0, "slots that do not ascend");
	if (own_top > report->top_level)
		report->top_level = own_top;
	for (uint32_t level = 0; level <= own_top; level++) {
		int r = check_list(hnsw, node, level, report);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_entry(const struct hnsw *hnsw, struct hnsw_check_report *report)
{
	uint64_t entry = atomic_load_explicit(&hnsw->entry, memory_order_acquire);
	uint32_t node = (uint32_t)entry, level = (uint32_t)(entry >> 32);

	if (report->n_nodes == 0)
		return entry == HNSW_ENTRY_NONE ? 0
		                                : fault(report, node, level, "an entry to nothing");
	if (entry == HNSW_ENTRY_NONE || node >= report->n_nodes)
		return fault(report, node, 0, "no entry point");
	if (level != hnsw_level(hnsw, node) || level != report->top_level)
		return fault(report, node, level, "an entry point that is not at the top");
	return 0;
}

/* Counts who is reached over level 0 from the entry point. */
static int count_reachable(const struct hnsw *hnsw, struct hnsw_check_report *report)
{
	uint32_t links[HNSW_LINKS_MAX];
	uint32_t n_queued = 0;

	if (report->n_nodes == 0)
		return 0;
	bool *is_reached = calloc(report->n_nodes, sizeof(*is_reached));
	uint32_t *queue = calloc(report->n_nodes, sizeof(*queue));
	if (!is_reached || !queue) {
		free(is_reached);
		free(queue);
		return -ENOMEM;
	}
	queue[n_queued++] = (uint32_t)atomic_load_explicit(&hnsw->entry, memory_order_acquire);
	is_reached[queue[0]] = true;
	for (uint32_t at = 0; at < n_queued; at++) {
		uint32_t n = hnsw_links_of(hnsw, queue[at], 0, links);
		for (uint32_t i = 0; i < n; i++) {
			if (is_reached[links[i]])
				continue;
			is_reached[links[i]] = true;
			queue[n_queued++] = links[i];
		}
	}
	report->n_reachable = n_queued;
	free(is_reached);
	free(queue);
	return 0;
}

int hnsw_check_lists(const struct hnsw *hnsw, uint32_t n_nodes,
                     struct hnsw_check_report *ret_report)
{
	struct hnsw_check_report report = {.n_nodes = n_nodes};
	int r = 0;

	for (uint32_t node = 0; node < n_nodes && r == 0; node++)
		r = check_node(hnsw, node, &report);
	if (r == 0)
		r = check_entry(hnsw, &report);
	*ret_report = report;
	return r;
}

int hnsw_check(const struct hnsw *hnsw, struct hnsw_check_report *ret_report)
{
	int r = hnsw_check_lists(hnsw, hnsw->n_covered, ret_report);

	return r == 0 ? count_reachable(hnsw, ret_report) : r;
}
