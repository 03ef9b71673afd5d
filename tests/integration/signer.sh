#!/usr/bin/env bash
# The token goes away and comes back: taking away works all the while and survives a restart, nothing is
# given, and when the token is back all that was written meanwhile is covered.
. "$(dirname "$0")/harness.sh"
founded

status_is() { agent_answers | holds "$1"; }
pull() { # the token's folder is gone, and the keeper has to start anew
    mv "$W/keeper/tokens" "$W/keeper/away" && mkdir "$W/keeper/tokens" &&
        chown ksefvault-keeper:ksefvault-keeper "$W/keeper/tokens" && kill "$(agent_child keeper)"
}
put_back() { rm -rf "$W/keeper/tokens" && mv "$W/keeper/away" "$W/keeper/tokens"; }

id=$(request_grant erp-1 --context $INTERNAL) || die "request"
waiting=$id
session $NIP || die "no session: $answer"
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

# The record of each approval is covered by the checkpoint that stood when the answer came.
id=$(request_grant erp-1 --context $INTERNAL) || die "request"
for who in fin-01 cus-01; do
    kv approve "$id" --as $who --key "$W/people/$who" --yes --json >"$W/out" 2>/dev/null || die "approve"
    n=$(jq .record "$W/out")
    is "the approval by $who was covered when it was answered" test "$(sed -n 2p "$W/state/ledger/public/checkpoint")" -gt "$n"
done
finish
