#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: exports.sh NM SHARED_LIBRARY STATIC_LIBRARY
#
# Both libraries show kith_* and nothing else, and the same of it.
set -eu

nm=$1
bad=0

# Names without versions; the version itself (type A) is no name.
shared=$("$nm" -D --defined-only "$2" | awk 'NF == 3 && $2 != "A" { sub("@.*", "", $3); print $3 }' | sort)
static=$("$nm" --defined-only --extern-only "$3" | awk 'NF == 3 { print $3 }' | sort)
for name in $shared $static; do
	case $name in
	kith_*) ;;
	*)
		echo "$name is exported"
		bad=1
		;;
	esac
done
if [ "$shared" != "$static" ]; then
	echo "the libraries do not export the same"
	bad=1
fi
case $shared in
*kith_connect*) ;;
*)
	echo "kith_connect is not exported"
	bad=1
	;;
esac
exit $bad
