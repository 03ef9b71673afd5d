#!/usr/bin/env bash
# A founding whose first checkpoint is never signed: whoever handed the last text in is told why, nothing
# of it counts, and the same texts found the vault when the key is back.
. "$(dirname "$0")/harness.sh"
started
found
for text in finance-fin-01 finance-fin-02 custodian-cus-01 custodian-cus-02; do
    sign "${text#*-}" "$W/ceremony/$text.txt" || die "sign $text"
done

keeper=$(agent_child keeper)
kill -STOP "$keeper"
found & founding=$!
is "the last text is in: its checkpoint is waited for" wait_for 20 grep -q ' serving ' "$W/agent.log"
kill -KILL "$keeper"
wait $founding
is "the key died over it: the answer says so" grep -q ledger.signer-down "$W/out"
is "… and that nothing was founded" grep -q 'not founded: the ledger.s key does not sign' "$W/out"
is "… and so does the log" grep -q 'fatal code=ledger.signer-down msg="not founded: ' "$W/agent.log"
is "the agent starts anew, unfounded" wait_for 60 agent_settled
equal "…" unfounded "$(agent_state)"
is "the same texts found the vault" found
equal "…" serving "$(agent_state)"
finish
