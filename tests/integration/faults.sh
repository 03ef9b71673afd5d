#!/usr/bin/env bash
# What KSeF, its gateway or the network may do to a login: each has its code, and each intent exactly
# one outcome. Then callers who do not wait, who come together, and who call again.
. "$(dirname "$0")/harness.sh"
founded
control() { ksefsim "/control/$1" -d "$2" -f >"$W/control" || die "control $1 $2"; }
ksef_calls() { ksefsim /control/state | jq ".calls[\"$1\"] // 0"; }

# What a login left in the ledger: the outcomes' words, in order; a word for each that lacks one.
outcomes() {
    records "$1" | jq -rs '[.[] | select(.ev == "use.intent").seq] as $intents
        | [.[] | select(.ev == "use.outcome")] as $outs
        | [$intents[] as $i | [$outs[] | select(.of == $i).out] | if length == 1 then .[0] else "\(length) outcomes" end]
        | join(" ")'
}

# endpoint | fault, or what the status says | code, empty for a session | HTTP | outcomes of the intents
rows='
challenge|unauthorized|ksef.unauthorised|502|
challenge|firewall|ksef.answer|502|
challenge|gone|ksef.unauthorised|502|
challenge|bad-gateway|ksef.server-error|502|
challenge|server-error|ksef.server-error|502|
challenge|oversized|ksef.answer|502|
challenge|endless|ksef.answer|502|
challenge|hang-up|ksef.unreachable|502|
challenge|broken-json|ksef.answer|502|
challenge|drop|ksef.answer|502|
challenge|forbidden missing-permissions|ksef.no-permission|403|
challenge|warning||201|ok ok
xades|unauthorized|ksef.unauthorised|502|error
xades|firewall|ksef.answer|502|error
xades|bad-gateway|ksef.server-error|502|error
xades|server-error|ksef.server-error|502|error
xades|oversized|ksef.answer|502|unknown
xades|endless|ksef.answer|502|unknown
xades|hang-up|ksef.unreachable|502|unknown
xades|drop|ksef.answer|502|unknown
xades|broken-json|ksef.answer|502|error
xades|forbidden missing-permissions|ksef.no-permission|403|error
xades|forbidden ip-not-allowed|ksef.no-permission|403|error
xades|forbidden auth-method-not-allowed|ksef.no-permission|403|error
xades|forbidden security-service-blocked|ksef.rejected|502|error
xades|bad-request 9101|ksef.signature-rejected|502|error
xades|bad-request 9105|ksef.signature-rejected|502|error
xades|bad-request 21111|ksef.challenge|502|error
xades|bad-request 21115|ksef.signature-rejected|502|error
xades|bad-request 21117|ksef.no-permission|403|error
xades|bad-request 21301|ksef.unauthorised|502|error
xades|bad-request 21308|ksef.identity|403|error
xades|bad-request 21405|ksef.signature-rejected|502|error
xades|slow||201|ok ok
xades|warning||201|ok ok
status|unauthorized|ksef.unauthorised|502|error
status|gone|ksef.unauthorised|502|error
status|oversized|ksef.answer|502|unknown
status|broken-json|ksef.answer|502|error
status|slow||201|ok ok
says|400|ksef.certificate|403|error
says|415|ksef.no-permission|403|error
says|425|ksef.login-revoked|403|error
says|450|ksef.token|403|error
says|460|ksef.certificate|403|error
says|470|ksef.identity|403|error
says|480|ksef.blocked|403|error
says|500|ksef.server-error|502|error
says|550|ksef.server-error|502|error
redeem|unauthorized|ksef.unauthorised|502|ok error
redeem|server-error|ksef.server-error|502|ok error
redeem|hang-up|ksef.unreachable|502|ok unknown
redeem|drop|ksef.answer|502|ok unknown
redeem|endless|ksef.answer|502|ok unknown
redeem|broken-json|ksef.answer|502|ok error
redeem|slow||201|ok ok
'
plant() { # ENDPOINT KIND [DETAIL]
    control clear '{}'
    case $1 in
    says) control status "{\"code\":$2}" ;;
    *) control fault "$(jq -n --arg endpoint "$1" --arg kind "$2" --arg detail "${3:-}" '{$endpoint, $kind}
        + if $kind == "forbidden" then {reason: $detail} elif $kind == "bad-request" then {code: ($detail | tonumber)} else {} end')" ;;
    esac
}
row() {
    local endpoint=$1 fault=$2 wanted=$3 http=$4 outs=$5 before
    # shellcheck disable=SC2086 # kind and detail
    plant "$endpoint" $fault
    before=$(record_count)
    session "$NIP"
    if [ -z "$wanted" ]; then equal "$endpoint $fault: a session" "$http" "$status"; else refused "$endpoint $fault" "$wanted" "$http"; fi
    equal "… its intents end" "$outs" "$(outcomes "$before")"
    if [ "$http" = 201 ]; then
        end_session || die "the session did not end"
        return
    fi
    isnt "… and no token is in the answer" grep -q eyJ <<<"$answer"
    [ "$(field retry)" != after ] || equal "… with Retry-After, and in the answer" "$(field retryAfter)" "$(header Retry-After)"
}
while IFS='|' read -r endpoint fault wanted http outs; do
    [ -z "$endpoint" ] || row "$endpoint" "$fault" "$wanted" "$http" "$outs"
