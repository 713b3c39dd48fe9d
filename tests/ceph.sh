#!/usr/bin/env bash
# ceph.sh - a small real Ceph cluster with its S3 gateway, for the tests: on loopback only, all of it in one folder.
#
#   start [light]    makes it, or starts what was made; user and bucket too. Three OSDs, three copies of everything;
#                    light: one OSD, in memory. Does nothing to what runs already
#   env              prints what the tests want in their environment, for eval
#   kill NAME        ends a daemon at once. NAME: mon.a osd.0 osd.1 osd.2 rgw.a
#   freeze NAME      stops it where it is: connections are taken, nothing is answered
#   up, thaw NAME    starts it, or lets it go on, and waits until it serves
#   ceph ARG...      the tool of that name
#   stop             ends the daemons that were started here, and no other process; what they hold stays
#   wipe             stop, and the folder goes
#
# On Debian 12, as root, with ceph-mon ceph-osd ceph-base ceph-common radosgw curl. Settings in the environment; ports
# are those of the time when the cluster was made:
#   WBSTORE_CEPH_DIR        the folder; ${TMPDIR:-/tmp}/wbstore-ceph
#   WBSTORE_CEPH_PORT       of the gateway; 17580
#   WBSTORE_CEPH_MON_PORT   of the monitor; 13400
#   WBSTORE_CEPH_OSD_PORTS  of the OSDs, FIRST-LAST; 16500-16599
set -euo pipefail
umask 077
unset CEPH_ARGS CEPH_CONF

script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
dir=${WBSTORE_CEPH_DIR:-${TMPDIR:-/tmp}/wbstore-ceph}
port=${WBSTORE_CEPH_PORT:-17580}
mon_port=${WBSTORE_CEPH_MON_PORT:-13400}
osd_ports=${WBSTORE_CEPH_OSD_PORTS:-16500-16599}
conf=$dir/conf
access_key=WBSTORETESTACCESS001 secret_key=wbstoretestsecret00000000000000000000001
bucket=wbstore region=us-east-1
patience_s=180

say() { printf 'ceph.sh: %s\n' "$*" >&2; }
die() {
    say "FAILED: $*"
    exit 1
}

osds() { if [ "$(cat "$dir/kind")" = light ]; then echo 0; else echo 0 1 2; fi; }
names() { echo "mon.a $(printf 'osd.%s ' $(osds))rgw.a"; }

# ---- Processes. A file remembers the pid and when it began: a number that is somebody else's by now is left alone.

began() { # PID: when, in ticks; nothing if it is gone, or dead and only not buried (nobody may be there to do so)
    local fields
    fields=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    read -ra fields <<<"${fields##*) }"
    [ "${fields[0]}" = Z ] && [ "${fields[17]}" -le 1 ] || echo "${fields[19]}"
}

pid_of() { # NAME: its pid; fails if it does not run
    local pid began_then
    read -r pid began_then 2>/dev/null <"$dir/run/$1.pid" || return 1
    [ -n "$began_then" ] && [ "$(began "$pid")" = "$began_then" ] && echo "$pid"
}

launch() { # NAME
    local pid command
    case $1 in
    mon.*) command=(ceph-mon -i "${1#mon.}") ;;
    osd.*) command=(ceph-osd -i "${1#osd.}") ;;
    rgw.*) command=(radosgw -n "client.$1") ;;
    esac
    setsid "${command[@]}" -f -c "$conf" >>"$dir/log/$1.out" 2>&1 </dev/null 9>&- &
    pid=$!
    echo "$pid $(began "$pid")" >"$dir/run/$1.pid"
}

is_gone() { ! pid_of "$1" >/dev/null; }

# until_true WHAT NAME CHECK...: asks again and again; gives up when NAME ends, or patience does.
until_true() {
    local what=$1 name=$2 end=$((SECONDS + patience_s))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if is_gone "$name" || [ $SECONDS -ge $end ]; then
            tail -n 20 "$dir/log/$name.out" >&2 || true
            die "no $what: $name $(if is_gone "$name"; then echo ended; else echo "is not ready in $patience_s s"; fi)"
        fi
        sleep 0.25
    done
}

finish() { # NAME: asked to end, made to after 15 s
    local pid i
    pid=$(pid_of "$1") || return 0
    kill -TERM "$pid" && kill -CONT "$pid" || true
    for ((i = 0; i < 150; i++)); do
        is_gone "$1" && return 0
        sleep 0.1
    done
    slay "$1"
}

