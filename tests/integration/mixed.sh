#!/usr/bin/env bash
# Three slots on one host: SoftHSM2, which has the log's key, and two in one TPM (swtpm) without a
# resource manager. A credential lives in each. The TPM goes away, and its credentials alone with it.
. "$(dirname "$0")/tpm-world.sh"
. "$(dirname "$0")/harness.sh" # second: `main` is SoftHSM2's

world_more_slots() {
    local name
    for name in chip-1 chip-2; do
        printf '  - name: %s\n    tpm: "%s"\n    pin: "file:%s"\n' $name "$(tpm_way)" "$W/pin/main"
    done
}
before_start() {
    tpm_start
    is "a slot in the TPM" kv slot init chip-1 --label first --pin-fd 9 9<"$W/pin/main"
    is "… and another one in the same TPM" kv slot init chip-2 --label second --pin-fd 9 9<"$W/pin/main"
    is "slot list shows all three, and where they are" has_slots
    is "… people see a TPM's slots by their names" named
    is "one that cannot be looked at is named, and the others are shown" lists_the_rest
    is "slot check tries a slot of the TPM" kv slot check chip-2
}
has_slots() {
    kv slot list --json >"$W/list"; cat "$W/list"
    holds '[.slots[] | select(.initialised) | "\(.label) \(.uri[0:6]) \(.slot // "")"] | sort
        == ["first swtpm: chip-1", "ksefvault pkcs11 ", "second swtpm: chip-2"]' <"$W/list"
}
named() { kv slot list >"$W/list"; cat "$W/list"; grep -Eq '^chip-1 +first' "$W/list" && grep -Eq '^chip-2 +second' "$W/list"; }
lists_the_rest() {
    local file=$W/state/keeper/tpm/chip-1/token
    mv "$file" "$W/good" && printf 'no slot' >"$file" || return 1
    exits 1 kv slot list --json >"$W/list" 2>"$W/err"
    local got=$?
    mv "$W/good" "$file"
    cat "$W/list" "$W/err"
    [ $got = 0 ] && grep -q 'slot chip-1: ' "$W/err" && holds '[.slots[] | select(.initialised).label] | sort == ["ksefvault", "second"]' <"$W/list"
}
slot_state() { agent_answers | jq -r --arg n "$1" '.slots[] | select(.name == $n).state'; }
slot_is() { [ "$(slot_state "$1")" = "$2" ]; }
founded

# ---- a credential says where it lives ----

SLOT=chip-1 new_credential first
SLOT=chip-2 SEAL_NIP=${OTHER_NIP#*:} new_credential second
CREDENTIAL=first new_grant erp-1 --context $INTERNAL >/dev/null
CREDENTIAL=second new_grant erp-1 --context $OTHER_NIP >/dev/null
lives() { kv credential list --json | holds '[.credentials[] | "\(.id) \(.slot)"] | sort == ["first chip-1", "ksef-auth main", "second chip-2"]'; }
is "credential list shows the slot of each" lives
shown() { kv credential list >"$W/list"; cat "$W/list"; grep -Eq '^second .*chip-2' "$W/list"; }
is "… and the table for people" shown
keepers() { agent_child keeper | wc -l; }
equal "each slot has a keeper" 3 "$(keepers)"
isnt "here one of them has a PKCS#11 module" no_module_loaded
modules() { local pid n=0; for pid in $(agent_child keeper); do if grep -q softhsm "/proc/$pid/maps"; then n=$((n + 1)); fi; done; echo $n; }
equal "… and only one" 1 "$(modules)"

# ---- all at once ----

sessions() { # CONTEXT…: opened together, and ended
    local context pids=() bad=0 pid
    for context; do
        (session "$context" && call kv-erp DELETE "/v1/sessions/$(field session)" || { echo "$context $answer"; exit 1; }) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || bad=1; done
    return $bad
}
rounds() { local i; for i in 1 2 3; do sessions $NIP $INTERNAL $OTHER_NIP || return 1; done; }
is "sessions through all three slots at once, three times" rounds
wait_for 20 no_sessions
settled() { slot_is main ready && slot_is chip-1 ready && slot_is chip-2 ready; }
is "no keeper was replaced meanwhile" test "$(grep -c 'ended program=ksefvault-keeper' "$W/agent.log")" = 0
kill -9 "$(agent_child keeper | while read -r pid; do grep -q softhsm "/proc/$pid/maps" || { echo "$pid"; break; }; done)"
is "one keeper of the TPM is killed: the others give sessions" sessions $NIP
is "… its slot comes back by itself" wait_for 60 settled
is "… and all three give sessions again" sessions $NIP $INTERNAL $OTHER_NIP
wait_for 20 no_sessions

# ---- the TPM goes away ----

tpm_stop
session $INTERNAL
refused "without the TPM its first slot gives none" token.absent 503
session $OTHER_NIP
refused "… nor does its second" token.absent 503
is "… both slots say why" wait_for 30 eval 'slot_is chip-1 token.absent && slot_is chip-2 token.absent'
equal "… and the one elsewhere is ready" ready "$(slot_state main)"
is "the credential in the token gives sessions" session $NIP
is "… and ends them" end_session
size=$(record_count)
covered() { [ "$(agent_answers | jq .covered)" -ge "$size" ]; }
is "the log goes on, under its key in the token" wait_for 10 covered
is "status goes on" kv status
tpm_start
is "the TPM is back: so are its slots, by themselves" wait_for 90 settled
is "… and give sessions" sessions $INTERNAL $OTHER_NIP
is "the trail verifies" verify
cp "$W/said" "$W/list"
is "… with two keys that the TPM certified" grep -q '^keys 2 certified by a TPM, 0 attested by its maker$' "$W/list"
finish
