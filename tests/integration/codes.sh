#!/usr/bin/env bash
# QR codes of invoices: signed by EC and RSA keys in the slot under Offline certificates, in every
# context, with a record for each invoice before its signature leaves; checked by OpenSSL alone. And
# that no credential does the work of another kind.
. "$(dirname "$0")/harness.sh"
VAT_UE=NipVatUe:5265877635-DE123456789
PEPPOL=PeppolId:PPL000001
founded

# an ERP that signs codes: an Offline credential with an EC key, and one with RSA, for other contexts
new_code_credential() { # ID KEY-TYPE CONTEXT…
    local id context; id=$1
    local contexts=(); for context in "${@:3}"; do contexts+=(--context "$context"); done
    local request
    request=$(by cus-01 credential generate "$id" --kind offline-certificate --key-type "$2" --slot main --environment test \
        "${contexts[@]}" --business-owner fin-01 --custodian cus-01 --reason "A test") || die "credential generate"
    approved "$request" fin-01 cus-02
    credential_is "$id" key || die "no key was made"
    kv credential self-sign "$id" --subject seal --nip 5265877635 --common-name Demo --organization Demo --json >"$W/out" 2>&1 ||
        die "self-sign: $(cat "$W/out")"
}
cp /usr/bin/curl "$W/erp/codes" && chmod 0755 "$W/erp/codes"
CODES=$W/erp/codes
request=$(by cus-01 integration register erp-codes --purpose "Prints invoices" --business-owner fin-01 --custodian cus-01 \
    --context $NIP --context $INTERNAL --context $VAT_UE --context $PEPPOL --operation qr.kod2 --operation auth.xades \
    --operation session.open --uid "$(id -u kv-other)" --exe "$CODES" --reason "A test") || die "register"
approved "$request" fin-01 cus-02
new_code_credential codes-ec ec-p256 $NIP $INTERNAL $VAT_UE $PEPPOL
is "… and it is said that KSeF does not know a self-signed one" grep -q 'trying out' "$W/out"
new_code_credential codes-rsa rsa-2048 $INTERNAL
export CREDENTIAL=codes-ec OPERATIONS=qr.kod2
EC=$(new_grant erp-codes --context $NIP) || exit 1

codes() { PROGRAM=$CODES call kv-other POST /v1/offline-codes "$1"; }
body() { # CONTEXT HASH… : a request's body
    local context=$1; shift
    jq -nc --arg context "$context" --args '{context: $context, seller: "5265877635", invoices: [$ARGS.positional[] | {hash: ., date: "2026-06-01"}]}' "$@"
}
invoice() { openssl rand -base64 32; }

# ---- one invoice ----

hash=$(openssl dgst -sha256 -binary <"$world_root/tests/vectors/ksef/qr/invoice-sample.xml" | base64)
url=$(tr '+/' '-_' <<<"${hash%=}")
is "a code for an invoice" codes "$(body $NIP "$hash")"
link=$(field 'codes[0].certificateLink') record=$(field 'codes[0].record')
equal "… KOD I is as published" "https://qr-test.ksef.mf.gov.pl/invoice/5265877635/01-06-2026/$url" "$(field 'codes[0].invoiceLink')"
certificate() { # CREDENTIAL: its certificate, from the record that made it active
    local n; n=$(records "${2:-0}" | jq -r --arg c "$1" 'select(.ev == "cred.activate" and .cred == $c).seq')
    api -f "http://agent/v1/records/$n" | jq -r '.documents[] | select(.kind == "certificate").base64' | base64 -d
}
certificate codes-ec >"$W/ec.der"
serial=$(openssl x509 -inform DER -in "$W/ec.der" -noout -serial | cut -d= -f2)
text=qr-test.ksef.mf.gov.pl/certificate/Nip/5265877635/5265877635/$serial/$url
equal "… KOD II has the parts in their order" "https://$text" "${link%/*}"
equal "… the record has the invoice's hash, the digest of what was signed, and who" \
    "use.sign erp-codes $EC codes-ec qr.kod2 $NIP $hash $(printf %s "$text" | openssl dgst -sha256 -binary | base64)" \
    "$(record "$record" | jq -r '"\(.ev) \(.who.id) \(.grant) \(.cred) \(.op) \(.ctx) \(.inv[0].h) \(.dig)"')"

