#!/usr/bin/env bash
# A token behind a socket: p11-kit's client module talks to a p11-kit server that has SoftHSM2, so that
# the module can hang, lie there, be cut off and come back, as a network HSM does.
. "$(dirname "$0")/harness.sh"
harness_begin
world_new "$W"
mkdir -p "$W/erp" && cp /usr/bin/curl "$W/erp/connector" && chmod 0755 "$W/erp" "$W/erp/connector"
CONNECTOR=$W/erp/connector
world_slot >"$W/out" 2>&1 || die "slot init: $(cat "$W/out")"
client=/usr/lib/$(uname -m)-linux-gnu/pkcs11/p11-kit-client.so
mkdir -m 0711 "$W/p11"; chown ksefvault-keeper: "$W/p11"
server_start() { # p11-kit server -f: one process that forks for each connection
    rm -f "$W/p11/socket"
    SOFTHSM2_CONF=$W/softhsm2.conf as ksefvault-keeper p11-kit server -f -n "$W/p11/socket" \
        --provider "$world_module" 'pkcs11:token=ksefvault' >"$W/p11.log" 2>&1 &
    server_pid=$!
    wait_for 10 test -S "$W/p11/socket" || die "no server: $(cat "$W/p11.log")"
}
# the server and what it forks for each connection, which has a name and parent of its own
server_all() {
    local pid
    for pid in $(pgrep -u ksefvault-keeper); do
        ! tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxF "SOFTHSM2_CONF=$W/softhsm2.conf" || echo "$pid"
    done
}
# shellcheck disable=SC2046 # pids
server_signal() { kill "-$1" $(server_all) 2>/dev/null; }
at_end 'server_signal KILL'
server_start
chmod 0711 "$W/p11"
cp "$W/ksefvault.yaml" "$W/plain.yaml"
sed -i -e "s|module: .*|module: $client|" -e "s|environment: \[.*|environment: [\"P11_KIT_SERVER_ADDRESS=unix:path=$W/p11/socket\"]|" \
    -e "s|readable: .*|readable: [\"$W/p11\"]|" -e '/writable:/d' -e "s|network: none|network: unix:$W/p11/socket|" "$W/ksefvault.yaml"
agent_start
slot() { agent_answers | jq -r '.slots[0].state'; }
equal "a slot behind a Unix socket logs in" ready "$(slot)"
found || [ -d "$W/ceremony" ] || die "no texts: $(cat "$W/out")"
for text in finance-fin-01 finance-fin-02 custodian-cus-01 custodian-cus-02; do sign "${text#*-}" "$W/ceremony/$text.txt" || die "sign"; done
found || die "not founded: $(cat "$W/out")"
cp "$W/ceremony/log.vkey" "$W/log.vkey"
new_credential ksef-auth
new_integration erp-1 kv-erp "$CONNECTOR"
GRANT=$(new_grant erp-1 --context $NIP) || exit 1
session $NIP
equal "… and signs: a session" 201 "$status"
end_session || die "the session did not end"

# ---- it hangs ----

keeper=$(agent_child keeper)
server_signal STOP
session $NIP -H 'Prefer: wait=30'
isnt "a module that hangs gives no session" test "$status" = 201
refused "… and the caller is told" token.timeout 504
slot_is() { [ "$(slot)" = "$1" ]; }
new_keeper() { [ "$(agent_child keeper)" != "$keeper" ]; }
is "… its keeper is ended and replaced" wait_for 30 new_keeper
by fin-01 grant suspend "$GRANT" --reason "While it hangs" >/dev/null
is "… and taking away works meanwhile" grep -q suspended <(kv grant list --json)
server_signal CONT
is "when it answers again, the slot comes back by itself" wait_for 90 slot_is ready
approved "$(by cus-02 grant resume "$GRANT" --reason "It is back")" fin-01 cus-01
session $NIP
equal "… and signs" 201 "$status"
end_session || die "the session did not end"

# ---- it is cut off ----

server_signal KILL; wait $server_pid 2>/dev/null
session $NIP
isnt "a module that is cut off gives no session" test "$status" = 201
server_start
signs() { session $NIP; }
is "the server back, the slot comes back by itself, and signs" wait_for 90 signs
is "the ledger verifies" verify
finish
