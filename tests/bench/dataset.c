/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/dataset.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_PATH 1024
#define MAX_COLUMNS 65536
/* True distances are f32: what rounding may have taken off, relative to what they were made of
 * (squared distances of their own size, cosines of 1). */
#define TIE_TOLERANCE 1e-6

/* Reads rows of one count each, all equal, into one block without the counts. Elements are of 4
 * bytes, floats or integers alike. */
static int read_rows(const char *data_dir, const char *name, const char *file_name,
                     uint32_t *ret_columns, size_t *ret_n, float **ret_rows)
{
	char path[MAX_PATH];
	struct stat stat;
	FILE *file;
	float *rows = NULL;
	int32_t columns;
	size_t n;
	int r = -EBADMSG;

	if (snprintf(path, sizeof(path), "%s/%s/%s", data_dir, name, file_name) >= MAX_PATH)
		return -ENAMETOOLONG;
	file = fopen(path, "rb");
	if (!file)
		return -errno;
	if (fstat(fileno(file), &stat) < 0 || fread(&columns, sizeof(columns), 1, file) != 1 ||
	    columns < 1 || columns > MAX_COLUMNS)
		goto out;
	n = (size_t)stat.st_size / (sizeof(columns) + (size_t)columns * sizeof(*rows));
	rows = malloc(n * (size_t)columns * sizeof(*rows));
	if (!rows) {
		r = -ENOMEM;
		goto out;
	}
	rewind(file);
	for (size_t i = 0; i < n; i++) {
		int32_t here;

		if (fread(&here, sizeof(here), 1, file) != 1 || here != columns ||
		    fread(rows + i * (size_t)columns, sizeof(*rows), (size_t)columns, file) !=
		            (size_t)columns)
			goto out;
	}
	*ret_columns = (uint32_t)columns;
	*ret_n = n;
	*ret_rows = rows;
	rows = NULL;
	r = 0;
out:
	free(rows);
	fclose(file);
	return r;
}

static int read_metric(const char *data_dir, const char *name, enum metric *ret)
{
	char path[MAX_PATH];
	json_error_t error;
	json_t *info;
	const char *metric;
	int r = 0;

	if (snprintf(path, sizeof(path), "%s/%s/info.json", data_dir, name) >= MAX_PATH)
		return -ENAMETOOLONG;
	info = json_load_file(path, 0, &error);
	metric = json_string_value(json_object_get(info, "metric"));
	if (!metric || strcmp(metric, "l2") == 0)
		*ret = METRIC_L2;
	else if (strcmp(metric, "cosine") == 0)
		*ret = METRIC_COSINE;
	else
		r = -EBADMSG;
	json_decref(info);
	return r;
}

int dataset_read(const char *data_dir, const char *name, struct dataset **ret)
{
	struct dataset *dataset = calloc(1, sizeof(*dataset));
	uint32_t query_dim;
	size_t n_truths;
	int r;

	if (!dataset)
		return -ENOMEM;
	snprintf(dataset->name, sizeof(dataset->name), "%s", name);
	r = read_rows(data_dir, name, "base.fvecs", &dataset->dim, &dataset->n_base,
	              &dataset->base);
	if (!r)
		r = read_rows(data_dir, name, "query.fvecs", &query_dim, &dataset->n_queries,
		              &dataset->queries);
	if (!r)
		r = read_rows(data_dir, name, "gt_dist.fvecs", &dataset->n_true, &n_truths,
		              &dataset->true_distances);
	if (!r)
		r = read_metric(data_dir, name, &dataset->metric);
	if (!r && (query_dim != dataset->dim || n_truths != dataset->n_queries))
		r = -EBADMSG;
	if (r) {
		dataset_free(dataset);
		return r;
	}
	*ret = dataset;
	return 0;
}

/* The next number in [-1, 1) of a linear congruential generator (Knuth's MMIX). */
static float next_component(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (float)(*state >> 40) / (float)(1u << 23) - 1.0f;
}

static int dataset_new(const char *name, size_t n_base, size_t n_queries, uint32_t dim,
                       struct dataset **ret)
{
	struct dataset *dataset = calloc(1, sizeof(*dataset));

	if (!dataset)
		return -ENOMEM;
	snprintf(dataset->name, sizeof(dataset->name), "%s", name);
	dataset->dim = dim;
	dataset->n_base = n_base;
	dataset->n_queries = n_queries;
	dataset->base = malloc(n_base * dim * sizeof(*dataset->base));
	dataset->queries = malloc(n_queries * dim * sizeof(*dataset->queries));
	if (!dataset->base || !dataset->queries) {
		dataset_free(dataset);
		return -ENOMEM;
	}
	*ret = dataset;
	return 0;
}

