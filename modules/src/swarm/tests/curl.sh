#!/bin/sh
# Stands for curl and the engine behind it. ENGINE is the folder of one node's engine, SWARM that of all: a folder for each
# member, with its host, state, version and spec.
set -eu
method= body= path= after=
printf '%s\n' "$*" >>"$ENGINE/argv"
while [ $# -gt 0 ]; do
  case $1 in
    --request) method=$2 && shift ;;
    # Like the real one it knows \n, and no other number of a character.
    --write-out) after=${2%"%{http_code} %{exitcode}\n"} && shift ;;
    --data-binary) body=$(cat) ;;
    http://engine*) path=${1#http://engine} ;;
  esac
  shift
done
[ "$method" = GET ] || printf '%s\n' "$method $path $body" >>"$ENGINE/orders"

say() { printf '%s\n%s%s 0\n' "${2-}" "$after" "$1"; exit; }
refuse() { say "$1" "{\"message\":\"$2\"}"; }
field() { printf '%s' "$body" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
info() {
  printf '{"Swarm":{"NodeID":"%s","LocalNodeState":"%s","ControlAvailable":%s,"Error":"","RemoteManagers":%s}}' \
    "$1" "$2" "$3" "$4" >"$ENGINE/info"
}
member() { # ID ROLE
  mkdir "$SWARM/members/$1"
  echo "$NODE" >"$SWARM/members/$1/host"
  echo ready >"$SWARM/members/$1/state"
  echo 1 >"$SWARM/members/$1/version"
  printf '{"Labels":{},"Role":"%s","Availability":"active"}' "$2" >"$SWARM/members/$1/spec"
  mkdir -p "$FEEDER_DOCKER/swarm/certificates"
  cp "$SWARM/ca" "$FEEDER_DOCKER/swarm/certificates/swarm-root-ca.crt"
}
# Of the managers that vote, with a file `votes` in their folder: how many there are, and how many of them are alive.
votes() { find "$SWARM/members" -name votes | wc -l; }
alive() { for one in "$SWARM"/members/*; do if [ -e "$one/votes" ] && grep -q ready "$one/state"; then echo; fi; done | wc -l; }
# A member is told to be this; it votes as many looks at the nodes later as $SWARM/hesitates says.
becomes() { # FOLDER SPEC
  case $2 in
    *'"Role":"manager"'*)
      if [ ! -e "$1/votes" ] && [ ! -e "$1/hesitates" ]; then cat "$SWARM/hesitates" 2>/dev/null >"$1/hesitates" || echo 0 >"$1/hesitates"; fi
      ;;
    *)
      rm -f "$1/hesitates"
      if [ -e "$1/votes" ]; then
        # swarmkit, manager/state/raft, CanRemoveMember.
        without=$(alive)
        if grep -q ready "$1/state"; then without=$((without - 1)); fi
        if [ "$without" -lt $((($(votes) - 1) / 2 + 1)) ]; then
          refuse 400 "can't remove member from the raft: this would result in a loss of quorum"
        fi
        rm "$1/votes"
        echo "${1##*/} ceases" >>"$SWARM/history"
      fi
      ;;
  esac
}
enters() {
  for one in "$SWARM"/members/*; do
    [ -e "$one/hesitates" ] || continue
    left=$(cat "$one/hesitates")
    if [ "$left" -gt 0 ]; then
      echo $((left - 1)) >"$one/hesitates"
    else
      rm "$one/hesitates"
      touch "$one/votes"
      echo "${one##*/} enters" >>"$SWARM/history"
    fi
  done
}
manages() { grep -q '"ControlAvailable":true' "$ENGINE/info" || refuse 503 "This node is not a swarm manager"; }

if [ -e "$ENGINE/cannot-start" ]; then
  printf '%s000 56\n' "$after"
  echo 'curl: (56) Recv failure: Connection reset by peer' >&2
  exit 56
