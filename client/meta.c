/* SPDX-License-Identifier: Apache-2.0 */

/* Metadata: the builder and the walk of protocol/meta.h under public names. A finished map moves to
 * an arena, so that one builder makes a whole batch. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/kith.h"
#include "client/mirror.h"
#include "protocol/meta.h"

struct kith_meta_builder {
	struct wire_meta_builder wire;
	struct wire_arena finished;
};

struct kith_meta_builder *kith_meta_new(void)
{
	struct kith_meta_builder *builder = malloc(sizeof(*builder));

	if (!builder)
		return NULL;
	wire_meta_begin(&builder->wire);
	wire_arena_init(&builder->finished);
	return builder;
}

void kith_meta_text(struct kith_meta_builder *builder, const char *key, struct kith_str text)
{
	wire_meta_text(&builder->wire, key, text.data, text.n);
}

void kith_meta_int(struct kith_meta_builder *builder, const char *key, int64_t value)
{
	wire_meta_int(&builder->wire, key, value);
}

void kith_meta_float(struct kith_meta_builder *builder, const char *key, double value)
{
	wire_meta_float(&builder->wire, key, value);
}

void kith_meta_bool(struct kith_meta_builder *builder, const char *key, bool value)
{
	wire_meta_bool(&builder->wire, key, value);
}

void kith_meta_list(struct kith_meta_builder *builder, const char *key, uint32_t n)
{
	wire_meta_list(&builder->wire, key, n);
}

struct kith_meta kith_meta_end(struct kith_meta_builder *builder)
{
	struct wire_bin map = wire_meta_end(&builder->wire);
	struct kith_meta meta = {0};
	void *copy;

	if (map.data) {
		copy = wire_arena_alloc(&builder->finished, map.n);
		if (copy) {
			memcpy(copy, map.data, map.n);
			meta.data = copy;
			meta.size_bytes = map.n;
		}
	}
	wire_meta_release(&builder->wire);
	wire_meta_begin(&builder->wire);
	return meta;
}

void kith_meta_reset(struct kith_meta_builder *builder)
{
	wire_meta_release(&builder->wire);
	wire_meta_begin(&builder->wire);
	wire_arena_release(&builder->finished);
	wire_arena_init(&builder->finished);
}

void kith_meta_free(struct kith_meta_builder *builder)
{
	if (!builder)
		return;
	wire_meta_release(&builder->wire);
	wire_arena_release(&builder->finished);
	free(builder);
}

struct visit {
	int (*each)(void *ctx, const struct kith_scalar *scalar, bool in_list);
	void *ctx;
};

static int visit_scalar(void *ctx, const struct wire_scalar *scalar, bool in_list)
{
	const struct visit *visit = ctx;

	mirror_cross(scalar);
	return visit->each(visit->ctx, (const struct kith_scalar *)scalar, in_list);
}

int kith_meta_each(const struct kith_meta *meta,
                   int (*each)(void *ctx, const struct kith_scalar *scalar, bool in_list),
                   void *ctx)
{
	struct visit visit = {each, ctx};

	if (!meta->data)
		return 0;
	return wire_meta_each((struct wire_bin){meta->data, meta->size_bytes}, visit_scalar,
	                      &visit);
}
