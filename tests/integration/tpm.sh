#!/usr/bin/env bash
# A vault whose only slot is a TPM (swtpm): founding, the log's key, a credential, a session, a KSeF token,
# codes by EC and RSA, and a trail that verifies; no PKCS#11 module anywhere, and no secret on the TPM's
# bus. Then the TPM goes away, comes back, is another one, and refuses the PIN; a backup comes back.
WORLD_PIN=PLANTED-pin-of-the-TPM-7f3a91 TPM_LOG=1
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
    is "nothing of it stays in the TPM itself" has_slot '.persistent == []'
    is "… which is said" grep -q 'What stays in the TPM of slot main' <(kv slot list)
    is "a TPM has nothing to adopt" exits 2 kv slot adopt main
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

is "the slot is ready" slot_is ready
is "no program of the agent has a PKCS#11 module" no_module_loaded
is "… and its TPM is not asked what it keeps" has_slot '(.persistent == null) and (.notAsked | startswith("token.in-use"))'
custody() { kv credential list --json | holds 'all(.credentials[]; .custody == "software")'; }
is "a TPM in software is told for what it is" custody
is "a session" session $NIP
is "… whose refresh token lies wrapped under a key sealed in the TPM" bash -c "
    for f in '$W'/state/keeper/wrapped/end-*; do [ \"\$(head -c 5 \"\$f\" | xxd -p)\" = 4b56573102 ] || exit 1; done"
session_token=$(field accessToken)
is "… and ends" end_session
KSEF_TOKEN="20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|$(printf 'a%.0s' {1..64})"
ksefsim /control/token -f -d "{\"token\":\"$KSEF_TOKEN\",\"context\":{\"type\":\"Nip\",\"value\":\"5265877635\"}}" >/dev/null || die "token"
id=$(by cus-01 credential import token-1 --slot main --environment test --context $NIP --business-owner fin-01 --custodian cus-01 --reason "A token") || die "import"
approved "$id" fin-01 cus-02
import() { kv credential import-token token-1 --token-fd 7 7< <(printf %s "$KSEF_TOKEN"); }
is "a KSeF token is wrapped under a key sealed in the TPM" import
cp /usr/bin/curl "$W/erp/other" && chmod 0755 "$W/erp/other"
OPERATIONS="qr.kod2 auth.token session.open" new_integration erp-other kv-other "$W/erp/other"
CREDENTIAL=token-1 OPERATIONS="auth.token session.open" new_grant erp-other --context $NIP >/dev/null
by_token() {
    PROGRAM=$W/erp/other call kv-other POST /v1/sessions "{\"context\":\"$NIP\"}" &&
        PROGRAM=$W/erp/other call kv-other DELETE "/v1/sessions/$(field session)"
}
is "… and opens a session" by_token
new_credential codes-ec offline-certificate
new_credential codes-rsa offline-certificate rsa-2048
code_is_good() { # CREDENTIAL CONTEXT: made, and verified by its certificate
    local n
    CREDENTIAL=$1 OPERATIONS=qr.kod2 new_grant erp-other --context "$2" >/dev/null || return 1
    PROGRAM=$W/erp/other call kv-other POST /v1/offline-codes "$(jq -nc --arg c "$2" --arg h "$(openssl rand -base64 32)" \
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

# ---- a backup has the key files, and they are of use with this TPM only ----

is "a backup" kv backup "$W/backup"
equal "… has the key files" "$(key_files)" "$(find "$W/backup/keeper/tpm/main" -name 'key-*' | wc -l)"
agent_stop
rm -rf "$W/state/ledger" "$W/state/keeper/wrapped" "$W/state/keeper/tpm"
is "the state lost, the backup is put back" kv restore "$W/backup"
equal "… its key files are the keeper's" "700 ksefvault-keeper" "$(stat -c '%a %U' "$W/state/keeper/tpm/main")"
tpm_stop
tpm_start another
agent_start
is "another machine's TPM is told" wait_for 30 slot_is token.foreign
session $NIP
refused "… nothing can be used with it, not even the log's key" ledger.signer-down 503
tpm_stop
tpm_start
is "the TPM of the keys is taken again, by itself" wait_for 90 slot_is ready
is "… and gives sessions by the certificate" session $NIP
end_session >/dev/null
is "… and by the wrapped token" by_token

# ---- a wrong PIN ----

agent_stop
chmod 0600 "$W/pin/main"
printf 'not the PIN of this slot' >"$W/pin/main"
agent_start
is "a wrong PIN latches the slot" wait_for 30 slot_is token.pin-wrong
printf '%s' "$WORLD_PIN" >"$W/pin/main"
is "root unlocks it" kv slot unlock main
is "… and it is ready" wait_for 60 slot_is ready
is "the trail verifies" verify

# ---- the bus ----

# swtpm wrote all commands and answers, in hex
bus() { grep -E '^ [0-9A-F]{2}( |$)' "$W/tpm/bus.log" | tr -d ' \n'; }
hex() { od -An -tx1 -v | tr -d ' \n' | tr a-f A-F; }
on_bus() { bus | grep -qF "$1"; }
public_half=$(openssl x509 -inform DER -in "$W/codes-ec.der" -noout -pubkey | openssl pkey -pubin -outform DER | tail -c 64 | head -c 32 | hex)
is "the bus is heard: a new key's public half" on_bus "$public_half"
for secret in "$WORLD_PIN" "$KSEF_TOKEN" "${KSEF_TOKEN##*|}" "$session_token" "$(cut -d. -f3 <<<"$session_token")"; do
    isnt "… and no secret of ${#secret} characters" on_bus "$(printf '%s' "${secret:0:256}" | hex)"
done
isnt "… nor any JWT: refresh tokens are wrapped outside, under a key that the TPM keeps" on_bus "$(printf '%s' "${session_token:0:16}" | hex)"
agent_stop
stir() { # in a command of our own (TPM2_StirRandom), in clear
    "$world_python" - "$W/tpm/sock" "$1" <<'EOF'
import socket, struct, sys
data = sys.argv[2].encode()
with socket.socket(socket.AF_UNIX) as bus:
    bus.connect(sys.argv[1])
    bus.sendall(struct.pack(">HIIH", 0x8001, 12 + len(data), 0x146, len(data)) + data)
    sys.exit(bus.recv(64)[6:10] != bytes(4))
EOF
}
is "the search works: somebody sends the PIN in clear" stir "$WORLD_PIN"
is "… and it is found on the bus" on_bus "$(printf '%s' "$WORLD_PIN" | hex)"
finish
