#!/usr/bin/env bash
# A file system that turns read-only or fails: callers are told with the code that says so, the agent does
# not end over and over, and goes on by itself when it can be written again.
attach() { # the state folder on an ext4 of its own: the kernel makes one read-only when it fails
    device=$(losetup --show -f "$W/disk" 2>"$W/said") && mount "$device" -o errors=remount-ro "$W/state" 2>"$W/said"
}
detach() { umount "$W/state" && losetup -d "$device"; }
before_start() {
    mkdir -p "$W/state"
    truncate -s 400M "$W/disk"
    if ! mkfs.ext4 -qF "$W/disk" 2>"$W/said" || ! attach; then
        ok "not tried: nobody may mount a disk here: $(cat "$W/said")" # a container
        finish
    fi
    at_end 'agent_stop; detach'
}
. "$(dirname "$0")/harness.sh"
founded
other=$(new_grant erp-1 --context $INTERNAL) || die "no grant"
started_anew() { grep -c 'ready program=ksefvault-vault' "$W/agent.log"; }
revoke() { by fin-01 grant revoke "$1" --reason "Now" 2>"$W/refused"; }
held() { agent_answers | holds 'any(.attention[]; .what | test("ledger.write-failed"))'; }
serves() { agent_answers | holds '.state == "serving" and .signer == "ready"'; }

# ---- read-only at the start ----

agent_stop
mount -o remount,ro "$W/state" || die "remount"
"$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >>"$W/agent.log" 2>&1 &
world_agent_pid=$!
is "the agent starts and says what it waits for" wait_for 20 held
session $NIP
refused "… no session" ledger.write-failed 500
call root GET /v1/grants
refused "… nothing of the ledger" ledger.write-failed 500
revoke "$other"
is "… nothing that could not be recorded" grep -q ledger.write-failed "$W/refused"
equal "… and it does not end" 2 "$(started_anew)"
mount -o remount,rw "$W/state" || die "remount"
is "writable again: it goes on by itself" wait_for 20 serves
session $NIP
equal "… with sessions" 201 "$status"
end_session || die "the session did not end"
is "… and takes away" revoke "$other"

# ---- it fails while the agent works ----

echo test >"/sys/fs/ext4/${device##*/}/trigger_fs_error" || die "no error"
session $NIP
refused "the disk fails: a use is refused" ledger.write-failed 500
is "the agent starts anew, once, and says so" wait_for 20 held
session $NIP
refused "… no session" ledger.write-failed 500
revoke "$GRANT"
is "… nothing that could not be recorded" grep -q ledger.write-failed "$W/refused"
equal "… and it stays" 3 "$(started_anew)"
agent_stop
detach && attach || die "the disk: $(cat "$W/said")"
agent_start
session $NIP
equal "the disk is repaired: a session" 201 "$status"
is "the ledger verifies" verify
finish
