#!/usr/bin/env bash
# How a slot gets its PIN: sealed to a TPM (swtpm), alone or with PCRs that an authority approves; a
# systemd credential; by hand. (All other tests have it in a file.) Each way starts, each failure has
# its name in the status, and by hand it always goes on. What is refused of a sealed file is in
# tests/unit/tpm/test_pin.c.
WORLD_PIN=PLANTED-pin-5b20e7
. "$(dirname "$0")/tpm-world.sh" # the chip alone: what comes behind has the slot
. "$(dirname "$0")/harness.sh"

extend() { # PCR: TPM2_PCR_Extend of its SHA-256 bank, as firmware does
    "$world_python" - "$W/tpm/sock" "$1" <<'PY'
import socket, struct, sys
body = struct.pack(">II", int(sys.argv[2]), 9) + struct.pack(">IHBH", 0x40000009, 0, 1, 0)
body += struct.pack(">IH", 1, 0x000B) + b"\x5a" * 32
tpm = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
tpm.connect(sys.argv[1])
tpm.sendall(struct.pack(">HII", 0x8002, 10 + len(body), 0x182) + body)
sys.exit(struct.unpack(">HII", tpm.recv(4096)[:10])[2])
PY
}

pin_from() { # LINE…: the slot's PIN comes from there; the agent is started anew
    agent_stop
    sed -i '/^    pin/d' "$W/ksefvault.yaml"
    sed -i "s|^ksef:|$(printf '    %s\\n' "$@")&|" "$W/ksefvault.yaml"
}
slot_state() { agent_answers | jq -r '.slots[] | select(.name == "main").state'; }
slot_is() { [ "$(slot_state)" = "$1" ]; }
becomes() { # SENTENCE STATE: in the JSON, and in the text with what to do next
    wait_for 40 slot_is "$2" && kv status >"$W/status" 2>&1
    if [ "$2" = ready ]; then
        equal "$1" "$2" "$(slot_state)"
    elif slot_is "$2" && grep -q "\[$2\]" "$W/status" && kv status --json | holds '.next | test($t)' --arg t "${3:-unlock NAME --prompt}"; then
        ok "$1 [$2]"
    else
        not_ok "$1 [$2]"; note "$(slot_state); $(head -c 1000 "$W/status")"
    fi
}
again() { # what was changed is looked at now, and not after the next pause
    local pid; pid=$(agent_child keeper)
    [ -z "$pid" ] || kill "$pid"
    wait_for 10 fallen; kv slot unlock main >/dev/null # not before the agent knows that it ended
}
fallen() { ! slot_is ready; }
sealed=
seal_pin() { kv slot seal-pin "${SLOT:-main}" --pin-fd 9 "$@" 9<"$W/pin/main" >"$W/out" 2>"$W/err"; }
founded
sealed=$W/pin/main.sealed
tpm="pin-tpm: swtpm:path=$W/tpm/sock"
tpm_start

# ---- sealed to the TPM alone ----

is "a PIN is not sealed where the configuration says otherwise" exits 2 seal_pin
pin_from "pin: sealed:$sealed" "$tpm"
is "with the TPM it is sealed" seal_pin
is "… and is not sealed over without a word" exits 1 seal_pin
is "… which is said" grep -q 'pin.exists' "$W/err"
sealed_mode() { [ "$(stat -c '%a %U' "$sealed")" = '600 root' ]; }
is "… into a file that is root's alone" sealed_mode
mv "$W/pin/main" "$W/pin/kept"
is "slot check opens the seal" kv slot check main
agent_start
becomes "the agent starts unattended" ready
is "… and gives a session" session $NIP
held() { grep tcti-swtpm "/proc/$(agent_child keeper)/maps"; }
isnt "… and its keeper has let the TPM go" held
turn() { [ "$(stat -c '%s %U' "$W/state/keeper/tpm/.turn")" = '16 ksefvault-keeper' ]; }
is "… which it had in its turn" turn
cp "$sealed" "$W/pin/good"

