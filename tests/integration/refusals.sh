#!/usr/bin/env bash
# Every refusal that a program or a person can meet, each with its code, its HTTP status and its
# trace: what was refused to an integration is in the ledger; what was no valid text or request at
# all leaves the ledger as it was.
. "$(dirname "$0")/harness.sh"
founded

# ---- programs ----

# Integrations of their own, so that no state spoils another row: uid → program is plain curl.
UNIT_UID=61001 SUSPENDED_UID=61002 EMPTY_UID=61003 CHANGED_UID=61004 MANY_UID=61005
new_integration erp-suspended $SUSPENDED_UID /usr/bin/curl
new_integration erp-empty $EMPTY_UID /usr/bin/curl
new_integration erp-many $MANY_UID /usr/bin/curl
cp /usr/bin/curl "$W/erp/changing"
new_integration erp-changed $CHANGED_UID "$W/erp/changing"
unit=$(by cus-01 integration register erp-unit --purpose "Runs in a unit" --business-owner fin-01 --custodian cus-01 \
    --context $NIP --operation auth.xades --operation session.open --uid $UNIT_UID --unit kv-none.service \
    --reason "A test") || die "erp-unit"
approved "$unit" fin-01 cus-02
new_credential ksef-many # a credential serves one integration
new_credential ksef-empty
in_an_hour=$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)

calls_as() { call "$1" POST /v1/sessions "{\"context\":\"$2\"}"; }
many() { calls_as $MANY_UID "$1"; }
nothing() { :; }
only_auth() {
    local id
    id=$(by fin-02 grant request --credential ksef-many --integration erp-many --operation auth.xades \
        --context $OTHER_NIP --reason "A test") && approved "$id" fin-01 cus-01
}
waiting() { waiting_id=$(CREDENTIAL=ksef-empty request_grant erp-empty --context $INTERNAL) && approve "$waiting_id" fin-01; }
early() { early_id=$(CREDENTIAL=ksef-many new_grant erp-many --context $INTERNAL --not-before "$in_an_hour" --not-after "$(date -u -d '+2 hours' +%Y-%m-%dT%H:%M:%SZ)"); }
expired() { new_grant erp-1 --context $INTERNAL --seconds 3 >/dev/null && sleep 4; }
grant_suspended() { act_id=$(CREDENTIAL=ksef-many new_grant erp-many --context $NIP --max-uses 1) && by cus-02 grant suspend "$act_id"; }
grant_resumed_and_used() {
    local id
    id=$(by cus-01 grant resume "$act_id" --reason "A test") && approved "$id" fin-01 cus-02 && many $NIP
}
rated() { rate_id=$(new_grant erp-1 --context $INTERNAL --rate 1/h) && session $INTERNAL; }
revoked() { by fin-01 grant revoke "$rate_id"; }
integration_suspended() { by fin-01 integration suspend erp-suspended; }
change() { printf 'x' >>"$W/erp/changing"; }
change_back() { truncate -s -1 "$W/erp/changing"; }
as_changed() { PROGRAM=$W/erp/changing calls_as $CHANGED_UID "$1"; }

