#!/bin/sh
# The manual pages tell of all that there is and of nothing else: each page's synopsis is what its header declares, each
# function that a library exports is in one; each verb, option, variable and exit code that the command's own help knows
# is in wbstore.1, each status in blob.3, each option in wbstore.3. They are installed, and mandoc has nothing to say of
# them, where it is found (Debian: mandoc).
# Needs SOURCE (the tree), BUILD (with the command) and CMAKE.
set -eu
export LC_ALL=C
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
man=$SOURCE/src/man
failed=0

# check PROMISE FILE: the file lists what breaks the promise, so it must be empty.
check() {
    if [ -s "$2" ]; then
        printf 'FAILED: %s\n' "$1"
        sed 's/^/    /' "$2"
        failed=1
    else
        printf 'ok: %s\n' "$1"
    fi
}

# declared HEADER: its functions, one a line, without white space. A declaration begins in the first column.
declared() {
    sed -e 's|/\*[^*]*\*/||g' "$1" | awk '
        !inside && /^(static|typedef|struct|#|\/|\})/ { next }
        !inside && /^[a-z].*(blob|wbstore)_[a-z0-9_]+\(/ { inside = 1; text = "" }
        inside {
            text = text $0
            if (gsub(/\(/, "(", text) == gsub(/\)/, ")", text)) {
                sub(/;.*/, "", text)
                gsub(/[ \t]/, "", text)
                print text
                inside = 0
            }
        }' | sort
}

# shown PAGE: likewise, of its synopsis.
shown() {
    awk '
        /^\.Ft / { text = substr($0, 5) }
        /^\.Fo / { text = text substr($0, 5) "("; comma = "" }
        /^\.Fa / && text ~ /\(/ { text = text comma substr($0, 5); comma = "," }
        /^\.Fc/ { text = text ")"; gsub(/[ \t"]/, "", text); print text; text = "" }' "$1" | sort
}

: >"$tmp/functions"
: >"$tmp/headers"
for page in "$man"/*.3; do
    name=$(basename "$page")
    header=$(sed -n 's/^\.In \(wbstore\/[a-z_]*\.h\)$/\1/p' "$page" | head -n 1)
    echo "$header" >>"$tmp/headers"
    declared "$SOURCE/include/$header" >"$tmp/declared"
    shown "$page" >"$tmp/shown"
    [ -s "$tmp/shown" ] || echo "no functions" >>"$tmp/declared"
    comm -3 "$tmp/declared" "$tmp/shown" >"$tmp/bad"
    check "the synopsis of $name is what $header declares" "$tmp/bad"
    sed -n 's/^\.Fo //p' "$page" | sort >"$tmp/own"
    sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([a-z0-9_]*\).*/\1/p' "$page" | sort | comm -3 - "$tmp/own" >"$tmp/bad"
    check "$name is found by the names of its functions" "$tmp/bad"
    sed '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/d' "$page" | sed -n 's/^\.\(It \)\{0,1\}Fn \([a-z0-9_]*\).*/\2/p' | sort -u >"$tmp/told"
    comm -23 "$tmp/own" "$tmp/told" >"$tmp/bad"
    check "$name says what each of its functions is for" "$tmp/bad"
    cat "$tmp/own" >>"$tmp/functions"
done
(cd "$SOURCE/include" && ls wbstore/*.h) | sort >"$tmp/all"
sort "$tmp/headers" | comm -3 "$tmp/all" - >"$tmp/bad"
check "each header has a page" "$tmp/bad"
sort "$tmp/functions" >"$tmp/shown"
sort "$SOURCE"/tests/*exports.txt | comm -3 - "$tmp/shown" >"$tmp/bad"
check "each function that is exported is in a page" "$tmp/bad"

# ---- the command ----
help() {
    "$BUILD/wbstore" help "$@"
}
page=$man/wbstore.1
help | sed -n 's/^  wbstore \([a-z]*\) .*/\1/p' | sort >"$tmp/verbs"
grep -q '^put$' "$tmp/verbs" || echo 'no verbs are found in the help' >>"$tmp/verbs"
sed -n 's/^\.It Cm \([a-z]*\)$/\1/p' "$page" | sort | comm -3 "$tmp/verbs" - >"$tmp/bad"
check "wbstore.1 has the verbs that there are" "$tmp/bad"
{
    help
    while read -r verb; do help "$verb"; done <"$tmp/verbs"
} >"$tmp/help"

# The options that stand at the beginning of a line, "  -r, --recursive  ..." , and those in the first lines.
grep -oE '(^ +|[[ ]|, )--?[a-z][a-z-]*' "$tmp/help" | sed 's/^[^-]*//' | sort -u >"$tmp/options"
grep -qx -e --timeout "$tmp/options" || echo 'no options are found in the help' >>"$tmp/options"
sed -n 's/^\.It Fl //p' "$page" | sed -e 's/ Ar .*//' -e 's/ , Fl /\n/g' | sed 's/^/-/' | sort -u >"$tmp/shown"
comm -3 "$tmp/options" "$tmp/shown" >"$tmp/bad"
check "wbstore.1 has the options that there are" "$tmp/bad"
grep -oE '\b(AWS|WBSTORE)_[A-Z0-9_]+' "$tmp/help" | sort -u >"$tmp/variables"
sed -n 's/^\.It Ev //p' "$page" | tr -d ' ' | tr ',' '\n' | sort -u | comm -3 "$tmp/variables" - >"$tmp/bad"
check "wbstore.1 has the variables that there are" "$tmp/bad"
help | sed -n '/^Exit codes/,$s/^  \([0-9][0-9, ]*\)  .*/\1/p' | sort >"$tmp/codes"
sed -n 's/^\.It \([0-9][0-9, ]*\)$/\1/p' "$page" | sort | comm -3 "$tmp/codes" - >"$tmp/bad"
check "wbstore.1 has the exit codes that there are" "$tmp/bad"

# ---- names in headers ----
sed -n 's/^#define \(BLOB_[A-Z_]*\) *(-2.*/\1/p' "$SOURCE/include/wbstore/blob.h" | sort >"$tmp/statuses"
sed -n 's/^\.It Dv //p' "$man/blob.3" | sort | comm -3 "$tmp/statuses" - >"$tmp/bad"
check "blob.3 has the status codes that there are" "$tmp/bad"
sed -n '/^typedef struct wbstore_options/,/^}/p' "$SOURCE/include/wbstore/wbstore.h" | sed 's|/\*.*||' |
    sed -n -e 's/^ .*(\*\([a-z_]*\))(.*/\1/p' -e 's/^    [a-z].*[ *]\([a-z_]*\);.*/\1/p' | grep -vx struct_size | sort >"$tmp/fields"
sed -n 's/^\.It Fa //p' "$man/wbstore.3" | tr -d ' ' | tr ',' '\n' | sort | comm -3 "$tmp/fields" - >"$tmp/bad"
check "wbstore.3 has the options that there are" "$tmp/bad"

# ---- the files ----
"$CMAKE" --install "$BUILD" --prefix "$tmp/installed" >"$tmp/log" || { cat "$tmp/log"; exit 1; }
(cd "$man" && ls -- *.[1-9]) | sort >"$tmp/pages"
(cd "$tmp/installed/share/man" && ls man*/*) | sed 's|^man\([0-9]\)/\(.*\.\1\)$|\2|' | sort | comm -3 "$tmp/pages" - >"$tmp/bad"
check "the pages are installed, each in its section" "$tmp/bad"
if command -v mandoc >"$tmp/which"; then
    mandoc -T lint -W warning "$man"/*.[1-9] >"$tmp/bad" 2>&1 || true
    check "mandoc has nothing to say" "$tmp/bad"
else
    echo "left out: no mandoc"
fi

exit $failed
