#!/usr/bin/env bash
# No session is left alive at KSeF: not after a clean stop, not after everything was killed at once, not
# when KSeF or the slot is away for a while. And a vault has one agent at a time.
. "$(dirname "$0")/harness.sh"
founded
wrapped=$W/state/keeper/wrapped
since() { records "$from" | jq -c "select(.ev == \"$1\")"; }
alive() { ksefsim /control/state | jq '[.sessions[] | select(.open)] | length'; }
none_alive() { [ "$(alive)" = 0 ]; }
kept() { find "$wrapped" -name 'end-*' | wc -l; }
none_kept() { [ "$(kept)" = 0 ]; }
kill_all() { # the supervisor and its programs, at once
    local pids; pids=$(pgrep -P "$world_agent_pid")
    # shellcheck disable=SC2086 # words
    kill -9 "$world_agent_pid" $pids; wait "$world_agent_pid" 2>/dev/null; world_agent_pid=
}

new_grant erp-1 --context $INTERNAL >/dev/null
session $NIP; session $INTERNAL
equal "two sessions live at KSeF" 2 "$(alive)"
equal "… and how to end them is kept in the slot" 2 "$(kept)"
until_=$(field validUntil)
from=$(record_count)
kill_all
equal "killed, they live on" 2 "$(alive)"
agent_start
is "started again, the agent ends them" wait_for 60 none_alive
is "… and forgets how" wait_for 10 none_kept
equal "… which is recorded" "orphan ok orphan ok" "$(since ksef.close | jq -r '"\(.info.why) \(.out)"' | paste -sd' ')"
is "… with the time until which a token that was given still works" grep -qxF "$until_" <(since ksef.residual | jq -r .info.until)
session $NIP
equal "the next caller gets a new session" 201 "$status"
from=$(record_count)
agent_stop
agent_start
is "a session that a clean stop left is ended too" wait_for 60 none_alive
equal "… and recorded" orphan "$(since ksef.close | jq -r .info.why)"

# ---- KSeF away ----

session $NIP || die "no session: $answer"
kill_all
ksefsim /control/fault -d '{"endpoint":"session-end","kind":"server-error","times":3}' -f >/dev/null || die "fault"
agent_start
is "KSeF failing at first: tried again" wait_for 60 none_alive

# ---- the slot away ----

session $NIP || die "no session: $answer"
kill_all
mv "$W/keeper/tokens" "$W/keeper/away"
agent_start
sleep 3
equal "without its slot the session lives on" 1 "$(alive)"
mv "$W/keeper/away" "$W/keeper/tokens"
is "the slot back, it is ended" wait_for 75 none_alive

# ---- killed while a session is being opened: at every step ----

for endpoint in challenge xades status redeem; do
    ksefsim /control/fault -d "{\"endpoint\":\"$endpoint\",\"kind\":\"slow\",\"delay\":1.5}" -f >/dev/null || die "fault $endpoint"
    session $NIP & caller=$!
    sleep 0.8; kill_all; wait $caller
    agent_start
    [ $endpoint = redeem ] || wait_for 60 none_alive || break
done
equal "killed while KSeF redeems, a session is there that nobody has a token of" "redeem 1" "$endpoint $(alive)"
# a 401 says nothing of the lost one: the helping session's own end gives it, too
from=$(record_count)
ksefsim /control/fault -d '{"endpoint":"session-end","kind":"unauthorized"}' -f >/dev/null || die "fault"
session $NIP || die "no session: $answer"
told() { grep -q 'session-lost.*code=ksef.unauthorised' "$W/agent.log"; }
is "refused with 401, the lost one counts as there" wait_for 10 told
equal "… with no record of an end" "" "$(since ksef.close)"
equal "… and it is there" 2 "$(alive)"
call kv-erp DELETE "/v1/sessions/$(field session)"
one_alive() { [ "$(alive)" = 1 ]; }
wait_for 20 one_alive || die "the helping session did not end"
from=$(record_count)
session $NIP || die "no session: $answer"
is "… the next login ends it" wait_for 30 one_alive
closed() { [ "$(since ksef.close | jq -r .info.why)" = orphan ]; }
is "… which is recorded" wait_for 10 closed
end_session || die "the session did not end"

# ---- no way to keep it ----

rm -rf "$wrapped"
touch "$wrapped" # a file in the folder's place
session $NIP
isnt "a session whose end cannot be kept is not given" test "$status" = 201
is "… and is ended at once" wait_for 30 none_alive
rm "$wrapped"; mkdir -m 0700 "$wrapped"; chown ksefvault-keeper:ksefvault-keeper "$wrapped"

# ---- one agent at a time ----

timeout 20 "$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >"$W/second.log" 2>&1
equal "a second agent is refused" 1 $?
is "… with what is the matter [ledger.locked]" grep -q "fatal code=ledger.locked .*another agent holds $W/run/agent.sock" "$W/second.log"
sed "s|^socket: .*|socket: $W/run2/agent.sock|" "$W/ksefvault.yaml" >"$W/second.yaml"
"$BIN/ksefvaultd" --config "$W/second.yaml" >"$W/second.log" 2>&1 &
second=$!
is "one with another socket is not let at the ledger" wait_for 20 grep -q 'code=ledger.locked msg="another process holds wal/lock"' "$W/second.log"
kill $second; wait $second
equal "the first serves all the while" serving "$(agent_state)"
# started while the first still ends: they wait, and one of them takes its place
"$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >"$W/second.log" 2>&1 & second=$!
"$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >"$W/third.log" 2>&1 & third=$!
sleep 1
kill_all
world_agent_pid=$second
is "another one takes the place of an agent that ends" wait_for 60 agent_settled
wait -n $second $third
equal "… and only one" "1 ledger.locked" "$? $(sed -n 's/.* fatal code=\([a-z.-]*\) .*/\1/p' "$W/second.log" "$W/third.log")"
kill -0 $second 2>/dev/null || world_agent_pid=$third
equal "… which serves" serving "$(agent_state)"
is "the ledger verifies" verify
finish