# sentence | setup | call | code | HTTP status | kind of who in the record
rows='
an account that nobody registered|nothing|calls_as kv-other NIP|policy.caller-unknown|403|caller
a program outside its unit|nothing|calls_as 61001 NIP|policy.unit-differs|403|integration
an integration without a grant|nothing|calls_as 61003 NIP|policy.no-grant|403|integration
a grant that one person has approved|waiting|calls_as 61003 INTERNAL|policy.grant-waiting|403|integration
a context that no grant is for|nothing|session OTHER|policy.context-not-granted|403|integration
an operation that the grant has not|only_auth|many OTHER|policy.operation-not-granted|403|integration
a grant that has not begun|early|many INTERNAL|policy.grant-not-yet|403|integration
a grant that has ended|expired|session INTERNAL|policy.grant-expired|403|integration
a suspended grant|grant_suspended|many NIP|policy.grant-suspended|403|integration
a grant whose uses are used up|grant_resumed_and_used|many NIP|policy.max-uses|403|integration
a grant whose rate is used up|rated|session INTERNAL|policy.rate|429|integration
a revoked grant|revoked|session INTERNAL|policy.grant-revoked|403|integration
a suspended integration|integration_suspended|calls_as 61002 NIP|policy.integration-suspended|403|integration
a changed program|change|as_changed NIP|policy.exe-changed|403|integration
a program put back after its alarm|change_back|as_changed NIP|policy.integration-suspended|403|integration
'
row() {
    local sentence=$1 setup=$2 doing=$3 wanted=$4 http=$5 kind=$6 seq
    doing=${doing/OTHER/$OTHER_NIP} doing=${doing/INTERNAL/$INTERNAL} doing=${doing/%NIP/$NIP}
    $setup >"$W/setup" 2>&1 || { not_ok "$sentence: setup"; note "$(cat "$W/setup" "$W/err")"; return; }
    answer='' status=
    $doing
    refused "$sentence" "$wanted" "$http"
    seq=$(field record)
    equal "… is in the ledger" "use.refused $wanted $kind" \
        "$(record "${seq:-x}" 2>/dev/null | jq -r '"\(.ev) \(.err) \(.who.kind)"')"
    equal "… and says who lifts it, or when" yes \
        "$(jq -r 'if (.who // "") != "" or .retryAfter then "yes" else "no" end' <<<"$answer")"
    [ "$(field retry)" != after ] || is "… in Retry-After too" test "$(header Retry-After)" -gt 0
}
while IFS='|' read -r sentence setup doing wanted http kind; do
    [ -z "$sentence" ] || row "$sentence" "$setup" "$doing" "$wanted" "$http" "$kind"
done <<<"$rows"

calls_as kv-other $NIP
is "the stranger is told how to register" holds '.register | contains("--uid " + $uid) and contains("--exe /usr/bin/curl")' \
    --arg uid "$(id -u kv-other)" <<<"$answer"
equal "the changed program left its alarm and the suspension" \
    "alarm.exe-changed integ.suspend use.refused use.refused" \
    "$(records | jq -r 'select(.integ == "erp-changed" or (.who.id == "erp-changed" and .ev == "use.refused")) | .ev' | grep -v -e register -e activate | sort | xargs)"

size=$(record_count)
for _ in 1 2 3 4 5; do calls_as $EMPTY_UID $NIP; done
equal "the same refusal within a minute is counted, not written again" "$size" "$(record_count)"
seq=$(field record)
agent_stop && agent_start
equal "the count is in the ledger before the agent stops" 5 \
    "$(records $((seq + 1)) | jq 'select(.ev == "use.refused" and .who.id == "erp-empty" and .err == "policy.no-grant") | .info.n')"

# ---- who may read and manage ----

denied() { # USER METHOD PATH [BODY]
    local before; before=$(record_count)
    call "$@"
    refused "account $1 may not $2 $3" policy.not-allowed 403
    equal "… and the ledger is as before" "$before" "$(record_count)"
}
for path in persons credentials integrations grants records records/3; do denied kv-other GET /v1/$path; done
denied kv-other POST /v1/exports '{}'
denied kv-other POST /v1/verifications '{"records":1,"size":1,"root":"uD7YobiWQNUNJyX0BUJjaNsC/WjLqK9XkZn3ymGhtzM=","exit":0}'
denied kv-other POST /v1/slots/main/unlock '{}'
denied kv-other POST /v1/credentials/ksef-auth/self-sign '{"subject":"seal","commonName":"x","nip":"5265877635"}'
denied kv-erp GET /v1/grants
session $NIP || die "no session: $answer"
own=$(field record)
call kv-erp GET "/v1/records/$own"
equal "an integration reads its own record" "$own" "$(field record | jq .seq)"
denied kv-erp GET /v1/records/0
denied "$MANY_UID" GET "/v1/records/$own"

# ---- what is no valid request ----

