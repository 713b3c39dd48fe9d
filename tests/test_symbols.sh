#!/bin/sh
# The libraries as the linker sees them: they offer what the public headers declare and nothing else, need nothing
# but libc, keep no global state, and call nothing that speaks, exits or takes over a signal. wbstore-tls and
# wbstore-testkit are beside libwbstore and need it, too; the former alone loads others at run time.
# Needs SOURCE (the tree), STATIC, SHARED, TLS_STATIC, TLS_SHARED, TESTKIT_STATIC and TESTKIT_SHARED (the libraries), NM
# and READELF.
set -eu
export LC_ALL=C
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

# check PROMISE FILE: the file lists what breaks the promise, so it must be empty.
check() {
    if [ -s "$2" ]; then
        printf 'FAILED: %s: %s\n' "$library" "$1"
        sed 's/^/    /' "$2"
        failed=1
    else
        printf 'ok: %s: %s\n' "$library" "$1"
    fi
}

differences() {
    comm -3 "$1" "$2"
}

libc='libc|libpthread|ld-linux[a-z0-9_-]*|ld64|ld-musl[a-z0-9_-]*'
speaks='v?[fd]?printf|puts|fputs|putchar|putc|fputc|fwrite|perror|v?syslog|std(in|out|err)'
exits='exit|_Exit|quick_exit|abort|at_?exit|cxa_atexit|on_exit|pthread_atfork|register_atfork|pthread_detach'
meddles='(secure_)?getenv|putenv|setenv|unsetenv|environ|(local|gm)time_r|mktime|timegm|strftime|tzset|signal|sigaction|sigwait|raise|p?kill|alarm'
loads='dlm?open|dlv?sym|dlclose|dlerror'
shares='strerror|strsignal|strtok|(local|gm|asc|c)time|s?rand(om)?|[delmjn]rand48|get(pw|gr|host|serv|proto)[a-z]+|inet_ntoa|setlocale|tmpnam|mktemp|ttyname|getlogin|basename|dirname'

# look EXPORTS NEEDS NEVER STATIC SHARED HEADER...: a list of what it exports, and patterns of what it may need and must
# not call.
look() {
    exports=$1 needs=$2 never=$3 static=$4 shared=$5
    shift 5

    # A declaration begins in the first column; what static inline functions define is nobody's symbol.
    sed -nE '/^(static|typedef)/d; s/^[a-z][a-z0-9_ ]*[ *]((blob|wbstore)_[a-z0-9_]+)\(.*/\1/p' "$@" |
        sort >"$tmp/declared"
    "$NM" -D --defined-only --format=posix "$shared" | cut -d' ' -f1 | sort >"$tmp/exported"
    sort "$SOURCE/tests/$exports" >"$tmp/listed"

    differences "$tmp/listed" "$tmp/declared" >"$tmp/bad"
    check "the public headers declare what tests/$exports lists" "$tmp/bad"
    differences "$tmp/listed" "$tmp/exported" >"$tmp/bad"
    check "the shared library exports what tests/$exports lists" "$tmp/bad"

    "$NM" -g --defined-only --format=posix "$static" | awk 'NF > 1 { print $1 }' |
        grep -vE '^(blob|wbstore|wb|s3)_' >"$tmp/bad" || true
    check "every external symbol of the static library begins with blob_, wbstore_, wb_ or s3_" "$tmp/bad"

    "$READELF" -dW "$shared" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >"$tmp/needed"
    grep -vE "^($needs)\.so" "$tmp/needed" >"$tmp/bad" || true
    test -s "$tmp/needed" || echo "no NEEDED entry found" >"$tmp/bad"
    check "the shared library needs what it may and no more" "$tmp/bad"

    # Section headers: name type address offset size entry-size flags. What stays: constants that hold addresses, which
    # are read-only once the program runs, and what each thread has of its own. No .init_array either: nothing runs at
    # load.
    "$READELF" -SW "$static" | sed -n -e 's/^File: .*(\(.*\))$/File: \1/p' -e 's/^ *\[ *[0-9]*\] *//p' |
        awk '/^File:/ { member = $2; next }
             $7 ~ /W/ && $7 ~ /A/ && $7 !~ /T/ && $5 !~ /^0+$/ && $1 !~ /^\.data\.rel\.ro/ { print member, $1, "0x" $5 }' \
        >"$tmp/bad"
    check "no writable data but the thread's error detail, nothing that runs at load" "$tmp/bad"

    "$NM" -u --format=posix "$static" | awk 'NF > 1 { print $1 }' | sort -u >"$tmp/used"
    grep -E "^_*($never)(_chk)?\$" "$tmp/used" >"$tmp/bad" || true
    check "no output, no exit, no environment, no handlers, no detached threads" "$tmp/bad"
    grep -E "^_*($shares)\$" "$tmp/used" >"$tmp/bad" || true
    check "nothing that threads cannot call at once" "$tmp/bad"
}

tls=$SOURCE/include/wbstore/tls.h
testkit=$SOURCE/include/wbstore/testkit.h
set --
for header in "$SOURCE"/include/wbstore/*.h; do
    [ "$header" = "$tls" ] || [ "$header" = "$testkit" ] || set -- "$@" "$header"
done
library=wbstore
look exports.txt "$libc" "$speaks|$exits|$meddles|$loads" "$STATIC" "$SHARED" "$@"
library=wbstore-tls
look tls_exports.txt "$libc|libdl|libwbstore" "$speaks|$exits|$meddles" "$TLS_STATIC" "$TLS_SHARED" "$tls"
library=wbstore-testkit
look testkit_exports.txt "$libc|libwbstore" "$speaks|$exits|$meddles|$loads" "$TESTKIT_STATIC" "$TESTKIT_SHARED" \
    "$testkit"

exit $failed
