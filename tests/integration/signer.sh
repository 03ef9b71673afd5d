#!/usr/bin/env bash
# The token goes away and comes back: taking away works all the while and survives a restart, nothing is
# given, and when the token is back all that was written meanwhile is covered.
. "$(dirname "$0")/harness.sh"
founded

status_is() { agent_answers | holds "$@"; }
pull() { # the token's folder is gone, and the keeper has to start anew
    mv "$W/keeper/tokens" "$W/keeper/away" && mkdir "$W/keeper/tokens" &&
        chown ksefvault-keeper:ksefvault-keeper "$W/keeper/tokens" && kill "$(agent_child keeper)"
}
put_back() { rm -rf "$W/keeper/tokens" && mv "$W/keeper/away" "$W/keeper/tokens"; }

id=$(request_grant erp-1 --context $INTERNAL) || die "request"
waiting=$id
session $NIP || die "no session: $answer"
end_session # a session that lives needs no signature of the credential
pull
is "the slot says that its token is not there" wait_for 30 status_is '.slots[0].state == "token.absent"'

exits_6() { local got=0; kv approve "$waiting" --as fin-01 --key "$W/people/fin-01" --yes >"$W/out" 2>&1 || got=$?; cat "$W/out"; [ $got = 6 ] && grep -q ledger.signer-down "$W/out"; }
wait_signer_down() { wait_for 30 status_is '.signer != "ready"'; }
# what is not covered yet makes the agent notice: a refusal is a record
call kv-other POST /v1/sessions "{\"context\":\"$NIP\"}"
is "the agent knows that it can't sign" wait_signer_down
is "an approval is refused: ledger.signer-down, exit 6" exits_6
session $NIP
isnt "no session is given without the token" test "$status" = 201
is "one custodian revokes all the same" by cus-02 grant revoke "$GRANT" --reason "Token gone"
revoked_at=$(jq -r .record "$W/out" 2>/dev/null)
session $NIP
refused "and the revocation holds at once" policy.grant-revoked 403
is "the alarm is in the ledger" grep -q '"ev":"alarm.signer-down"' <(records)
rmdir "$W/keeper/tokens"
is "something else keeps it away now: it is told why it does not sign" wait_for 30 status_is \
    '.slots[0] as $slot | $slot.state == "token.module" and (.signer | endswith($slot.detail))'

agent_stop
agent_start
is "restarted without a token: it serves what takes away" status_is '.state == "serving" and .signer != "ready"'
session $NIP
refused "still revoked after the restart" policy.grant-revoked 403
is "still nothing is given" exits_6
is "a denial still works" kv deny "$waiting" --as fin-01 --key "$W/people/fin-01" --yes
covered=$(api -f http://agent/v1/status | jq .covered)

put_back
is "the token is back: its slot logs in by itself" wait_for 90 status_is '.slots[0].state == "ready" and .signer == "ready"'
all_covered() { status_is '.covered == .records'; }
is "all that was written meanwhile is covered" wait_for 30 all_covered
is "the checkpoint moved on" test "$(api -f http://agent/v1/status | jq .covered)" -gt "$covered"
session $NIP
refused "the grant is still revoked" policy.grant-revoked 403
new=$(new_grant erp-1 --context $NIP) || die "new grant"
is "a new grant, approved by two, works" session $NIP
is "the ledger verifies" verify

# ---- a strict answer never leaves before its checkpoint ----

# The keeper is stopped: it is there and does not answer. Whoever waits for its signature waits; what
# needs none goes on.
id=$(request_grant erp-1 --context $INTERNAL) || die "request"
statement() { # PERSON FILE
    kv statement "$id" --as "$1" --key "$(key_of "$1")" --out "$2" >/dev/null && sign "$1" "$2" &&
        jq -n --rawfile text "$2" --rawfile signature "$2.sig" '{text: $text, signature: $signature}' >"$2.json"
}
statement fin-01 "$W/slow" || die "statement"
hand_in() { # NAME: in the background; its answer is in the file NAME
    as kv-other curl -sS --max-time 40 --unix-socket "$W/run/agent.sock" -H 'Content-Type: application/json' \
        -H "Idempotency-Key: $1" -d "@$W/slow.json" http://agent/v1/submissions >"$W/$1" &
}
chmod 0644 "$W/slow.json"
recorded() { records "$size" | jq -s . | holds 'any(.[]; .ev == "approve")'; }
wait_for 10 all_covered
size=$(record_count) keeper=$(agent_child keeper)
kill -STOP "$keeper"
hand_in first; first=$!
is "an approval is recorded while the keeper does not answer" wait_for 5 recorded
hand_in again; again=$!
is "… other turns go on: a grant is suspended at once" timeout 5 "$BIN/ksefvault" --socket "$W/run/agent.sock" --config "$W/ksefvault.yaml" \
    grant suspend "$new" --as fin-01 --key "$W/people/fin-01"
equal "… the approval is not answered" "" "$(cat "$W/first")"
equal "… nor is the same text, handed in again" "" "$(cat "$W/again")"
is "… and no checkpoint covers it" status_is '.covered <= $size' --argjson size "$size"
kill -CONT "$keeper"
wait $first $again
n=$(jq .record "$W/first")
equal "answered with the number of its record" approve "$(record "$n" | jq -r .ev)"
equal "… also to who handed it in again" "$n true" "$(jq -r '"\(.record) \(.repeated)"' "$W/again")"
is "… and covered then" test "$(sed -n 2p "$W/state/ledger/public/checkpoint")" -gt "$n"
is "the ledger verifies" verify
finish
