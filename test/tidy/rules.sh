#!/bin/bash
# The table of normative statements and the tests name each other: every row of
# test/conformance/rules.tsv has its test, and every unit test that is named after a statement
# (mqtt_1_2_3_4) has its row. Usage: rules.sh [root]
set -u
cd "${1:-.}" || exit 1
table=test/conformance/rules.tsv
code=0
[ -f "$table" ] || table=/dev/null

complain() {
    echo "rules: $1" >&2
    code=1
}

while IFS=$'\t' read -r version rule file test about; do
    [[ $version == \#* ]] && continue
    [ -n "$about" ] || complain "$version $rule: a row has five fields"
    grep -q "^Test(${test%%::*}, ${test##*::})" "$file" 2>/dev/null ||
        complain "$version $rule: no test $test in $file"
done <"$table"

while IFS=: read -r file suite name; do
    grep -q -P "\t$file\t$suite::$name\t" "$table" ||
        complain "$file: $suite::$name has no row in $table"
done < <(grep -r -H -o -P '^Test\(\w+, mqtt_\d\w+(?=\))' test/unit/codec --include='*.c' 2>/dev/null |
    sed -E 's/:Test\((\w+), (\w+)/:\1:\2/')
exit $code
