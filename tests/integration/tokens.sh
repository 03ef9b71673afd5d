#!/usr/bin/env bash
# KSeF tokens: approved, brought in unseen, wrapped in the slot, proven at KSeF; then logins with them,
# the rotation of the ministry's keys, and what does not open when files are swapped.
. "$(dirname "$0")/harness.sh"
founded
control() { ksefsim "/control/$1" -d "$2" -f >"$W/control" || die "control $1 $2"; }
ksef_calls() { ksefsim /control/state | jq ".calls[\"$1\"] // 0"; }
since() { records "$from" | jq -c "select(.ev == \"$1\")"; }
wrapped=$W/state/keeper/wrapped
REF=20251010-EC-1DCE3E3000-12ECB5B36E-45 REF_2=20251010-EC-1DCE3E3000-12ECB5B36E-46
SECRET=919f704466624ce29cd5ac7b65ded5e7cccc112eee314f2aaa76e02cd16df7b9
TOKEN="$REF|nip-5265877635|$SECRET" TOKEN_2="$REF_2|nip-5265877635|$SECRET"
plant() { control token "{\"token\":\"$1\",\"context\":{\"type\":\"Nip\",\"value\":\"5265877635\"},\"state\":\"${2:-Active}\"}"; }
ask_import() { # ID [REFERENCE]
    by cus-01 credential import "$1" --slot main --environment test --context $NIP ${2:+--ksef-ref $2} \
        --business-owner fin-01 --custodian cus-01 --reason "The old ERP's token"
}
# hand_in ID TOKEN: as root, by a descriptor; the CLI's answer or problem is in $answer
hand_in() {
    answer=$(kv credential import-token "$1" --token-fd 7 --json 7< <(printf '%s\n' "$2") 2>"$W/err") && return
    answer=$(cat "$W/err"); return 1
}
told() { grep -q "$1" <<<"$answer" || { echo "$answer"; return 1; }; }

# ---- bringing one in ----

id=$(ask_import token-1 $REF) || die "no request: $(cat "$W/err")"
isnt "a token is not taken before its import is approved" hand_in token-1 "$TOKEN"
is "… and it says what to do" told 'two approvals'
approved "$id" fin-01 cus-02
from=$(record_count)
isnt "a token of KSeF 1.0 is refused" hand_in token-1 $SECRET
is "… and named as such" told 'KSeF 1.0'
isnt "a token that was not approved is refused" hand_in token-1 "$TOKEN_2"
is "… and it says which one was" told "not the approved one, $REF"
equal "… and KSeF has seen none of them" 0 "$(ksef_calls ksef-token)"
isnt "a token that KSeF does not take is refused" hand_in token-1 "$TOKEN"
is "… in KSeF's words" told 'ksef.token'
equal "… its trial is recorded: by the agent, under the request" "agent $id auth.token error" \
    "$(since use.intent | jq -r '"\(.who.kind) \(.grant) \(.op)"') $(since use.outcome | jq -r .out)"
none_kept() { [ -z "$(ls -A "$wrapped")" ] || { ls "$wrapped"; return 1; }; }
is "… and nothing of it is kept" none_kept
plant "$TOKEN"
as_other() { call kv-other POST /v1/credentials/token-1/import '{"point":"","sealed":""}'; }
as_other
refused "only root hands a token in" policy.not-allowed 403
is "a token that KSeF takes becomes a credential" hand_in token-1 "$TOKEN"
equal "… wrapped by the token's AES-GCM" aes-gcm "$(jq -r .rung <<<"$answer")"
equal "… imported, then active" "cred.import cred.activate" "$(records "$from" | jq -r 'select(.cred == "token-1" and (.ev | startswith("cred."))) | .ev' | paste -sd' ')"
equal "the ministry's key is recorded with its certificate" "true certificate" "$(since ksef.key | jq -r '"\(.info.announced) \(.docs[0].k)"')"
equal "its file is the keeper's alone" "600 ksefvault-keeper" "$(stat -c '%a %U' "$wrapped/token-token-1")"
isnt "a second time it is not taken" hand_in token-1 "$TOKEN"
is "… and it says why" told 'request.exists'

# ---- logging in with it ----

OPERATIONS="auth.token session.open" new_integration erp-2 kv-other /usr/bin/curl
TOKEN_GRANT=$(CREDENTIAL=token-1 OPERATIONS="auth.token session.open" new_grant erp-2 --context $NIP)
open() { call kv-other POST /v1/sessions "{\"context\":\"$NIP\"}"; }
from=$(record_count)
open
equal "a session by token" 201 "$status"
method() { [ "$(ksefsim /v2/auth/sessions -H "Authorization: Bearer $(field accessToken)" | jq -r '.items[0].authenticationMethodInfo.category')" = Token ]; }
is "… is one by token for KSeF too" method
equal "… with intent and outcome of auth.token" "$TOKEN_GRANT auth.token ok" "$(since use.intent | jq -r 'select(.op == "auth.token") | "\(.grant) \(.op)"') $(since use.outcome | head -1 | jq -r .out)"
wrong=$(CREDENTIAL=token-1 OPERATIONS="auth.xades session.open" request_grant erp-1 --context $NIP 2>"$W/said")
equal "a grant with auth.xades for it is refused" "" "$wrong"
is "… and it says why" grep -q policy.credential-purpose "$W/err"

