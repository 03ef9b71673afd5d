# The slot `main` of a world in a TPM (swtpm) in place of SoftHSM2: no module, no token. Source it
# behind world.sh or harness.sh; before them it is a chip for other ends, and the slot stays as it is
# there. The TPM's PIN must be long.
#
#   tpm_start [NAME]     the TPM called so, with a state of its own, answers at $TPM_WAY
#   tpm_stop             it is killed; what it keeps, it keeps
#   tpm_make             before tpm_start: a chip as it leaves the factory, with the certificate of a maker
#                        (swtpm's own authority), whose certificates are in $W/makers
#   tpm_trust NAME [FILE]  $W/makers/NAME.pem are the makers whom a slot with FILE.pem as its roots
#                        trusts, or that of tpm_slot_config_with_roots
# shellcheck shell=bash disable=SC2034
WORLD_PIN=${WORLD_PIN:-a long PIN, which a TPM needs}

tpm_start() {
    local state=$W/tpm/${1:-own} log=()
    mkdir -p "$state"
    chown -R ksefvault-keeper:ksefvault-keeper "$W/tpm"
    [ -z "${TPM_LOG:-}" ] || log=(--log "file=$W/tpm/bus.log,level=20") # all that crosses the bus
    as ksefvault-keeper swtpm socket --tpm2 --tpmstate "dir=$state" --server "type=unixio,path=$W/tpm/sock" \
        --ctrl "type=unixio,path=$W/tpm/sock.ctrl" --flags not-need-init,startup-clear "${log[@]}" \
        --pid "file=$W/tpm/pid" --daemon 2>"$W/swtpm.log" || die "swtpm: $(cat "$W/swtpm.log")"
}
tpm_stop() {
    [ -s "$W/tpm/pid" ] || return 0
    local pid; pid=$(cat "$W/tpm/pid")
    kill -9 "$pid"
    wait_for 10 tpm_gone "$pid"
    rm -f "$W/tpm/pid" "$W/tpm/sock" "$W/tpm/sock.ctrl"
}
tpm_make() {
    local maker=$W/tpm/maker
    mkdir -p "$W/tpm/own" "$maker" "$W/makers"
    printf '%s\n' "statedir = $maker" "signingkey = $maker/key.pem" "issuercert = $maker/issuer.pem" \
        "certserial = $maker/serial" >"$maker/ca.conf"
    printf -- '--platform-manufacturer Test\n--platform-version 1\n--platform-model test\n' >"$maker/ca.options"
    printf '%s\n' 'create_certs_tool = /usr/bin/swtpm_localca' "create_certs_tool_config = $maker/ca.conf" \
        "create_certs_tool_options = $maker/ca.options" >"$maker/setup.conf"
    chown -R ksefvault-keeper:ksefvault-keeper "$W/tpm"
    as ksefvault-keeper swtpm_setup --tpm2 --tpmstate "$W/tpm/own" --create-ek-cert --config "$maker/setup.conf" \
        >"$W/setup.log" 2>&1 || die "swtpm_setup: $(cat "$W/setup.log")"
    cp "$maker/swtpm-localca-rootca-cert.pem" "$W/makers/root.pem"
    cat "$W/makers/root.pem" "$maker/issuer.pem" >"$W/makers/right.pem"
}
tpm_trust() { cp "$W/makers/$1.pem" "$W/makers/${2:-trusted}.pem" && chmod 0644 "$W/makers/${2:-trusted}.pem"; }
tpm_gone() { ! kill -0 "$1"; }
tpm_way() { echo "swtpm:path=$W/tpm/sock"; }

world_token() { world_pin; }
world_token_end() { tpm_stop; }
tpm_slot() { tpm_start && kv slot init main --label ksefvault --pin-fd 9 9<"$W/pin/main"; }
tpm_slot_config_with_roots() { printf '    tpm: "%s"\n    tpm-roots: "%s"\n' "$(tpm_way)" "$W/makers/trusted.pem"; }
world_slot_config() { echo "    tpm: \"$(tpm_way)\""; }
world_slot() { tpm_slot; }

# No program of the agent has a PKCS#11 module in its memory: none of those that are installed, and
# none beside them (libp11-kit, which loads modules, is a library of the keeper itself).
no_module_loaded() {
    local pid
    for pid in "$world_agent_pid" $(pgrep -P "$world_agent_pid"); do
        grep -q "$BIN/ksefvault" "/proc/$pid/maps" || return 1 # it can be looked at
        if grep -E '/pkcs11/|softhsm|pkcs11[^/]*\.so' "/proc/$pid/maps"; then return 1; fi
    done
}
