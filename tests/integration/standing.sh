#!/usr/bin/env bash
# What was given stands while people and rules change: a grant goes on under a new policy, when a key
# that approved it is retired and when its approver leaves, and is suspended when such a key was in
# others' hands. Ten sessions at KSeF before and after each.
. "$(dirname "$0")/harness.sh"
founded

ended() { api -f http://agent/v1/sessions | holds '.sessions == []'; }
# ten callers get a session whose token works; all go, and the next ten begin with a login again
# (KSeF's limits, which the courier keeps, would let only few of seventy logins and ends through)
ten() { # SENTENCE
    local i done=0 logins; logins=$(ksef_logins)
    for i in {1..10}; do
        session "$NIP"
        [ "$status" = 201 ] || { note "session $i: $status $answer"; break; }
        lease[i]=$(field session) done=$i
    done
    equal "$1: ten sessions" 10 "$done"
    equal "… by one login" $((logins + 1)) "$(ksef_logins)"
    equal "… whose token works at KSeF" 200 "$(ksefsim /v2/auth/sessions -o "$W/list" -w '%{http_code}' -H "Authorization: Bearer $(field accessToken)")"
    for ((i = 1; i <= done; i++)); do call kv-erp DELETE "/v1/sessions/${lease[i]}"; done
    is "… and that ends" wait_for 20 ended
}
ksef_logins() { ksefsim /control/state | jq '.calls.xades // 0'; }
lease=()
ten_refused() { # SENTENCE CODE
    local i codes=()
    for i in {1..10}; do session "$NIP"; codes+=("$status $(code)"); done
    equal "$1: ten refusals" "10 403 $2" "$(printf '%s\n' "${codes[@]}" | sort | uniq -c | sed 's/^ *//')"
}
grant_is() { kv grant list --json | holds 'any(.grants[]; .id == $id and .state == $state)' --arg id "$GRANT" --arg state "$1"; }
# signed PERSON KEY NOUN VERB…: with another than the person's usual key
signed() { local who=$1 key=$2; shift 2; kv "$@" --as "$who" --key "$W/people/$key" --json >"$W/out" 2>"$W/err" || { cat "$W/err"; return 1; }; jq -r '.request // empty' "$W/out"; }
approve_with() { kv approve "$1" --as "$2" --key "$W/people/$3" --yes >"$W/out" 2>&1 || die "approve by $2: $(cat "$W/out")"; }
second_key() { # PERSON
    ssh-keygen -q -t ed25519 -N '' -C "$1 second" -f "$W/people/$1-2" </dev/null
    kv key enrol "$1" --new-key "$W/people/$1-2" --reason "Second key" --as fin-02 --key "$W/people/fin-02" --json >"$W/out" || die "key enrol"
    approved "$(jq -r .request "$W/out")" fin-01 cus-02
}

# fin-01 and cus-01 approved the grant, fin-01 and cus-02 the integration
before=$(date -u -d '-1 day' +%Y-%m-%dT%H:%M:%SZ)
ten "as given"

# ---- another policy ----

printf '%s\n' 'version: 1' 'approvals:' '  default: {finance: 1, custodian: 1}' 'limits:' '  grant-days-max: 20' \
    '  rate-max: 1000/min' 'custody-minimum: software' >"$W/shorter.yaml"
open=$(request_grant erp-1 --context $INTERNAL) || die "request"
id=$(by fin-02 policy propose "$W/shorter.yaml" --reason "Shorter grants") || die "propose"
approved "$id" fin-01 cus-01
shorter_rules() { kv policy show | grep -q '^[0-9]*\. A routine grant lasts at most 20 days'; }
is "the new policy is active" wait_for 10 shorter_rules
is "… and requests that were open have lapsed" grep -q lapsed <(kv request show "$open" --json | jq -r .state)
ten "under another policy"

# ---- a key that approved is retired ----

second_key cus-01
by cus-01 key retire "$(key_of cus-01)" --reason "Worn" || die "retire"
ten "with an approver's key retired"

# ---- an approver leaves ----

by cus-02 person leave fin-01 --left-on "$(date -u +%F)" --reason "Left" || die "leave"
is "the status names what nobody owns now, and the command" eval 'kv status | grep -A1 -F "The owner of integration erp-1, fin-01, has left." |
    grep -qF "ksefvault integration change erp-1 --business-owner PERSON"'
is "… and the credential" grep -qF "The owner of credential ksef-auth, fin-01, has left." <(kv status)
isnt "a change that keeps her is refused" by cus-02 integration change erp-1 --purpose "Another" --reason "A test"
is "… and says who left, and the option" grep -q 'fin-01 has left: name another finance person with --business-owner' "$W/err"
isnt "who left approves nothing" kv approve "$GRANT" --as fin-01 --key "$W/people/fin-01" --yes
ten "with an approver gone"

# ---- a key that approved was in others' hands ----

kv key compromised "$(key_of cus-01)" --since "$before" --reason "Found copied" --as cus-01 --key "$W/people/cus-01-2" >"$W/told" 2>&1 || die "compromised: $(cat "$W/told")"
is "who says so is told that things are suspended, and where they are named" grep -q '^next: What the key gave since then is suspended now. ksefvault status' "$W/told"
equal "… how many they are, and which" "1 1 grant $GRANT of erp-1, integration erp-1" \
    "$(sed -n 's/^suspended grants: //p; s/^suspended integrations: //p; s/^suspended: //p' "$W/told" | paste -sd' ')"
is "the grant that it gave is suspended, and the integration that it asked for" wait_for 10 grant_is suspended
ten_refused "with an approver's key compromised" policy.integration-suspended
is "… and the status tells it" grep -q 'grant resume' <(kv status)
is "… and it names whom to ask, nobody who left" grep -qx 'any finance person and cus-01 (custodian)' <(field who)
for what in "grant resume $GRANT" "integration resume erp-1"; do # shellcheck disable=SC2086 # words
    id=$(signed cus-02 cus-02 $what --reason "Looked through, nothing odd") || die "resume"
    approve_with "$id" fin-02 fin-02
    approve_with "$id" cus-01 cus-01-2
done
is "two people who hold good keys resume it" wait_for 10 grant_is active
ten "resumed"
equal "nothing but the compromise suspended anything" 2 "$(records | jq -s 'map(select(.ev == "grant.suspend" or .ev == "integ.suspend")) | length')"
kv ledger verify "$W/state/ledger" --vkey "$W/log.vkey" >"$W/said" 2>&1
is "the ledger verifies" test $? = 0
finish
