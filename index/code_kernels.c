/* SPDX-License-Identifier: Apache-2.0 */
#include "index/code_kernels.h"

#include <stdbool.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

#ifdef __x86_64__
/* Leaf 7, subleaf 1, EAX bit 4: not every compiler's __builtin_cpu_supports() knows the name. The
 * registers are AVX2's, so whoever runs AVX2 has them saved by the kernel. */
static bool has_avxvnni(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1);
}
#endif

size_t code_kernels_all(const struct code_kernels *ret_sets[CODE_KERNELS_MAX])
{
	size_t n = 0;

	ret_sets[n++] = &code_kernels_scalar;
#ifdef __x86_64__
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx2"))
		return n;
	ret_sets[n++] = &code_kernels_avx2;
	if (has_avxvnni())
		ret_sets[n++] = &code_kernels_avxvnni;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"))
		ret_sets[n++] = &code_kernels_avx512vnni;
#endif
	return n;
}

const struct code_kernels *code_kernels_best(void)
{
	const struct code_kernels *sets[CODE_KERNELS_MAX];
	size_t n = code_kernels_all(sets);

	return sets[n - 1];
}
