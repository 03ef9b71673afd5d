#!/usr/bin/env bash
# Few descriptors and many connections: the surplus is closed at once, and one account never shuts out the
# others: work goes on, what was given can be taken away, and nothing ends.
. "$(dirname "$0")/harness.sh"
agent_start() {
    (ulimit -n 128 && exec "$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >>"$W/agent.log" 2>&1) &
    world_agent_pid=$!
    wait_for 60 agent_settled || die "the agent did not start: $(tail -5 "$W/agent.log")"
}
founded
other=$(new_grant erp-1 --context $INTERNAL) || die "no grant"

# crowd UID FILE &: three hundred connections that say nothing; how many stay is in the file; until killed
crowd() {
    exec setpriv --reuid "$1" --regid "$1" --clear-groups -- /usr/bin/python3 - "$W/run/agent.sock" >"$2" <<'PY'
import select, socket, sys, time
held = []
for _ in range(300):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    held.append(s)
time.sleep(2)
closed = select.select(held, [], [], 0)[0]
print(len(held) - len(closed), flush=True)
time.sleep(600)
PY
}
crowd kv-other "$W/crowd" & first=$!
is "three hundred connections come, of one account" wait_for 30 test -s "$W/crowd"
equal "… half of the room is theirs" 32 "$(cat "$W/crowd")"
session $NIP
equal "another account gets its session" 201 "$status"
is "… and a grant is revoked" by fin-01 grant revoke "$other" --reason "Crowded"
call kv-other GET /v1/health
isnt "one more of the crowd is closed" test "$status" = 200
crowd 61001 "$W/more" & second=$!
is "a second crowd comes" wait_for 30 test -s "$W/more"
equal "… and gets the other half" 32 "$(cat "$W/more")"
kill "$first" "$second"; wait "$first" "$second" 2>/dev/null
served() { call kv-other GET /v1/health; }
is "when they go, it is served" wait_for 10 served
isnt "no program ended" grep -qE 'fatal|ended program' "$W/agent.log"

# ---- memory: the vault's, then the gate's ----

# by its own account, which needs no capability for it
limit() { as "$(id -nu "$(awk '/^Uid:/ { print $2 }' "/proc/$1/status")")" prlimit --pid "$1" "--as=$2:unlimited"; }
bytes_of() { echo $(($(awk '{ print $1 }' "/proc/$1/statm") * $(getconf PAGESIZE))); }
tighten() { limit "$1" $(($(bytes_of "$1") + ${2:-8} * 1024 * 1024)); }
closed() { call kv-erp DELETE "/v1/sessions/$(jq -r .session "$W/open")" && [ "$status" = 200 ]; }
vault=$(agent_child vault) gate=$(agent_child gate)
other=$(new_grant erp-1 --context $INTERNAL) || die "no grant"
session $NIP && printf %s "$answer" >"$W/open"
is "the vault has 8 MiB left" tighten "$vault"
session $NIP
equal "… no session is given" "503 agent.no-memory" "$status $(field code)"
says_next() { [ -n "$(field next)" ] && [ "$(field retry)" = after ]; }
is "… the answer says what to do" says_next
granted() { (new_grant erp-1 --context $NIP) }
isnt "… nor a grant" granted
is "… status tells it" bash -c "'$BIN/ksefvault' status --socket '$W/run/agent.sock' | grep -F 'agent.no-memory'"
is "… a grant is revoked" by fin-01 grant revoke "$other" --reason "Little memory"
is "… the session that lives is ended" closed
is "with 24 MiB, more than the reserve" tighten "$vault" 24
session $NIP
equal "… a session is given" 201 "$status"
printf %s "$answer" >"$W/open"
is "… and ended" closed
limit "$vault" unlimited
session $NIP
equal "with room again, a session is given" 201 "$status"
printf %s "$answer" >"$W/open"
is "the gate has 8 MiB left" tighten "$gate"
session $NIP
equal "… it asks for nothing more" "503 agent.no-memory" "$status $(field code)"
call kv-erp GET /v1/grants
equal "… nor for lists" "503 agent.no-memory" "$status $(field code)"
text_of() { printf '{"text":"%*s"}' $(($1 - 11)) ''; } # BYTES: a body of exactly so many
call kv-other POST /v1/submissions "$(text_of 16384)"
isnt "… a text of 16 KiB is looked at" test "$(field code)" = agent.no-memory
call kv-other POST /v1/submissions "$(text_of 16385)"
equal "… a byte more is not" "503 agent.no-memory" "$status $(field code)"
call kv-other POST /v1/submissions "$(text_of 100)" -H 'Transfer-Encoding: chunked'
equal "… nor one that does not say how long it is" "503 agent.no-memory" "$status $(field code)"
served() { call kv-other GET /v1/health; [ "$status" = 200 ]; }
is "… but for its health" served
is "… and takes what ends something" closed
limit "$gate" unlimited
session $NIP
equal "with room again, it goes on" 201 "$status"
equal "the vault never ended" "$vault" "$(agent_child vault)"
equal "nor did the gate" "$gate" "$(agent_child gate)"
agent_stop
(ulimit -v 65536 && exec timeout 20 "$BIN/ksefvaultd" --config "$W/ksefvault.yaml") >"$W/tight" 2>&1
is "with less than a segment of the ledger takes, the vault says why it does not begin" grep -q 'fatal code=agent.no-memory' "$W/tight"
(ulimit -n 64 && exec timeout 20 "$BIN/ksefvaultd" --config "$W/ksefvault.yaml") >"$W/few" 2>&1
is "with fewer than it needs itself, the agent does not begin, and says why" grep -q 'RLIMIT_NOFILE is 64' "$W/few"
finish
