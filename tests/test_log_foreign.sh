#!/bin/sh
# A log made on one machine opens on one of the other byte order, and goes on there: the same host program, built for
# this machine and for a big-endian one that is emulated, take turns on one folder; each finds every byte of what the
# other put, and nothing of what it deleted; after a close, and after a kill.
# Needs SOURCE (the tree), NATIVE (the host program), FOREIGN_CC (a cross compiler), QEMU (what runs its programs).
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
log=$tmp/log

fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}

# Of the library what a log needs, and without warnings there too. Static, so nothing of that machine need be here.
"$FOREIGN_CC" -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O2 -Wall -Wextra -Wshadow -Wconversion \
    -Wstrict-prototypes -Werror -I"$SOURCE/include" -I"$SOURCE/src" -static -pthread -o "$tmp/foreign" \
    "$SOURCE"/tests/foreign/log_foreign.c "$SOURCE"/src/blob/*.c "$SOURCE"/src/hash/*.c "$SOURCE"/src/logstore/*.c ||
    fail "the library does not build there"

native() {
    "$NATIVE" "$@" || fail "on this machine: $*"
}
foreign() {
    "$QEMU" "$tmp/foreign" "$@" || fail "on the other machine: $*"
}
# killed native|foreign ARGUMENT...: it must end with a kill.
killed() {
    where=$1
    shift
    rc=0
    if [ "$where" = native ]; then
        "$NATIVE" "$@" die || rc=$?
    else
        "$QEMU" "$tmp/foreign" "$@" die || rc=$?
    fi
    [ $rc = 137 ] || fail "$where ended with $rc, not with a kill: $*"
}

printf 'here: %s, there: %s\n' "$(native order)" "$(foreign order)"
foreign order | grep -q '^big ' || fail "the other machine is not big-endian"
native order | grep -q '^little ' || fail "this machine is not little-endian"

# turn ONE OTHER: ONE makes a log, OTHER goes on with it, ONE checks.
turn() {
    rm -rf "$log"
    "$1" each "$log" put 0 200
    "$2" look "$log" old 0 200 check
    "$2" each "$log" old 0 200 check delete 0 50 lazy 50 60 replace 60 100 put 200 280
    "$1" look "$log" new 60 100 old 100 280 check
    "$1" each "$log" new 60 100 old 100 280 check put 0 20 delete 100 120
    "$2" each "$log" old 0 20 new 60 100 old 120 280 check

    # What a kill leaves of one is recovered by the other: first what was synced, then what nothing vouches for.
    killed "$1" each "$log" put 300 340 delete 120 130
    "$2" look "$log" old 0 20 new 60 100 old 130 280 old 300 340 check
    "$2" each "$log" old 0 20 new 60 100 old 130 280 old 300 340 check
    killed "$2" later "$log" put 350 356 replace 310 312 delete 130 131
    "$1" each "$log" old 0 20 new 60 100 old 131 280 old 300 310 new 310 312 old 312 340 old 350 356 recovered check
    killed "$1" later "$log" put 360 366 delete 131 132
    "$2" each "$log" old 0 20 new 60 100 old 132 280 old 300 310 new 310 312 old 312 340 old 350 356 old 360 366 \
        recovered check

    # Emptied by one, it is empty for the other.
    "$2" each "$log" delete 0 20 delete 60 100 delete 132 280 lazy 300 340 lazy 350 356 lazy 360 366 check
    "$1" each "$log" check put 0 3 old 0 3 check
}
turn native foreign
turn foreign native
echo "ok"