slay() { # NAME
    local pid
    pid=$(pid_of "$1") || return 0
    kill -KILL "$pid"
    until is_gone "$1"; do sleep 0.05; done
}

# ---- Are they ready?

tool() { timeout 30 ceph -c "$conf" --connect-timeout 20 "$@"; }
# On the map as the process that runs now, whose pid is in its address: of one that was killed it may tell for a while.
osd_is_up() { tool osd dump | grep -E "^osd\.$1 up .*/$(pid_of "osd.$1")[],]"; }
gateway_answers() { [ "$(curl -s -o /dev/null -m 5 --noproxy '*' -w '%{http_code}' "http://127.0.0.1:$port/")" = 200 ]; }

s3() { # METHOD PATH: signed, without a body; prints the status
    curl -s -m 60 --noproxy '*' -o "$dir/log/s3.out" -w '%{http_code}' -X "$1" --data-binary '' \
        --user "$access_key:$secret_key" --aws-sigv4 "aws:amz:$region:s3" \
        -H "x-amz-content-sha256: $(printf '' | sha256sum | cut -d' ' -f1)" "http://127.0.0.1:$port/$2" || true
}

up() { # NAME
    local pid
    if pid=$(pid_of "$1"); then kill -CONT "$pid"; else launch "$1"; fi
    case $1 in
    mon.*) until_true quorum "$1" tool quorum_status ;;
    osd.*) until_true OSD "$1" osd_is_up "${1#osd.}" ;;
    rgw.*) until_true answer "$1" gateway_answers ;;
    esac
}

# ---- Making it

