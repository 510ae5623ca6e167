#!/bin/sh
# No function is longer than 100 lines, unless sizes.txt names it. Past that a function should be a
# table. Usage: sizes.sh [root]
set -eu
exceptions=$(cd "$(dirname "$0")" && pwd)/sizes.txt
cd "${1:-.}"
find broker storage plugins test -name '*.c' 2>/dev/null | sort | xargs awk -v exceptions="$exceptions" '
    BEGIN {
        limit = 100
        while ((getline line < exceptions) > 0)
            if (line !~ /^#/ && split(line, word, " ") >= 4) longest[word[1], word[2]] = word[3]
    }
    FNR == 1 { inside = 0; name = "" }
    # The sources are formatted: a function opens and closes with a brace alone in column one.
    !inside && /^[A-Za-z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    !inside && /^\{$/ { inside = 1; start = FNR }
    inside && /^\}$/ {
        inside = 0
        allowed = (FILENAME, name) in longest ? longest[FILENAME, name] : limit
        if (FNR - start - 1 > allowed) {
            print FILENAME ":" start ": " name "() has " FNR - start - 1 " lines, " allowed " are allowed"
            bad = 1
        }
    }
    END { exit bad }
'
