#!/usr/bin/env bash
# Every refusal that a person's signed text can meet. Only a text that stands is recorded; one that
# names a state of the log that never was leaves an alarm.
. "$(dirname "$0")/harness.sh"
founded

req() { request_grant erp-1 --context $INTERNAL; }
id=$(req) || die "request"
text() { # PERSON [REQUEST]: the text that this person would sign
    rm -f "$W"/text "$W"/text.*
    kv statement "${2:-$id}" --as "$1" --key "$(key_of "$1")" --out "$W/text" >"$W/out" 2>&1 || die "statement: $(cat "$W/out")"
}
edit() { sed -i "$1" "$W/text"; }
hand_in() { # text, signature and reasons as they are, by the API
    local private=null
    [ ! -e "$W/text.private.json" ] || private=$(cat "$W/text.private.json")
    jq -n --rawfile text "$W/text" --rawfile signature "$W/text.sig" --argjson private "$private" \
        '{text: $text, signature: $signature} + if $private then {private: $private} else {} end' >"$W/body"
    call kv-other POST /v1/submissions "@$W/body"
}
later() { date -u -d "$1" +%Y-%m-%dT%H:%M:%SZ; }
fresh_nonce() { edit "0,/^nonce: /s|^nonce: .*|nonce: $(head -c 32 /dev/urandom | basenc --base64url | tr -d =)|"; }

# a stranger's key, and a text with carriage returns
ssh-keygen -q -t ed25519 -N '' -C stranger -f "$W/people/stranger" </dev/null
stranger=$(key_of stranger)

