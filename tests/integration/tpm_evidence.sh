#!/usr/bin/env bash
# Evidence: a TPM with the certificate of a maker (swtpm's own authority), whose keys are attested for who
# trusts that maker, certified on record, and checked offline by our program and by openssl alone.
. "$(dirname "$0")/harness.sh"
. "$(dirname "$0")/tpm-world.sh"

world_slot_config() { tpm_slot_config_with_roots; }
world_more_slots() { # one in the same TPM, with a list of makers of its own
    printf '  - {name: chip, tpm: "%s", tpm-roots: "%s", pin: "file:%s"}\n' "$(tpm_way)" "$W/makers/chip.pem" "$W/pin/main"
}
world_slot() {
    tpm_make
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$W/makers/key.pem" \
        -subj '/CN=Another Maker' -out "$W/makers/wrong.pem" 2>/dev/null || die "another maker"
    tpm_trust wrong
    tpm_trust right chip
    tpm_slot && kv slot init chip --label chip --pin-fd 9 9<"$W/pin/main"
}
checked() { # FILTER on the row `custody` of `slot check`
    kv slot check main --json >"$W/check" || { cat "$W/check"; return 1; }
    jq -c '.checks[] | select(.what == "custody")' "$W/check"
    jq '.checks[] | select(.what == "custody")' "$W/check" | holds "$1"
}
config_says() { ! "$BIN/ksefvaultd" --config "$W/ksefvault.yaml" --check 2>"$W/config" && grep -q "$1" "$W/config"; }
before_start() {
    is "without a maker that is trusted, swtpm is software, and slot check says why" checked \
        '.detail | startswith("software: ") and contains("Certificate: unable to get local issuer certificate")'
    is "the configuration is valid" "$BIN/ksefvaultd" --config "$W/ksefvault.yaml" --check
    echo 'no certificate' >"$W/makers/trusted.pem"
    is "… not with a file that holds no certificate" config_says 'tpm-roots: .* holds no certificate'
    tpm_trust right
    is "with its maker's certificate it is attested, and called what it is" checked \
        '.detail | startswith("attested: Certified by '"'swtpm-localca-rootca'"', though in software")'
    tpm_trust wrong
}
started

# ---- a policy that demands evidence ----

sed 's/^custody-minimum: software/custody-minimum: attested/' "$world_root/tests/integration/policy-test.yaml" >"$W/attested.yaml"
founding() {
    kv vault found --test --dir "$W/ceremony" --person "fin-01:finance:$W/people/fin-01.pub" --person "fin-02:finance:$W/people/fin-02.pub" \
        --person "cus-01:custodian:$W/people/cus-01.pub" --person "cus-02:custodian:$W/people/cus-02.pub" --policy "$W/attested.yaml"
}
found_and_sign() {
    founding >"$W/out" 2>&1
    for text in finance-fin-01 finance-fin-02 custodian-cus-01 custodian-cus-02; do sign "${text#*-}" "$W/ceremony/$text.txt" || return 1; done
    founding
}
restart_trusting() { agent_stop; tpm_trust "$@"; agent_start; }
custody_is() { agent_answers | holds '.slots[0].custody == $level' --arg level "$1"; }
is "a policy that demands attested keys refuses a maker whom nobody trusts" exits 3 founding
restart_trusting right
is "… and takes one that is trusted" found_and_sign
cp "$W/ceremony/log.vkey" "$W/log.vkey" || die "no log key"
is "status says attested" custody_is attested
is "… and why, to people as well" eval 'kv status | grep -Eq "^main +ready +attested .* though in software"'
new_credential ksef-auth
new_credential codes-rsa offline-certificate rsa-2048
listed() { kv credential list --json | holds '.credentials | length == 2 and all(.[]; .custody == "attested")'; }
is "so does the list of credentials" listed

# ---- on record, and offline ----

made() { records | jq -c 'select(.ev == "cred.create")'; }
has_evidence() { made | jq -s . | holds 'length == 2 and all(.[]; [.docs[].k] == ["public-key", "evidence"] and .info.custody == "attested")'; }
is "each key's record has what the TPM says of it" has_evidence
is "the trail verifies" verify
is "an export" kv ledger export "$W/export"
offline() { kv ledger verify "$W/export" --vkey "$W/log.vkey" "$@"; }
is "… verifies with the right list of makers, whose root is enough" offline --tpm-roots "$W/makers/root.pem"
says_makers() { offline --json --tpm-roots "$W/makers/root.pem" | holds '.exit == 0 and .tpmKeys == {certified: 3, attested: 3, makersChecked: true}'; }
is "… and it is said what was checked, the ledger's own key with it" says_makers
is "with another list of makers it does not" exits 10 offline --tpm-roots "$W/makers/wrong.pem"
cp "$W/said" "$W/refusal"
is "… and the record is named" grep -q 'seq [0-9]* cred.create: the maker of its TPM is not among yours: .*\[ledger.evidence\]' "$W/refusal"

