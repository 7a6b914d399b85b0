/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/spill.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"

struct spill_file {
	struct spill spill; /* first: what the budget sees */
	struct store_io *io;
	char path[1100];
	struct store_file *file;
	uint64_t n_slabs; /* that the file has room for */
	uint64_t *unused; /* their positions, of those given back; room for n_slabs */
	uint64_t n_unused;
	void **mapped; /* the address of each slab, or NULL */
};

static int spill_open(struct spill_file *spill)
{
	int r;

	if (spill->file)
		return 0;
	r = store_open(spill->io, spill->path,
	               STORE_READ | STORE_WRITE | STORE_CREATE | STORE_TRUNCATE, &spill->file);
	if (r < 0)
		return r;
	log_info("the index cache is full: what does not fit goes on in a mapped file");
	/* Whoever finds the name after a crash may remove it; nobody needs it. */
	r = store_unlink(spill->io, spill->path);
	if (r < 0)
		log_warning("cannot remove the name of %s, which goes on without it: %s",
		            spill->path, strerror(-r));
	return 0;
}

/* Room in the file for one slab more. */
static int spill_grow(struct spill_file *spill)
{
	uint64_t n = spill->n_slabs + 1;
	uint64_t *unused = realloc(spill->unused, n * sizeof(*unused));
	void **mapped;
	int r;

	if (!unused)
		return -ENOMEM;
	spill->unused = unused;
	mapped = realloc(spill->mapped, n * sizeof(*mapped));
	if (!mapped)
		return -ENOMEM;
	spill->mapped = mapped;
	/* A page that finds no place on the disk when it is written would be the end of us. */
	r = store_allocate(spill->file, spill->n_slabs * SLAB_BYTES, SLAB_BYTES);
	if (r < 0)
		return r;
	spill->mapped[spill->n_slabs] = NULL;
	spill->unused[spill->n_unused++] = spill->n_slabs;
	spill->n_slabs = n;
	return 0;
}

static void *spill_map(struct spill *base)
{
	struct spill_file *spill = (struct spill_file *)base;
	uint64_t at = 0;
	void *slab;
	int r = spill_open(spill);

	if (r == 0 && spill->n_unused == 0)
		r = spill_grow(spill);
	if (r == 0) {
		at = spill->unused[spill->n_unused - 1];
		r = store_map(spill->file, at * SLAB_BYTES, SLAB_BYTES, true, &slab);
	}
	if (r < 0) {
		log_error("cannot map memory from %s: %s", spill->path, strerror(-r));
		return NULL;
	}
	spill->n_unused--;
	spill->mapped[at] = slab;
	return slab;
}

static void spill_unmap(struct spill *base, void *slab)
{
	struct spill_file *spill = (struct spill_file *)base;
	int r;

	for (uint64_t i = 0; i < spill->n_slabs; i++) {
		if (spill->mapped[i] != slab)
			continue;
		spill->mapped[i] = NULL;
		spill->unused[spill->n_unused++] = i;
		r = store_unmap(spill->file, slab, SLAB_BYTES);
		if (r < 0)
			log_error("cannot unmap memory of %s: %s", spill->path, strerror(-r));
		return;
	}
}

int spill_file_new(struct store_io *io, const char *cache_dir, struct spill_file **ret)
{
	struct spill_file *spill = calloc(1, sizeof(*spill));

	if (!spill)
		return -ENOMEM;
	spill->spill.map = spill_map;
	spill->spill.unmap = spill_unmap;
	spill->io = io;
	snprintf(spill->path, sizeof(spill->path), "%s/spill", cache_dir);
	*ret = spill;
	return 0;
}

struct spill *spill_file_spill(struct spill_file *file)
{
	return &file->spill;
}

struct spill_file *spill_file_free(struct spill_file *file)
{
	int r;

	if (!file)
		return NULL;
	r = store_close(file->file);
	if (r < 0)
		log_error("cannot close %s: %s", file->path, strerror(-r));
	free(file->unused);
	free(file->mapped);
	free(file);
	return NULL;
}
