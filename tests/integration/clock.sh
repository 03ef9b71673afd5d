#!/usr/bin/env bash
# The clock is set back: nothing is given, taking away works, time in the ledger never falls; a few
# milliseconds are nothing. The vault alone is run under another time (libfaketime), by a wrapper beside
# the real programs.
. "$(dirname "$0")/harness.sh"
real=$BIN
harness_begin
cp -R "$real" "$W/bin"
BIN=$W/bin
mv "$BIN/ksefvault-vault" "$BIN/ksefvault-vault.real"
offset_is() { # the vault's clock from its next start on
    cat >"$BIN/ksefvault-vault" <<EOF
#!/bin/sh
export LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME='$1' FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
exec $BIN/ksefvault-vault.real
EOF
    chmod 0755 "$BIN/ksefvault-vault" "$W" "$BIN"
}
offset_is +0s
world_new "$W"
mkdir -p "$W/erp" && cp /usr/bin/curl "$W/erp/connector" && chmod 0755 "$W/erp" "$W/erp/connector"
CONNECTOR=$W/erp/connector
world_slot >"$W/out" 2>&1 || die "slot init: $(cat "$W/out")"
agent_start
found || [ -d "$W/ceremony" ] || die "no texts: $(cat "$W/out")"
for text in finance-fin-01 finance-fin-02 custodian-cus-01 custodian-cus-02; do sign "${text#*-}" "$W/ceremony/$text.txt" || die "sign"; done
found || die "not founded: $(cat "$W/out")"
cp "$W/ceremony/log.vkey" "$W/log.vkey"
new_credential ksef-auth
new_integration erp-1 kv-erp "$CONNECTOR"
GRANT=$(new_grant erp-1 --context $NIP) || exit 1
session $NIP || die "no session: $answer"
waiting=$(request_grant erp-1 --context $INTERNAL) || die "request"
last_ts() { records $(($(record_count) - 1)) | jq -r .ts; }
before=$(last_ts)

agent_stop
offset_is -3600s
agent_start
is "an hour behind: the state says so" test "$(agent_state)" = clock-behind
session $NIP
refused "no session is given" agent.clock-behind 503
behind() { local got=0; "$@" >"$W/out" 2>&1 || got=$?; cat "$W/out"; [ $got = 5 ] && grep -q agent.clock-behind "$W/out"; }
equal "… one record tells by how much, in milliseconds" "1 true" "$(records | jq -rs 'map(select(.ev == "alarm.clock-behind")) | "\(length) \(.[0].info.behind > 3500000 and .[0].info.behind < 3700000)"')"
is "no approval counts" behind kv approve "$waiting" --as fin-01 --key "$W/people/fin-01" --yes
is "nothing new is asked for" behind kv grant request --credential ksef-auth --integration erp-1 --context $INTERNAL \
    --operation auth.xades --operation session.open --as fin-02 --key "$W/people/fin-02" --reason x
is "a denial counts" kv deny "$waiting" --as fin-01 --key "$W/people/fin-01" --yes
is "one custodian revokes" by cus-01 grant revoke "$GRANT" --reason "Clock"
sorted() { records | jq -s '[.[].ts] | . == sort' | holds .; }
is "time in the ledger does not fall" sorted
is "what takes away carries the last time" test "$(last_ts)" = "$(records $(($(record_count) - 2)) | jq -r .ts | head -1)"

agent_stop
offset_is -0.05s
agent_start
is "50 ms behind is nothing" test "$(agent_state)" = serving
equal "… and no alarm" 1 "$(records | jq -s 'map(select(.ev == "alarm.clock-behind")) | length')"
session $NIP
refused "the revocation stands" policy.grant-revoked 403
is "and time goes on" test "$(last_ts)" \> "$before"
is "sorted still" sorted
is "the ledger verifies" verify
finish
