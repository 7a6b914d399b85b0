/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The operations are played once, in order, to a tree of nodes. A directory has its entries as they
 * are and as they were at its last sync, with the steps between the two; a file has the positions
 * of the operations that wrote it, and how many of them were synced. Afterwards each directory
 * decides how many of its steps came through, and what can then be reached is written out.
 */

#include "tests/lib/crash_disk.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/disk_image.h"
#include "tests/lib/scratch_dir.h"

#define NAME_SIZE 64
#define HOLE_BYTES 4096

struct node;

struct entry {
	char name[NAME_SIZE];
	struct node *node;
};

/* A change of a directory's entries: names[i] stands for nodes[i] from now on (NULL: nothing). A
 * rename is one step with two names. */
struct step {
	char names[2][NAME_SIZE];
	struct node *nodes[2];
	int n;
};

struct entries {
	struct entry *v;
	size_t n, max;
};

struct node {
	struct node *next; /* of all */
	bool is_dir;
	struct entries now, synced;
	struct step *steps; /* since the sync */
	size_t n_steps, max_steps;
	bool syncs_dir; /* a log of SQLite's that was not synced yet */
	size_t *writes; /* positions of operations on its content */
	size_t n_writes, max_writes;
	size_t n_synced; /* of them */
};

struct tree {
	struct store_twin *twin;
	const char *root_path;
	struct node *all, *root;
	struct crash crash;
	struct disk_image draws; /* its seed only */
};

static struct node *node_new(struct tree *tree, bool is_dir)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		abort();
	node->is_dir = is_dir;
	node->next = tree->all;
	tree->all = node;
	return node;
}

/* Room for one element more than n. */
static void *grown(void *v, size_t n, size_t *max, size_t size)
{
	if (n < *max)
		return v;
	*max = *max ? 2 * *max : 16;
	v = realloc(v, *max * size);
	if (!v)
		abort();
	return v;
}

/* Entries -------------------------------------------------------------------------------------- */

static struct entry *find(struct entries *entries, const char *name)
{
	for (size_t i = 0; i < entries->n; i++) {
		if (strcmp(entries->v[i].name, name) == 0)
			return &entries->v[i];
	}
	return NULL;
}

static void set(struct entries *entries, const char *name, struct node *node)
{
	struct entry *entry = find(entries, name);

	if (entry && !node) {
		*entry = entries->v[--entries->n];
	} else if (entry) {
		entry->node = node;
	} else if (node) {
		assert(strlen(name) < NAME_SIZE);
		entries->v = grown(entries->v, entries->n, &entries->max, sizeof(*entries->v));
		entry = &entries->v[entries->n++];
		strcpy(entry->name, name);
		entry->node = node;
	}
}

static void copy(struct entries *to, const struct entries *from)
{
	to->n = 0;
	for (size_t i = 0; i < from->n; i++)
		set(to, from->v[i].name, from->v[i].node);
}

static void apply(struct entries *entries, const struct step *step)
{
	for (int i = 0; i < step->n; i++)
		set(entries, step->names[i], step->nodes[i]);
}

static struct step *step_new(struct node *dir)
{
	dir->steps = grown(dir->steps, dir->n_steps, &dir->max_steps, sizeof(*dir->steps));
	dir->steps[dir->n_steps] = (struct step){0};
	return &dir->steps[dir->n_steps++];
}

static void step_add(struct step *step, const char *name, struct node *node)
{
	assert(strlen(name) < NAME_SIZE);
	strcpy(step->names[step->n], name);
	step->nodes[step->n++] = node;
}

static void change(struct node *dir, const char *name, struct node *node)
{
	struct step *step = step_new(dir);

	step_add(step, name, node);
	apply(&dir->now, step);
}

/* Paths ---------------------------------------------------------------------------------------- */

