#!/usr/bin/env bash
# Sessions at KSeF that are shared: one login for all callers of a grant, a lease for each, a token that
# is refreshed before it is given, and an end at KSeF with the last lease or with the grant.
. "$(dirname "$0")/harness.sh"
founded
ksef_calls() { ksefsim /control/state | jq ".calls[\"$1\"] // 0"; }
control() { ksefsim "/control/$1" -d "$2" -f >"$W/control" || die "control $1 $2"; }
since() { records "$from" | jq -c "select(.ev == \"$1\")"; }
# a protected call at KSeF with the last token
works() { [ "$(ksefsim /v2/auth/sessions -o "$W/list" -w '%{http_code}' -H "Authorization: Bearer $(field accessToken)")" = 200 ]; }
listed() { jq -r '.items[].referenceNumber' "$W/list"; }

# ---- sharing ----

from=$(record_count) before=$(ksef_calls xades)
session "$NIP"; printf '%s\n' "$answer" >"$W/one"
is "the token of a session works at KSeF" works
session "$NIP"; printf '%s\n' "$answer" >"$W/two"
equal "a second caller gets the same session's token" "$(jq -r .accessToken "$W/one")" "$(jq -r .accessToken "$W/two")"
isnt "… under a lease of his own" test "$(jq -r .session "$W/one")" = "$(jq -r .session "$W/two")"
equal "… by one login" $((before + 1)) "$(ksef_calls xades)"
equal "… with a record for each lease" "$(jq -r .session "$W/one" "$W/two")" "$(since ksef.session | jq -r .info.lease)"
equal "the status tells of one session" 1 "$(agent_answers | jq .sessions)"
pids=()
for i in {1..40}; do ( session "$NIP"; printf '%s\n' "$answer" >"$W/many.$i" ) & pids+=($!); done
wait "${pids[@]}"
equal "forty callers at once: forty leases" 40 "$(cat "$W"/many.* | jq -r .session | sort -u | wc -l)"
equal "… and no further login" $((before + 1)) "$(ksef_calls xades)"
GRANT_2=$(CREDENTIAL=ksef-auth new_grant erp-1 --context $INTERNAL)
session "$INTERNAL"; printf '%s\n' "$answer" >"$W/internal"
equal "another grant has a session of its own" $((before + 2)) "$(ksef_calls xades)"

# ---- leases end ----

close() { call "${USER_IS:-kv-erp}" DELETE "/v1/sessions/$1"; }
id=$(jq -r .session "$W/one")
USER_IS=kv-other close "$id"
refused "nobody else ends a lease" input.not-found 404
close nonsense
refused "a lease that is none" input.not-found 404
for file in "$W"/many.*; do close "$(jq -r .session "$file")" || break; done
is "leases end one by one" test "$status" = 200
close "$id"
equal "… with others left, the session stays" false "$(field endsAtKsef)"
is "… and it is said until when KSeF takes the token" test -n "$(field accessTokenValidUntil)"
close "$id"
refused "a lease that has ended" input.not-found 404
answer=$(cat "$W/one"); is "the session is listed by KSeF" works
ref=$(since ksef.session | jq -rs '.[0].ksef.authRef')
is "… under the reference of the record" grep -qxF "$ref" <(listed)
close "$(jq -r .session "$W/two")"
equal "with the last lease it ends at KSeF" true "$(field endsAtKsef)"
one_session() { agent_answers | holds '.sessions == 1'; }
is "… soon" wait_for 15 one_session
equal "… which is recorded, with the reason" "ksef-auth $NIP $ref ok last-lease" \
    "$(since ksef.close | jq -r '"\(.cred) \(.ctx) \(.ksef.authRef) \(.out) \(.info.why)"')"
equal "… and how long its access tokens live on" "$(jq -r .validUntil "$W/one")" "$(since ksef.residual | jq -r .info.until)"
answer=$(cat "$W/internal"); is "the other session" works
isnt "KSeF lists the ended one no more" grep -qxF "$ref" <(listed)

KEY=again session "$INTERNAL"; again=$(field session)
KEY=again session "$INTERNAL"
equal "a repeated call gets the same lease" "$again" "$(field session)"
close "$again"
KEY=again session "$INTERNAL"
isnt "… but not when it has ended" test "$again" = "$(field session)"
close "$(field session)"

# ---- a token near its end is refreshed before it is given ----