tpm_stop; again
becomes "no TPM" pin.tpm-absent
tpm_start other; again
becomes "another TPM" pin.foreign-tpm 'seal-pin NAME --replace'
tpm_stop; tpm_start
becomes "the TPM is back, found by itself" ready
rm "$sealed"; again
becomes "no file" pin.file-missing 'seal-pin NAME'
head -c 200 "$W/pin/good" >"$sealed"; chmod 0400 "$sealed"; again
becomes "a file that is cut short" pin.damaged
sed 's|name: main|name: maim|; s|log-slot: main|log-slot: maim|; s|main.sealed|maim.sealed|' "$W/ksefvault.yaml" >"$W/maim.yaml"
seal_other() { "$BIN/ksefvault" --config "$W/maim.yaml" slot seal-pin maim --pin-fd 9 9<"$W/pin/kept"; }
is "the PIN of another slot is sealed" seal_other
cat "$W/pin/maim.sealed" >"$sealed"; again
becomes "… and given to this one" pin.other-slot
sed 's/maim/main/' "$W/pin/maim.sealed" >"$sealed"; again
becomes "… under this one's name" pin.other-slot
cat "$W/pin/good" >"$sealed"; chmod 0644 "$sealed"; again
becomes "a file that others can read" pin.open-to-others 'chmod'
by_hand() { kv slot unlock main --pin-fd 9 9<"$W/pin/kept"; }
is "by hand it goes on" by_hand
becomes "… whatever is wrong" ready
is "… and gives a session" session $NIP
isnt "nothing of it is left beside the socket" test -e "$W/run/pin-main"
chmod 0400 "$sealed"

# ---- and to PCRs ----

mkdir "$W/authority"
authority() { openssl ecparam -name "${2:-prime256v1}" -genkey -noout -out "$W/authority/$1.pem" && openssl pkey -in "$W/authority/$1.pem" -pubout -out "$W/authority/$1.pub"; }
authority own && authority wrong && authority weak secp384r1
cp "$W/pin/kept" "$W/pin/main"
isnt "an authority has a key of P-256" seal_pin --replace --pcr sha256:0,7 --authority "$W/authority/weak.pub"
is "PCRs need an authority" exits 2 seal_pin --replace --pcr sha256:0,7
is "a PIN is sealed anew" seal_pin --replace --pcr sha256:0,2,7 --authority "$W/authority/own.pub"
rm "$W/pin/main"
again
becomes "no state is approved yet" pin.pcrs-not-approved 'approve-pcrs'
state() { rm -f "$W/$1" "$W/$1.sig"; kv slot approve-pcrs main --out "$W/$1"; }
signed() { openssl dgst -sha256 -sign "$W/authority/${2:-own}.pem" -out "$W/$1.sig" "$W/$1"; }
taken() { kv slot approve-pcrs main --signed "$W/$1" 2>"$W/err"; }
is "the state is written for the authority" state first
signed first wrong
is "a signature of another key is not taken" exits 1 taken first
is "… which is said" grep -q 'pin.approval-bad' "$W/err"
signed first
is "the authority's is taken" taken first
again
becomes "in the approved state it starts" ready
is "… and gives a session" session $NIP
extend 7 || die "extend"
again
becomes "in another one it does not" pin.pcrs-not-approved 'approve-pcrs'
is "… but by hand" by_hand
becomes "… it does" ready
is "the new state is written" state second
signed second
printf x >>"$W/second"
isnt "a state that was changed is not taken" taken second
is "the new state is written again" state second && signed second
is "… and taken, without sealing anew" taken second
again
becomes "after the update it starts" ready
tpm_stop; tpm_start; again
becomes "as it does in the old state" ready
python3 - "$sealed" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
for approval in (1, 2): # their signatures end with them, and the approvals are the file's end
    data[-96 * (approval - 1) - 1] ^= 1
open(sys.argv[1], "wb").write(data)
PY
again
becomes "an approval that the authority did not sign" pin.approval-bad 'approve-pcrs'
is "the authority's own is put in its place" taken first
again
becomes "… and it starts" ready
predicted=$({ head -c 64 /dev/zero; { head -c 32 /dev/zero; head -c 32 /dev/zero | tr '\0' Z; } | openssl dgst -sha256 -binary; } | openssl dgst -sha256 -r | cut -d' ' -f1)
early() { rm -f "$W/early"; kv slot approve-pcrs main --out "$W/early" --pcr-digest "$predicted" && signed early && taken early; }
is "a state is approved before it is there" early
is "… which is the one that then comes" cmp "$W/early" "$W/second"

resealed() { kv slot seal-pin main --replace --pin-fd 9 --json 9<"$W/pin/kept" >"$W/out" && holds '.pcrs == "sha256:0,2,7" and .approvals > 0' <"$W/out"; }
is "a PIN that is sealed anew keeps its PCRs and what was approved, also if nobody names them" resealed
again
becomes "… and opens" ready

