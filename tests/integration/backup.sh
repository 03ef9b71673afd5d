#!/usr/bin/env bash
# The drill: a backup of a running vault, the state folder lost, the backup put back; and what must not
# be put back.
. "$(dirname "$0")/harness.sh"
founded
session $NIP || die "no session: $answer"
end_session
TOKEN="20251010-EC-1DCE3E3000-12ECB5B36E-45|nip-5265877635|$(printf 'a%.0s' {1..64})"
ksefsim /control/token -f -d "{\"token\":\"$TOKEN\",\"context\":{\"type\":\"Nip\",\"value\":\"5265877635\"}}" >/dev/null || die "token"
id=$(by cus-01 credential import token-1 --slot main --environment test --context $NIP --business-owner fin-01 --custodian cus-01 --reason "A token") || die "import"
approved "$id" fin-01 cus-02
kv credential import-token token-1 --token-fd 7 7< <(printf %s "$TOKEN") >/dev/null 2>"$W/err" || die "import: $(cat "$W/err")"
OPERATIONS="auth.token session.open" new_integration erp-2 kv-other /usr/bin/curl
CREDENTIAL=token-1 OPERATIONS="auth.token session.open" new_grant erp-2 --context $NIP >/dev/null
open() { call kv-other POST /v1/sessions "{\"context\":\"$NIP\"}"; }

# ---- backup, while it works ----

busy() { while [ -e "$W/busy" ]; do session $NIP -H 'Prefer: wait=5'; end_session; done; }
touch "$W/busy"; busy >/dev/null 2>&1 & worker=$!
is "a backup of a vault that works" kv backup "$W/backup" --json
told=$(cat "$W/said")
rm "$W/busy"; wait $worker
is "… tells how much it holds" holds '.records > 20 and .covered > 20' <<<"$told"
is "… and verifies with the log key" kv ledger verify "$W/backup/ledger" --vkey "$W/log.vkey"
equal "… is root's alone" 700 "$(stat -c %a "$W/backup")"
is "… holds the wrapped token" test -f "$W/backup/keeper/wrapped/token-token-1"
isnt "… and never the token" grep -rqF aaaaaaaaaaaa "$W/backup"
isnt "an existing folder is not written to" kv backup "$W/backup"
cp "$BIN/ksefvault" "$W/cli"; chmod 0755 "$W/cli"
isnt "another account cannot make one" as kv-other "$W/cli" --config "$W/ksefvault.yaml" backup "$W/theirs"

# ---- what came later, and the loss ----

by fin-01 grant suspend "$GRANT" --reason "After the backup" >/dev/null
kv ledger export "$W/later" >/dev/null 2>&1 || die "export"
restore() { kv restore "$W/backup" "$@" 2>"$W/told"; }
isnt "nothing is restored under a running agent" restore --replace
is "… and it says so" grep -q 'stop the agent' "$W/told"
agent_stop
isnt "nor over a ledger, unless asked" restore
is "… and it says what that would undo" grep -q 'revocations included' "$W/told"
cp -a "$W/backup" "$W/bad"
damage "$W/bad/ledger/wal/00000000000000000000.seg" 900
isnt "a damaged backup is not restored" kv restore "$W/bad" --replace
is "… and nothing was changed" test -z "$(find "$W/state" -name '*.replaced-*')"
rm -rf "$W/state/ledger" "$W/state/keeper/wrapped"
is "the state lost, the backup is put back" kv restore "$W/backup"
equal "… with its owners" "ksefvault ksefvault-keeper" "$(stat -c %U "$W/state/ledger/wal" "$W/state/keeper/wrapped" | paste -sd' ')"
agent_start
session $NIP
equal "the vault serves: a session" 201 "$status"
end_session
open
equal "… one by the wrapped token, too" 201 "$status"
is "the ledger verifies" verify
is "who keeps a later checkpoint sees the step back: exit 11" exits 11 kv ledger verify --vkey "$W/log.vkey" --expect "$W/later/checkpoint"

# ---- over an existing one ----

agent_stop
is "over a ledger, if asked" kv restore "$W/backup" --replace
equal "… what was there is beside it" 2 "$(find "$W/state" -name '*.replaced-*' | wc -l)"
agent_start
open
equal "… and it serves" 201 "$status"
finish