done <<<"$rows"
control clear '{}'

# ---- tokens as long as they may be, and longer ----

vault_was=$(agent_child vault)
control tokens '{"bytes": 8186}'
session "$NIP"
equal "tokens of 8 KiB: a session" 201 "$status"
is "… they are as long" test "$(field accessToken | wc -c)" -gt 8150
end_session || die "the session did not end"
control tokens '{"bytes": 9000}'
session "$NIP"
refused "longer ones are refused" ksef.answer 502
equal "… and the vault lives" "$vault_was" "$(agent_child vault)"
control tokens '{"bytes": 0}'

# ---- KSeF limits the rate ----

limit() { control clear '{}'; control fault "{\"endpoint\":\"$1\",\"kind\":\"too-many-requests\",\"retry_after\":$2}"; }
while read -r endpoint outs; do
    before=$(record_count) began=$(date +%s%N)
    limit "$endpoint" 2
    session "$NIP"
    equal "over the limit of $endpoint: the call waits, and gets its session" 201 "$status"
    is "… as long as KSeF says" test $((($(date +%s%N) - began) / 1000000)) -ge 1900
    equal "… and each try has its outcome" "$outs" "$(outcomes "$before")"
    end_session || die "the session did not end"
done <<'ROWS'
challenge ok ok
xades error ok ok
status ok ok
redeem ok error ok
ROWS
limit challenge 8
session "$NIP" -H 'Prefer: wait=1'
refused "a caller who does not wait that long is told" ksef.rate-limited 503
equal "… KSeF's own time" 8 "$(header Retry-After)"
before=$(ksef_calls challenge)
session "$NIP" -H 'Prefer: wait=1'
refused "… the next one is told to come back" ksef.busy 503
equal "… and KSeF is not asked before its time" "$before" "$(ksef_calls challenge)"
session "$NIP"
equal "… but when it is over, once" "201 $((before + 1))" "$status $(ksef_calls challenge)"
end_session || die "the session did not end"

# ---- KSeF is not there ----

kill -STOP "$world_ksef_pid"
session "$NIP" -H 'Prefer: wait=1'
refused "KSeF does not answer, and the caller waits one second" ksef.busy 503
kill -CONT "$world_ksef_pid"
session "$NIP"
equal "… and the login ends well when KSeF is back" 201 "$status"
end_session

# ---- callers who do not wait ----

control clear '{}'; control polls '{"n": 4}'
before=$(ksef_calls xades)
began=$(date +%s%N)
KEY=mine session "$NIP" -H 'Prefer: wait=0'
refused "a caller who does not wait is told to come back" ksef.busy 503
is "… at once" test $((($(date +%s%N) - began) / 1000000)) -lt 1500
is "… and when" test "$(header Retry-After)" -gt 0
pick_up() { KEY=mine session "$NIP" -H 'Prefer: wait=0'; }
is "… and gets the session later by the same key" wait_for 15 pick_up
got=$answer
equal "… of the one login that went on" $((before + 1)) "$(ksef_calls xades)"
KEY=mine session "$NIP"
equal "… and by the same key the same session again" "$got" "$answer"
equal "… without another login" $((before + 1)) "$(ksef_calls xades)"
KEY=mine session "$INTERNAL"
refused "the key with another body" input.idempotency-key 400
answer=$got
end_session

