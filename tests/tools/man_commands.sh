#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: man_commands.sh KITH MAN_PAGE
#
# The commands and options that kith's help tells are those of its man page.
set -eu

kith=$1
page=$2
bad=0

# What .TP introduces, without roff's markup.
tagged=$(sed 's/\\-/-/g; s/\\f.//g; s/"//g' "$page" | awk 'tag { print; tag = 0 } /^\.TP/ { tag = 1 }')

# same WHAT HELP PAGE: two sorted lists
same() {
	for word in $2; do
		if ! printf '%s\n' "$3" | grep -qx -e "$word"; then
			echo "$page: $1 $word is missing"
			bad=1
		fi
	done
	for word in $3; do
		if ! printf '%s\n' "$2" | grep -qx -e "$word"; then
			echo "$page: there is no $1 $word"
			bad=1
		fi
	done
}

commands=$("$kith" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' | sort)
[ -n "$commands" ] || { echo "kith --help names no commands"; exit 1; }
same command "$commands" "$(printf '%s\n' "$tagged" | sed -n 's/^\.B[IR]* kith \([a-z-]*\).*/\1/p' | sort -u)"

options=$(for command in $commands; do "$kith" "$command" --help; done |
	sed -n 's/^ *\(-.,\)\{0,1\} *\(--[a-z-]*\).*/\2/p' | sort -u)
[ -n "$options" ] || { echo "kith names no options"; exit 1; }
same option "$options" "$(printf '%s\n' "$tagged" | grep -o -e '--[a-z-]*' | sort -u)"
exit $bad
