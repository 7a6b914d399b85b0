/* SPDX-License-Identifier: Apache-2.0 */
#include "index/kernels.h"

/* Each level runs the sets of the levels below it too. */
#define N_LEVELS 3

static const struct kernels *const levels[N_LEVELS][N_LEVELS + 1] = {
        {&kernels_scalar},
#ifdef __x86_64__
        {&kernels_scalar, &kernels_avx2},
        {&kernels_scalar, &kernels_avx2, &kernels_avx512},
#endif
};

static unsigned int cpu_level(void)
{
#ifdef __x86_64__
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
		return 0;
	return __builtin_cpu_supports("avx512f") ? 2 : 1;
#else
	return 0;
#endif
}

const struct kernels *kernels_best(void)
{
	unsigned int level = cpu_level();
	return levels[level][level];
}

const struct kernels *const *kernels_all(void)
{
	return levels[cpu_level()];
}
