# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Sourced by the checks.

# tree_files [FIND_TEST]...: the files below the current folder, without what git or a build made.
tree_files() {
	find . \( -name .git -o -name build -o -name .cache \
		-o -type d -exec test -e '{}/CMakeCache.txt' \; \) -prune \
		-o -type f "$@" -print | sed 's|^\./||' | sort
}
