#!/usr/bin/env bash
# kill -9 of each program while calls run: what was answered is recorded, the supervisor replaces what
# died, the ledger verifies, and the state is the same afterwards.
. "$(dirname "$0")/harness.sh"
founded
# Of five programs. A program that died waits twice as long each time, so more rounds need much more time.
ROUNDS=${ROUNDS:-4}

# Three callers in the background, each asking for sessions thirty times a second; what they are answered is
# kept. One process each: the load is to be on the agent, not on starting programs.
requests() { # a configuration for curl: so many requests, each under a key of its own
    local i
    for ((i = 0; i < $1; i++)); do
        printf '%s\n' "unix-socket = $W/run/agent.sock" 'silent' 'max-time = 20' 'header = "Content-Type: application/json"' \
            "header = \"Idempotency-Key: $SRANDOM$SRANDOM$SRANDOM\"" "data = \"{\\\"context\\\":\\\"$NIP\\\"}\"" \
            'write-out = "\n"' 'url = "http://agent/v1/sessions"' 'next'
    done
}
load_start() {
    : >"$W/load.pids"
    rm -f "$W"/answered.*
    local i
    for i in 1 2 3; do
        requests 120 >"$W/requests.$i"
        chmod 0644 "$W/requests.$i"
        setpriv --reuid kv-erp --regid kv-erp --clear-groups --inh-caps=-all -- \
            "$CONNECTOR" --rate 30/s --config "$W/requests.$i" >"$W/answered.$i" 2>/dev/null &
        echo $! >>"$W/load.pids"
    done
}
load_stop() {
    local pid
    while read -r pid; do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done <"$W/load.pids"
}

# Every answered lease stands in the ledger under the number that was answered.
acknowledged_is_recorded() {
    local n
    # a caller that was stopped may have written half an answer
    cat "$W"/answered.* | jq -Rr 'fromjson? | select(.session) | "\(.record) \(.session)"' >"$W/checked"
    records >"$W/all"
    local size; size=$(record_count)
    for ((n = 256; n < size; n += 256)); do records $n >>"$W/all"; done
    [ -s "$W/checked" ] || { echo "nothing was answered"; return 1; }
    local lost; lost=$(jq -r 'select(.ev == "ksef.session") | "\(.seq) \(.info.lease)"' "$W/all" | sort | comm -13 - <(sort "$W/checked"))
    [ -z "$lost" ] || { echo "not recorded: $lost"; return 1; }
    echo "$(wc -l <"$W/checked") answers"
}
# an ended process that nobody has reaped yet has no command line left
gone() { local pid; for pid; do [ -z "$(tr -d '\0' 2>/dev/null <"/proc/$pid/cmdline")" ] || return 1; done; }
grants() { kv grant list --json | jq -c '[.grants[] | {id, state, operations, notAfter}]'; }

before=$(grants)
for program in gate courier keeper vault; do
    agent_stop # a new supervisor waits a second again before it replaces what died
    agent_start
    for ((round = 1; round <= ROUNDS; round++)); do
        wait_for 60 agent_settled || { not_ok "$program: the agent was not ready"; break; }
        load_start
        sleep 1.$((RANDOM % 9))
        pid=$(agent_child $program)
        kill -9 $pid || not_ok "$program: nothing to kill"
        sleep 0.3
        load_stop
        wait_for 60 agent_settled || { not_ok "$program, round $round: not back: $(api http://agent/v1/status)"; break; }
        is "$program killed, round $round: it is replaced" test "$(agent_child $program)" != "$pid"
        is "$program killed, round $round: what was answered is recorded" acknowledged_is_recorded
    done
    is "$program killed: the ledger verifies" verify
    equal "$program killed: the grants are the same" "$before" "$(grants)"
    is "$program killed: sessions open again" session $NIP
done

for ((round = 1; round <= ROUNDS; round++)); do
    load_start
    sleep 1.$((RANDOM % 9))
    orphans=$(pgrep -P "$world_agent_pid")
    kill -9 "$world_agent_pid"
    wait "$world_agent_pid" 2>/dev/null
    load_stop
    wait_for 30 gone $orphans || not_ok "programs outlive their supervisor"
    agent_start
    wait_for 60 agent_settled || not_ok "supervisor, round $round: not back"
    is "supervisor killed, round $round: what was answered is recorded" acknowledged_is_recorded
done
is "supervisor killed: the ledger verifies" verify
equal "supervisor killed: the grants are the same" "$before" "$(grants)"
each() { jq -s . "$W/all" | holds "$1"; }
is "no intent is left open" each '[.[] | select(.ev == "use.intent") | .seq] - [.[] | select(.ev == "use.outcome") | .of] | length == 0'
is "crashes left outcomes unknown or none, never invented" each 'all(.[] | select(.ev == "use.outcome"); .out == "ok" or .out == "error" or .out == "unknown")'

# ---- an orderly stop ----

agent_stop
agent_start
wait_for 60 agent_settled
last_stop() { records $(($(record_count) - 30)) | jq -s 'map(.ev)' | holds 'rindex("agent.stop") != null and rindex("agent.start") == rindex("agent.stop") + 1'; }
is "a stop by signal is the last record of its run" last_stop
is "the ledger verifies" verify
finish
