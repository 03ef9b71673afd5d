#!/usr/bin/env bash
# A full disk: nothing is given and nothing used that could not be recorded, each with the code that says
# so; taking away works from the reserve; with room again everything goes on. The state folder lies on a
# small file system of its own.
before_start() { small_state 300m; }
. "$(dirname "$0")/harness.sh"
founded
session $NIP || die "no session: $answer"
end_session || die "the session did not end"
other=$(new_grant erp-1 --context $INTERNAL) || die "no grant"
waiting=$(by fin-02 grant request --credential ksef-auth --integration erp-1 --context $OTHER_NIP --operation auth.xades --operation session.open --reason "Waits") || die "request"

fill() { # leave less than is kept free
    local left; left=$(df --output=avail -k "$W/state" | tail -1)
    head -c $(((left - 4096) * 1024)) /dev/zero >"$W/state/ballast" || die "fill"
}
fill
session $NIP
refused "with the disk full no session is opened" ledger.disk-low 507
alarms() { records | jq -s 'map(select(.ev == "alarm.disk-low")) | length'; }
equal "… and one record tells how little is left" "1 true" "$(alarms) $(records | jq -s '[.[] | select(.ev == "alarm.disk-low")][0].info.free < 67108864')"
is "… and nothing was asked of KSeF" test "$(ksefsim /control/state | jq '[.sessions[] | select(.open)] | length')" = 0
kv approve "$waiting" --as fin-01 --key "$W/people/fin-01" --yes >"$W/out" 2>&1
is "no approval is taken" grep -q ledger.disk-low "$W/out"
is "the status says it" holds 'any(.attention[]; .what | test("ledger.disk-low"))' < <(agent_answers)
is "a grant is revoked all the same" by fin-01 grant revoke "$other" --reason "Full"
is "… and it is on record" holds 'any(.grants[]; .id == $id and .ended == "revoked")' --arg id "$other" < <(kv grant list --json)
is "an integration is suspended" by cus-01 integration suspend erp-1 --reason "Full"
head -c 400000000 /dev/zero >>"$W/state/ballast" 2>/dev/null
is "with not one block left, too: from the reserve" by fin-02 grant revoke "$GRANT" --reason "Fuller"
agent_stop; agent_start
is "started again on a full disk, the agent knows it all" holds '[.grants[] | select(.ended == "revoked")] | length == 2' < <(kv grant list --json)
session $NIP
isnt "… and gives nothing" test "$status" = 201
rm "$W/state/ballast"
approved "$(by cus-02 integration resume erp-1 --reason "Room again")" fin-01 cus-01
GRANT=$(new_grant erp-1 --context $NIP) || die "no grant"
session $NIP
equal "with room again, a session" 201 "$status"
equal "each run told of the full disk once" 2 "$(alarms)"
equal "both grants are closed, by the one who ended them" "fin-01 fin-02" "$(records | jq -r 'select(.ev == "grant.close") | .person' | sort | paste -sd" ")"
is "the ledger verifies" verify
finish