fi
case "$method ${path%%\?*}" in
  "GET /info")
    period=$(cat "$SWARM/heartbeat" 2>/dev/null || echo 5000000000)
    if [ -e "$SWARM/key" ]; then locks=true; else locks=false; fi
    cluster="\"Cluster\":{\"Spec\":{\"Dispatcher\":{\"HeartbeatPeriod\":$period},\"EncryptionConfig\":{\"AutoLockManagers\":$locks}}},"
    say 200 "$(sed "s/\"ControlAvailable\":true,/&$cluster/" "$ENGINE/info")"
    ;;
  "POST /swarm/unlock")
    [ "$(field UnlockKey)" = "$(cat "$SWARM/key")" ] || refuse 400 "swarm could not be unlocked: invalid key provided"
    mv "$ENGINE/info-unlocked" "$ENGINE/info"
    rm -f "$SWARM/elections"
    for one in "$SWARM"/members/*; do
      if [ "$(cat "$one/host")" = "$NODE" ]; then echo ready >"$one/state"; fi
    done
    say 200
    ;;
  "GET /swarm/unlockkey")
    manages
    say 200 "{\"UnlockKey\":\"$(cat "$SWARM/key")\"}"
    ;;
  "POST /swarm/init")
    mkdir -p "$SWARM/members"
    echo "a certificate" >"$SWARM/ca"
    echo 1 >"$SWARM/token"
    member "id-of-$NODE" manager
    touch "$SWARM/members/id-of-$NODE/votes"
    info "id-of-$NODE" active true null
    say 200 '"x"'
    ;;
  "GET /nodes")
    manages
    # Managers that are about to agree on a leader.
    if [ -s "$SWARM/elections" ]; then
      sed -i 1d "$SWARM/elections"
      refuse 503 "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online."
    fi
    enters
    list=
    for one in "$SWARM"/members/*; do
      status=
      if [ -e "$one/votes" ]; then
        if grep -q ready "$one/state"; then status=reachable; else status=unreachable; fi
        status=",\"ManagerStatus\":{\"Reachability\":\"$status\"}"
      fi
      list="$list${list:+,}{\"ID\":\"${one##*/}\",\"Version\":{\"Index\":$(cat "$one/version")},\"Spec\":$(cat "$one/spec"),\
\"Description\":{\"Hostname\":\"$(cat "$one/host")\"},\"Status\":{\"State\":\"$(cat "$one/state")\"}$status}"
    done
    say 200 "[$list]"
    ;;
  "GET /swarm")
    manages
    say 200 "{\"Version\":{\"Index\":7},\"Spec\":{\"Name\":\"default\"},\"JoinTokens\":{\"Worker\":\"SWMTKN-$(cat "$SWARM/token")\"}}"
    ;;
  "POST /swarm/update")
    manages
    case $path in *rotateWorkerToken=true) echo $(($(cat "$SWARM/token") + 1)) >"$SWARM/token" ;; esac
    case $body in *'"HeartbeatPeriod":'*)
      printf '%s' "$body" | sed 's/.*"HeartbeatPeriod":\([0-9]*\).*/\1/' >"$SWARM/heartbeat" ;;
    esac
    case $body in *'"AutoLockManagers":true'*) echo SWMKEY-1-x/y >"$SWARM/key" ;; esac
    say 200
    ;;
  "POST /swarm/leave")
    info "" inactive false null
    say 200
    ;;
  "POST /swarm/join")
    [ ! -e "$ENGINE/lives-on" ] || refuse 500 "--live-restore daemon configuration is incompatible with swarm mode"
    grep -q '"LocalNodeState":"inactive"' "$ENGINE/info" || refuse 503 "This node is already part of a swarm"
    [ "$(field JoinToken)" = "SWMTKN-$(cat "$SWARM/token")" ] || refuse 400 "invalid join token"
    echo joined >>"$ENGINE/joined"
    number=$(wc -l <"$ENGINE/joined")
    member "id-$number-of-$NODE" worker
    info "id-$number-of-$NODE" active false '[{"NodeID":"m","Addr":"192.168.10.100:2377"}]'
    say 200
    ;;
  "POST /nodes/"*)
    manages
    one=$SWARM/members/$(echo "${path%%\?*}" | cut -d / -f 3)
    # What managers see of it has changed since they were asked.
    if [ -e "$one/moves" ]; then
      rm "$one/moves"
      echo $(($(cat "$one/version") + 1)) >"$one/version"
    fi
    [ "${path##*=}" = "$(cat "$one/version")" ] || refuse 500 "update out of sequence"
    becomes "$one" "$body"
    printf '%s' "$body" >"$one/spec"
    echo $(($(cat "$one/version") + 1)) >"$one/version"
    say 200
    ;;
  "DELETE /nodes/"*)
    manages
    one=$SWARM/members/$(echo "${path%%\?*}" | cut -d / -f 3)
    ! grep -q '"Role":"manager"' "$one/spec" || refuse 400 "it must be demoted to a worker first"
    rm -r "$one"
    say 200
    ;;
  "GET /tasks")
    # A node that is down says nothing of its tasks any more.
    for one in "$SWARM"/members/*; do
      if [ -e "$one/task" ]; then
        if [ -e "$one/dies" ]; then echo down >"$one/state"; fi
        say 200 "[{\"NodeID\":\"${one##*/}\",\"Status\":{\"State\":\"running\"}}]"
      fi
    done
    say 200 "[]"
    ;;
  *) refuse 404 "page not found" ;;
esac
