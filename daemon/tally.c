/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/tally.h"

#include <stdlib.h>
#include <string.h>

#define N_CELLS (TALLY_N_WAYS * WIRE_N_source * 2)

struct tally *tally_new(void)
{
	struct tally *tally = calloc(1, sizeof(*tally));

	if (tally)
		tally->n_refs = 1;
	return tally;
}

struct tally *tally_ref(struct tally *tally)
{
	tally->n_refs++;
	return tally;
}

struct tally *tally_unref(struct tally *tally)
{
	if (tally && --tally->n_refs == 0)
		free(tally);
	return NULL;
}

struct tally_cell tally_sum(const struct tally *tally, enum tally_way way)
{
	const struct tally_cell *cells = &tally->cells[way][0][0];
	struct tally_cell sum = {0};

	for (int i = 0; i < WIRE_N_source * 2; i++) {
		sum.searches += cells[i].searches;
		sum.comparisons += cells[i].comparisons;
		sum.scanned += cells[i].scanned;
	}
	return sum;
}

uint32_t tally_rows(const struct tally *tally, const char *collection, const char *index,
                    struct tally_row *rows)
{
	const struct tally_cell *cells = &tally->cells[0][0][0];
	uint32_t n = 0;

	for (uint32_t i = 0; i < N_CELLS; i++) {
		enum tally_way way = (enum tally_way)(i / (WIRE_N_source * 2));

		if (cells[i].searches == 0)
			continue;
		if (rows)
			rows[n] = (struct tally_row){
			        .collection = {collection, (uint32_t)strlen(collection)},
			        .index = {index, (uint32_t)strlen(index)},
			        .mode = way == TALLY_GRAPH ? WIRE_mode_hnsw : WIRE_mode_exact,
			        .fell_back = way == TALLY_FELL_BACK,
			        .served_from = i / 2 % WIRE_N_source,
			        .pending = i % 2 == 1,
			        .searches = cells[i].searches,
			        .comparisons = cells[i].comparisons,
			        .scanned = cells[i].scanned,
			};
		n++;
	}
	return n;
}
