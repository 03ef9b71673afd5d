#!/usr/bin/env bash
# A vault whose only slot is a TPM (swtpm): founding, the log's key, a credential, a session, codes by EC
# and RSA, and a trail that verifies; no PKCS#11 module anywhere. Then the TPM goes away, comes back, is
# another one, and refuses the PIN.
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/tpm-world.sh"

slot_init() { kv slot init main --label ksefvault --pin-fd 9 "$@"; }
world_slot() { tpm_start; }
before_start() {
    is "a slot without keys is listed" has_slot '.initialised == false'
    is "a TPM's PIN must be long" exits 2 slot_init 9<<<"4711-pin"
    is "… and a long one will do" slot_init 9<"$W/pin/main"
    isnt "a slot is initialised once" slot_init 9<"$W/pin/main"
    is "slot check tries everything" check_slot
    is "… and leaves nothing" no_probes
    is "the slot is listed with its label" has_slot '.initialised and .label == "ksefvault" and (.uri | startswith("swtpm:"))'
}
has_slot() { kv slot list --json >"$W/list" && cat "$W/list" && holds ".slots | length == 1 and all($1)" <"$W/list"; }
check_slot() { kv slot check main --json >"$W/check"; cat "$W/check"; holds '.ok and (.checks | length > 8) and any(.checks[]; .what == "sign RSA PSS SHA-256" and .ok)' <"$W/check"; }
key_files() { find "$W/state/keeper/tpm/main" -name 'key-*' | wc -l; }
no_probes() { [ "$(key_files)" = 0 ]; }
slot_state() { agent_answers | jq -r '.slots[] | select(.name == "main").state'; }
slot_is() { [ "$(slot_state)" = "$1" ]; }
founded

# ---- what the company needs, from a TPM alone ----

keeper=$(agent_child keeper)
is "the slot is ready" slot_is ready
isnt "the keeper has no PKCS#11 token" grep -q 'softhsm' "/proc/$keeper/maps"
custody() { kv credential list --json | holds 'all(.credentials[]; .custody == "software")'; }
is "a TPM in software is told for what it is" custody
is "a session" session $NIP
is "… whose refresh token lies wrapped under a key sealed in the TPM" bash -c "
    for f in '$W'/state/keeper/wrapped/end-*; do [ \"\$(head -c 5 \"\$f\" | xxd -p)\" = 4b56573102 ] || exit 1; done"
is "… and ends" end_session
new_credential codes-ec offline-certificate
new_credential codes-rsa offline-certificate rsa-2048
cp /usr/bin/curl "$W/erp/codes" && chmod 0755 "$W/erp/codes"
OPERATIONS=qr.kod2 new_integration erp-codes kv-other "$W/erp/codes"
code_is_good() { # CREDENTIAL CONTEXT: made, and verified by its certificate
    local n
    CREDENTIAL=$1 OPERATIONS=qr.kod2 new_grant erp-codes --context "$2" >/dev/null || return 1
    PROGRAM=$W/erp/codes call kv-other POST /v1/offline-codes "$(jq -nc --arg c "$2" --arg h "$(openssl rand -base64 32)" \
        '{context: $c, seller: "5265877635", invoices: [{hash: $h, date: "2026-06-01"}]}')" || { echo "$answer"; return 1; }
    n=$(records | jq -r --arg c "$1" 'select(.ev == "cred.activate" and .cred == $c).seq')
    api -f "http://agent/v1/records/$n" | jq -r '.documents[] | select(.kind == "certificate").base64' | base64 -d >"$W/$1.der"
    kv code verify "$(field 'codes[0].certificateLink')" --cert "$W/$1.der"
}
is "an offline code by an EC key" code_is_good codes-ec $NIP
is "an offline code by an RSA key, with a salt of 32" code_is_good codes-rsa $INTERNAL

# ---- the TPM goes away ----

tpm_stop
isnt "without the TPM there is no session" session $NIP
is "… the slot says why" wait_for 30 slot_is token.absent
tpm_start
is "it comes back by itself" wait_for 90 slot_is ready
is "… and gives sessions" session $NIP
end_session >/dev/null

# ---- another TPM, a wrong PIN ----

agent_stop
tpm_stop
tpm_start another
agent_start
is "another TPM is told" wait_for 30 slot_is token.foreign
tpm_stop
tpm_start
is "… and the right one is taken again, by itself" wait_for 90 slot_is ready
agent_stop
chmod 0600 "$W/pin/main"
printf 'not the PIN of this slot' >"$W/pin/main"
agent_start
is "a wrong PIN latches the slot" wait_for 30 slot_is token.pin-wrong
printf '%s' "$WORLD_PIN" >"$W/pin/main"
is "root unlocks it" kv slot unlock main
is "… and it is ready" wait_for 60 slot_is ready

# ---- a backup has the key files, and they are of use with this TPM only ----

is "a backup" kv backup "$W/backup"
equal "… has the key files" "$(key_files)" "$(find "$W/backup/keeper/tpm/main" -name 'key-*' | wc -l)"
is "the trail verifies" verify
finish
