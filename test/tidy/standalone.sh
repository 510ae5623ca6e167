#!/bin/sh
# Every header compiles alone, twice in a row, with gcc and with clang; and every source compiles
# with gcc without a warning (the presets for daily work use clang). Usage: standalone.sh [root]
set -eu
generated=${GENERATED:-build/debug/generated}
cd "${1:-.}"
flags="-std=c17 -D_GNU_SOURCE -DFREEHUB_VERSION=\"0\" -I. -I$generated"
flags="$flags -isystem $generated/proto -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-qual"
flags="$flags -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wimplicit-fallthrough"
flags="$flags -Werror"
export flags
jobs=$(nproc 2>/dev/null || echo 2)
code=0

find broker storage plugins -name '*.h' 2>/dev/null | sort |
    xargs -P "$jobs" -I{} sh -c 'for compiler in gcc clang; do
            printf "#include \"%s\"\n#include \"%s\"\n" {} {} | $compiler -fsyntax-only $flags -x c - ||
                { echo "{} does not compile alone with $compiler"; exit 1; }
        done' || code=1
find broker storage plugins -name '*.c' 2>/dev/null | sort |
    xargs -P "$jobs" -n 1 gcc -O1 -Wno-maybe-uninitialized -Wno-unused-result -Wno-format-truncation -c -o /dev/null $flags || code=1
exit $code
