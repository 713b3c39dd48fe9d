#!/bin/sh
# The progress bar as a terminal shows it: tmux is the terminal, and its screen is looked at. One line that overwrites
# itself, fills up, gives way to messages, never wraps however narrow the terminal is, and is gone in the end.
# Needs COMMAND (wbstore) and TMUX_TOOL.
set -eu
unset TMUX
export LC_ALL=C.UTF-8
tmp=$(mktemp -d)
terminal() {
    "$TMUX_TOOL" -S "$tmp/socket" -f /dev/null "$@"
}
trap 'terminal kill-server 2>/dev/null || :; rm -rf "$tmp"' EXIT

screen() {
    terminal capture-pane -p
}

fail() {
    printf 'FAILED: %s\n-- the screen:\n' "$*"
    screen
    exit 1
}

# becomes WORDS COMMAND...: waits until that succeeds. A message takes the bar away until it is drawn again.
becomes() {
    words=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || fail "$words"
        sleep 0.05
    done
}

has() {
    screen | grep -q -e "$1"
}

has_bars() {
    [ "$(screen | grep -c '^\[')" = "$1" ]
}

ends_in_a_bar() {
    [ "$(screen | grep -v '^$' | tail -n 1 | cut -c1)" = '[' ]
}

# shows PATTERN: waits until a line of the screen is like that.
shows() {
    becomes "it never showed $1" has "$1"
}

# bars NUMBER: so many lines begin as a bar does, if need be soon.
bars() {
    becomes "not $1 bar(s)" has_bars "$1"
}

# blob TEXT: makes the file of that name; the base gets something in the way of it.
blob() {
    printf %s "$1" >"$1"
    mkdir -p base
    address=$(printf %s "$1" | sha256sum)
    in_the_way=base/$(printf %s "$address" | cut -c1-2)
    : >"$in_the_way"
}

# round WIDTH CUT: in a terminal of that many columns, of a bar that is cut to CUT.
round() {
    mkdir "$tmp/$1"
    cd "$tmp/$1"
    blob abc
    first=$in_the_way
    blob xyz
    second=$in_the_way
    terminal new-session -d -x "$1" -y 12 -c "$tmp/$1" \
        "'$COMMAND' put --base=file:base --buffer=log:buffer abc xyz >/dev/null; echo \"ended \$?\"; exec cat"
    shows "^$(printf '\\[--------------------\\] 2 blobs, 6 bytes to go' | cut -c1-"$2")"
    shows 'the base does no'
    shows "^$(printf '\\[--------------------\\] 2 blobs, 6 bytes to go' | cut -c1-"$2")" # and below it, again
    becomes 'the bar is not the last line' ends_in_a_bar
    bars 1
    [ "$(screen | grep '^\[' | wc -m)" -le "$1" ] || fail 'the bar fills the last column'
    rm "$first"
    shows 'the base is back' # said by a thread of its own: not among the last words
    shows "^$(printf '\\[##########----------\\] 1 blob, 3 bytes to go' | cut -c1-"$2")"
    bars 1
    rm "$second"
    shows '^ended 0$'
    bars 0
    [ "$(screen | grep -v '^$' | tail -n 2)" = "$(printf 'sent 2 blobs\nended 0')" ] || fail 'what is left of it'
    terminal kill-server
    cd /
}

round 100 100
round 30 30
echo ok
