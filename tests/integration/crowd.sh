#!/usr/bin/env bash
# A thousand callers at once, of twenty integrations: twenty logins, a thousand leases, each with its
# record; KSeF's limits are kept; and with the last leases all twenty sessions end.
. "$(dirname "$0")/harness.sh"
INTEGRATIONS=20 CALLERS=50
founded
calls() { ksefsim /control/state | jq ".calls[\"$1\"]"; }
first=61100 # uids of accounts that need not exist
for ((n = 1; n <= INTEGRATIONS; n++)); do
    new_credential "many-$n"
    new_integration "many-$n" $((first + n)) /usr/bin/curl
    CREDENTIAL=many-$n new_grant "many-$n" --context $NIP >/dev/null
done

mkdir "$W/leases"; chmod 1777 "$W/leases"
# at_once N: the calls of $W/N.curl under the account of integration N, each on a connection of its own
at_once() { as $((first + $1)) curl -sS --max-time 60 --no-progress-meter --parallel --parallel-immediate --parallel-max $CALLERS -K "$W/$1.curl"; }
all_at_once() {
    local pids=() n
    for ((n = 1; n <= INTEGRATIONS; n++)); do at_once $n & pids+=($!); done
    wait "${pids[@]}"
}
opening='unix-socket = "%s"\nurl = "http://agent/v1/sessions"\nheader = "Content-Type: application/json"
header = "Idempotency-Key: many-%s"\ndata = "{\\"context\\":\\"%s\\"}"\noutput = "%s"\nsilent\n'
ending='unix-socket = "%s"\nurl = "http://agent/v1/sessions/%s"\nrequest = DELETE\noutput = /dev/null\nsilent\n'
for ((n = 1; n <= INTEGRATIONS; n++)); do
    for ((i = 1; i <= CALLERS; i++)); do
        # shellcheck disable=SC2059 # a format of our own
        printf "$opening" "$W/run/agent.sock" "$n-$i" "$NIP" "$W/leases/$n.$i"
        [ $i = $CALLERS ] || echo next
    done >"$W/$n.curl"
done
from=$(record_count)
all_at_once
cat "$W"/leases/* >"$W/all"
equal "a thousand callers get a thousand leases" $((INTEGRATIONS * CALLERS)) "$(jq -r '.session // empty' "$W/all" | sort -u | wc -l)"
equal "… of one session for each integration" $INTEGRATIONS "$(jq -r '.accessToken // empty' "$W/all" | sort -u | wc -l)"
equal "… by twenty logins" $INTEGRATIONS "$(calls xades)"
for ((n = 1; n <= INTEGRATIONS; n++)); do jq -r .accessToken "$W"/leases/$n.* | sort -u | wc -l; done >"$W/tokens"
equal "… none shared between integrations" "$(yes 1 | head -$INTEGRATIONS)" "$(cat "$W/tokens")"
recorded() { local at; for ((at = from; at < $(record_count); at += 256)); do records $at; done | jq -r 'select(.ev == "ksef.session") | "\(.info.lease) \(.seq)"' | sort; }
equal "… each with the record that it was told" "$(jq -r '"\(.session) \(.record)"' "$W/all" | sort)" "$(recorded)"

# ---- and all go ----

for ((n = 1; n <= INTEGRATIONS; n++)); do
    jq -r .session "$W"/leases/$n.* | while read -r id; do
        # shellcheck disable=SC2059 # a format of our own
        printf "next\n$ending" "$W/run/agent.sock" "$id"
    done | sed 1d >"$W/$n.curl"
done
all_at_once
# all of one NIP: KSeF takes ten ends a second of one context
is "with the last leases all sessions end" wait_for 60 no_sessions
equal "… at KSeF too" 0 "$(ksefsim /control/state | jq '[.sessions[] | select(.open)] | length')"
is "the trail of it all verifies" verify
finish
