/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/fvecs.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define READ_BYTES (1u << 20)

__attribute__((format(printf, 2, 3))) static int complain(struct fvecs *fvecs, const char *format,
                                                          ...)
{
	char what[FVECS_MESSAGE_SIZE / 2];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	snprintf(fvecs->message, sizeof(fvecs->message), "%.200s: %s", fvecs->path, what);
	return -1;
}

/* 1, 0 at the end, -1. */
static int read_header(struct fvecs *fvecs)
{
	unsigned long long row = fvecs->next_row;
	uint8_t bytes[4];
	size_t n = fread(bytes, 1, sizeof(bytes), fvecs->file);
	uint32_t dim;

	if (ferror(fvecs->file))
		return complain(fvecs, "row %llu: %s", row, strerror(errno));
	if (n == 0)
		return 0;
	if (n < sizeof(bytes))
		return complain(fvecs, "row %llu: the file ends inside the row's dimension", row);
	dim = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	      (uint32_t)bytes[3] << 24;
	if (dim == 0 || dim > FVECS_MAX_DIM)
		return complain(fvecs, "row %llu: %u is no dimension; is this an .fvecs file?", row,
		                dim);
	if (fvecs->dim == 0)
		fvecs->dim = dim;
	if (dim != fvecs->dim)
		return complain(fvecs, "row %llu has %u dimensions, those before it %u", row, dim,
		                fvecs->dim);
	fvecs->has_header = true;
	return 1;
}

bool fvecs_open(struct fvecs *fvecs, const char *path)
{
	struct stat st;

	*fvecs = (struct fvecs){.path = path};
	if (strcmp(path, "-") == 0)
		fvecs->path = "standard input";
	fvecs->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
	if (!fvecs->file) {
		complain(fvecs, "%s", strerror(errno));
		return false;
	}
	setvbuf(fvecs->file, NULL, _IOFBF, READ_BYTES);
	if (read_header(fvecs) < 0)
		return false;
	if (fvecs->dim && fstat(fileno(fvecs->file), &st) == 0 && S_ISREG(st.st_mode))
		fvecs->n_rows = (uint64_t)st.st_size / (4 + (uint64_t)fvecs->dim * sizeof(float));
	return true;
}

void fvecs_close(struct fvecs *fvecs)
{
	if (fvecs->file && fvecs->file != stdin)
		fclose(fvecs->file);
	fvecs->file = NULL;
}

int fvecs_next(struct fvecs *fvecs, float *row)
{
	size_t n;
	int r;

	if (fvecs->dim == 0)
		return 0;
	if (!fvecs->has_header) {
		r = read_header(fvecs);
		if (r <= 0)
			return r;
	}
	n = fread(row, sizeof(float), fvecs->dim, fvecs->file);
	if (ferror(fvecs->file))
		return complain(fvecs, "row %llu: %s", (unsigned long long)fvecs->next_row,
		                strerror(errno));
	if (n < fvecs->dim)
		return complain(fvecs, "row %llu: the file ends after %zu of %u floats",
		                (unsigned long long)fvecs->next_row, n, fvecs->dim);
	fvecs->has_header = false;
	fvecs->next_row++;
	return 1;
}
