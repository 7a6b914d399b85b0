/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Records so wide that few of them make a vector file whose dead rows are worth a renewal:
 *
 *	make_wide(conn);
 *	for (uint32_t round = 1; round <= WIDE_ROUNDS_IDLE; round++)
 *		put_wide(conn, round);       // all of them, each time anew
 *	... a pause: the dead rows leave ...
 *	expect_wide(conn, WIDE_ROUNDS_IDLE);
 *
 * They are numbered from 0; every third has a string for an id. Threads: the test's own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "client/kith.h"

#define WIDE "wide"
#define WIDE_DIM 1024u
#define WIDE_BYTES (WIDE_DIM * sizeof(float))
#define WIDE_RECORDS 200u
#define WIDE_ID_SIZE 16
/* More dead rows than a pause leaves, and fewer than are too many without one. */
#define WIDE_ROUNDS_IDLE 4u

void make_wide(struct kith_conn *conn);
/* Writes all of them as the round has them. */
void put_wide(struct kith_conn *conn, uint32_t round);
/* text: what the id may stand in. */
struct kith_id wide_id(uint64_t number, char text[static WIDE_ID_SIZE]);
/* The vector that the round gives it, of WIDE_DIM floats. Returns ret. */
const float *wide_vector(uint64_t number, uint32_t round, float *ret);
struct kith_search_params near_wide(const float *vector);
/* Whether the record nearest to that version of one is that very one, and how it was found. */
bool is_wide_found(struct kith_conn *conn, uint64_t number, uint32_t round,
                   enum kith_mode *ret_mode);
/* Each is there as that round wrote it, and not as the one before did. */
void expect_wide(struct kith_conn *conn, uint32_t round);
/* Of the vector file when it has so many rows: it grows by whole extents. */
uint64_t wide_file_bytes(uint64_t n_rows);