/* The path below the root, or NULL when it is not below it. */
static const char *below(const struct tree *tree, const char *path)
{
	size_t n = strlen(tree->root_path);

	if (strncmp(path, tree->root_path, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	return path[n] == '/' ? path + n + 1 : path + n;
}

/* The directory that the path's last name stands in, which goes to name; NULL: it is not there. */
static struct node *parent_of(struct tree *tree, const char *path, char name[static NAME_SIZE])
{
	const char *rest = below(tree, path);
	struct node *dir = tree->root;

	while (rest && dir) {
		size_t n = strcspn(rest, "/");
		struct entry *entry;

		assert(n < NAME_SIZE);
		memcpy(name, rest, n);
		name[n] = '\0';
		if (rest[n] == '\0')
			return dir;
		entry = find(&dir->now, name);
		dir = entry && entry->node->is_dir ? entry->node : NULL;
		rest += n + 1;
	}
	return NULL;
}

static struct node *node_at(struct tree *tree, const char *path)
{
	char name[NAME_SIZE];
	const char *rest = below(tree, path);
	struct node *dir;
	struct entry *entry;

	if (rest && *rest == '\0')
		return tree->root;
	dir = parent_of(tree, path, name);
	entry = dir ? find(&dir->now, name) : NULL;
	return entry ? entry->node : NULL;
}

/* Playing -------------------------------------------------------------------------------------- */

static struct node *create(struct tree *tree, const char *path, bool is_dir)
{
	char name[NAME_SIZE];
	struct node *dir = parent_of(tree, path, name);
	struct node *node;

	if (!dir)
		return NULL;
	node = node_new(tree, is_dir);
	change(dir, name, node);
	return node;
}

static void note_write(struct node *node, size_t at)
{
	node->writes =
	        grown(node->writes, node->n_writes, &node->max_writes, sizeof(*node->writes));
	node->writes[node->n_writes++] = at;
}

static bool ends_with(const char *path, const char *end)
{
	size_t n = strlen(path), n_end = strlen(end);

	return n >= n_end && strcmp(path + n - n_end, end) == 0;
}

static void sync_dir(struct node *dir)
{
	copy(&dir->synced, &dir->now);
	dir->n_steps = 0;
}

static void sync_file(struct tree *tree, const char *path)
{
	struct node *node = node_at(tree, path);
	char name[NAME_SIZE];

	if (!node)
		return;
	node->n_synced = node->n_writes;
	if (node->syncs_dir)
		sync_dir(parent_of(tree, path, name));
	node->syncs_dir = false;
}

static void play_open(struct tree *tree, const struct store_twin_op *op, size_t at)
{
	struct node *node = node_at(tree, op->path);

	if (!node) {
		node = create(tree, op->path, false);
		if (node && op->kind == STORE_TWIN_ADOPT)
			node->syncs_dir =
			        ends_with(op->path, "-wal") || ends_with(op->path, "-journal");
	} else if (op->flags & STORE_TRUNCATE) {
		note_write(node, at);
	}
}

static void play_rename(struct tree *tree, const struct store_twin_op *op)
{
	char from[NAME_SIZE], to[NAME_SIZE];
	struct node *dir = parent_of(tree, op->path, from);
	struct node *node = node_at(tree, op->path);
	struct step *step;

	if (!dir || !node)
		return;
	assert(parent_of(tree, op->to, to) == dir);
	step = step_new(dir);
	step_add(step, from, NULL);
	step_add(step, to, node);
	apply(&dir->now, step);
}

static void play(struct tree *tree, size_t at)
{
	const struct store_twin_op *op = store_twin_op(tree->twin, at);
	char name[NAME_SIZE];
	struct node *node;

	if (op->kind == STORE_TWIN_WRITE && op->n_done > 0) {
		node = node_at(tree, op->path);
		if (node)
			note_write(node, at);
		return;
	}
	if (op->result != 0)
		return;
	switch (op->kind) {
	case STORE_TWIN_OPEN:
	case STORE_TWIN_ADOPT:
		play_open(tree, op, at);
		break;
	case STORE_TWIN_TRUNCATE:
		node = node_at(tree, op->path);
		if (node)
			note_write(node, at);
		break;
	case STORE_TWIN_SYNC:
		sync_file(tree, op->path);
		break;
	case STORE_TWIN_RENAME:
		play_rename(tree, op);
		break;
	case STORE_TWIN_UNLINK:
	case STORE_TWIN_REMOVE_DIR:
		node = parent_of(tree, op->path, name);
		if (node)
			change(node, name, NULL);
		break;
	case STORE_TWIN_MAKE_DIR:
		create(tree, op->path, true);
		break;
	case STORE_TWIN_SYNC_DIR:
		node = node_at(tree, op->path);
		if (node)
			sync_dir(node);
		break;
	default:
		break;
	}
}

/* Writing out ---------------------------------------------------------------------------------- */

/* Whole pages of zeros are left out, as the file system does. */
static void save_sparse(const char *path, const struct disk_image *image)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	static const uint8_t zeros[HOLE_BYTES];
	bool done = fd >= 0 && ftruncate(fd, (off_t)image->n) == 0;

	for (size_t at = 0; done && at < image->n; at += HOLE_BYTES) {
		size_t n = image->n - at < HOLE_BYTES ? image->n - at : HOLE_BYTES;

		if (memcmp(image->bytes + at, zeros, n) != 0)
			done = pwrite(fd, image->bytes + at, n, (off_t)at) == (ssize_t)n;
	}
	if (!done) {
		perror(path);
		abort();
	}
	close(fd);
}

/* What of the content that was not synced gets there; behind a shrinking that did not, nothing. */
static void play_content(struct tree *tree, const struct node *node, struct disk_image *image)
{
	for (size_t i = 0; i < node->n_writes; i++) {
		const struct store_twin_op *op = store_twin_op(tree->twin, node->writes[i]);
		bool synced = i < node->n_synced;
		size_t size = op->kind == STORE_TWIN_OPEN ? 0 : op->offset;

		if (!synced && tree->crash.kind == CRASH_LOST)
			return;
		image->seed = synced || tree->crash.kind == CRASH_KILLED ? 0 : tree->draws.seed;
		if (op->kind == STORE_TWIN_WRITE) {
			assert(op->bytes);
			disk_image_write(image, op->bytes, op->n_done, op->offset);
		} else if (disk_image_draw(image)) {
			disk_image_resize(image, size);
		} else if (size < image->n) {
			return;
		}
		if (image->seed != 0)
			tree->draws.seed = image->seed;
	}
}

static void save_file(struct tree *tree, const struct node *node, const char *path)
{
	struct disk_image image = {0};

	play_content(tree, node, &image);
	save_sparse(path, &image);
	disk_image_release(&image);
}

/* How many of the directory's steps since its sync came through. */
static size_t steps_through(struct tree *tree, const struct node *dir)
{
	size_t n = 0;

	if (tree->crash.kind == CRASH_KILLED)
		return dir->n_steps;
	if (tree->crash.kind == CRASH_LOST)
		return 0;
	while (n < dir->n_steps && disk_image_draw(&tree->draws))
		n++;
	return n;
}

static void save_dir(struct tree *tree, const struct node *dir, const char *to)
{
	struct entries entries = {0};
	size_t n = steps_through(tree, dir);

	copy(&entries, &dir->synced);
	for (size_t i = 0; i < n; i++)
		apply(&entries, &dir->steps[i]);
	for (size_t i = 0; i < entries.n; i++) {
		const struct node *node = entries.v[i].node;
		char path[SCRATCH_PATH_SIZE + 2 * NAME_SIZE];

		snprintf(path, sizeof(path), "%s/%s", to, entries.v[i].name);
		if (!node->is_dir) {
			save_file(tree, node, path);
		} else if (mkdir(path, 0700) == 0) {
			save_dir(tree, node, path); /* the tree is a few levels deep */
		} else {
			perror(path);
			abort();
		}
	}
	free(entries.v);
}

/* ---------------------------------------------------------------------------------------------- */

const char *crash_kind_name(enum crash_kind kind)
{
	static const char *const names[CRASH_N_KINDS] = {
	        [CRASH_KILLED] = "killed", [CRASH_LOST] = "lost", [CRASH_DRAWN] = "drawn"};

	return names[kind];
}

bool crash_disk_changes(const struct store_twin_op *op)
{
	switch (op->kind) {
	case STORE_TWIN_WRITE:
	case STORE_TWIN_SYNC:
	case STORE_TWIN_TRUNCATE:
	case STORE_TWIN_RENAME:
	case STORE_TWIN_UNLINK:
	case STORE_TWIN_SYNC_DIR:
	case STORE_TWIN_MAKE_DIR:
	case STORE_TWIN_REMOVE_DIR:
	case STORE_TWIN_ADOPT:
		return true;
	case STORE_TWIN_OPEN:
		return (op->flags & (STORE_CREATE | STORE_TRUNCATE)) != 0;
	default:
		return false;
	}
}

void crash_disk_save(struct store_twin *twin, size_t n_ops, const char *root, const char *to,
                     struct crash crash)
{
	struct tree tree = {.twin = twin, .root_path = root, .crash = crash};

	tree.draws.seed = (crash.seed << 1 | 1) * UINT64_C(0x9e3779b97f4a7c15);
	tree.root = node_new(&tree, true);
	for (size_t i = 0; i < n_ops; i++)
		play(&tree, i);
	save_dir(&tree, tree.root, to);
	for (struct node *node = tree.all, *next; node; node = next) {
		next = node->next;
		free(node->now.v);
		free(node->synced.v);
		free(node->steps);
		free(node->writes);
		free(node);
	}
}
