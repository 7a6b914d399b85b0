/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/vector_windows.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define WINDOW_BYTES (64u << 20)

int vector_windows_init(struct vector_windows *windows, const struct vector_layout *layout,
                        uint64_t max_rows)
{
	uint32_t window_extents = (uint32_t)(WINDOW_BYTES / layout->extent_bytes);
	uint64_t max_extents = vector_layout_extents(layout, max_rows);
	size_t max_windows = (size_t)((max_extents + window_extents - 1) / window_extents);
	struct vector_window **directory = calloc(max_windows, sizeof(struct vector_window *));

	if (directory == NULL)
		return -ENOMEM;
	*windows = (struct vector_windows){
	        .layout = *layout,
	        .window_extents = window_extents,
	        .max_windows = max_windows,
	        .windows = directory,
	};
	return 0;
}

static size_t window_bytes(const struct vector_windows *windows)
{
	return windows->window_extents * (size_t)windows->layout.extent_bytes;
}

static int window_add(struct vector_windows *windows, struct store_file *file)
{
	uint64_t first = windows->n_windows * (uint64_t)windows->window_extents;
	struct vector_window *window;
	void *base;

	assert(windows->n_windows < windows->max_windows);
	window = calloc(1, sizeof(*window) + windows->window_extents * sizeof(window->extents[0]));
	if (window == NULL)
		return -ENOMEM;
	int r = store_map(file, vector_layout_extent_at(&windows->layout, first),
	                  window_bytes(windows), false, &base);
	if (r < 0) {
		free(window);
		return r;
	}
	window->base = base;
	windows->windows[windows->n_windows++] = window;
	return 0;
}

int vector_windows_cover(struct vector_windows *windows, struct store_file *file, uint64_t n_rows)
{
	uint64_t n_extents = vector_layout_extents(&windows->layout, n_rows);

	while (windows->n_windows * (uint64_t)windows->window_extents < n_extents) {
		int r = window_add(windows, file);
		if (r < 0)
			return r;
	}
	return 0;
}

int vector_windows_remap(struct vector_windows *windows, struct store_file *file)
{
	for (size_t i = 0; i < windows->n_windows; i++) {
		uint64_t first = i * (uint64_t)windows->window_extents;
		int r = store_remap(file, vector_layout_extent_at(&windows->layout, first),
		                    window_bytes(windows), (void *)windows->windows[i]->base);
		if (r < 0)
			return r;
	}
	return 0;
}

void vector_windows_clear(struct vector_windows *windows, struct store_file *file)
{
	while (windows->n_windows > 0) {
		struct vector_window *window = windows->windows[--windows->n_windows];

		store_unmap(file, (void *)window->base, window_bytes(windows));
		free(window);
	}
}

void vector_windows_release(struct vector_windows *windows)
{
	assert(windows->n_windows == 0);
	free(windows->windows);
	windows->windows = NULL;
}
