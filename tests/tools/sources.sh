#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: sources.sh SOURCE_DIR
#
# Every source file says its licence in its first lines; no file puts work off to later; no file
# names a place outside the tree, be it upwards or by an absolute path that is not the system's.
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/tree_files.sh"

cd "$1"
bad=0

# report WHAT: the lines on stdin, if any, are violations
report() {
	lines=$(cat)
	if [ -n "$lines" ]; then
		printf '%s\n' "$lines" | sed "s/\$/ ($1)/"
		bad=1
	fi
}

# In the patterns a bracket keeps this file from finding itself.

report "no SPDX line" <<END
$(tree_files \( -name '*.[chS]' -o -name '*.cc' -o -name '*.hh' -o -name '*.sh' -o -name '*.cmake' -o -name '*.in' -o -name '*.[1-9]' \
	-o -name '*.socket' -o -name '*.service' -o -name '*.py' -o -name CMakeLists.txt \
	-o -path ./bootstrap -o -path ./.ci/run \) | while read -r file; do
	head -n 3 "$file" | grep -q 'SPDX-Licens[e]-Identifier: Apache-2\.0' || echo "$file"
done)
END

report "finish it or file an issue" <<END
$(tree_files | xargs grep -InwE 'TOD[O]|FIXM[E]|XX[X]' || :)
END

# A link of a Markdown file may go up as long as it stays in the tree; strings in C may say
# anything, for tests try such paths.
report "leads out of the tree" <<END
$(tree_files | xargs grep -InoE '.?\.\.[/][A-Za-z0-9_][A-Za-z0-9_./-]*' | while IFS=: read -r file line path; do
	case $file,$path in
	*.[ch],[\"/]*) continue ;;
	*.md,*) case $(realpath -e "$(dirname "$file")/..${path#*..}" 2>/dev/null) in
		"$(pwd -P)"/*) continue ;;
		esac ;;
	esac
	echo "$file:$line: $path"
done)
END

# Unit tests make up absolute paths in strings.
system='usr|etc|dev|proc|sys|run|tmp|var|bin|sbin|lib|opt|nonexistent'
report "an absolute path that is not the system's" <<END
$(tree_files | xargs grep -InoE "(^|[][ \"\`=(<:,])/[a-z][a-z0-9_.-]+/[A-Za-z0-9_.]" |
	grep -vE "^tests/unit/[^:]*:[0-9]+:\"|:[^/]*/($system)/.\$" || :)
END

exit $bad
