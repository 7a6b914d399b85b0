#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: man_options.sh PROGRAM MAN_PAGE [CONF_MAN_PAGE]
#
# The options in PROGRAM's --help are those of its man page. With a page for its config file: each
# option that has a default in brackets is a key of that page, whose text repeats the brackets.
set -eu

program=$1
page=$2
conf_page=${3:-}

# The page without roff's markup: \- is -, and a macro's quotes and font changes are gone.
plain() {
	sed 's/\\-/-/g; s/\\f.//g; s/"//g' "$1"
}

# The first words of what .TP introduces.
tagged() {
	plain "$1" | awk 'tag { print; tag = 0 } /^\.TP/ { tag = 1 }'
}

help=$("$program" --help)
options=$(printf '%s\n' "$help" | sed -n 's/^ *\(-., \)\{0,1\}--\([a-z0-9-]*\).*/\2/p' | sort)
documented=$(tagged "$page" | grep -o -e '--[a-z0-9-]*' | cut -c 3- | sort)
bad=0
for option in $options; do
	if ! printf '%s\n' "$documented" | grep -qx -e "$option"; then
		echo "$page: --$option is missing"
		bad=1
	fi
done
for option in $documented; do
	if ! printf '%s\n' "$options" | grep -qx -e "$option"; then
		echo "$page: $program has no --$option"
		bad=1
	fi
done
[ -n "$options" ] || { echo "$program --help names no options"; exit 1; }
[ -n "$conf_page" ] || exit $bad

# What a key's paragraph says, on one line.
paragraph() {
	plain "$conf_page" | awk -v key="$1" '
		/^\.(TP|S[HS])/ { inside = 0 }
		tag && $2 == key { inside = 1 }
		inside { printf "%s ", $0 }
		{ tag = /^\.TP/ }'
}

keys=$(printf '%s\n' "$help" | sed -n 's/^ *--\([a-z0-9-]*\) .*\[\(.*\)\]$/\1 \2/p' | grep -v '^config ')
while read -r option limits; do
	key=$(echo "$option" | tr - _)
	text=$(paragraph "$key")
	case $text in
	*"[$limits]"*) ;;
	'')
		echo "$conf_page: $key is missing"
		bad=1
		;;
	*)
		echo "$conf_page: $key does not say [$limits]"
		bad=1
		;;
	esac
done <<END
$keys
END
for key in $(tagged "$conf_page" | sed -n 's/^\.BI \([a-z0-9_]*\) .*/\1/p'); do
	if ! printf '%s\n' "$keys" | grep -q "^$(echo "$key" | tr _ -) "; then
		echo "$conf_page: $program has no key $key"
		bad=1
	fi
done
exit $bad
