/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What clients of a daemon were promised, step by step, and what it then holds.
 *
 *	struct ledger_state *next = ledger_begin(&ledger, now);     // a copy of the last state
 *	ledger_set(ledger_collection(next, "notes"), 0, 10, 2, 2);  // what the request does to it
 *	... the request is answered ...
 *	ledger_acknowledge(&ledger, now);
 *
 * A state is all collections with the numbered records (service_fixture.h) that each has. "now" is
 * any count that grows; a daemon whose world ended at a moment must hold exactly one of the states
 * from the last one acknowledged by then to the last one begun by then: so no acknowledged write
 * is missing, no request is there in part, and there is nothing else.
 *
 * What fails here fails the test. Threads: one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/kith.h"

#define LEDGER_NUMBERS 160u
#define LEDGER_COLLECTIONS 4u
#define LEDGER_NAME_SIZE 16

/* The versions that its vector and its text are of; 0: it is not there. */
struct ledger_record {
	uint16_t vector, text;
};

struct ledger_collection {
	char name[LEDGER_NAME_SIZE]; /* "": not there */
	bool indexed;
	bool bulk; /* writing */
	struct ledger_record records[LEDGER_NUMBERS];
};

struct ledger_state {
	struct ledger_collection v[LEDGER_COLLECTIONS];
};

struct ledger_step {
	struct ledger_state after;
	uint64_t begun, acknowledged; /* UINT64_MAX: not yet */
};

struct ledger {
	struct ledger_step *steps; /* the first is nothing at all, acknowledged at 0 */
	size_t n, max;
};

void ledger_init(struct ledger *ledger);
void ledger_release(struct ledger *ledger);
struct ledger_state *ledger_begin(struct ledger *ledger, uint64_t now);
/* All that were begun. */
void ledger_acknowledge(struct ledger *ledger, uint64_t now);
/* The last step was refused: as if it had never begun. */
void ledger_take_back(struct ledger *ledger);
const struct ledger_state *ledger_last(const struct ledger *ledger);

/* The one of that name; NULL: not there. "" finds a free place. */
struct ledger_collection *ledger_collection(struct ledger_state *state, const char *name);
void ledger_set(struct ledger_collection *collection, uint32_t first, uint32_t n, uint16_t vector,
                uint16_t text);

/* All that the daemon holds, by list and scan: each id once, whole, of some version. */
void ledger_read(struct kith_conn *conn, struct ledger_state *ret);
/* Of one collection, whose name is set: the rest of it. */
void ledger_read_collection(struct kith_conn *conn, struct ledger_collection *collection);
bool ledger_same(const struct ledger_state *a, const struct ledger_state *b);
/* It holds one of the states that are possible after a crash at that moment; it goes to *ret. */
void ledger_expect_possible(const struct ledger *ledger, uint64_t moment, struct kith_conn *conn,
                            struct ledger_state *ret);
/* Searches of all collections, exact ones and through the graph, give exactly what the state says.
 */
void ledger_expect_searches(const struct ledger_state *state, struct kith_conn *conn);
