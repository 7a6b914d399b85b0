/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reads .fvecs files: row after row, each its dimension (32-bit little-endian integer) and as many
 * 32-bit little-endian floats. All rows have the dimension of the first. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define FVECS_MAX_DIM 65536u
#define FVECS_MESSAGE_SIZE 512

struct fvecs {
	const char *path;
	FILE *file;
	uint32_t dim;                     /* of the first row; 0: the file is empty */
	uint64_t next_row;                /* counted from 0 */
	uint64_t n_rows;                  /* by the file's size; 0: not known */
	bool has_header;                  /* the next row's has been read */
	char message[FVECS_MESSAGE_SIZE]; /* what is wrong, with file and row */
};

/* Reads the first row's dimension. "-": standard input. False: see message. */
bool fvecs_open(struct fvecs *fvecs, const char *path);
void fvecs_close(struct fvecs *fvecs);
/* The next row into dim floats: 1, 0 at the end, -1: see message. */
int fvecs_next(struct fvecs *fvecs, float *row);