close "$(jq -r .session "$W/internal")"
wait_for 15 no_sessions || die "sessions stay: $(agent_answers)"
from=$(record_count)
control access '{"seconds": 60}' # what KSeF gives now ends in a minute
session "$NIP"; printf '%s\n' "$answer" >"$W/short"
control access '{"seconds": 900}'
before=$(ksef_calls xades)
pids=()
for i in {1..10}; do ( session "$NIP"; printf '%s\n' "$answer" >"$W/fresh.$i" ) & pids+=($!); done
wait "${pids[@]}"
answer=$(cat "$W/fresh.1"); is "callers near the token's end get one that works" works
is "… and is good for longer" test "$(field validUntil)" '>' "$(jq -r .validUntil "$W/short")"
equal "… all of them" 1 "$(cat "$W"/fresh.* | jq -r .accessToken | sort -u | wc -l)"
equal "… by one refresh" "$((before)) 1" "$(ksef_calls xades) $(since use.outcome | jq -c 'select(.info.refresh)' | tail -n +2 | wc -l)"
equal "… between an intent and its outcome" "2 2" "$(since use.intent | grep -c session.open) $(since use.outcome | grep -c '"refresh"')"

# ---- a refresh that fails ----

end_session "$W/short" "$W"/fresh.*
from=$(record_count)
control access '{"seconds": 60}'
session "$NIP"; printf '%s\n' "$answer" >"$W/short"
control access '{"seconds": 900}'
control fault '{"endpoint": "refresh", "kind": "too-many-requests", "retry_after": 2}'
session "$NIP" -H 'Prefer: wait=1'
refused "KSeF asks for patience with a refresh" ksef.rate-limited 503
equal "… and that is what the caller is told" 2 "$(header Retry-After)"
session "$NIP"; printf '%s\n' "$answer" >"$W/later"
equal "… and who waits gets it" 201 "$status"
equal "… each try with its outcome" "ok error ok" "$(since use.outcome | jq -r 'select(.out) | select(.ksef.authRef) | .out' | tail -n 3 | paste -sd' ')"

# ---- what ends a session ----

end_session "$W/short" "$W/later"
from=$(record_count)
session "$NIP"
is "a session works" works
by fin-01 grant suspend "$GRANT"
is "a suspended grant ends it at KSeF" wait_for 15 no_sessions
equal "… as suspended" suspended "$(since ksef.close | jq -r .info.why)"
close "$(field session)"
refused "… with its leases" input.not-found 404
approved "$(by cus-02 grant resume "$GRANT" --reason "Again")" fin-01 cus-01
from=$(record_count)
control fault '{"endpoint": "session-end", "kind": "server-error", "times": 2}'
session "$NIP"
is "the resumed grant has a session anew" test "$status" = 201
by cus-01 grant revoke "$GRANT"
is "revoked while KSeF fails: it is tried until the session is gone" wait_for 30 no_sessions
equal "… at the grant's end" grant-end "$(since ksef.close | jq -r .info.why)"
equal "… and then the grant is closed: by whom, and until when its token works" "cus-01 $(since ksef.residual | tail -1 | jq -r .info.until)" "$(since grant.close | jq -r '"\(.person) \(.info.residual)"')"
equal "… behind the session's end" "ksef.close ksef.residual grant.close" "$(records "$from" | jq -r 'select(.ev == "ksef.close" or .ev == "ksef.residual" or .ev == "grant.close") | .ev' | tail -3 | paste -sd" ")"
equal "… recorded once" 1 "$(since ksef.close | wc -l)"
ref=$(since ksef.close | jq -r .ksef.authRef)
session "$INTERNAL"; is "KSeF's own list" works
isnt "… has it no more" grep -qxF "$ref" <(listed)

# ---- the command line ----

request=$(by cus-01 integration change erp-1 --exe "$BIN/ksefvault" --exe-sha256 "$(sha256sum "$BIN/ksefvault" | cut -d' ' -f1)" --reason "By hand") || die "change"
approved "$request" fin-01 cus-02
kve() { as kv-erp "$BIN/ksefvault" --socket "$W/run/agent.sock" --config "$W/ksefvault.yaml" "$@"; }
kve session open --context $INTERNAL --json >"$W/out" || die "session open"
kve session close "$(jq -r .session "$W/out")" >"$W/closed" 2>&1
equal "session close by hand" 0 $?
is "… says until when the token works" grep -q 'works until' "$W/closed"
isnt "… once" kve session close "$(jq -r .session "$W/out")"

is "the ledger verifies" verify
finish
