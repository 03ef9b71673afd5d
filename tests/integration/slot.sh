#!/usr/bin/env bash
# A slot with a wrong PIN: tried once, latched across restarts, unlocked by root alone. And keys of both
# kinds: RSA logs in as EC does, checked by xmlsec1.
. "$(dirname "$0")/harness.sh"
before_start() { # a second slot, whose token is not there
    sed -i 's|^ksef:|  - name: spare\n    module: '"$world_module"'\n    uri: "pkcs11:token=miss%69ng"\n    environment: ["SOFTHSM2_CONF='"$W"'/softhsm2.conf"]\n    readable: ["'"$W"'/softhsm2.conf"]\n    writable: ["'"$W"'/keeper/tokens"]\n    network: none\n    pin: "file:'"$W"'/pin/main"\n&|' "$W/ksefvault.yaml"
}
founded

status_is() { agent_answers | holds "$1"; }
logins() { grep -c 'slot code=token.pin-wrong' "$W/agent.log"; }

# ---- RSA and EC logins, checked by xmlsec1 ----

received_is_good() {
    xmlsec1 --verify --insecure --id-attr:Id http://uri.etsi.org/01903/v1.3.2#:SignedProperties "$W/ksef/received/latest.xml" >"$W/xmlsec" 2>&1 ||
        { cat "$W/xmlsec"; return 1; }
    grep -q 'SignedInfo References (ok/all): 2/2' "$W/xmlsec" && grep -q "$1" "$W/ksef/received/latest.xml"
}
digest_is_recorded() { # the SHA-256 of the request as the stand-in received it is in the record
    local dig; dig=$(openssl dgst -sha256 -binary "$W/ksef/received/latest.xml" | base64)
    records | jq -s . | holds 'any(.[]; .ev == "use.intent" and .op == "auth.xades" and .dig == $d)' --arg d "$dig"
}
session $NIP || die "no session: $answer"
is "EC: xmlsec1 accepts the request as received" received_is_good 'ecdsa-sha256'
is "EC: its digest is in the record" digest_is_recorded
id=$(by cus-01 credential generate ksef-rsa --kind auth-certificate --key-type rsa-2048 --slot main --environment test --context $NIP \
    --business-owner fin-01 --custodian cus-01 --reason "RSA") || die "credential: $(cat "$W/err")"
approved "$id" fin-01 cus-02
credential_is ksef-rsa key || die "no RSA key: $(kv credential list --json)"
kv credential self-sign ksef-rsa --subject person --nip 5265877635 --common-name "Jan Żółć" --given-name Jan --surname Żółć >"$W/out" 2>&1 || die "self-sign: $(cat "$W/out")"
by cus-01 grant revoke "$GRANT" >/dev/null
CREDENTIAL=ksef-rsa new_grant erp-1 --context $NIP >/dev/null || die "grant"
is "RSA: a session" session $NIP
is "RSA: xmlsec1 accepts the request as received" received_is_good 'xmldsig-more#rsa-sha256'
is "RSA: its digest is in the record" digest_is_recorded
exists_twice() { kv credential self-sign ksef-rsa --subject seal --nip 5265877635 --common-name x --organization x; }
isnt "a credential gets one certificate" exists_twice
custody() { kv credential list --json | holds 'all(.credentials[]; .custody == "software")'; }
is "custody says software" custody

# ---- a token that its slot could not find is not made ----

tokens() { kv slot list --json | jq -c '[.slots[] | select(.initialised) | .label]'; }
before=$(tokens)
init() { kv slot init spare --label "$1" --so-pin-fd 8 --pin-fd 9 8<"$W/pin/so" 9<"$W/pin/main" 2>"$W/err"; }
is "a label that the slot's uri does not name is refused" exits 2 init other
is "… and says which one it names" grep -q "uri names: 'missing'" "$W/err"
equal "… and no token was made" "$before" "$(tokens)"

# ---- a slot that is not there holds up no other ----

generate() { by cus-01 credential generate "$1" --kind "${4:-auth-certificate}" --key-type ec-p256 --slot "$2" --environment "${3:-test}" --context $NIP --business-owner fin-01 --custodian cus-01 --reason "A test"; }
isnt "a slot that is not configured is refused when it is asked for" generate typo mian
is "… by name" grep -q "slot 'mian' is not" "$W/err"
isnt "nor is a login at an environment of KSeF that the agent does not talk to" generate elsewhere main prod
is "… by name" grep -q "KSeF's environment 'test'" "$W/err"
is "… while codes are made for any" generate elsewhere main prod offline-certificate
id=$(generate waits spare) || die "generate"
approved "$id" fin-01 cus-02
id=$(generate next main) || die "generate"
approved "$id" fin-01 cus-02
is "the key of another slot is made all the same" credential_is next key
is "… and the status tells of the one that waits" status_is 'any(.attention[]; .what | test("The key of waits is approved and waits for slot spare"))'

# ---- a wrong PIN ----

printf 'not-the-pin' >"$W/pin/main"
kill "$(agent_child keeper)"
is "a wrong PIN is said so" wait_for 30 status_is '.slots[0].state == "token.pin-wrong"'
is "and what to do next" status_is '.next | test("slot unlock")'
sleep 4
equal "it is tried once" 1 "$(logins)"
mv "$W/state/keeper/main.latched" "$W/mark" # as if the disk had been full
kill -9 "$(agent_child vault)"
is "a new vault is told so, and no keeper is started" wait_for 30 status_is '.slots[0].state == "token.pin-wrong"'
equal "… which would try it again" 1 "$(logins)"
mv "$W/mark" "$W/state/keeper/main.latched"
agent_stop; agent_start
is "after a restart the slot is latched, not tried" wait_for 30 status_is '.slots[0].state == "token.latched"'
equal "still one try" 1 "$(logins)"
printf '%s' "${WORLD_PIN:-4711-vault-pin}" >"$W/pin/main"
sleep 3
is "a corrected PIN alone changes nothing" status_is '.slots[0].state == "token.latched"'
isnt "another account can't unlock" as kv-other "$BIN/ksefvault" --socket "$W/run/agent.sock" --config "$W/ksefvault.yaml" slot unlock main
is "root unlocks the slot" kv slot unlock main
is "the slot logs in" wait_for 60 status_is '.slots[0].state == "ready" and .signer == "ready"'
is "sessions open again" session $NIP
is "the ledger verifies" verify

# ---- PIN files that others could read are not used ----

chmod 0644 "$W/pin/main"
kill "$(agent_child keeper)"
is "a PIN file that others can read is refused" wait_for 30 status_is '.slots[0].state == "pin.open-to-others"'
chmod 0400 "$W/pin/main"
is "closed again, it is used" wait_for 60 status_is '.slots[0].state == "ready"'
finish
