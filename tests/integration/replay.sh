#!/usr/bin/env bash
# A ledger whose replay takes longer than a start may: the vault is not taken for one that hangs, it says
# that it starts, and serves in the end. One that does hang is noticed and replaced.
#
# No ledger of minutes is made for this. The supervisor's clock runs four times as fast (libfaketime), so
# that its deadline of 20 s is over in 5; and the vault gets 10 ms of processor time in 0.4 s.
. "$(dirname "$0")/harness.sh"
founded
CREDENTIAL=codes OPERATIONS=qr.kod2
request=$(by cus-01 credential generate codes --kind offline-certificate --key-type ec-p256 --slot main --environment test \
    --context $NIP --business-owner fin-01 --custodian cus-01 --reason "A test") || die "credential generate"
approved "$request" fin-01 cus-02
credential_is codes key || die "no key was made"
kv credential self-sign codes --subject seal --nip 5265877635 --common-name Demo --organization Demo >"$W/out" 2>&1 || die "self-sign"
request=$(by cus-01 integration register erp-codes --purpose "Prints invoices" --business-owner fin-01 --custodian cus-01 \
    --context $NIP --operation qr.kod2 --uid "$(uid_of kv-other)" --exe "$BIN/ksefvault" --reason "A test") || die "register"
approved "$request" fin-01 cus-02
new_grant erp-codes --context $NIP --rate 100000/h >/dev/null || die "grant"
$world_python -c 'import base64, os
for _ in range(6400):
    print(base64.b64encode(os.urandom(32)).decode())' >"$W/hashes"
as kv-other "$BIN/ksefvault" --socket "$W/run/agent.sock" --config "$W/ksefvault.yaml" \
    code make --batch --seller 5265877635 --context $NIP <"$W/hashes" >"$W/lines" 2>"$W/err" || die "codes: $(tail -3 "$W/err")"
size=$(record_count)
agent_stop

# For so many seconds from the moment at which the vault reads records it is stopped, but for 10 ms of
# processor time every 0.4 s; then it runs freely. 0: it stays stopped.
cat >"$W/slowly.py" <<'EOF'
import os, signal, sys, time

seconds = float(sys.argv[1])


def files(pid):
    try:
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []  # just closed, or not yet there


def used(pid):
    """Its processor time in nanoseconds."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])


def reading():
    """The vault, as soon as it has opened a segment of its ledger."""
    while True:
        with open(f"/proc/{supervisor}/task/{supervisor}/children") as file:
            for pid in file.read().split():
                if any(name.endswith(".seg") for name in files(pid)):
                    return int(pid)


supervisor = sys.stdin.readline().strip()
pid = reading()
while any(name.endswith(".seg") for name in files(pid)):
    pass  # it is in memory: from here on records are read
os.kill(pid, signal.SIGSTOP)
print(pid, flush=True)
end = time.monotonic() + seconds
try:
    while time.monotonic() < end:
        time.sleep(0.4)
        before = used(pid)
        os.kill(pid, signal.SIGCONT)
        while used(pid) < before + 10_000_000 and time.monotonic() < end:
            pass
        os.kill(pid, signal.SIGSTOP)
    if seconds > 0:
        os.kill(pid, signal.SIGCONT)
except (FileNotFoundError, ProcessLookupError):
    pass  # it ended
EOF
start_slowly() { # SECONDS
    [ -p "$W/go" ] || mkfifo "$W/go"
    : >"$W/slow" # what the last one said is not waited for
    $world_python "$W/slowly.py" "$1" <"$W/go" >"$W/slow" &
    slowly=$!
    exec {go}>"$W/go" # it waits there, ready
    : >"$W/agent.log"
    LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME='+0 x4' "$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >>"$W/agent.log" 2>&1 &
    world_agent_pid=$!
    echo $world_agent_pid >&$go
    exec {go}>&-
    wait_for 20 test -s "$W/slow" || die "no vault"
}

start_slowly 7
# all at once: each takes a few turns, which are slow
asked() { # NAME CALL…: in the background; its answer is in the file NAME
    local name=$1; shift
    { "$@"; echo "$status $(jq -r '"\(.code) \(.state) \(.serving)"' <<<"$answer")" >"$W/$name"; } &
    asking+=($!)
}
asking=()
asked health call kv-other GET /v1/health
asked session session $NIP
asked request call kv-other GET /v1/requests/01J00000000000000000000000
agent_answers >"$W/status"
wait "${asking[@]}"
equal "a vault that reads its ledger says that it starts" "200 null starting false" "$(cat "$W/health")"
is "… and how far it is" grep -qE 'is being read: [0-9]+ of [1-9][0-9]* records' "$W/status"
equal "… nothing is given meanwhile" "503 agent.starting null null" "$(cat "$W/session")"
equal "… nothing is shown of a state half-way" "503 agent.starting null null" "$(cat "$W/request")"
wait $slowly
is "it outlives the deadline of a start" agent_answers
equal "… as the same process" "$(cat "$W/slow")" "$(agent_child vault)"
isnt "… which nobody took for one that hangs" grep -q 'not-ready program=ksefvault-vault' "$W/agent.log"
is "… since it told that it goes on" test "$(grep -c 'ksefvault-vault replay records=' "$W/agent.log")" -ge 2
is "it serves in the end" wait_for 60 agent_settled
is "… all its records, and its start" test "$(record_count)" -gt "$size"
is "… and gives" session $NIP
agent_stop

start_slowly 0
is "a vault that hangs at its start is noticed" wait_for 20 grep -q 'not-ready program=ksefvault-vault slot=- code=agent.timeout' "$W/agent.log"
is "… and replaced: another serves" wait_for 60 agent_settled
isnt "… another one" test "$(cat "$W/slow")" = "$(agent_child vault)"
agent_stop

start_slowly 3
agent_stop
wait $slowly
is "a stop is heard while the ledger is read" grep -q 'ended program=ksefvault-vault slot=- status=0' "$W/agent.log"
isnt "… it is not read to its end first" grep -q 'ksefvault-vault serving' "$W/agent.log"
agent_start
is "… and the next start serves" session $NIP
is "the ledger verifies" verify
finish