# As the guide for auditors has it: openssl, coreutils, xxd.
by_hand() { # CREDENTIAL
    local record blob hand=$W/hand binding name
    record=$(jq -c --arg c "$1" 'select(.ev == "cred.create" and .cred == $c)' "$W/export/records.jsonl")
    blob() { jq -r --arg k "$1" '.docs[] | select(.k == $k).h' <<<"$record" | base64 -d | xxd -p -c 32; }
    mkdir -p "$hand" && blob=$W/export/blobs/$(blob evidence)
    part() { sed -n "s/^$1 //p" "$blob" | sed -n "${2:-1}p" | base64 -d; }
    part attested >"$hand/attested"
    part signature >"$hand/signature"
    { printf 3059301306072a8648ce3d020106082a8648ce3d03010703420004 | xxd -r -p
        part attestation-key | tail -c 66 | head -c 32; part attestation-key | tail -c 32; } >"$hand/ak.der"
    openssl dgst -sha256 -verify "$hand/ak.der" -keyform DER -signature "$hand/signature" "$hand/attested" || return 1
    binding=$({ printf '%s\n' ksefvault-evidence-1 vault.example.com/test-nip-5265877635 "$(jq -r .req <<<"$record")" "$1"
        grep '^certificate ' "$blob"; } | sha256sum | cut -d' ' -f1)
    name=$(part key | tail -c +3 | sha256sum | cut -d' ' -f1)
    xxd -p -c 999 "$hand/attested" | grep -q "^ff5443478017.*0020${binding}.*0022000b${name}" || return 1
    part certificate | openssl x509 -inform DER >"$hand/ek.pem"
    part certificate 2 | openssl x509 -inform DER >"$hand/issuer.pem"
    openssl verify -CAfile "$W/makers/root.pem" -untrusted "$hand/issuer.pem" "$hand/ek.pem"
}
is "openssl alone finds the same, of the EC key" by_hand ksef-auth
is "… and of the RSA key" by_hand codes-rsa
isnt "… and not of a credential that it is not for" by_hand codes-other
log_by() { # FILE in place of what the TPM said of the ledger's key
    rm -rf "$W/copy" && cp -r "$W/state/ledger" "$W/copy" && cp "$1" "$W/copy/public/log.evidence" || return 1
    exits 10 kv ledger verify "$W/copy" --vkey "$W/log.vkey" && grep -q "FAIL 10 public/log.evidence: .*\[ledger.evidence\]" "$W/said"
}
sed 's/^signature M/signature N/' "$W/export/keys/log.evidence" >"$W/changed.evidence"
is "what is said of the ledger's key and was changed is found" log_by "$W/changed.evidence"
is "… and what is said of another key in its place" log_by "$(grep -l '^ksefvault-evidence-1$' "$W"/export/blobs/* | head -n 1)"
large() { # the file is anybody's who can write to the copy
    head -c 49153 /dev/zero >"$W/copy/public/log.evidence"
    exits 10 kv ledger verify "$W/copy" --vkey "$W/log.vkey" && grep -q "FAIL 10 public/log.evidence: " "$W/said"
}
is "… and one larger than any evidence" large
changed() {
    local blob; blob=$(grep -l '^ksefvault-evidence-1$' "$W"/export/blobs/* | head -n 1)
    sed -i 's/^signature M/signature N/' "$blob"
    exits 10 offline && grep -q "FAIL 10 blobs/${blob##*/}" "$W/said"
}
is "evidence that was changed is found" changed

# ---- a slot of which nobody vouches any more ----

ask_for() { # CREDENTIAL SLOT
    by cus-01 credential generate "$1" --kind auth-certificate --key-type ec-p256 --slot "$2" --environment test \
        --context $NIP --business-owner fin-01 --custodian cus-01 --reason "A test"
}
request=$(ask_for later chip) || die "no request"
restart_trusting wrong chip
approved "$request" fin-01 cus-02
waits() { agent_answers | holds 'any(.attention[]; .what | test("The key of later is approved and waits: custody of slot chip is .software.*policy.custody-minimum"))'; }
is "a key that was approved waits for a better slot, and status says why" waits
isnt "… and nobody tries again and again" grep -q 'error ksefvault-vault key ' "$W/agent.log"
is "another one there is refused before anybody signs" exits 1 ask_for more chip
is "… with what to do" grep -q "slot chip is 'software', the policy demands 'attested'.*policy.custody-minimum" "$W/err"
restart_trusting right chip
is "with its maker trusted again, the key is made" credential_is later key

# ---- the maker is not trusted any more ----

restart_trusting wrong
is "the slot is software then" custody_is software
kept() { kv ledger verify "$W/state/ledger" --vkey "$W/log.vkey" --tpm-roots "$W/makers/root.pem" --json | holds '.exit == 0 and .tpmKeys.attested == 4'; }
is "… what was attested stays so, the ledger's own key, too" kept
nothing_is_given() {
    local id
    id=$(by cus-01 integration register more --purpose "A test's ERP" --business-owner fin-01 --custodian cus-01 --context $NIP \
        --operation auth.xades --uid 2101 --exe /bin/true --reason "A test") || return 1
    ! kv approve "$id" --as fin-01 --key "$W/people/fin-01" --yes >"$W/refusal" 2>&1 && grep -q 'policy.custody-minimum' "$W/refusal"
}
is "… and the policy that demands more lets nothing be given" nothing_is_given
finish
