#!/usr/bin/env bash
# Custody: a policy that demands more than a software token gives keeps the vault from being founded on
# it, and nothing is left of the attempt.
. "$(dirname "$0")/harness.sh"
started
found_with() { # POLICY
    rm -rf "$W/ceremony"
    kv vault found --test --dir "$W/ceremony" --person "fin-01:finance:$W/people/fin-01.pub" --person "fin-02:finance:$W/people/fin-02.pub" \
        --person "cus-01:custodian:$W/people/cus-01.pub" --person "cus-02:custodian:$W/people/cus-02.pub" --policy "$1" >"$W/out" 2>&1
    for text in finance-fin-01 finance-fin-02 custodian-cus-01 custodian-cus-02; do sign "${text#*-}" "$W/ceremony/$text.txt" || die "sign"; done
    kv vault found --test --dir "$W/ceremony" --person "fin-01:finance:$W/people/fin-01.pub" --person "fin-02:finance:$W/people/fin-02.pub" \
        --person "cus-01:custodian:$W/people/cus-01.pub" --person "cus-02:custodian:$W/people/cus-02.pub" --policy "$1"
}
refused_for_custody() { ! found_with "$world_root/packaging/policy.yaml" >"$W/said2" 2>&1 && cat "$W/said2" && grep -q policy.custody-minimum "$W/said2"; }
is "the product's policy demands more than a software token gives" refused_for_custody
equal "the vault is still unfounded" unfounded "$(agent_state)"
agent_stop; agent_start
equal "also after a restart: nothing was left" unfounded "$(agent_state)"
is "a policy that allows software founds it as TEST" found_with "$world_root/tests/integration/policy-test.yaml"
equal "it serves" serving "$(agent_state)"
cp "$W/ceremony/log.vkey" "$W/log.vkey"
is "the ledger verifies" verify
finish
