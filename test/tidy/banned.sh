#!/bin/sh
# No call that banned.txt lists, outside comments and texts. Usage: banned.sh [root]
set -eu
list=$(cd "$(dirname "$0")" && pwd)/banned.txt
cd "${1:-.}"
find broker storage plugins test -name '*.[ch]' 2>/dev/null | sort | xargs awk -v list="$list" '
    BEGIN {
        while ((getline line < list) > 0) {
            if (line ~ /^#/ || line !~ /[^ ]/) continue
            split(line, word, " ")
            homes[word[1]] = word[2]
            sub(/^[^ ]+ +[^ ]+ +/, "", line)
            instead[word[1]] = line
        }
    }
    function is_home(name,   home, count, i) {
        count = split(homes[name], home, ",")
        for (i = 1; i <= count; i++)
            if (index(FILENAME, home[i]) == 1) return 1
        return 0
    }
    # What is left of a line without texts, characters and comments.
    function code_of(line,   at) {
        gsub(/\\./, "", line)
        gsub(/"[^"]*"/, "\"\"", line)
        gsub(/\047[^\047]*\047/, "0", line)
        if (comment) {
            at = index(line, "*/")
            if (!at) return ""
            comment = 0
            line = substr(line, at + 2)
        }
        gsub(/\/\*([^*]|\*[^\/])*\*\//, " ", line)
        sub(/\/\/.*/, "", line)
        if ((at = index(line, "/*"))) {
            comment = 1
            line = substr(line, 1, at - 1)
        }
        return line
    }
    FNR == 1 { comment = 0 }
    {
        rest = code_of($0)
        while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ ]*\(/)) {
            name = substr(rest, RSTART, RLENGTH)
            sub(/[ ]*\($/, "", name)
            rest = substr(rest, RSTART + RLENGTH)
            if (name in homes && !is_home(name)) {
                print FILENAME ":" FNR ": " name "() is not used here; use " instead[name]
                bad = 1
            }
        }
    }
    END { exit bad }
'
