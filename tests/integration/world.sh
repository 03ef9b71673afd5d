# A whole world for demo and integration tests: accounts, a SoftHSM2 token, the KSeF stand-in, people
# with OpenSSH keys, the agent. Source it (bash, as root), then: world_new DIR; … ; world_end.
#
#   W            the folder of this world      BIN     folder of the programs
#   kv …         the CLI against this world    api …   curl to the agent's socket
#   as USER …    run a command under another account
# shellcheck shell=bash

world_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=${BIN:-$world_root/build/release/bin}
world_python=/usr/bin/python3
world_module=/usr/lib/softhsm/libsofthsm2.so

die() { printf 'world: %s\n' "$*" >&2; exit 1; }

# wait_for SECONDS COMMAND…: until the command succeeds
wait_for() {
    local until=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.1
    done
}

# holds FILTER [OPTIONS…]: the JSON on standard input is there and fulfils it (jq 1.6 -e accepts no input)
holds() { [ "$(jq "${@:2}" "$1" 2>/dev/null)" = true ]; }

as() { local user=$1; shift; setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all -- "$@"; }
kv() { "$BIN/ksefvault" --socket "$W/run/agent.sock" --config "$W/ksefvault.yaml" "$@"; }
api() { curl -sS --max-time 60 --unix-socket "$W/run/agent.sock" "$@"; }

world_account() { # NAME: a system account with a passwd entry (ssh-keygen wants one)
    getent passwd "$1" >/dev/null ||
        useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --user-group "$1"
}

world_accounts() {
    local name
    for name in ksefvault ksefvault-gate ksefvault-keeper ksefvault-courier kv-erp kv-other; do
        world_account "$name"
    done
}

world_people() { # fin-01 fin-02: Ed25519, EC; cus-01 cus-02: EC, Ed25519; req-01 asks
    local spec id type
    mkdir -p "$W/people"
    for spec in fin-01:ed25519 fin-02:ecdsa cus-01:ecdsa cus-02:ed25519; do
        id=${spec%%:*} type=${spec#*:}
        ssh-keygen -q -t "$type" -N '' -C "$id" -f "$W/people/$id" </dev/null
    done
}

world_pin() { # what opens the slot
    mkdir -p "$W/pin"
    printf '%s' "${WORLD_PIN:-4711-vault-pin}" >"$W/pin/main"
    chmod 0400 "$W/pin/main"
}

world_token() { # the token's folder belongs to the keeper
    world_pin
    mkdir -p "$W/keeper/tokens"
    cat >"$W/softhsm2.conf" <<EOF
directories.tokendir = $W/keeper/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
EOF
    chmod 0644 "$W/softhsm2.conf"
    printf '%s' "${WORLD_SO_PIN:-0815-so-pin}" >"$W/pin/so"
    chmod 0400 "$W/pin/so"
    chown -R ksefvault-keeper:ksefvault-keeper "$W/keeper"
    chmod 0700 "$W/keeper"
}

world_slot_config() { # the slot `main` of the configuration, behind its name; a test may have another
    cat <<EOF
    module: $world_module
    uri: "pkcs11:token=ksefvault"
    environment: ["SOFTHSM2_CONF=$W/softhsm2.conf"]
    readable: ["$W/softhsm2.conf"]
    writable: ["$W/keeper/tokens"]
    network: none
EOF
}

world_config() {
    cat >"$W/ksefvault.yaml" <<EOF
vault: ${WORLD_VAULT:-vault.example.com/test-nip-5265877635}
state: $W/state
socket: $W/run/agent.sock
log-slot: main
slots:
  - name: main
$(world_slot_config)
    pin: "file:$W/pin/main"
$([ "$(type -t world_more_slots)" != function ] || world_more_slots)
ksef:
  environment: test
  url: https://localhost:$(cat "$W/ksef/port")/v2
  ca-file: $W/ksef/ca.pem
EOF
}

world_ksef() {
    mkdir -p "$W/ksef"
    (cd "$world_root" && exec "$world_python" tests/ksefsim --state "$W/ksef" --log "$W/ksef/log" ) \
        >/dev/null 2>"$W/ksef/stderr" &
    world_ksef_pid=$!
    wait_for 20 test -e "$W/ksef/ready" || die "the KSeF stand-in did not start: $(cat "$W/ksef/stderr")"
    chmod 0755 "$W/ksef"; chmod 0644 "$W/ksef/ca.pem" "$W/ksef/port"
}
ksefsim() { curl -sS --cacert "$W/ksef/ca.pem" "https://localhost:$(cat "$W/ksef/port")$1" "${@:2}"; }

agent_start() {
    "$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >>"$W/agent.log" 2>&1 &
    world_agent_pid=$!
    wait_for 60 agent_settled || die "the agent did not start: $(tail -5 "$W/agent.log")"
}
agent_answers() { api -f http://agent/v1/status; }
# Nothing is starting any more: each slot is ready or says why it is not, and before founding the
# ledger's key is there.
agent_settled() {
    agent_answers | holds '.state != "starting" and .courier == "ready"
        and all(.slots[]; .state != "agent.starting")
        and (.state != "unfounded" or (.next | startswith("Found")) or any(.slots[]; .name == "main" and .state != "ready"))'
}
agent_state() { api http://agent/v1/status | jq -r .state; }
agent_stop() {
    [ -n "${world_agent_pid:-}" ] || return 0
    kill "$world_agent_pid" 2>/dev/null
    wait "$world_agent_pid" 2>/dev/null
    world_agent_pid=
}
# agent_child PROGRAM: the pid of one of the agent's programs
agent_child() { pgrep -P "$world_agent_pid" -x -f "$BIN/ksefvault-$1"; }

world_new() { # DIR
    [ "$(id -u)" = 0 ] || die "must run as root"
    W=$1
    mkdir -p "$W/run"
    chmod 0755 "$W" "$W/run"
    world_accounts
    world_token
    world_ksef
    world_config
    world_people
}

world_slot() { kv slot init main --label ksefvault --so-pin-fd 8 --pin-fd 9 8<"$W/pin/so" 9<"$W/pin/main"; }

world_end() {
    agent_stop
    [ "$(type -t world_token_end)" != function ] || world_token_end # of the test
    [ -z "${world_ksef_pid:-}" ] || kill "$world_ksef_pid" 2>/dev/null
    wait 2>/dev/null
    world_ksef_pid=
}