control polls '{"n": 4}'
( session "$NIP"; printf '%s\n' "$answer" >"$W/patient"; [ "$status" = 201 ] ) & patient=$!
wait_for 10 eval "[ \"\$(ksef_calls xades)\" -gt $((before + 1)) ]"
began=$(date +%s%N)
session "$NIP" -H 'Prefer: wait=0'
refused "one who joins a login and does not wait is told so" ksef.busy 503
is "… at once, though the first waits" test $((($(date +%s%N) - began) / 1000000)) -lt 1500
wait $patient
equal "… and the first gets the session" 0 $?
end_session "$W/patient"

# ---- the same key twice at the same moment ----

control clear '{}'; control polls '{"n": 3}'
from=$(record_count)
pids=()
for i in 1 2 3; do
    ( KEY=twin session "$NIP"; printf '%s\n' "$answer" >"$W/twin.$i" ) &
    pids+=($!)
done
wait "${pids[@]}"
equal "three calls with one key are one" 1 "$(sort -u "$W"/twin.? | wc -l)"
equal "… with one lease" "$(jq -r .session "$W/twin.1")" "$(records "$from" | jq -r 'select(.ev == "ksef.session").info.lease')"

end_session "$W/twin.1"

# ---- callers who come together ----

control clear '{}'; control polls '{"n": 3}'
before=$(ksef_calls xades) from=$(record_count)
pids=()
for i in {1..10}; do
    ( W_ANSWER=$W/together.$i; session "$NIP"; printf '%s\n' "$answer" >"$W_ANSWER" ) &
    pids+=($!)
done
wait "${pids[@]}"
cat "$W"/together.* >"$W/together"
equal "ten callers at once get ten sessions" 10 "$(jq -r .session "$W/together" | sort -u | wc -l)"
equal "… by one login" $((before + 1)) "$(ksef_calls xades)"
equal "… each with a record of its own" 10 "$(records "$from" | jq -r 'select(.ev == "ksef.session").info.lease' | sort -u | wc -l)"
equal "… whose number it was told" "$(records "$from" | jq -r 'select(.ev == "ksef.session") | "\(.info.lease) \(.seq)"' | sort)" \
    "$(jq -r '"\(.session) \(.record)"' "$W/together" | sort)"

end_session "$W/together"

# ---- what is taken away while a login goes on ----

control polls '{"n": 6}'
( session "$NIP"; printf '%s\n%s\n' "$status" "$answer" >"$W/late" ) & late=$!
before=$(ksef_calls xades)
wait_for 10 eval "[ \"\$(ksef_calls status)\" -gt 0 ] && [ \"\$(records $(record_count) | wc -l)\" -ge 0 ] && kv ledger tail --json | grep -q auth.xades"
sleep 0.5
by fin-01 grant revoke "$GRANT"
wait $late
equal "a grant revoked during the login gives no session" "403" "$(head -1 "$W/late")"
isnt "… and no token" grep -q eyJ "$W/late"
KEY=twin PROGRAM=/usr/bin/curl session "$NIP"
refused "another program of that account gets nothing by the key" policy.exe-changed 403
isnt "… and no token" grep -q eyJ <<<"$answer"
is "the trail verifies, no intent is open" verify

# ---- KSeF is not there ----

approved "$(by cus-02 integration resume erp-1 --reason "The program was compared")" fin-01 cus-01
GRANT=$(new_grant erp-1 --context $NIP) || exit 1
kill "$world_ksef_pid"; wait "$world_ksef_pid" 2>/dev/null
session "$NIP"
refused "a KSeF that is not there" ksef.unreachable 502
attends() { agent_answers | holds 'any(.attention[]; .what | test($about))' --arg about "$1"; }
is "the status says so, and since when" attends '^KSeF, since 20'
is "the trail verifies" verify
finish
