#!/bin/sh
# What is installed is enough to build and run hosts, in C and in C++, with the shared library and with the static one,
# by pkg-config and by find_package(), also after the installed tree was moved. And a project can take the sources in as
# a folder.
# Needs SOURCE and BUILD (the trees), VERSION, CMAKE, GENERATOR, CC, CXX, PKG_CONFIG and READELF.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
hosts=$SOURCE/tests/install
flags='-Wall -Wextra -Wpedantic -Werror'
minor=${VERSION%.*}
unset DESTDIR MAKEFLAGS CFLAGS CXXFLAGS LDFLAGS

fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}

# quietly COMMAND...: what it prints shows only when it fails.
quietly() {
    "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "$*"; }
}

needs_shared() {
    "$READELF" -dW "$1" | grep -q "NEEDED.*libwbstore\.so\.$minor\]"
}

# runs PROGRAM shared|static: it works, says the version, and is linked as it should be.
runs() {
    said=$(LD_LIBRARY_PATH="$libdir" "$1") || fail "$1 failed"
    [ "$said" = "$VERSION" ] || fail "$1 says $said, not $VERSION"
    if needs_shared "$1"; then linked=shared; else linked=static; fi
    [ "$linked" = "$2" ] || fail "$1 is linked $linked, not $2"
    printf 'ok: %s\n' "${1#"$tmp"/}"
}

quietly "$CMAKE" --install "$BUILD" --prefix "$tmp/first"
mv "$tmp/first" "$tmp/moved"
prefix=$tmp/moved
libdir=$(dirname "$(find "$prefix" -name libwbstore.a)")

for header in "$SOURCE"/include/wbstore/*.h; do
    cmp "$header" "$prefix/include/wbstore/$(basename "$header")" || fail "a header is not installed"
done
for lib in libwbstore libwbstore-tls libwbstore-testkit; do
    for name in $lib.a $lib.so "$lib.so.$minor" "$lib.so.$VERSION"; do
        [ -e "$libdir/$name" ] || fail "$name is not installed"
    done
done
"$prefix/bin/wbstore" --version | grep -qF "$VERSION" || fail "the installed command does not say its version"
for page in man1/wbstore.1 man3/wbstore.3; do
    [ -s "$prefix/share/man/$page" ] || fail "$page is not installed"
done
grep -rlF "$tmp/first" "$prefix" && fail "these files know where they were installed first"
echo "ok: installed and moved"

export PKG_CONFIG_PATH="$libdir/pkgconfig"
[ "$("$PKG_CONFIG" --modversion wbstore)" = "$VERSION" ] || fail "pkg-config gives another version"
# by_pkgconfig FOLDER C-COMPILER C++-COMPILER: the hosts.
by_pkgconfig() {
    mkdir "$tmp/$1"
    for language in c cpp; do
        case $language in
        c) compile="$2 -std=c11" ;;
        cpp) compile="$3 -std=c++17" ;;
        esac
        # shellcheck disable=SC2046,SC2086 # words are meant to be split
        quietly $compile $flags "$hosts/host.$language" -o "$tmp/$1/host_${language}_shared" \
            $("$PKG_CONFIG" --cflags --libs wbstore)
        # shellcheck disable=SC2046,SC2086
        quietly $compile $flags -static "$hosts/host.$language" -o "$tmp/$1/host_${language}_static" \
            $("$PKG_CONFIG" --cflags --libs --static wbstore)
    done
}
by_pkgconfig pkgconfig "$CC" "$CXX"
# A host may have another compiler than the library had.
also=
for name in gcc clang; do
    case $name in gcc) with=g++ ;; *) with=clang++ ;; esac
    if command -v $name >"$tmp/log" && command -v $with >"$tmp/log"; then
        by_pkgconfig with_$name $name $with
        also="$also with_$name"
    fi
done
# shellcheck disable=SC2046
quietly "$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror "$hosts/tls.c" -o "$tmp/pkgconfig/tls_shared" \
    $("$PKG_CONFIG" --cflags --libs wbstore-tls)
# shellcheck disable=SC2046
quietly "$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror "$hosts/testkit.c" -o "$tmp/pkgconfig/testkit_shared" \
    $("$PKG_CONFIG" --cflags --libs wbstore-testkit)
# shellcheck disable=SC2046
quietly "$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror -static "$hosts/testkit.c" -o "$tmp/pkgconfig/testkit_static" \
    $("$PKG_CONFIG" --cflags --libs --static wbstore-testkit)

# configure FOLDER OPTION...
configure() {
    into=$1
    shift
    "$CMAKE" -S "$hosts" -B "$tmp/$into" -G "$GENERATOR" -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
        -DCMAKE_PREFIX_PATH="$prefix" "$@"
}

quietly configure find_package -DFOUND="$minor"
quietly "$CMAKE" --build "$tmp/find_package"
for wrong in "0.$((${minor#*.} + 1))" "$((${minor%.*} + 1)).0"; do
    ! configure wrong -DFOUND="$wrong" >/dev/null 2>&1 || fail "find_package(wbstore $wrong) takes $VERSION"
    rm -rf "$tmp/wrong"
done
quietly configure folder -DTREE="$SOURCE"
quietly "$CMAKE" --build "$tmp/folder" --parallel 2
quietly "$CMAKE" --install "$tmp/folder" --prefix "$tmp/nothing"
[ ! -e "$tmp/nothing" ] || fail "a project that takes the sources in installs wbstore unasked"

for by in pkgconfig find_package folder $also; do
    for language in c cpp; do
        runs "$tmp/$by/host_${language}_shared" shared
        runs "$tmp/$by/host_${language}_static" static
    done
done
for by in pkgconfig find_package folder; do
    runs "$tmp/$by/tls_shared" shared
    runs "$tmp/$by/testkit_shared" shared
    runs "$tmp/$by/testkit_static" static
    [ $by = pkgconfig ] || runs "$tmp/$by/tls_static" static
done