# ---- the ministry's keys ----

close() { call kv-other DELETE "/v1/sessions/$(field session)"; wait_for 15 no_sessions; }
close || die "close: $answer"
control ministry '{"rotation":"planned"}'
open
equal "while both keys are listed, the old one is taken" 201 "$status"
close || die "close"
control ministry '{"rotation":"emergency"}'
from=$(record_count)
open
equal "a key that is gone is replaced by the new one, in the same call" 201 "$status"
equal "… after one refusal" "error ok" "$(since use.outcome | jq -r 'select(.ksef.code == 21470 or .out == "ok") | .out' | head -2 | paste -sd' ')"
equal "… which nobody announced" false "$(since ksef.key | jq -r .info.announced)"
equal "… so that it is an exception" "ksef.public-key ksef-key" "$(since exception.open | jq -r '"\(.err) \(.info.class)"')"
close || die "close"
control ministry '{"rotation":"planned"}'
agent_stop; agent_start
from=$(record_count)
open
equal "an announced key is used" "true" "$(since ksef.key | jq -r .info.announced)"
equal "… and is no exception" "" "$(since exception.open)"
close || die "close"

# ---- what does not open ----

id=$(ask_import token-2) || die "no request"
approved "$id" fin-01 cus-02
plant "$TOKEN_2"
# two at once: one brings it in, the other neither brings in nor drops anything
control polls '{"n": 4}'
twice() { kv credential import-token token-2 --token-fd 7 --json 7< <(printf '%s\n' "$TOKEN_2") >"$W/twice.$1" 2>&1; echo $? >"$W/exit.$1"; }
twice a & first=$!
twice b & second=$!
wait $first $second
control polls '{"n": 1}'
equal "of two hand-ins at once one succeeds" "0 6" "$(sort "$W/exit.a" "$W/exit.b" | paste -sd' ')"
is "… and the other is told to wait" grep -q agent.busy "$W/twice.a" "$W/twice.b"
is "… and the token is there" test -f "$wrapped/token-token-2"
swap() { mv "$wrapped/token-token-1" "$wrapped/x" && mv "$wrapped/token-token-2" "$wrapped/token-token-1" && mv "$wrapped/x" "$wrapped/token-token-2"; }
swap || die "swap"
open
refused "two wrapped files that were swapped do not open" token.wrapped-secret 500
swap || die "swap"
cp -p "$wrapped/token-token-1" "$W/good"
damage "$wrapped/token-token-1" 40
open
refused "a changed one does not open" token.wrapped-secret 500
rm "$wrapped/token-token-1"
open
refused "a missing one is named" token.wrapped-secret 500
cp -p "$W/good" "$wrapped/token-token-1"
open
equal "put back, it opens" 201 "$status"
plant "$TOKEN" Revoked
close || die "close"
open
refused "a token that was revoked at KSeF is refused" ksef.token 403

# ---- a policy that forbids tokens ----

printf '%s\n' 'version: 1' 'approvals:' '  default: {finance: 1, custodian: 1}' 'token-logins: no' 'custody-minimum: software' >"$W/no-tokens.yaml"
tokens_only=$(kv grant list --json | jq -r '[.grants[] | select(.state == "active" and (.operations | test("auth.token")) and (.operations | test("auth.xades") | not)) | .id] | sort[]')
[ -n "$tokens_only" ] || die "no grant of a token stands"
equal "the difference names the grants that would end" "$tokens_only" "$(kv policy diff "$W/no-tokens.yaml" --json | jq -r '[.endsGrants[].id] | sort[]')"
id_from=$(record_count)
id=$(by fin-02 policy propose "$W/no-tokens.yaml" --reason "No tokens any more") || die "propose: $(cat "$W/err")"
equal "… people sign which" "$tokens_only" "$(kv request show "$id" --json | jq -r .text | sed -n 's/^ends-grant-[0-9]*: //p' | sort)"
approved "$id" fin-01 cus-01
none_stands() { kv grant list --json | holds '[.grants[] | select(.state == "active" and (.operations | test("auth.token")))] == []'; }
is "… and they end with its activation" wait_for 10 none_stands
equal "… each with its record" "$tokens_only" "$(records "$id_from" | jq -r 'select(.ev == "grant.expire") | .grant' | sort)"
open
is "… nobody logs in with a token" grep -q '^policy\.' <(code)

# ---- it is nowhere ----

nowhere() { ! grep -r -a -l -F -e $SECRET "$@"; }
kv ledger export "$W/evidence" >/dev/null 2>&1 || die "export"
is "the token is nowhere in state, log or export" nowhere "$W/state" "$W/agent.log" "$W/evidence" "$W/keeper"
is "the ledger verifies" verify
finish
