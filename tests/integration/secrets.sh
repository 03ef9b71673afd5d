#!/usr/bin/env bash
# Planted secrets: PINs that can be recognised, and every token that the stand-in gave out, are looked
# for in everything that the system ever wrote or shows; and the programs can't be looked into.
WORLD_PIN=PLANTED-pin-7f3a91 WORLD_SO_PIN=PLANTED-so-pin-c2d8
. "$(dirname "$0")/harness.sh"
founded

# ---- use everything once, errors included ----

: >"$W/tokens"
for _ in 1 2 3; do
    session $NIP || die "no session: $answer"
    field accessToken >>"$W/tokens"
done
for fault in '{"endpoint":"xades","kind":"server-error"}' '{"endpoint":"status","kind":"forbidden"}' \
    '{"endpoint":"redeem","kind":"broken-json"}' '{"endpoint":"redeem","kind":"drop"}' '{"endpoint":"challenge","kind":"firewall"}'; do
    ksefsim /control/fault -X POST -H 'Content-Type: application/json' -d "$fault" >/dev/null || die "fault $fault"
    session $NIP
done
ksefsim /control/clear -X POST -d '{}' -H 'Content-Type: application/json' >/dev/null
call kv-other POST /v1/sessions "{\"context\":\"$NIP\"}"
kill -9 "$(agent_child keeper)"; wait_for 60 agent_settled; sleep 2
session $NIP && field accessToken >>"$W/tokens"
kv ledger export "$W/evidence" --with-private >/dev/null 2>&1 || die "export"
api http://agent/v1/status >"$W/answers"
for path in requests persons credentials integrations grants policy quorum 'records?from=0&count=256'; do api "http://agent/v1/$path"; done >>"$W/answers"
size=$(record_count)
for ((n = 0; n < size; n++)); do api "http://agent/v1/records/$n"; done >>"$W/answers"

# ---- search ----

cut -d. -f3 "$W/tokens" >"$W/patterns" # the signatures of the tokens: nothing else looks like them
printf '%s\n' "$WORLD_PIN" "$WORLD_SO_PIN" >>"$W/patterns"
printf '%s' "$WORLD_PIN" | base64 | tr -d = >>"$W/patterns"
printf '%s' "$WORLD_PIN" | od -An -tx1 -v | tr -d ' \n' >>"$W/patterns"; echo >>"$W/patterns"
is "there are secrets to look for" test "$(grep -c . "$W/patterns")" -ge 8
nowhere() { ! grep -r -a -l -F -f "$W/patterns" "$@"; }
is "the search finds what is planted" grep -r -a -l -F -f "$W/patterns" "$W/pin" "$W/tokens"
is "nothing in the agent's state: ledger, blobs, private rows, inbox" nowhere "$W/state"
is "nothing in the log" nowhere "$W/agent.log"
is "nothing in the export" nowhere "$W/evidence"
is "nothing in the API's answers to anybody else" nowhere "$W/answers"
no_jwt() { ! grep -r -a -l -E 'eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.' "$@"; }
is "no JWT at all in state, log, export or answers" no_jwt "$W/state" "$W/agent.log" "$W/evidence" "$W/answers"
no_key() { ! grep -r -a -l -E 'BEGIN [A-Z ]*PRIVATE KEY' "$@"; }
is "no private key in them either" no_key "$W/state" "$W/agent.log" "$W/evidence" "$W/answers"
no_xml() { ! grep -r -a -l 'AuthTokenRequest' "$@"; }
is "no signed request in them" no_xml "$W/state" "$W/agent.log" "$W/evidence" "$W/answers"
only_what_it_may() { jq -e 'keys == ["accessToken","record","session","validUntil"]' <<<"$answer"; }
session $NIP
is "the ERP gets an access token and nothing else" only_what_it_may

# ---- the programs themselves ----

pids() { echo "$world_agent_pid"; for program in gate vault keeper courier; do agent_child $program; done; }
shown() { local pid; for pid in $(pids); do cat "/proc/$pid/cmdline" "/proc/$pid/environ" "/proc/$pid/comm"; done >"$W/shown"; nowhere "$W/shown"; }
is "nothing in command lines and environments" shown
no_cores() { local pid; for pid in $(pids); do grep -Eq 'Max core file size +0 +0 ' "/proc/$pid/limits" || return 1; done; }
is "no program leaves a core" no_cores
# /proc/PID of a process that is not dumpable belongs to root, whatever account it runs under
undumpable() { local pid; for pid in $(pids); do [ "$(stat -c %u "/proc/$pid/mem")" = 0 ] || { echo "$pid"; return 1; }; done; }
is "no program can be dumped" undumpable
can_read_memory() { as "$1" head -c 1 "/proc/$(agent_child "$2")/maps"; }
for program in gate:ksefvault-gate vault:ksefvault keeper:ksefvault-keeper courier:ksefvault-courier; do
    isnt "${program%%:*}: its own account can't look into it" can_read_memory "${program#*:}" "${program%%:*}"
    is "${program%%:*}: it runs under its own account" test "$(stat -c %U "/proc/$(agent_child "${program%%:*}")/status" 2>/dev/null; awk '/^Uid/ {print $2}' "/proc/$(agent_child "${program%%:*}")/status" | xargs id -un)" = "root
${program#*:}"
done
confined() { local pid; for pid in $(pids); do [ "$pid" = "$world_agent_pid" ] || { grep -q '^NoNewPrivs:	1' "/proc/$pid/status" && grep -q '^Seccomp:	2' "/proc/$pid/status" && grep -q '^CapEff:	0*$' "/proc/$pid/status"; } || return 1; done; }
is "all but the supervisor: no new privileges, seccomp, no capabilities" confined
modes() { [ "$(stat -c '%a %U' "$W/state/ledger/wal" "$W/state/ledger/blobs" "$W/state/ledger/private" | sort -u)" = "700 ksefvault" ] && [ "$(stat -c '%a %U' "$W/state/keeper")" = "700 ksefvault-keeper" ] && [ "$(stat -c %a "$W/state/inbox")" = 1733 ] && [ "$(stat -c %a "$W/state/ledger/public")" = 755 ]; }
is "folders belong to whom they should" modes
isnt "another account can't read the ledger" as kv-other cat "$W/state/ledger/wal/00000000000000000000.seg"
isnt "the gate's account can't either" as ksefvault-gate cat "$W/state/ledger/wal/00000000000000000000.seg"
isnt "the vault's account can't read the PIN" as ksefvault cat "$W/pin/main"
isnt "nor the token" as ksefvault ls "$W/keeper/tokens"
is "the ledger verifies" verify
finish
