#!/bin/sh
# No key, no certificate, no binary and no large file in the tree. Usage: keys.sh [root]
set -u
cd "${1:-.}" || exit 1
code=0
files=$(mktemp) || exit 1
trap 'rm -f "$files"' EXIT
find . \( -path ./build -o -path ./.git -o -name node_modules -o -name __pycache__ \) -prune -o \
    -type f -size +0 -print >"$files"

# A block of base64 below the line is a key or certificate; the line alone is code that looks for one.
xargs awk '
    /^-----BEGI[N] [A-Z0-9 ]*(PRIVATE KEY|CERTIFICATE)-----/ { print FILENAME ": holds a key or certificate"; bad = 1 }
    END { exit bad }' <"$files" || code=1
xargs grep -IL . <"$files" | sed 's/$/: is binary/' | grep . && code=1
xargs -I{} find {} -size +512k <"$files" | sed 's/$/: is larger than 512 KiB/' | grep . && code=1
exit $code
