#!/usr/bin/env bash
# Custody: a policy that demands more than a software token gives keeps the vault from being founded on
# it, and nothing is left of the attempt.
. "$(dirname "$0")/harness.sh"
started
founding() { # POLICY
    kv vault found --test --dir "$W/ceremony" --person "fin-01:finance:$W/people/fin-01.pub" --person "fin-02:finance:$W/people/fin-02.pub" \
        --person "cus-01:custodian:$W/people/cus-01.pub" --person "cus-02:custodian:$W/people/cus-02.pub" --policy "$1"
}
found_with() { # POLICY
    founding "$1" >"$W/out" 2>&1
    for text in finance-fin-01 finance-fin-02 custodian-cus-01 custodian-cus-02; do sign "${text#*-}" "$W/ceremony/$text.txt" || die "sign"; done
    founding "$1"
}
says() { grep -q -- "$1" "$W/refusal" || { cat "$W/refusal"; return 1; }; }
is "the product's policy demands more than a software token gives: refused at once" exits 3 founding "$world_root/packaging/policy.yaml"
cp "$W/said" "$W/refusal"
is "… with its code" says '\[policy.custody-minimum\]'
is "… with slot, level and key" says "slot main is 'software', the policy demands 'claimed' (custody-minimum)"
is "… and what to do" says 'next: Use a hardware slot; .*--test.*test-.*custody-minimum: software'
isnt "there is nothing to sign" test -e "$W/ceremony"

# The agent judges for itself: a founding request that was made with another policy.
soft=$world_root/tests/integration/policy-test.yaml
sed 's/^custody-minimum: software/custody-minimum: claimed/' "$soft" >"$W/claimed.yaml"
founding "$soft" >"$W/out" 2>&1
hash() { sha256sum "$1" | cut -d' ' -f1; }
sed "s/$(hash "$soft")/$(hash "$W/claimed.yaml")/; s/Keys may be kept in software\./Keys are kept only in modules that say that they protect them in hardware./" \
    "$W/ceremony/request.txt" >"$W/request.txt"
call root POST /v1/submissions "$(jq -nc --rawfile text "$W/request.txt" --rawfile policy "$W/claimed.yaml" '{text: $text, policy: $policy}')"
refused "the agent refuses the founding request, before anybody signs" policy.custody-minimum 403
rm -r "$W/ceremony"
equal "the vault is still unfounded" unfounded "$(agent_state)"
agent_stop; agent_start
equal "also after a restart: nothing was left" unfounded "$(agent_state)"
is "a policy that allows software founds it as TEST" found_with "$world_root/tests/integration/policy-test.yaml"
equal "it serves" serving "$(agent_state)"
cp "$W/ceremony/log.vkey" "$W/log.vkey"
is "the ledger verifies" verify
finish
