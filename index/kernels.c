/* SPDX-License-Identifier: Apache-2.0 */
#include "index/kernels.h"

#include <stdbool.h>

/* Each level runs the sets of the levels below it too. */
#define N_LEVELS 3

static const struct kernels *const levels[N_DTYPES][N_LEVELS][N_LEVELS + 1] = {
        [DTYPE_F32] =
                {
                        {&kernels_scalar_f32},
#ifdef __x86_64__
                        {&kernels_scalar_f32, &kernels_avx2_f32},
                        {&kernels_scalar_f32, &kernels_avx2_f32, &kernels_avx512_f32},
#endif
                },
        [DTYPE_F16] =
                {
                        {&kernels_scalar_f16},
#ifdef __x86_64__
                        {&kernels_scalar_f16, &kernels_avx2_f16},
                        {&kernels_scalar_f16, &kernels_avx2_f16, &kernels_avx512_f16},
#endif
                },
};

#ifdef __x86_64__
static bool has_f16c(void)
{
#ifdef __clang__ /* may have no name for it; every CPU with AVX2 has it */
	return true;
#else
	return __builtin_cpu_supports("f16c");
#endif
}

static unsigned int cpu_level(void)
{
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
		return 0;
	return __builtin_cpu_supports("avx512f") ? 2 : 1;
}
#else
static unsigned int cpu_level(void)
{
	return 0;
}
#endif

const struct kernels *kernels_best(enum dtype dtype)
{
	unsigned int level = cpu_level();
	return levels[dtype][level][level];
}

const struct kernels *const *kernels_all(enum dtype dtype)
{
	return levels[dtype][cpu_level()];
}
