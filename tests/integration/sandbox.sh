#!/usr/bin/env bash
# The sandbox from inside: a build of each program tries what it must not be able to do.
. "$(dirname "$0")/harness.sh"
PLAIN=$BIN PROBE=${BIN%/bin}/probe
[ -x "$PROBE/ksefvault-vault" ] || die "no probes: $PROBE"

# the supervisor and the CLI that users run, among programs that probe
harness_begin
mkdir -p "$W/bin" && cp "$PLAIN/ksefvaultd" "$PLAIN/ksefvault" "$PROBE"/ksefvault-* "$W/bin/" && chmod 0755 "$W" "$W/bin" "$W/bin"/*
folder=$W/bin/probe
mkdir "$folder" && printf 'anybody may read this, by its mode\n' >"$folder/pin" && chmod 0444 "$folder/pin" && chmod 0777 "$folder"
BIN=$W/bin
world_new "$W"
world_slot >"$W/out" 2>&1 || die "slot init: $(cat "$W/out")"
agent_start
result() { sed -n "s/.* probe role=$1 try=$2 result=\([a-z]*\) .*/\1/p" "$W/agent.log" | tail -1; }
for role in gate vault keeper courier; do
    for try in read-a-file read-the-pin-again write-a-file connect listen execute trace read-memory signal become-root be-dumped chroot; do
        equal "$role can't: $try" refused "$(result $role $try)"
    done
done
equal "the gate sets no socket option, and is told that there are none" "refused errno=$(/usr/bin/python3 -c 'import errno; print(errno.ENOPROTOOPT)')" \
    "$(sed -n 's/.* probe role=gate try=set-an-option result=\([a-z]* errno=[0-9]*\).*/\1/p' "$W/agent.log" | tail -1)"
isnt "nothing was written" test -e "$folder"/written
# the tries themselves are good: without a sandbox an account like theirs can do what the files and ports allow
is "the file is readable for their accounts" as ksefvault-courier cat "$folder"/pin
is "… and the folder writable" as ksefvault-courier touch "$folder"/by-hand
is "… and programs can be executed" as ksefvault-courier /usr/bin/true
is "with all that refused, the agent works" wait_for 20 eval '[ "$(agent_state)" = unfounded ]'

# ---- none serves without ----

# restart ROLE: with programs of this role whose sandbox cannot be set up
restart() {
    agent_stop
    : >"$W/agent.log"
    touch "$folder/fail-$1"
    "$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >>"$W/agent.log" 2>&1 &
    world_agent_pid=$!
}
ended() { grep -q "not-ready program=ksefvault-$1" "$W/agent.log" && grep -q "ended program=ksefvault-$1 .*status=[1-9]" "$W/agent.log"; }
restart gate
is "a gate whose sandbox does not stand ends" wait_for 30 ended gate
isnt "… and has served nobody" api -f --max-time 2 http://agent/v1/status
rm "$folder"/fail-gate
is "… another takes its place" wait_for 60 agent_settled
restart courier
is "a courier whose sandbox does not stand ends" wait_for 30 ended courier
told() { agent_answers | holds 'any(.attention[]; .what | contains("courier"))'; }
is "… and the status tells" wait_for 30 told
rm "$folder"/fail-courier
is "… until another takes its place" wait_for 60 agent_settled
finish