# sentence | who the text is for | what is done to it | who signs | namespace | code | HTTP
rows='
carriage returns added on the way|fin-01|s/$/\r/|fin-01||statement.changed-in-transit|400
a byte order mark|fin-01|1s/^/\xef\xbb\xbf/|fin-01||statement.changed-in-transit|400
a line of its own|fin-01|/^decision/i colour: green|fin-01||statement.line|400
a line twice|fin-01|/^decision/p|fin-01||statement.line|400
a line left out|fin-01|/^rate/d|fin-01||statement.line|400
lines in another order|fin-01|/^decision/{h;d};/^role/G|fin-01||statement.line|400
a value out of its grammar|fin-01|s/^decision: .*/decision: perhaps/|fin-01||statement.value|400
another vault|fin-01|s/^vault: .*/vault: vault.example.com\/other/|fin-01||statement.request-differs|400
other terms than the request has|fin-01|s/^rate: .*/rate: 9999\/h/|fin-01||statement.request-differs|400
another request by hash|fin-01|s/^request-sha256: ./request-sha256: 0/;s/^request-sha256: 0\(.\{62\}\)./request-sha256: 0\10/|fin-01||statement.request-differs|400
the namespace of git|fin-01||fin-01|git|signature.namespace|400
the key of another person|fin-01||cus-01||signature.key|400
a key that nobody enrolled|fin-01|s\|^approver-key: .*\|approver-key: STRANGER\||stranger||approval.key-not-valid|403
somebody who is not enrolled|fin-01|s/^approver: .*/approver: fin-99/|fin-01||approval.person-unknown|403
a custodian in the seat of finance|cus-01|s/^role: .*/role: finance/|cus-01||approval.duty|403
the requester herself|fin-02||fin-02||approval.requester|403
a text from yesterday|fin-01|0,/^issued: /s/^issued: .*/issued: YESTERDAY/|fin-01||approval.time|409
a text from tomorrow|fin-01|0,/^issued: /s/^issued: .*/issued: TOMORROW/|fin-01||approval.time|409
another policy|fin-01|s/^policy: ./policy: 0/;s/^policy: 0\(.\{62\}\)./policy: 0\10/|fin-01||statement.request-differs|400
'
row() {
    local sentence=$1 person=$2 change=$3 signer=$4 namespace=$5 wanted=$6 http=$7 before
    text "$person"
    change=${change//STRANGER/$stranger} change=${change//YESTERDAY/$(later '-1 day')} change=${change//TOMORROW/$(later '+1 day')}
    [ -z "$change" ] || edit "$change"
    sign "$signer" "$W/text" "${namespace:-ksefvault-approval-v1}" || die "$sentence: sign"
    before=$(record_count)
    hand_in
    refused "$sentence" "$wanted" "$http"
    equal "… and the ledger is as before" "$before" "$(record_count)"
}
while IFS= read -r line; do
    [ -n "$line" ] || continue
    line=${line//\\|/$'\x02'} # \| is a | of the sed command
    IFS=$'\x01' read -r sentence person change signer namespace wanted http <<<"${line//|/$'\x01'}"
    row "$sentence" "$person" "${change//$'\x02'/|}" "$signer" "$namespace" "$wanted" "$http"
done <<<"$rows"

unchanged() { # SENTENCE CODE HTTP: hand in what lies there
    local before; before=$(record_count)
    hand_in
    refused "$@"
    equal "… and the ledger is as before" "$before" "$(record_count)"
}
text fin-01 && sign fin-01 "$W/text"
edit 's/^decision: approve/decision: deny/'
unchanged "a text changed after it was signed" signature.bad 400
text fin-01 && echo "-----BEGIN SSH SIGNATURE-----" >"$W/text.sig"
unchanged "half of a signature" signature.format 400
text fin-01 && sign fin-01 "$W/text" && sed -i '3s/./\*/' "$W/text.sig"
unchanged "a damaged signature" signature.format 400
text fin-01 && : >"$W/text.sig"
unchanged "no signature" input.field-missing 400
printf 'I approve.\n' >"$W/text"; sign fin-01 "$W/text"
unchanged "what is no text of ours" statement.line 400
head -c 2000 /dev/zero | tr '\0' 'x' >"$W/text"; sign fin-01 "$W/text"
unchanged "a line that is too long" statement.too-long 400
head -c 17000 /dev/zero | tr '\0' 'x' >"$W/text"; sign fin-01 "$W/text"
unchanged "a text that is too long" input.too-large 413

text fin-01
size=$(sed -n 's/^log-checkpoint: \([0-9]*\) .*/\1/p' "$W/text")
edit "s|^log-checkpoint: .*|log-checkpoint: $size $(head -c 32 /dev/urandom | base64)|"
sign fin-01 "$W/text"
before=$(record_count)
hand_in
refused "a checkpoint that this log never had" approval.checkpoint-unknown 409
equal "… leaves an alarm that names the person" "alarm.checkpoint fin-01 $size" \
    "$(records "$before" | jq -r '"\(.ev) \(.person) \(.info.size)"')"

# ---- what stands, and what comes after it ----

text fin-01 && sign fin-01 "$W/text"
is "anybody may carry a signed text in" hand_in
equal "… and is told who is missing" '["custodian"]' "$(jq -c .missing <<<"$answer")"
nonce=$(sed -n '0,/^nonce: /s/^nonce: //p' "$W/text") seq=$(field record) size=$(record_count)
hand_in
equal "the same text again gets the recorded answer" "$seq true" "$(field record) $(field repeated)"
equal "… and writes nothing" "$size" "$(record_count)"
text fin-01 && sign fin-01 "$W/text"
unchanged "one person twice" approval.person-twice 409
text cus-01 && edit "0,/^nonce: /s|^nonce: .*|nonce: $nonce|" && sign cus-01 "$W/text"
unchanged "a nonce that was used before" approval.nonce-used 409
text cus-02 && cp "$W/text" "$W/late"
text cus-01 && sign cus-01 "$W/text" && hand_in
equal "the second duty completes it" "done" "$(field state)"
cp "$W/late" "$W/text" && sign cus-02 "$W/text"
unchanged "a decision on what is decided" approval.request-not-open 409

# ---- acts, and requests that nobody may make ----

act() { # PERSON NOUN VERB…: writes the text
    local who=$1; shift
    rm -f "$W"/text "$W"/text.*
    kv "$@" --as "$who" --key "$W/people/$who" --out "$W/text" >"$W/out" 2>&1 || die "$*: $(cat "$W/out")"
}
act fin-01 grant suspend "$GRANT"
edit 's/^target: .*/target: grant 01M88GYM2GKB4J5454D9JP3DFX/' && sign fin-01 "$W/text"
unchanged "an act on what does not exist" act.target 409
act fin-01 grant suspend "$GRANT"
edit 's/^vault: .*/vault: vault.example.com\/other/' && sign fin-01 "$W/text"
unchanged "an act for another vault" statement.value 400
act fin-01 grant suspend "$GRANT"
edit "s/^actor: .*/actor: cus-01/" && sign fin-01 "$W/text"
unchanged "an act in another's name" approval.key-not-valid 403
act fin-01 grant request --credential ksef-auth --integration erp-1 --context $OTHER_NIP --operation auth.xades --days 200 --reason "A test"
sign fin-01 "$W/text"
unchanged "a grant beyond the policy's limit" request.policy-limit 409
act fin-01 grant request --credential ksef-none --integration erp-1 --context $OTHER_NIP --operation auth.xades --reason "A test"
sign fin-01 "$W/text"
unchanged "a grant of what does not exist" request.name-unknown 409
act fin-01 credential generate ksef-auth --kind auth-certificate --key-type ec-p256 --slot main --environment test \
    --context $NIP --business-owner fin-01 --custodian cus-01 --reason "A test"
sign fin-01 "$W/text"
unchanged "a credential of a name that exists" request.exists 409
new_integration erp-other 61001 /usr/bin/curl
act fin-01 grant request --credential ksef-auth --integration erp-other --context $NIP --operation auth.xades --reason "A test"
sign fin-01 "$W/text"
unchanged "one credential for two integrations" request.credential-shared 409
act fin-01 person enrol cus-09 --duty custodian --public-key "$W/people/fin-02.pub" --reason "A test"
sign fin-01 "$W/text"
unchanged "a person with another's key" person.key-in-use 409
act fin-01 person enrol cus-09 --duty custodian --public-key "$W/people/stranger.pub" --reason "A test"
sign fin-01 "$W/text"
unchanged "a person whose key has not signed" person.key-not-proven 400
call kv-other GET /v1/founding
refused "founding what is founded" vault.already-founded 409

# ---- reasons, which travel beside the text ----

without() { # SENTENCE: the text needs its reason
    mv "$W/text.private.json" "$W/reason.json"
    unchanged "$1" input.field-missing 400
    equal "… and the API names what is missing" true "$(field detail | grep -q 'FILE.private.json' && echo true)"
    mv "$W/reason.json" "$W/text.private.json"
}
act fin-01 grant suspend "$GRANT" --reason "A look"
is "who makes a text is told what goes with it" grep -q "^$W/text.private.json goes with $W/text:" "$W/out"
sign fin-01 "$W/text"
without "an act without the reason that it commits to"
by_hand() { kv submit "$W/text" >"$W/out" 2>&1; }
mv "$W/text.private.json" "$W/reason.json" && before=$(record_count)
is "the command refuses it, too" exits 2 by_hand
is "… and names the text and the file" grep -q "$W/text: .*FILE.private.json" "$W/out"
equal "… and the ledger is as before" "$before" "$(record_count)"
mv "$W/reason.json" "$W/text.private.json"
is "with its reason beside it the same text is taken" by_hand
equal "… and recorded" "grant.suspend true" "$(record "$before" | jq -r '"\(.ev) \(.priv | has("reason"))"')"
act fin-01 person enrol cus-09 --duty custodian --public-key "$W/people/stranger.pub" --name "A. Stranger" --reason "A test"
sign fin-01 "$W/text"
jq -c 'map(select(.field == "reason"))' "$W/text.private.json" >"$W/reason.json" && mv "$W/reason.json" "$W/text.private.json"
unchanged "a request with its reason, but without the name" input.field-missing 400

is "the trail verifies" verify

# ---- what the command line can see by itself ----

problem() { # SENTENCE CODE PATTERN ARGUMENTS…: the problem object on standard output, as the agent's
    local sentence=$1 wanted=$2 pattern=$3; shift 3
    "$BIN/ksefvault" --socket "${SOCKET:-$W/run/agent.sock}" --config "$W/ksefvault.yaml" "$@" --json >"$W/out" 2>"$W/err"
    is "$sentence [$wanted]" holds '.code == $c and (.detail | test($p)) and (.title | length > 0) and (.retry | length > 0) and (.next | length > 0)' \
        --arg c "$wanted" --arg p "$pattern" <"$W/out"
}
typed=(--reason "A test" --as cus-01 --key "$W/people/cus-01")
generate=(credential generate ksef-new --key-type ec-p256 --slot main --environment test --business-owner fin-01 --custodian cus-01 "${typed[@]}")
grant=(grant request --credential ksef-auth --integration erp-1 --context $NIP "${typed[@]}")
SOCKET=$W/none.sock problem "no agent" agent.unreachable "none.sock" status
problem "no such file" input.not-found "nothing-here" policy check "$W/nothing-here"
problem "no such option" input.usage "--nonsense" grant list --nonsense
problem "a mistyped NIP" input.nip-checksum "--context 'Nip:5265877636'" "${generate[@]}" --kind auth-certificate --context Nip:5265877636
problem "a kind that does not exist" input.usage "--kind 'auth' .*auth-certificate or offline-certificate" "${generate[@]}" --kind auth --context $NIP
problem "a kind that is not generated" input.usage "^[^0-9]*$" "${generate[@]}" --kind token --context $NIP
problem "a rate without its time" input.usage "--rate '5' is not a rate like 120/h" "${grant[@]}" --operation auth.xades --rate 5
problem "an operation that does not exist" input.usage "--operation 'foo' .*auth.xades" "${grant[@]}" --operation foo
problem "a key that is none" input.usage "'nope' is no id of a key" key retire nope "${typed[@]}"
problem "a grant that is none" input.usage "'nope' is no id of a grant" grant suspend nope "${typed[@]}"
is "… and the help of that command is named" grep -qx 'next: ksefvault grant suspend --help' "$W/err"

# ---- renewing, and comparing policies ----

old=$(new_grant erp-1 --context $INTERNAL --hours 2 --rate 100/h) || die "no grant"
new=$(by fin-02 grant renew "$old" --reason "Next quarter") || die "renew: $(cat "$W/err")"
approved "$new" fin-01 cus-01
terms() { kv grant list --json | jq -c --arg id "$1" '.grants[] | select(.id == $id) | [.integration, .credential, .context, .operations, .rate, .maxUses]'; }
equal "a renewed grant has the old one's terms" "$(terms "$old")" "$(terms "$new")"
length() { kv grant list --json | jq -r --arg id "$1" '.grants[] | select(.id == $id) | (.notAfter | fromdate) - (.notBefore | fromdate)'; }
equal "… and its length" "$(length "$old")" "$(length "$new")"
session $INTERNAL
is "… and is the one that is used" grep -q "$new" <(kv session list --json)
listed() { kv session list --json | holds '.sessions[0] | .integration == "erp-1" and .leases == 1 and .state == "open" and (has("accessToken") | not)'; }
is "the session list tells whose it is, and no token" listed
isnt "… to others" as kv-other "$BIN/ksefvault" --socket "$W/run/agent.sock" session list
end_session || die "the session did not end"
far=$(new_grant erp-1 --context $INTERNAL --days 90) || die "no grant"
isnt "a grant that ends in months is not renewed yet" by fin-02 grant renew "$far" --reason "Early"
is "… and it says from when" grep -q 'renewed from 20' "$W/err"
isnt "an unknown grant is not renewed" by fin-02 grant renew 01KEBQGH006J9ATSEGBABKZVWC --reason "None"
kv policy show --json | jq -r .text >"$W/same.yaml"
equal "a policy does not differ from itself" '[0,0,0]' "$(kv policy diff "$W/same.yaml" --json | jq -c '[.removed, .added, .endsGrants | length]')"
printf '%s\n' 'version: 1' 'approvals:' '  default: {finance: 1, custodian: 1}' 'limits:' '  grant-days-max: 30' 'custody-minimum: software' >"$W/other.yaml"
kv policy diff "$W/other.yaml" >"$W/diff" || die "diff"
is "another tells what goes and what comes" grep -q '^+ A routine grant lasts at most 30 days.' "$W/diff"
is "… in Polish, too" grep -q '^+ Zwykłe uprawnienie trwa najwyżej 30 dni.' <(kv policy diff "$W/other.yaml" --lang pl)

# ---- the status, in one screen ----

attends() { agent_answers | holds 'any(.attention[]; .what | test($about))' --arg about "$1"; }
# the policy lets grants be renewed 30 days before their end: this one in three seconds
ending=$(new_grant erp-1 --context $OTHER_NIP --seconds $((30 * 86400 + 3))) || die "no grant"
is "a grant that can be renewed is told" wait_for 10 attends "^The grant of erp-1 ends at"
by fin-01 integration suspend erp-1 --reason "A look" || die "suspend"
is "a suspended integration is told" attends "^Integration erp-1 is suspended"
is "… with what to do about it" grep -q 'integration resume' <(kv status)
early=$(request_grant erp-1 --context $INTERNAL) || die "request"
approve "$early" fin-01 && approve "$early" cus-01 || die "approve"
is "a grant that is approved and waits is told, by its request" bash -c "'$BIN/ksefvault' status --socket '$W/run/agent.sock' | grep -A1 'approved and waits for its integration' | grep -q '$early'"
by fin-02 integration resume erp-1 --reason "Looked at" >/dev/null || die "resume"
is "what waits is told" wait_for 5 attends 'for signatures'
finish
