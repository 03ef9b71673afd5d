#!/usr/bin/env bash
# docs/openapi.yaml against the running agent: each operation succeeds once, and every answer, also of
# refusals, has the fields, types and values that the document names and no others.
. "$(dirname "$0")/harness.sh"
started
"$world_root/tests/integration/relay.py" "$W/relay.sock" "$W/run/agent.sock" "$W/calls" 2>"$W/relay.log" &
relay=$!
at_end 'kill $relay'
wait_for 10 test -S "$W/relay.sock" || die "no relay: $(cat "$W/relay.log")"
kv() { "$BIN/ksefvault" --socket "$W/relay.sock" --config "$W/ksefvault.yaml" "$@"; }
get() { call root GET "$1"; is "GET ${1%%\?*}" test "$status" = 200; }
get /v1/founding
found
get /v1/founding
for text in finance-fin-01 finance-fin-02 custodian-cus-01 custodian-cus-02; do sign "${text#*-}" "$W/ceremony/$text.txt" || die "sign $text"; done
found || die "not founded: $(cat "$W/out")"
cp "$W/ceremony/log.vkey" "$W/log.vkey"
OPERATIONS="auth.xades session.open qr.kod2 auth.token" new_integration erp-1 kv-erp "$CONNECTOR"
new_credential ksef-auth auth-certificate
new_credential ksef-offline offline-certificate
id=$(by cus-01 credential generate third --kind auth-certificate --key-type ec-p256 --slot main --environment test --context $NIP --business-owner fin-01 --custodian cus-01 --reason "A test") || die generate
call root GET "/v1/requests/$id/statement?person=fin-01&key=$(key_of fin-01 | sed s/+/%2B/g)&decision=approve"
is "GET /v1/requests/ID/statement" test "$status" = 200
printf '%s' "$(field text)" >"$W/text"; printf '\n' >>"$W/text" # the shell took the last newline
sign fin-01 "$W/text" || die "sign"
call kv-other POST /v1/submissions "$(jq -nc --rawfile text "$W/text" --rawfile signature "$W/text.sig" '{text: $text, signature: $signature}')"
is "POST /v1/submissions" test "$status" = 201
approve "$id" cus-02
credential_is third key || die "no key"
call root POST /v1/credentials/third/self-sign '{"subject":"seal","commonName":"Third","organization":"Demo","nip":"5265877635"}'
is "POST /v1/credentials/ID/self-sign" test "$status" -lt 300
new_grant erp-1 --context $NIP >/dev/null
CREDENTIAL=ksef-offline OPERATIONS=qr.kod2 new_grant erp-1 --context $NIP >/dev/null

session $NIP
is "POST /v1/sessions" test "$status" = 201
lease=$(field session)
get /v1/sessions
call kv-erp POST /v1/offline-codes '{"context":"'$NIP'","seller":"5265877635","invoices":[{"hash":"0b/6XuCXyDi5OcEkMdEEw0dFF+OK3SUEzDAB6H3gMXQ=","date":"2026-06-01"}]}'
is "POST /v1/offline-codes" test "$status" = 200
call kv-erp DELETE "/v1/sessions/$lease"
is "DELETE /v1/sessions/ID" test "$status" = 200
wait_for 15 no_sessions

# a KSeF token comes in
REF=20251010-EC-1DCE3E3000-12ECB5B36E-45
TOKEN="$REF|nip-5265877635|$(head -c 32 /dev/urandom | xxd -p -c 64)"
ksefsim /control/token -f -d "{\"token\":\"$TOKEN\",\"context\":{\"type\":\"Nip\",\"value\":\"5265877635\"},\"state\":\"Active\"}" >/dev/null || die "plant"
id=$(by cus-01 credential import token-1 --slot main --environment test --context $NIP --ksef-ref $REF --business-owner fin-01 --custodian cus-01 --reason "A test") || die "import"
approved "$id" fin-01 cus-02
call root GET /v1/credentials/token-1/import
is "GET /v1/credentials/ID/import" test "$status" = 200
kv credential import-token token-1 --token-fd 7 7< <(printf '%s\n' "$TOKEN") >"$W/out" 2>&1
is "POST /v1/credentials/ID/import" test $? = 0

for path in requests "requests?state=done" "requests/$id" quorum "quorum?requester=fin-02" policy persons credentials integrations \
    grants "records?from=0&count=20" records/1 status health "explain?integration=erp-1&operation=session.open&context=$NIP" \
    "explain?integration=erp-1&operation=relay.send&context=$NIP"; do
    get "/v1/$path"
done
call root POST /v1/exports '{"private":false}'
is "POST /v1/exports" test "$status" = 200
call root POST /v1/verifications '{"records":1,"size":1,"root":"'"$(head -c 32 /dev/zero | base64)"'","exit":0}'
is "POST /v1/verifications" test "$status" = 200
call root POST /v1/slots/main/unlock
is "POST /v1/slots/NAME/unlock" test "$status" -lt 300

# refusals, each a problem as described
session $INTERNAL
refused "no grant" policy.context-not-granted 403
call kv-other POST /v1/sessions "{\"context\":\"$NIP\"}"
refused "an unknown caller" policy.caller-unknown 403
call kv-other GET /v1/grants
isnt "not for everybody" test "$status" = 200
call root GET /v1/requests/01KEBQGH006J9ATSEGBABKZVWC
refused "no such request" input.not-found 404
call root GET /v1/nothing
isnt "no such path" test "$status" = 200
call kv-erp POST /v1/sessions '{"context":"Nip:1","colour":"green"}'
isnt "a field too many" test "$status" = 201

judge() { "$world_root/tests/integration/openapi.py" "$world_root/docs/openapi.yaml" "$@"; }
is "every answer is as the document says, and every operation was there" judge "$W/calls" --all
finish