static void fill(float *values, size_t n, uint64_t *state)
{
	for (size_t i = 0; i < n; i++)
		values[i] = next_component(state);
}

int dataset_make(const char *name, size_t n_base, size_t n_queries, uint32_t dim, uint64_t seed,
                 struct dataset **ret)
{
	struct dataset *dataset;
	int r = dataset_new(name, n_base, n_queries, dim, &dataset);

	if (r)
		return r;
	fill(dataset->base, n_base * dim, &seed);
	fill(dataset->queries, n_queries * dim, &seed);
	*ret = dataset;
	return 0;
}

static void sum_factors(const float *factors, uint32_t n_factors, uint32_t dim, float *rows,
                        size_t n_rows, uint64_t *state)
{
	for (float *row = rows; row < rows + n_rows * dim; row += dim) {
		memset(row, 0, dim * sizeof(*row));
		for (uint32_t i = 0; i < n_factors; i++) {
			const float *factor = factors + (size_t)i * dim;
			float weight = next_component(state);

			for (uint32_t j = 0; j < dim; j++)
				row[j] += weight * factor[j];
		}
	}
}

int dataset_make_of_factors(const char *name, size_t n_base, size_t n_queries, uint32_t dim,
                            uint32_t n_factors, uint64_t seed, struct dataset **ret)
{
	float *factors = malloc((size_t)n_factors * dim * sizeof(*factors));
	struct dataset *dataset;
	int r = factors ? dataset_new(name, n_base, n_queries, dim, &dataset) : -ENOMEM;

	if (r == 0) {
		fill(factors, (size_t)n_factors * dim, &seed);
		sum_factors(factors, n_factors, dim, dataset->base, n_base, &seed);
		sum_factors(factors, n_factors, dim, dataset->queries, n_queries, &seed);
		*ret = dataset;
	}
	free(factors);
	return r;
}

struct dataset *dataset_free(struct dataset *dataset)
{
	if (!dataset)
		return NULL;
	free(dataset->base);
	free(dataset->queries);
	free(dataset->true_distances);
	free(dataset);
	return NULL;
}

static double squared_distance(const float *a, const float *b, uint32_t dim)
{
	double sum = 0.0;

	for (uint32_t i = 0; i < dim; i++) {
		double difference = (double)a[i] - (double)b[i];

		sum += difference * difference;
	}
	return sum;
}

static double cosine_distance(const float *a, const float *b, uint32_t dim)
{
	double product = 0.0, a_squares = 0.0, b_squares = 0.0;

	for (uint32_t i = 0; i < dim; i++) {
		product += (double)a[i] * (double)b[i];
		a_squares += (double)a[i] * (double)a[i];
		b_squares += (double)b[i] * (double)b[i];
	}
	return 1.0 - product / sqrt(a_squares * b_squares);
}

static double distance(const struct dataset *dataset, const float *a, const float *b)
{
	return dataset->metric == METRIC_COSINE ? cosine_distance(a, b, dataset->dim)
	                                        : squared_distance(a, b, dataset->dim);
}

/* Puts a distance into its place among the least n, which are in order. */
static void keep_least(float *least, uint32_t n, float distance)
{
	uint32_t i = n;

	for (; i > 0 && least[i - 1] > distance; i--)
		if (i < n)
			least[i] = least[i - 1];
	if (i < n)
		least[i] = distance;
}

int dataset_find_truth(struct dataset *dataset, uint32_t n_true)
{
	float *truth = malloc(dataset->n_queries * n_true * sizeof(*truth));

	if (!truth)
		return -ENOMEM;
	for (size_t i = 0; i < dataset->n_queries * n_true; i++)
		truth[i] = INFINITY;
	for (size_t i = 0; i < dataset->n_queries; i++)
		for (size_t row = 0; row < dataset->n_base; row++)
			keep_least(truth + i * n_true, n_true,
			           (float)distance(dataset, dataset_row(dataset, row),
			                           dataset_query(dataset, i)));
	free(dataset->true_distances);
	dataset->true_distances = truth;
	dataset->n_true = n_true;
	return 0;
}

size_t dataset_n_right(const struct dataset *dataset, size_t query_idx, const uint64_t *rows,
                       size_t k)
{
	const float *query = dataset_query(dataset, query_idx);
	const float *truth =
	        dataset->true_distances + query_idx % dataset->n_queries * dataset->n_true;
	double last = (double)truth[k - 1];
	double bound = last + TIE_TOLERANCE * (dataset->metric == METRIC_COSINE ? 1.0 : last);
	size_t n_right = 0;

	for (size_t i = 0; i < k; i++)
		n_right += rows[i] < dataset->n_base &&
		           distance(dataset, dataset_row(dataset, rows[i]), query) <= bound;
	return n_right;
}
