#!/usr/bin/env bash
# Makes a golden ledger (docs/ledger-format.md §7): a life of a vault with as many kinds of events as a
# script can bring about, exported by this version's own agent. A golden ledger that is there is never
# made anew; a version that writes something else gets another one, and test_state_golden.c a row.
#
#   sudo BIN=build/release/bin tests/vectors/ledger/golden/make.sh tests/vectors/ledger/golden/NAME
#   KV_GOLDEN_WRITE=1 build/release/tests/test_policy_state_golden     writes each NAME.state: read the difference
to=$(realpath -m "${1:?FOLDER}")
[ ! -e "$to" ] || { echo "$to is there: it stays as it is" >&2; exit 2; }
folder=$(dirname "$0")/../../../integration
. "$folder/harness.sh"
. "$folder/tpm-world.sh" # its slot is a chip with a maker, so that keys have evidence
world_slot_config() { tpm_slot_config_with_roots; }
world_slot() { small_state 300m; tpm_make && tpm_trust right && tpm_slot; }

# The programs are copied, so that the vault can be given another time (libfaketime).
before_start() {
    cp -R "$BIN" "$W/bin"
    BIN=$W/bin
    mv "$BIN/ksefvault-vault" "$BIN/ksefvault-vault.real"
    offset_is +0s
}
offset_is() {
    cat >"$BIN/ksefvault-vault" <<EOF
#!/bin/sh
export LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME='$1' FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
exec $BIN/ksefvault-vault.real
EOF
    chmod 0755 "$BIN/ksefvault-vault" "$W" "$BIN"
}
step() { printf '# %s\n' "$*"; }
must() { "$@" >"$W/said" 2>&1 || die "$*: $(cat "$W/said")"; }
control() { ksefsim "/control/$1" -d "$2" -f >"$W/control" || die "control $1 $2"; }
has() { records_all | jq -s . | holds 'any(.[]; .ev == $ev)' --arg ev "$1"; }
records_all() { local from; for ((from = 0; from < $(record_count); from += 256)); do records $from; done; }
until_has() { wait_for "${2:-20}" has "$1" || die "no $1"; }

step "founded: a credential with evidence, an integration, a grant"
founded

step "a session by certificate, a refusal; a grant suspended, resumed, revoked and closed"
session $NIP || die "session: $answer"
call kv-other POST /v1/sessions "{\"context\":\"$NIP\"}"
by fin-01 grant suspend "$GRANT" --reason "A look"
approved "$(by cus-02 grant resume "$GRANT" --reason "Looked at")" fin-01 cus-01
session $NIP || die "session: $answer"
by cus-01 grant revoke "$GRANT" --reason "Over"
until_has grant.close

step "the integration changed, suspended, resumed"
approved "$(by cus-01 integration change erp-1 --operation auth.token --operation qr.kod2 --operation session.open --reason "Codes and tokens")" fin-01 cus-02
by cus-01 integration suspend erp-1 --reason "A look"
approved "$(by cus-02 integration resume erp-1 --reason "Looked at")" fin-01 cus-01

step "a code of an invoice"
new_credential codes offline-certificate
CREDENTIAL=codes OPERATIONS=qr.kod2 new_grant erp-1 --context $NIP >/dev/null
call kv-erp POST /v1/offline-codes "{\"context\":\"$NIP\",\"seller\":\"5265877635\",
    \"invoices\":[{\"hash\":\"$(openssl rand -base64 32)\",\"date\":\"2026-06-01\"}]}" || die "code: $answer"

step "a KSeF token, and a key of the ministry that nobody announced"
TOKEN="20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|$(printf 'a%.0s' {1..64})"
control token "{\"token\":\"$TOKEN\",\"context\":{\"type\":\"Nip\",\"value\":\"5265877635\"}}"
approved "$(by cus-01 credential import token-1 --slot main --environment test --context $NIP --business-owner fin-01 --custodian cus-01 --reason "A token")" fin-01 cus-02
must kv credential import-token token-1 --token-fd 7 7< <(printf %s "$TOKEN")
CREDENTIAL=token-1 OPERATIONS="auth.token session.open" new_grant erp-1 --context $NIP >/dev/null
control ministry '{"rotation":"emergency"}'
session $NIP || die "session by token: $answer"
until_has exception.open
end_session || die "session end: $answer"

request_token() { CREDENTIAL=token-1 OPERATIONS="auth.token session.open" request_grant erp-1 --context $NIP; }

