#!/bin/bash
# The rules of this folder can fail: each planted fault is found by its rule, and the same tree
# without it passes.
set -eu
rules=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
export GENERATED=$tree/generated
code=0
number=0

# Each case starts from this tree, in which every rule passes.
fresh() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree"/{.ci,broker/base,broker/codec,broker/cli,broker/net,storage,test/unit/base,generated}
    printf 'int good(void);\n' >"$tree/broker/base/good.h"
    printf '#include "broker/base/good.h"\n\nint good(void)\n{\n    return 1;\n}\n' >"$tree/broker/base/good.c"
}

# plant RULE FILE TEXT: RULE must find TEXT, appended to FILE.
plant() {
    number=$((number + 1))
    fresh
    if ! "$rules/$1.sh" "$tree" >"$tree/out" 2>&1; then
        echo "case $number: $1 fails without a fault"
        cat "$tree/out"
        code=1
    fi
    rm -f "$tree/out"
    mkdir -p "$(dirname "$tree/$2")"
    printf "$3" >>"$tree/$2"
    if (cd "$tree" && "$rules/$1.sh" "$tree") >/dev/null 2>&1; then
        echo "case $number: $1 does not find the fault in $2"
        code=1
    fi
}

plant layers broker/base/bad.c '#include "broker/codec/mqtt.h"\n'
plant layers broker/codec/bad.c '#include <uv.h>\n'
plant layers broker/codec/bad.c '#include "broker/net/listener.h"\n'
plant layers broker/net/bad.c '#include <lmdb.h>\n'
plant layers broker/base/log2.c '#include <uv.h>\n'
plant layers broker/base/bad.c '#include <unheard_of.h>\n'
plant layers broker/base/bad.c '#include "good.h"\n'
plant layers broker/elsewhere/bad.c 'int bad;\n'
plant layers broker/cli/bad.c '#include "storage/block_priv.h"\n'
plant layers broker/cli/bad.c '#include "broker/server/worker.h"\n'
plant sizes broker/base/bad.c "int bad(void)\n{\n$(printf '    bad();%.0s\\n' {1..101})}\n"
plant banned broker/base/bad.c 'int bad(char *a)\n{\n    return atoi(a);\n}\n'
plant banned broker/base/bad.c '/* a\n comment */ int b = strcpy (a, "x");\n'
plant banned storage/bad.c 'void *bad = malloc(1);\n'
plant banned broker/codec/bad.h 'pthread_mutex_lock(&m);\n'
plant standalone broker/base/bad.h 'static inline uint32_t bad(void)\n{\n    return 1;\n}\n'
plant standalone broker/base/bad.h 'struct bad {\n    int once;\n};\n'
plant standalone broker/base/bad.c 'int bad(int a)\n{\n    return 1;\n}\n'
plant rules test/unit/codec/test_bad.c 'Test(bad, mqtt_1_2_3_4)\n'
plant rules test/conformance/rules.tsv '5\t1.2.3-4\ttest/unit/codec/test_bad.c\tbad::bad\tbad\n'
plant paths broker/base/bad.c '/* TO''DO: later */\n'
plant paths test/bad.py 'open("/wor''k/data")\n'
plant paths README.md 'see share''d/spec\n'
fresh
printf -- '-----BEGI%s PRIVATE KEY-----\nMIGH\n' N >"$tree/broker/bad.txt"
! "$rules/keys.sh" "$tree" >/dev/null || { echo "keys does not find a key"; code=1; }
fresh
printf 'a\0b' >"$tree/broker/bad.bin"
! "$rules/keys.sh" "$tree" >/dev/null || { echo "keys does not find a binary"; code=1; }
fresh
head -c 600000 /dev/zero | tr '\0' 'a' >"$tree/broker/bad.txt"
! "$rules/keys.sh" "$tree" >/dev/null || { echo "keys does not find a large file"; code=1; }

[ $code = 0 ] && echo "$number planted faults found, and three for keys"
exit $code