# Few placement groups and threads, little memory, no debugging logs: three copies on one small machine. An OSD that does
# not answer is marked down after some seconds on another's word, and never marked out: there is nowhere to move its data.
write_conf() {
    local copies=3 least=2 store="osd objectstore = bluestore
bluestore block size = 17179869184
bluestore block create = true
bluestore block db create = false
bluestore block wal create = false
bluestore cache autotune = false
bluestore cache size = 67108864" # the file that is the disk is sparse
    [ "$(cat "$dir/kind")" != light ] || copies=1 least=1 store="osd objectstore = memstore
memstore device bytes = 4294967296
osd fast shutdown = false" # it saves what it has when it is stopped in order
    cat <<CONF
[global]
fsid = $(cat "$dir/fsid")
mon host = [v2:127.0.0.1:$mon_port,v1:127.0.0.1:$((mon_port + 1))]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind port min = ${osd_ports%-*}
ms bind port max = ${osd_ports#*-}
keyring = $dir/keyring
run dir = $dir/run
crash dir = $dir/crash
admin socket =
log file = $dir/log/\$name.log
mon cluster log file = $dir/log/cluster.log
log max recent = 100
$(printf 'debug %s = 0/0\n' asok auth bdev bluefs bluestore buffer finisher heartbeatmap monc ms objclass objecter osd \
        paxos perfcounter prioritycache rados rgw rocksdb throttle timer tp)
osd pool default size = $copies
osd pool default min size = $least
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd heartbeat interval = 2
osd heartbeat grace = 10
[mon]
mon data = $dir/data/\$name
mon allow pool size one = true
mon warn on pool no redundancy = false
mon warn on insecure global id reclaim allowed = false
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
mon osd nearfull ratio = .95
mon osd backfillfull ratio = .96
mon osd full ratio = .97
mon osd min down reporters = 1
mon osd adjust heartbeat grace = false
mon osd down out interval = 0
[osd]
osd data = $dir/data/\$name
osd class update on start = false
osd memory target = 939524096
osd op num shards = 2
osd op num threads per shard = 1
osd max backfills = 4
osd recovery sleep = 0
$store
[client]
rgw data = $dir/data/\$name
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw thread pool size = 128
rgw num rados handles = 1
rgw enable usage log = false
rgw enable ops log = false
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw rados pool pg num min = 1
CONF
}

# One keyring for all; the monitor takes it over when its store is made. Without keys ("auth ... = none") the gateway of
# this release never gets past the monitor.
make_keys() {
    local id
    ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool "$dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
    ceph-authtool "$dir/keyring" --gen-key -n client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx'
    for id in $(osds); do
        ceph-authtool "$dir/keyring" --gen-key -n "osd.$id" --cap mon 'allow profile osd' --cap osd 'allow *'
    done
}

make_cluster() {
    local id uuid
    rm -rf "$dir/data" "$dir/keyring"
    mkdir -p "$dir/data/mon.a" "$dir/data/client.rgw.a" "$dir/crash"
    cat /proc/sys/kernel/random/uuid >"$dir/fsid"
    write_conf >"$conf"
    make_keys
    monmaptool --create --clobber --fsid "$(cat "$dir/fsid")" \
        --addv a "[v2:127.0.0.1:$mon_port,v1:127.0.0.1:$((mon_port + 1))]" "$dir/monmap"
    ceph-mon --mkfs -c "$conf" -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
    up mon.a
    for id in $(osds); do
        uuid=$(cat /proc/sys/kernel/random/uuid)
        mkdir -p "$dir/data/osd.$id"
        tool osd new "$uuid" "$id"
        ceph-osd --mkfs -c "$conf" -i "$id" --osd-uuid "$uuid"
        launch "osd.$id" # it boots while the next one is made
    done
    for id in $(osds); do up "osd.$id"; done
    # This also makes the gateway's pools; were it running, the two would do so at once and one of them fail.
    timeout 120 radosgw-admin -c "$conf" -n client.rgw.a user create --uid=test --display-name=test \
        --access-key="$access_key" --secret-key="$secret_key" --max-buckets=0
}

start() { # [light]
    local name tool id
    for tool in ceph-mon ceph-osd ceph-authtool ceph radosgw curl flock; do
        command -v "$tool" >/dev/null || die "$tool is missing: apt-get install ceph-mon ceph-osd ceph-base ceph-common radosgw curl"
    done
    mkdir -p "$dir/log" "$dir/run"
    exec 9>"$dir/lock"
    flock -w "$patience_s" 9 || die "another start or stop goes on in $dir"
    if [ -f "$dir/made" ]; then
        [ "${1:-}" != light ] || [ "$(cat "$dir/kind")" = light ] || die "the cluster in $dir is not light: wipe it first"
    else
        [ ! -f "$dir/kind" ] || for name in $(names); do finish "$name"; done # a making that failed
        echo "${1:-full}" >"$dir/kind"
        make_cluster >"$dir/log/make.out" 2>&1 & # on the left of || its errors would be passed over
        wait $! || {
            tail -n 20 "$dir/log/make.out" >&2
            die "the cluster could not be made: $dir/log/make.out"
        }
    fi
    for name in $(names); do up "$name"; done
    if [ ! -f "$dir/made" ]; then
        # The first object makes the pool that holds them, which takes seconds.
        [ "$(s3 PUT $bucket) $(s3 PUT $bucket/first) $(s3 DELETE $bucket/first)" = "200 200 204" ] ||
            die "no bucket, or no object in it: $(cat "$dir/log/s3.out")"
        touch "$dir/made"
    fi
    say "up after $SECONDS s: http://127.0.0.1:$port, bucket $bucket"
}

stop() {
    local name pid
    [ -f "$dir/kind" ] || return 0
    exec 9>"$dir/lock"
    flock -w "$patience_s" 9 || die "another start or stop goes on in $dir"
    for name in $(names); do # one may wait for another that is frozen
        if pid=$(pid_of "$name"); then kill -CONT "$pid"; fi
    done
    for name in $(names | tr ' ' '\n' | tac); do finish "$name"; done # the monitor last: the others take leave of it
}

named() {
    [ -f "$dir/made" ] || die "no cluster in $dir: start one"
    case " $(names) " in
    *" ${1:-} "*) ;;
    *) die "no daemon of that name: $(names)" ;;
    esac
}

case ${1:-} in
start) start "${2:-}" ;;
stop) stop ;;
wipe)
    stop
    [ ! -f "$dir/kind" ] || rm -rf "$dir" # else it is not ours
    ;;
env)
    printf 'export %s=%q\n' S3_ENDPOINT "http://127.0.0.1:$port" S3_ACCESS_KEY "$access_key" \
        S3_SECRET_KEY "$secret_key" S3_BUCKET "$bucket" S3_REGION "$region" WBSTORE_CEPH "$script" \
        WBSTORE_CEPH_DIR "$dir" WBSTORE_CEPH_PORT "$port" WBSTORE_CEPH_MON_PORT "$mon_port" \
        WBSTORE_CEPH_OSD_PORTS "$osd_ports"
    ;;
kill)
    named "${2:-}"
    slay "$2"
    ;;
freeze)
    named "${2:-}"
    pid=$(pid_of "$2") || die "$2 does not run"
    kill -STOP "$pid"
    ;;
thaw | up)
    named "${2:-}"
    up "$2"
    ;;
ceph) tool "${@:2}" ;;
*)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