step "requests: denied, withdrawn, lapsed under another policy"
kv deny "$(request_token)" --as fin-01 --key "$W/people/fin-01" --yes >"$W/out" 2>&1 || die "deny: $(cat "$W/out")"
must kv request withdraw "$(request_token)" --as fin-02 --key "$W/people/fin-02"
request_token >/dev/null
printf '%s\n' 'version: 1' 'approvals:' '  default: {finance: 1, custodian: 1}' 'limits:' '  grant-days-max: 20' \
    '  rate-max: 1000/min' 'custody-minimum: software' >"$W/shorter.yaml"
approved "$(by fin-02 policy propose "$W/shorter.yaml" --reason "Shorter grants")" fin-01 cus-01
until_has request.lapse

step "people: one more, another duty, a further key, a key retired, a key compromised, one leaves"
for who in cus-03 cus-01-2; do ssh-keygen -q -t ed25519 -N '' -C "$who" -f "$W/people/$who" </dev/null; done
approved "$(by fin-02 person enrol cus-03 --name "A Person" --duty custodian --public-key "$W/people/cus-03.pub" --new-key "$W/people/cus-03" --reason "A third")" fin-01 cus-01
approved "$(by fin-02 person change cus-03 --duty-from custodian --duty-to auditor --reason "Reads now")" fin-01 cus-01
approved "$(by fin-02 key enrol cus-01 --new-key "$W/people/cus-01-2" --reason "Second key")" fin-01 cus-02
before=$(date -u -d '-1 day' +%Y-%m-%dT%H:%M:%SZ)
by cus-01 key retire "$(key_of cus-01)" --reason "Worn"
cp "$W/people/cus-01-2" "$W/people/cus-01"; cp "$W/people/cus-01-2.pub" "$W/people/cus-01.pub"
by cus-01 key compromised "$(key_of cus-02)" --since "$before" --reason "Found copied"
by cus-01 person leave cus-02 --left-on "$(date -u +%F)" --reason "Left"

step "a statement over a state that the log never had"
id=$(by fin-02 integration resume erp-1 --reason "Looked at") || die "resume"
must kv statement "$id" --as fin-01 --key "$(key_of fin-01)" --out "$W/text"
sed -i "s|^log-checkpoint: \([0-9]*\) .*|log-checkpoint: \1 $(head -c 32 /dev/urandom | base64)|" "$W/text"
sign fin-01 "$W/text"
kv submit "$W/text" >"$W/out" 2>&1
until_has alarm.checkpoint
approved "$id" fin-01 cus-01

step "who reads: verified, exported"
must verify
must kv ledger export "$W/first"

step "the signer is away, and back"
tpm_stop
session $OTHER_NIP
until_has alarm.signer-down 60
tpm_start
signed() { agent_answers | holds '.signer == "ready" and .covered == .records'; }
wait_for 120 signed || die "the signer does not come back"

step "killed in a login and in a write"
ksefsim /control/fault -d '{"endpoint":"challenge","kind":"slow","delay":3}' -f >/dev/null || die "fault"
session $NIP & caller=$!
sleep 1
# shellcheck disable=SC2046 # pids
kill -9 "$world_agent_pid" $(pgrep -P "$world_agent_pid")
wait "$world_agent_pid" "$caller" 2>/dev/null
world_agent_pid=
$world_python - "$W/state/ledger/wal/00000000000000000000.seg" <<'EOF' || die "no torn frame"
import sys
path = sys.argv[1]
with open(path, "r+b") as f:
    data = f.read().rstrip(b"\0")
    f.seek(len(data))
    f.write(b"KVF1\0\0\x02") # a frame that was not written whole
EOF
agent_start
until_has log.recovered

step "the disk is full, and has room again"
left=$(df --output=avail -k "$W/state" | tail -1)
head -c $(((left - 4096) * 1024)) /dev/zero >"$W/state/ballast"
session $NIP
until_has alarm.disk-low
rm "$W/state/ballast"

step "the clock is set back, and put right"
agent_stop
offset_is -3600s
agent_start
session $NIP
until_has alarm.clock-behind
agent_stop
offset_is +0s
agent_start
until_has agent.stop

must kv ledger export "$to"
chown -R --reference="$(dirname "$to")" "$to"
records_all | jq -r .ev | sort | uniq -c | sed 's/^/# /'
is "the export verifies" kv ledger verify "$to" --vkey "$W/log.vkey"
finish
