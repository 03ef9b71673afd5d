#!/usr/bin/env bash
# A disk that has no room for a whole segment: work goes on in short ones while the disk is not low; at the
# end of a segment on a full disk taking away goes on, over a restart too, and with room everything does.
before_start() { small_state 104m; } # the reserve, and 40 MiB
. "$(dirname "$0")/harness.sh"
founded
OPERATIONS=qr.kod2 new_integration codes kv-other /usr/bin/curl
new_credential codes-1 offline-certificate
CREDENTIAL=codes-1 OPERATIONS=qr.kod2 new_grant codes --context $NIP >/dev/null
segments() { find "$W/state/ledger/wal" -name '*.seg' | wc -l; }
# what is left of the last segment, in bytes
left() {
    /usr/bin/python3 - "$W/state/ledger/wal" <<'PY'
import os, sys
last = os.path.join(sys.argv[1], max(n for n in os.listdir(sys.argv[1]) if n.endswith(".seg")))
data = open(last, "rb").read()
print(len(data) - len(data.rstrip(b"\0")))
PY
}
codes() { # N: so many records of use
    local body; body=$(head -c $(($1 * 32)) /dev/urandom | /usr/bin/python3 -c '
import base64, json, sys
hashes = sys.stdin.buffer.read()
print(json.dumps({"context": sys.argv[1], "seller": "5265877635", "invoices": [
    {"hash": base64.b64encode(hashes[i:i + 32]).decode(), "date": "2026-06-01"} for i in range(0, len(hashes), 32)]}))' "$NIP")
    call kv-other POST /v1/offline-codes "$body"
}
revoke() { by fin-01 grant revoke "$1" --reason "Full"; }

equal "the vault is founded in a short segment" 1048576 "$(stat -c %s "$W/state/ledger/wal/"*0.seg)"

# ---- the end of a segment on a full disk ----

to_the_end() { # less than two records are left
    local n
    while n=$(left); [ "$n" -gt 1500 ]; do
        if [ "$n" -gt 76000 ]; then n=64; else n=$(((n - 700) / 1200 + 1)); fi
        codes "$n" || return 1
    done
}
others=()
for i in 1 2 3 4 5; do others+=("$(new_grant erp-1 --context $INTERNAL --seconds $((3600 + i)))") || die "no grant"; done
is "uses, up to the end of the segment" to_the_end
equal "… which is the first" 1 "$(segments)"
head -c 400000000 /dev/zero >"$W/state/ballast" 2>/dev/null
codes 1
refused "with not one block left nothing is used" ledger.disk-low 507
all_revoked() { local id; for id in "${others[@]}"; do revoke "$id" || return 1; done; }
is "… and grants are revoked" all_revoked
equal "… in a second segment, from the reserve" 2 "$(segments)"
isnt "the agent did not end" grep -q 'fatal' "$W/agent.log"
agent_stop; agent_start
equal "started again on the full disk" serving "$(agent_state)"
is "… it knows what was revoked" holds '[.grants[] | select(.ended == "revoked")] | length == 5' < <(kv grant list --json)
session $NIP
refused "… gives nothing" ledger.disk-low 507
is "… and takes away" revoke "$GRANT"

# ---- the reserve is used up, too ----

agent_stop
truncate -s 0 "$W/state/ledger/reserve"
head -c 400000000 /dev/zero >>"$W/state/ballast" 2>/dev/null
agent_start
equal "without a reserve the agent starts" serving "$(agent_state)"
by cus-01 integration suspend erp-1 --reason "Fuller" 2>"$W/out"
is "… and refuses what it cannot record" grep -q ledger.disk-low "$W/out"
isnt "… without an end" grep -q 'fatal' "$W/agent.log"
rm "$W/state/ballast"
is "room again: it is recorded" by cus-01 integration suspend erp-1 --reason "Fuller"
signed() { agent_answers | holds '.signer == "ready"'; }
is "… under a checkpoint" wait_for 10 signed
codes 1
equal "… and used" 200 "$status"
is "the ledger verifies" verify
finish