# ---- the PIN of a slot in the same TPM ----

agent_stop
chip() { "$BIN/ksefvault" --config "$W/chip.yaml" slot "$1" chip "${@:2}" 9<"$W/pin/kept"; }
cat >"$W/chip.yaml" <<EOF
vault: vault.example.com/test-nip-5265877635
state: $W/chip
log-slot: chip
slots:
  - {name: chip, tpm: "swtpm:path=$W/tpm/sock", pin: "sealed:$W/pin/chip.sealed"}
ksef: {environment: test, url: "https://localhost/v2"}
EOF
is "a slot is made in the TPM" chip init --label chip --pin-fd 9
is "… its PIN sealed there, too" chip seal-pin --pin-fd 9
is "… and the one opens the other" chip check

# ---- another PIN ----

printf '%s-2' "$WORLD_PIN" >"$W/pin/new"
change() { "$@" --new-pin-fd 8 8<"$W/pin/new"; }
isnt "a wrong PIN changes nothing in a TPM" change "$BIN/ksefvault" --config "$W/chip.yaml" slot change-pin chip --pin-fd 9 9<<<"not-the-pin-of-it"
isnt "a short one is not taken" chip change-pin --new-pin-fd 8 8<<<"short"
is "a TPM's slot gets another PIN" change chip change-pin
isnt "… so the former one is of no use" chip check
is "a token gets another PIN" change kv slot change-pin main
cp "$W/pin/new" "$W/pin/kept"
is "… which opens it" kv slot check main --pin-fd 9 9<"$W/pin/kept"
is "… and the TPM's" chip check --pin-fd 9

# ---- the other ways ----

mkdir "$W/credentials"
typed() { # VERB…: at a terminal of its own
    "$world_python" - "$W/pin/kept" "$BIN/ksefvault" --socket "$W/run/agent.sock" --config "$W/ksefvault.yaml" slot "$@" <<'PY'
import os, pty, sys
pin = open(sys.argv[1], "rb").read()
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
said = b""
while not said.endswith(b": "):
    said += os.read(terminal, 1024)
os.write(terminal, pin + b"\n")
try:
    while chunk := os.read(terminal, 1024):
        said += chunk
except OSError: # it is closed
    pass
sys.exit(pin in said or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
PY
}
pin_from "pin: credential:pin-main"
is "slot check asks for a PIN that only the unit is given" typed check main
agent_start
becomes "no credential" pin.credential-missing 'LoadCredential'
agent_stop
install -m 0440 "$W/pin/kept" "$W/credentials/pin-main"
CREDENTIALS_DIRECTORY=$W/credentials agent_start
becomes "a systemd credential" ready
pin_from "pin: prompt"
agent_start
becomes "a prompt is awaited" pin.awaited
kill -9 "$(agent_child vault)"; wait_for 40 agent_settled
becomes "… which the next vault says, too" pin.awaited
wrong_pin() { kv slot unlock main --pin-fd 9 9<<<"not-the-pin"; }
is "a wrong PIN is handed over" wrong_pin
becomes "… tried once" token.pin-wrong 'slot unlock'
is "… and the right one, at a terminal" typed unlock main --prompt
becomes "… opens the slot" ready
is "… and gives a session" session $NIP
others() { mkfifo -m 0666 "$W/run/pin-main" && kv slot unlock main; }
kill "$(agent_child keeper)"; wait_for 10 slot_is pin.awaited
isnt "a pipe that others have is not read" others
rm "$W/run/pin-main"
is "the ledger verifies" verify

# ---- the PIN is nowhere ----

nowhere() { ! grep -r -a -l -F "$WORLD_PIN" "$@"; }
is "the search finds what is planted" grep -q -F "$WORLD_PIN" "$W/pin/kept"
by_hand >/dev/null; wait_for 20 slot_is ready
shown() { local pid; for pid in "$world_agent_pid" "$(agent_child keeper)" "$(agent_child vault)"; do cat "/proc/$pid/cmdline" "/proc/$pid/environ"; done >"$W/shown"; nowhere "$W/shown"; }
is "not in command lines and environments" shown
is "not in the keeper's folder, log, sealed files, run folder" nowhere "$W/state/keeper" "$W/agent.log" "$sealed" "$W/pin/good" "$W/pin/maim.sealed" "$W/run"
finish
