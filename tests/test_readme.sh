#!/bin/sh
# What the README shows is true: its programs, taken from its text, compile without a warning and do what it says; its
# two commands are the first two shell blocks, which .ci/run runs as they stand.
# Needs SOURCE (the tree), BUILD (with the command), STATIC and TESTKIT_STATIC (the libraries) and CC.
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
compile() {
    "$CC" -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Werror -I"$SOURCE/include" "$@" -pthread
}
compile "$tmp/host.c" "$STATIC" -o "$tmp/host" || fail "the program does not compile"

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

# The store of "Write your own store" is small, keeps the contract, and its check tells when it does not.
mkdir "$tmp/own"
cd "$tmp/own"
block c 2 >check.c
cp "$SOURCE/tests/example/example_store.h" "$SOURCE/tests/example/example_store.c" .
[ "$(grep -c '' example_store.c)" -le 200 ] || fail "the example store has more than 200 lines"
compile check.c example_store.c "$TESTKIT_STATIC" "$STATIC" -o check || fail "the example store does not compile"
./check >said || fail "the example store does not keep the contract: $(cat said)"
[ ! -s said ] || fail "the check speaks where nothing is broken"
sed 's/BLOB_REPLACE ? 0 : BLOB_EXISTS/BLOB_REPLACE ? 0 : 0/' example_store.c >broken.c
compile check.c broken.c "$TESTKIT_STATIC" "$STATIC" -o broken || fail "the broken store does not compile"
rm blobs
if ./broken >said; then fail "the check does not notice a put that overwrites"; fi
grep -q '^broken: put-exists: ' said || fail "the check does not name what is broken: $(cat said)"

block sh 1 | grep -q 'WBSTORE_BUFFER=log:' || fail "the first command does not use the log"
block sh 1 | grep -q 'build/wbstore put' || fail "the first command does not show the store at work"
block sh 2 | grep -q '^ctest ' || fail "the second command does not run the tests"
for number in 1 2; do
    block sh $number | sh -n || fail "command $number is no shell"
    block sh $number | grep -q 'apt-get install -y' || fail "command $number does not install what it needs"
done
echo "ok"