# Sends a body by POST /v1/sessions as it is; must be refused and change nothing.
bad() { # SENTENCE CODE HTTP BODY|@FILE
    local sentence=$1 wanted=$2 http=$3 body=$4 before
    before=$(record_count)
    call kv-erp POST /v1/sessions "$body"
    refused "$sentence" "$wanted" "$http"
    equal "… and the ledger is as before" "$before" "$(record_count)"
}
good="{\"context\":\"$NIP\"}"
bad "a wrong check digit" input.nip-checksum 400 '{"context":"Nip:5265877634"}'
bad "a context that is none" input.value 400 '{"context":"Nip:52658776"}'
bad "an unknown field" input.field-unknown 400 "{\"context\":\"$NIP\",\"credential\":\"x\"}"
bad "a missing field" input.field-missing 400 '{}'
bad "no body" input.field-missing 400 ''
bad "a key twice" input.json 400 "{\"context\":\"$NIP\",\"context\":\"$NIP\"}"
bad "a wrong type" input.type 400 '{"context":5265877635}'
bad "null for a text" input.type 400 '{"context":null}'
bad "an object for a text" input.type 400 '{"context":{"nip":"5265877635"}}'
bad "an array for a body" input.json 400 '["context"]'
bad "what is not JSON" input.json 400 'context=Nip:5265877635'
bad "half of a JSON text" input.json 400 '{"context":"Nip:52'
bad "text behind the JSON" input.json 400 "$good$good"
printf '{"context":"Nip:\xc3\x28"}' >"$W/utf8"
bad "broken UTF-8" input.utf8 400 "@$W/utf8"
printf '{"context":"Nip:5265877635\\u0000"}' >"$W/nul"
bad "a NUL in a text" input.json 400 "@$W/nul"
head -c 60000 /dev/zero | tr '\0' ' ' >"$W/large"
bad "an oversized body" input.too-large 413 "@$W/large"
bad "deep nesting" input.json 400 "{\"context\":$(printf '[%.0s' {1..2000})$(printf ']%.0s' {1..2000})}"
TYPE=text/plain bad "another content type" input.media-type 415 "$good"
TYPE='' bad "no content type" input.media-type 415 "$good"
KEY='' bad "no Idempotency-Key" input.idempotency-key 400 "$good"
KEY=$(printf 'x%.0s' {1..65}) bad "an Idempotency-Key of 65 characters" input.idempotency-key 400 "$good"
KEY='a b' bad "an Idempotency-Key with a space" input.idempotency-key 400 "$good"

KEY=once session $NIP || die "no session: $answer"
first=$answer before=$(record_count)
KEY=once session $NIP
equal "the same call with the same Idempotency-Key gets the same answer" "$first" "$answer"
equal "… and writes nothing" "$before" "$(record_count)"
KEY=once session $OTHER_NIP
refused "the key again with another body" input.idempotency-key 400
KEY=once calls_as $MANY_UID $NIP
refused "another account's key is another key" policy.max-uses 403

plain() { # SENTENCE CODE HTTP METHOD PATH
    local before; before=$(record_count)
    call kv-other "$4" "$5"
    refused "$1" "$2" "$3"
    equal "… and the ledger is as before" "$before" "$(record_count)"
}
plain "an unknown path" input.not-found 404 GET /v1/keys
plain "a path below a call" input.not-found 404 GET /v1/status/x
plain "no path" input.not-found 404 GET /
plain "the wrong method" input.method 405 GET /v1/offline-codes
plain "a method that nothing takes" input.method 405 DELETE /v1/sessions
plain "an argument that the call has not" input.field-unknown 400 GET '/v1/quorum?person=x'
plain "a number that is none" input.value 400 GET '/v1/records?from=-1'
plain "an argument twice" input.json 400 GET '/v1/quorum?requester=a&requester=b'
is "a refusal is a problem details object" test "$(header Content-Type)" = application/problem+json
equal "… with all its members" '["code","detail","next","retry","status","title","type"]' "$(jq -c keys <<<"$answer")"

equal "after all that the agent serves" serving "$(agent_state)"
is "and its trail verifies" verify
finish