# by OpenSSL alone: R‖S becomes DER, PSS has its salt of 32
signature() { local s=${1##*/}; s=$(tr -- '-_' '+/' <<<"$s"); while [ $((${#s} % 4)) != 0 ]; do s+='='; done; base64 -d <<<"$s"; }
openssl_verifies() { # LINK CERTIFICATE
    local text=${1#https://}; text=${text%/*}
    openssl x509 -inform DER -in "$2" -noout -pubkey >"$W/key.pem"
    printf %s "$text" >"$W/text"
    signature "$1" >"$W/sig"
    if grep -q 'id-ecPublicKey' <(openssl pkey -pubin -in "$W/key.pem" -noout -text_pub; openssl x509 -inform DER -in "$2" -noout -text); then
        [ "$(stat -c %s "$W/sig")" = 64 ] || { echo "not R and S"; return 1; }
        local r s; r=$(head -c 32 "$W/sig" | xxd -p -c 32) s=$(tail -c 32 "$W/sig" | xxd -p -c 32)
        printf 'asn1=SEQUENCE:s\n[s]\nr=INTEGER:0x%s\ns=INTEGER:0x%s\n' "$r" "$s" >"$W/asn1"
        openssl asn1parse -genconf "$W/asn1" -noout -out "$W/sig" >/dev/null
        openssl dgst -sha256 -verify "$W/key.pem" -signature "$W/sig" "$W/text"
    else
        openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -verify "$W/key.pem" -signature "$W/sig" "$W/text"
    fi
}
is "OpenSSL verifies the EC code" openssl_verifies "$link" "$W/ec.der"
is "ksefvault code verify says so too" kv code verify "$link" --cert "$W/ec.der"
is "… and a changed code is not good" exits 1 kv code verify "$(sed 's|/5265877635/5265877635/|/5265877635/7010002139/|' <<<"$link")" --cert "$W/ec.der"

# ---- contexts, RSA ----

for context in $INTERNAL $VAT_UE $PEPPOL; do
    CREDENTIAL=codes-ec new_grant erp-codes --context "$context" >/dev/null
    is "a code in context $context" codes "$(body "$context" "$(invoice)")"
    is "… and OpenSSL verifies it" openssl_verifies "$(field 'codes[0].certificateLink')" "$W/ec.der"
done
by fin-01 grant revoke "$(kv grant list --json | jq -r --arg c $INTERNAL '.grants[] | select(.context == $c and .state == "active").id')"
CREDENTIAL=codes-rsa new_grant erp-codes --context $INTERNAL >/dev/null
is "a code by an RSA key" codes "$(body $INTERNAL "$(invoice)")"
certificate codes-rsa >"$W/rsa.der"
is "… which OpenSSL verifies, with a salt of 32" openssl_verifies "$(field 'codes[0].certificateLink')" "$W/rsa.der"
is "… and ksefvault too" kv code verify "$(field 'codes[0].certificateLink')" --cert "$W/rsa.der"
isnt "… but not under another certificate" kv code verify "$(field 'codes[0].certificateLink')" --cert "$W/ec.der"

# ---- many ----

mapfile -t many < <(for ((i = 0; i < 64; i++)); do invoice; done)
before=$(record_count)
is "64 invoices in one call" codes "$(body $NIP "${many[@]}")"
equal "… in their order" "${many[*]}" "$(field 'codes[].hash' | paste -sd' ')"
equal "… a record for each, with its number" "$(for ((i = 0; i < 64; i++)); do echo "$((before + i)) ${many[i]}"; done)" \
    "$(records "$before" | jq -r 'select(.ev == "use.sign") | "\(.seq) \(.inv[0].h)"')"
before=$(record_count)
codes "$(body $NIP "${many[@]}" "$(invoice)")"
refused "65 are too many" input.too-large 413
codes '{"context":"'$NIP'","seller":"5265877635","invoices":[]}'
refused "none are too few" input.value 400

# ---- what is not good changes nothing ----

while IFS='|' read -r name code what; do
    codes "$what"
    refused "$name" "$code" 400
done <<EOF
a hash that is too short|input.value|{"context":"$NIP","seller":"5265877635","invoices":[{"hash":"AAAA"}]}
a hash in base64url|input.value|{"context":"$NIP","seller":"5265877635","invoices":[{"hash":"$url"}]}
no hash|input.field-missing|{"context":"$NIP","seller":"5265877635","invoices":[{"date":"2026-06-01"}]}
a date that does not exist|input.value|{"context":"$NIP","seller":"5265877635","invoices":[{"hash":"$hash","date":"2026-02-30"}]}
an unknown field|input.field-unknown|{"context":"$NIP","seller":"5265877635","invoices":[{"hash":"$hash","number":"1"}]}
a number instead of a hash|input.type|{"context":"$NIP","seller":"5265877635","invoices":[{"hash":1}]}
no objects|input.type|{"context":"$NIP","seller":"5265877635","invoices":["$hash"]}
a seller with a wrong check digit|input.nip-checksum|{"context":"$NIP","seller":"5265877636","invoices":[{"hash":"$hash"}]}
a context that is none|input.value|{"context":"5265877635","seller":"5265877635","invoices":[{"hash":"$hash"}]}
EOF
codes "$(body $NIP "$hash" | sed 's/"hash"/"hash":"x","hash"/')"
refused "the same key twice" input.json 400
equal "… and nothing was recorded" "$before" "$(record_count)"

# ---- more at once than a keeper gathers ----

# Two questions of 64 are what it signs in one go. While it is stopped the vault hands it three.
for ((i = 0; i < 3; i++)); do
    mapfile -t hashes < <(for ((j = 0; j < 64; j++)); do invoice; done)
    body $NIP "${hashes[@]}" >"$W/many.$i"
    [ $i = 0 ] || echo next
    printf '%s\n' "unix-socket = $W/run/agent.sock" 'silent' 'max-time = 30' 'header = "Content-Type: application/json"' \
        "header = \"Idempotency-Key: $SRANDOM$SRANDOM$SRANDOM\"" "data = \"@$W/many.$i\"" "output = \"$W/answers/many.$i\"" \
        'url = "http://agent/v1/offline-codes"'
done >"$W/many"
chmod 0644 "$W/many" "$W"/many.*
mkdir -p "$W/answers" && chown kv-other "$W/answers"
keeper=$(agent_child keeper) before=$(record_count)
kill -STOP "$keeper"
as kv-other "$CODES" --parallel --parallel-immediate --parallel-max 3 --config "$W/many" >"$W/said" 2>&1 &
caller=$!
wait_for 15 eval '[ "$(record_count)" -ge $((before + 3 * 64)) ]'
kill -CONT "$keeper"
wait "$caller"
equal "192 codes that waited for the slot are all signed" 192 "$(jq '.codes[] | .certificateLink' "$W"/answers/many.* | wc -l)"
equal "… each answer with its own invoices" "$(for ((i = 0; i < 3; i++)); do jq -c '[.invoices[].hash]' "$W/many.$i"; done)" \
    "$(for ((i = 0; i < 3; i++)); do jq -c '[.codes[].hash]' "$W/answers/many.$i"; done)"
equal "… each link another" 192 "$(jq -r '.codes[].certificateLink' "$W"/answers/many.* | sort -u | wc -l)"
verified=0
for i in 0 1 2; do
    openssl_verifies "$(jq -r '.codes[63].certificateLink' "$W/answers/many.$i")" "$W/ec.der" >/dev/null 2>&1 && verified=$((verified + 1))
done
equal "… and signed by their key" 3 $verified
equal "… by the same keeper" "$keeper" "$(agent_child keeper)"

# ---- killed while many wait for their signatures ----

# Records may wait for a later flush while the slot has enough to do: yet no signature leaves before its
# own. However quick the machine, it is asked until the vault is gone, by two, so that one always has
# calls under way.
ask() { # NUMBER: each of 1000 invoices in a call of its own, 8 at a time; each answer goes to a file of its own
    /usr/bin/python3 - "$W" $INTERNAL <<'EOF' >"$W/ones.$1"
import base64, json, os, sys
for i in range(1000):
    key = os.urandom(12).hex()
    body = {"context": sys.argv[2], "seller": "5265877635", "invoices": [{"hash": base64.b64encode(os.urandom(32)).decode()}]}
    print(f"next\nunix-socket = {sys.argv[1]}/run/agent.sock\nsilent\nmax-time = 20\nheader = \"Content-Type: application/json\"\n"
          f"header = \"Idempotency-Key: {key}\"\ndata = {json.dumps(json.dumps(body))}\n"
          f"output = {sys.argv[1]}/answers/one.{key}\nurl = http://agent/v1/offline-codes")
EOF
    chmod 0644 "$W/ones.$1"
    as kv-other "$CODES" --parallel --parallel-max 8 --config "$W/ones.$1" >"$W/said.$1" 2>&1
}
answers() { find "$W/answers" -name 'one.*'; }
before=$(record_count) vault=$(agent_child vault)
for i in 1 2; do while ask $i; [ -d "/proc/$vault" ]; do :; done & callers[i]=$!; done
wait_for 15 eval '[ "$(answers | wc -l)" -ge 80 ]'
kill -9 "$vault"
wait "${callers[@]}"
wait_for 60 agent_settled || not_ok "the vault is back"
answers | xargs cat | jq -r '.codes[]? | "\(.record) \(.hash)"' | sort >"$W/answered"
is "the vault was killed with some codes answered and some not" \
    test "$(wc -l <"$W/answered")" -gt 40 -a "$(answers | wc -l)" -gt "$(wc -l <"$W/answered")"
last=$(record_count)
for ((n = before; n < last; n += 256)); do records $n; done | jq -r 'select(.ev == "use.sign") | "\(.seq) \(.inv[0].h)"' | sort >"$W/recorded"
equal "… each that was answered is recorded" "" "$(comm -13 "$W/recorded" "$W/answered")"

# ---- purposes are kept apart ----

PROGRAM=$CODES call kv-other POST /v1/sessions "{\"context\":\"$NIP\"}"
refused "a grant for codes opens no session" policy.operation-not-granted 403
call kv-erp POST /v1/offline-codes "$(body $NIP "$hash")"
refused "a grant for sessions signs no code" policy.operation-not-granted 403
OPERATIONS="auth.xades session.open" CREDENTIAL=codes-ec isnt "an Offline credential is not granted for logging in" request_grant erp-codes --context $NIP
is "… and the refusal names the kind" grep -q 'policy.credential-purpose' "$W/err"
OPERATIONS=qr.kod2 CREDENTIAL=ksef-auth isnt "an authentication credential is not granted for codes" request_grant erp-codes --context $NIP
is "… by name too" grep -q 'policy.credential-purpose' "$W/err"

# ---- limits ----

by fin-01 grant revoke "$EC"
codes "$(body $NIP "$hash")"
refused "a revoked grant signs nothing" policy.grant-revoked 403
CREDENTIAL=codes-ec new_grant erp-codes --context $NIP --rate 5/h >/dev/null
before=$(record_count)
codes "$(body $NIP "${many[@]:0:6}")"
refused "six at once, where five an hour are allowed" policy.rate 429
equal "… none of them is signed" "$before" "$(record_count)"
is "five are" codes "$(body $NIP "${many[@]:0:5}")"
codes "$(body $NIP "$hash")"
refused "and then none for a while" policy.rate 429
is "… with Retry-After" test "$(header Retry-After)" -gt 0

# ---- the command line, as the ERP's account ----

kvc() { as kv-other "$BIN/ksefvault" --socket "$W/run/agent.sock" --config "$W/ksefvault.yaml" "$@"; }
request=$(by cus-01 integration change erp-codes --exe "$BIN/ksefvault" --reason "The command line prints") || die "change"
approved "$request" fin-01 cus-02
CREDENTIAL=codes-ec new_grant erp-codes --context $VAT_UE >/dev/null 2>&1
cp "$world_root/tests/vectors/ksef/qr/invoice-sample.xml" "$W/invoice.xml" && chmod 0644 "$W/invoice.xml"
mkdir -p "$W/png" && chown kv-other "$W/png"
is "code make for a file" kvc code make --invoice "$W/invoice.xml" --seller 5265877635 --date 2026-06-01 --context $PEPPOL --png "$W/png/a" --json
cp "$W/said" "$W/made"
equal "… both links" "2" "$(jq '[.codes[0].certificateLink, .codes[0].invoiceLink | strings] | length' "$W/made")"
is "… and both images" test -s "$W/png/a-kod1.png" -a -s "$W/png/a-kod2.png"
scanned() { zbarimg --quiet --raw "$1" 2>/dev/null; }
equal "… a scanner reads KOD I" "$(jq -r '.codes[0].invoiceLink' "$W/made")" "$(scanned "$W/png/a-kod1.png")"
equal "… and KOD II" "$(jq -r '.codes[0].certificateLink' "$W/made")" "$(scanned "$W/png/a-kod2.png")"
isnt "… an image that is there is not replaced" kvc code make --invoice "$W/invoice.xml" --seller 5265877635 --context $PEPPOL --png "$W/png/a"
for ((i = 0; i < 150; i++)); do invoice; done >"$W/hashes"
chmod 0644 "$W/hashes"
before=$(record_count)
kvc code make --batch --seller 5265877635 --context $PEPPOL <"$W/hashes" >"$W/lines" 2>"$W/err"
equal "a batch on standard input ends well" 0 $?
equal "… a line for each, in their order" "$(cat "$W/hashes")" "$(jq -r .hash "$W/lines")"
equal "… and a record for each" $((before + 150)) "$(record_count)"
before=$(record_count)
{ head -3 "$W/hashes"; echo nonsense; } | kvc code make --batch --seller 5265877635 --context $PEPPOL >"$W/lines" 2>"$W/err"
equal "a batch with a bad line is bad input" 2 "${PIPESTATUS[1]}"
is "… which names the line" grep -q 'line 4' "$W/err"
equal "… and nothing of it is signed" "$before 0" "$(record_count) $(wc -l <"$W/lines")"

is "the ledger verifies" verify
finish
