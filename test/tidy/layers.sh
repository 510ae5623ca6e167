#!/bin/sh
# Every #include obeys layers.txt; a path of ours starts at the root; a header named _priv.h is
# included by its own folder and by tests only. Usage: layers.sh [root]
set -eu
law=$(cd "$(dirname "$0")" && pwd)/layers.txt
cd "${1:-.}"
find broker storage plugins test -name '*.[ch]' 2>/dev/null | sort | xargs awk -v law="$law" '
    function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }
    function folder_of(path) { sub(/[^\/]*$/, "", path); return path }
    # The row of a file: the longest first word that its path begins with.
    function row_of(path,   name, best) {
        best = ""
        for (name in words)
            if (index(path, name) == 1 && length(name) > length(best)) best = name
        return best
    }
    function allows(name, path,   list, count, i) {
        count = split(words[name], list, " ")
        for (i = 1; i <= count; i++)
            if (index(path, list[i]) == 1) return 1
        return 0
    }
    BEGIN {
        while ((getline line < law) > 0) {
            if (line ~ /^#/ || line !~ /[^ ]/) continue
            name = line; sub(/ .*/, "", name)
            sub(/^[^ ]+ +/, "", line)
            words[name] = line
        }
    }
    FNR == 1 {
        row = row_of(FILENAME)
        if (row == "") complain("its folder is missing from layers.txt")
    }
    /^#[ ]*include/ {
        split($0, part, /["<>]/)
        path = part[2]
        ours = $0 ~ /"/
        if (ours && path !~ /\// && row == "test") next # a fixture beside it
        if (ours && path !~ /\//) complain("write the path from the root: " path)
        else if (path ~ /_priv\.h$/ && row != "test" && folder_of(path) != folder_of(FILENAME))
            complain(path " stays in its folder")
        else if (row != "" && index(path, row) != 1 && !allows(row, path) && !(!ours && allows("libc", path)))
            complain(row " may not include " path)
    }
    END { exit bad }
'
