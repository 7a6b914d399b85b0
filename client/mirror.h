/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The structs of kith.h are those of protocol/methods.h under public names, member by member, so
 * that nothing is converted on the way in or out. mirror.c proves it for every field in the table
 * when it is compiled. (Rejected: generating kith.h, which people read; and converting, which
 * would say every field a third time.)
 */

/* Between who used memory as public structs and who uses it as structs of the wire, either way:
 * keeps link-time optimisation from concluding that different types cannot be the same memory. */
static inline void mirror_cross(const void *memory)
{
	__asm__ volatile("" : : "r"(memory) : "memory");
}
