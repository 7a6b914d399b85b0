/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/snapshot_page.h"

#include <stddef.h>
#include <string.h>

#include "storage/crc32c.h"

#define SEALED_BYTES offsetof(struct snapshot_page, crc)

static_assert(SEALED_BYTES == SNAPSHOT_PAGE_BYTES - 4, "the seal is last");
static_assert(sizeof(((struct snapshot_page *)NULL)->space) ==
                      sizeof(((struct record_spec *)NULL)->space),
              "a label has the same room in the file");

static const uint8_t magic[8] = {'K', 'I', 'T', 'H', 'S', 'N', 'P', '\n'};

/* Nothing behind the terminator is copied, so that equal heads make equal pages. */
static bool copy_text(char *to, const char *from, size_t size)
{
	const char *end = memchr(from, '\0', size);

	if (end == NULL)
		return false;
	memcpy(to, from, (size_t)(end - from));
	return true;
}

bool snapshot_page_encode(const struct snapshot_head *head, struct snapshot_page *ret)
{
	const struct snapshot_fingerprint *of = &head->fingerprint;
	struct snapshot_page page = {
	        .version = SNAPSHOT_VERSION,
	        .dim = of->spec.dim,
	        .uuid = of->spec.uuid,
	        .metric = of->spec.metric,
	        .dtype = of->spec.dtype,
	        .seq = head->seq,
	        .epoch = head->epoch,
	        .generation = head->generation,
	        .n_nodes = head->n_nodes,
	        .n_params = of->n_params,
	};

	if (of->n_params > sizeof(page.params) ||
	    !copy_text(page.kind, of->kind, sizeof(page.kind)) ||
	    !copy_text(page.space, of->spec.space, sizeof(page.space)))
		return false;
	memcpy(page.magic, magic, sizeof(magic));
	memcpy(page.params, of->params, of->n_params);
	*ret = page;
	return true;
}

bool snapshot_page_decode(const struct snapshot_page *page, struct snapshot_head *ret)
{
	struct snapshot_head head = {
	        .fingerprint =
	                {
	                        .spec =
	                                {
	                                        .uuid = page->uuid,
	                                        .dim = page->dim,
	                                        .metric = page->metric,
	                                        .dtype = page->dtype,
	                                },
	                        .n_params = page->n_params,
	                },
	        .seq = page->seq,
	        .epoch = page->epoch,
	        .generation = page->generation,
	        .n_nodes = page->n_nodes,
	};
	struct snapshot_fingerprint *of = &head.fingerprint;

	if (page->n_params > sizeof(of->params) ||
	    !copy_text(of->kind, page->kind, sizeof(of->kind)) ||
	    !copy_text(of->spec.space, page->space, sizeof(of->spec.space)))
		return false;
	memcpy(of->params, page->params, page->n_params);
	*ret = head;
	return true;
}

void snapshot_page_seal(struct snapshot_page *page)
{
	page->crc = crc32c(0, page, SEALED_BYTES);
}

bool snapshot_page_has_magic(const struct snapshot_page *page)
{
	return memcmp(page->magic, magic, sizeof(magic)) == 0;
}

bool snapshot_page_is_sealed(const struct snapshot_page *page)
{
	return page->crc == crc32c(0, page, SEALED_BYTES);
}
