#!/usr/bin/env bash
# What KSeF can do to a login: each fault at each step has its own code, every intent gets exactly one
# outcome, nobody waits for ever, and callers of one grant share a login.
. "$(dirname "$0")/harness.sh"
founded
control() { ksefsim "/control/$1" -X POST -H 'Content-Type: application/json' -d "$2" >/dev/null; }
called() { ksefsim /control/state | jq -r ".calls.$1 // .counters.$1 // 0"; }

# endpoint | kind | code | HTTP status
rows='
challenge|too-many-requests|ksef.rate-limited|503
challenge|server-error|ksef.server-error|502
challenge|bad-gateway|ksef.server-error|502
challenge|firewall|ksef.answer|502
challenge|broken-json|ksef.answer|502
challenge|endless|ksef.answer|502
challenge|hang-up|ksef.unreachable|502
xades|too-many-requests|ksef.rate-limited|503
xades|bad-request|ksef.unauthorised|502
xades|server-error|ksef.server-error|502
xades|firewall|ksef.answer|502
xades|oversized|ksef.answer|502
xades|broken-json|ksef.answer|502
status|unauthorized|ksef.unauthorised|502
status|gone|ksef.unauthorised|502
status|server-error|ksef.server-error|502
status|broken-json|ksef.answer|502
redeem|server-error|ksef.server-error|502
redeem|broken-json|ksef.answer|502
redeem|firewall|ksef.answer|502
'
while IFS='|' read -r endpoint kind want http; do
    [ -n "$endpoint" ] || continue
    control fault "{\"endpoint\":\"$endpoint\",\"kind\":\"$kind\"}" || die "fault $endpoint $kind"
    session $NIP
    refused "$endpoint: $kind" "$want" "$http"
    control clear '{}'
done <<<"$rows"

# code of GET /auth/{reference} | code | HTTP status
while IFS='|' read -r ksef want http; do
    [ -n "$ksef" ] || continue
    control status "{\"code\":$ksef}"
    session $NIP
    refused "KSeF decides $ksef" "$want" "$http"
    control clear '{}'
done <<<'
415|ksef.no-permission|403
450|ksef.token|403
460|ksef.certificate|403
480|ksef.blocked|403
500|ksef.server-error|502
550|ksef.server-error|502'
is "after all that, a session" session $NIP

records >"$W/all"; for ((n = 256; n < $(record_count); n += 256)); do records $n >>"$W/all"; done
each() { jq -s . "$W/all" | holds "$1"; }
is "every intent has exactly one outcome" each '([.[] | select(.ev == "use.intent") | .seq] | sort) == ([.[] | select(.ev == "use.outcome") | .of] | sort)'
is "a failed outcome names its code" each 'all(.[] | select(.ev == "use.outcome" and .out == "error"); .err | startswith("ksef."))'
is "the ledger verifies" verify

# ---- waiting ----

control polls '{"n":6}'
KEY=once session $NIP -H 'Prefer: wait=0'
refused "who does not wait is told that the login goes on" ksef.busy 503
is "… and when to come back" test -n "$(header Retry-After)"
KEY=once session $NIP
equal "the same key picks the session up" 201 "$status"
first=$(field session)
KEY=once session $NIP
equal "and again: the same session" "$first" "$(field session)"
KEY=once session $INTERNAL
refused "the key with another body" input.idempotency-key 400
control clear '{}'

# ---- sharing ----

before=$(ksefsim /control/state | jq '[.. | objects | .xades? // empty] | add // 0')
for i in $(seq 10); do
    as kv-erp "$CONNECTOR" -sS --max-time 30 --unix-socket "$W/run/agent.sock" -H 'Content-Type: application/json' -H "Idempotency-Key: s$i" \
        -d "{\"context\":\"$NIP\"}" http://agent/v1/sessions >"$W/shared.$i" &
    joined="${joined:-} $!"
done
wait $joined
got=$(jq -s '[.[] | select(.session)] | length' "$W"/shared.*)
equal "ten callers at once all get a session" 10 "$got"
equal "each a lease of its own" 10 "$(jq -rs '[.[].session] | unique | length' "$W"/shared.*)"
after=$(ksefsim /control/state | jq '[.. | objects | .xades? // empty] | add // 0')
is "with fewer logins than callers ($((after - before)))" test $((after - before)) -lt 10 -a $((after - before)) -ge 1

# ---- KSeF is not there ----

kill "$world_ksef_pid"; wait "$world_ksef_pid" 2>/dev/null
session $NIP
refused "a KSeF that is not there" ksef.unreachable 502
is "the ledger verifies" verify
finish
