#!/bin/sh
# What the README shows is true: its program, taken from its text, compiles without a warning and does what it says; its
# two commands are the first two shell blocks, which .ci/run runs as they stand.
# Needs SOURCE (the tree), BUILD (with the command), STATIC (the library) and CC.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}

# block LANGUAGE NUMBER: that code block of the README.
block() {
    awk -v fence="\`\`\`$1" -v wanted="$2" '
        $0 == fence { inside = ++seen == wanted; next }
        $0 == "```" { inside = 0 }
        inside' "$SOURCE/README.md"
}

block c 1 >"$tmp/host.c"
lines=$(grep -c '' "$tmp/host.c")
[ "$lines" -gt 10 ] && [ "$lines" -le 30 ] || fail "the program has $lines lines, not up to 30"
"$CC" -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Werror -I"$SOURCE/include" \
    "$tmp/host.c" "$STATIC" -pthread -o "$tmp/host" || fail "the program does not compile"

cd "$tmp"
for round in first second; do
    [ "$(./host)" = hello ] || fail "the program does not run ($round time)"
    address=$(printf 'hello\n' | sha256sum | cut -d' ' -f1)
    home=$(find base -type f -name "$address")
    [ -n "$home" ] && [ "$(cat "$home")" = hello ] || fail "the base has not got the blob ($round time)"
    "$BUILD/wbstore" status --json --buffer=log:buffer | grep -q '"pending_blobs":0,' ||
        fail "the buffer still has the blob ($round time)"
done
# Without a base it says so, with the reason.
rm -rf base
: >base
if ./host 2>said; then fail "the program succeeds without a base"; fi
grep -q ': ' said || fail "the program does not say why it failed"

block sh 1 | grep -q 'WBSTORE_BUFFER=log:' || fail "the first command does not use the log"
block sh 1 | grep -q 'build/wbstore put' || fail "the first command does not show the store at work"
block sh 2 | grep -q '^ctest ' || fail "the second command does not run the tests"
for number in 1 2; do
    block sh $number | sh -n || fail "command $number is no shell"
    block sh $number | grep -q 'apt-get install -y' || fail "command $number does not install what it needs"
done
echo "ok"
