#!/usr/bin/env bash
# KSeF through a real proxy (tinyproxy) that wants a user and a password, and with a certificate
# authority that must be named: what goes wrong is told apart, and the proxy sees no secret. And from
# which addresses KSeF takes the access tokens.
. "$(dirname "$0")/harness.sh"
founded
proxy_port=0
proxy_start() {
    local port
    for port in $(shuf -i 20000-30000 -n 20); do
        printf '%s\n' "Port $port" 'Listen 127.0.0.1' 'Timeout 30' "LogFile \"$W/proxy.log\"" 'LogLevel Connect' \
            'Allow 127.0.0.1' 'BasicAuth ksefvault correct-horse' "ConnectPort $(cat "$W/ksef/port")" >"$W/proxy.conf"
        tinyproxy -d -c "$W/proxy.conf" >"$W/proxy.out" 2>&1 &
        proxy_pid=$!
        sleep 0.5
        if kill -0 $proxy_pid 2>/dev/null; then proxy_port=$port; return; fi
    done
    die "no proxy: $(cat "$W/proxy.out")"
}
at_end 'kill $proxy_pid 2>/dev/null'
proxy_start
cp "$W/ksefvault.yaml" "$W/plain.yaml"
# with LINE…: the configuration's ksef part has these lines, too; the agent is started anew
with() {
    agent_stop
    cp "$W/plain.yaml" "$W/ksefvault.yaml"
    printf '  %s\n' "$@" >>"$W/ksefvault.yaml"
    : >"$W/agent.log"
    agent_start
}
printf 'ksefvault:correct-horse\n' >"$W/proxy.login"; chmod 0400 "$W/proxy.login"
printf 'ksefvault:wrong\n' >"$W/proxy.wrong"; chmod 0400 "$W/proxy.wrong"

with "proxy: http://127.0.0.1:$proxy_port" "proxy-credentials: file:$W/proxy.login"
session $NIP
equal "a session through the proxy" 201 "$status"
tunnelled() { grep -q "CONNECT localhost:$(cat "$W/ksef/port")" "$W/proxy.log"; }
is "… which was asked to tunnel" tunnelled
isnt "… and saw no token" grep -q eyJ "$W/proxy.log"
isnt "the password is in no log" grep -rq correct-horse "$W/agent.log" "$W/state"
shown() { local pid; for pid in $world_agent_pid $(pgrep -P "$world_agent_pid"); do cat "/proc/$pid/cmdline" "/proc/$pid/environ"; done; }
isnt "… nor in a command line or environment" grep -q correct-horse <(shown)
end_session || die "the session did not end"

with "proxy: http://127.0.0.1:$proxy_port" "proxy-credentials: file:$W/proxy.wrong"
session $NIP
refused "a wrong password is told as the proxy's refusal" ksef.proxy 502
is "… with what it wants" grep -q 'wants other credentials' <<<"$answer"
with "proxy: http://127.0.0.1:$proxy_port"
session $NIP
refused "no password" ksef.proxy 502
with "proxy: http://127.0.0.1:1"
session $NIP
refused "a proxy that is not there" ksef.unreachable 502

# ---- the configuration ----

checks() { "$BIN/ksefvaultd" --check --config "$W/ksefvault.yaml" 2>"$W/checked"; }
refuses() { # SENTENCE WORD LINE…
    local sentence=$1 word=$2; shift 2
    cp "$W/plain.yaml" "$W/ksefvault.yaml"; printf '  %s\n' "$@" >>"$W/ksefvault.yaml"
    isnt "$sentence" checks
    is "… and it says what to write" grep -q "$word" "$W/checked"
}
refuses "a password in the configuration is refused" 'file:/PATH' "proxy: http://127.0.0.1:3128" "proxy-credentials: ksefvault:correct-horse"
refuses "addresses that are none are refused" 'allowed-ips' "allowed-ips: 10.0.0.256"
refuses "… and an empty list" 'allowed-ips' 'allowed-ips: ""'
refuses "credentials without a proxy are refused" 'beside a proxy' "proxy-credentials: file:$W/proxy.login"

ca_is() { sed "s|ca-file: .*|ca-file: $1|" "$W/plain.yaml" >"$W/ksefvault.yaml"; }
printf 'no certificate\n' >"$W/no-ca.pem"; chmod 0644 "$W/no-ca.pem"
head -c 300 "$W/ksef/ca.pem" >"$W/half-ca.pem"; chmod 0644 "$W/half-ca.pem"
cp "$W/ksef/ca.pem" "$W/closed-ca.pem"; chmod 0600 "$W/closed-ca.pem"
for file in missing-ca no-ca half-ca closed-ca; do
    ca_is "$W/$file.pem"
    isnt "a CA file is looked into: $file" checks
    is "… and named" grep -q "ca-file.*$file.pem" "$W/checked"
done
refuses "… and so are the proxy's credentials" "proxy-credentials.*missing.login" \
    "proxy: http://127.0.0.1:3128" "proxy-credentials: file:$W/missing.login"
ca_is "$W/ksef/ca.pem"
is "what is in order passes" checks

# ---- a courier that cannot be configured ----

agent_stop
ca_is "$W/missing-ca.pem"
"$BIN/ksefvaultd" --config "$W/ksefvault.yaml" >>"$W/agent.log" 2>&1 &
world_agent_pid=$!
courier_is() { agent_answers | holds '.state == "serving" and .slots[0].state == "ready" and .courier == $word' --arg word "$1"; }
is "with a CA file that is not there the agent serves, and tells of the courier" wait_for 60 courier_is config.invalid
is "… and what wants attention names the file" grep -q "ca-file.*missing-ca.pem" <(agent_answers | jq -r '.attention[].what')
isnt "… so that there is something to do" grep -qx "Nothing." <(agent_answers | jq -r .next)
session $NIP
refused "… a session is refused for that" config.invalid 500
is "… with the file" grep -q missing-ca.pem <<<"$answer"
by fin-01 grant suspend "$GRANT" --reason "Meanwhile" >/dev/null
is "… and taking away works" grep -q suspended <(kv grant list --json)
approved "$(by cus-02 grant resume "$GRANT" --reason "Again")" fin-01 cus-01
cp "$W/ksef/ca.pem" "$W/missing-ca.pem"; chmod 0644 "$W/missing-ca.pem"
is "once the file is there the courier comes by itself" wait_for 90 courier_is ready
session $NIP
equal "… and there is a session" 201 "$status"
end_session || die "the session did not end"

# ---- the addresses from which KSeF takes the access token ----

# taken ADDRESS: the status with which KSeF answers the token's use from there
taken() { ksefsim /v2/auth/sessions -o "$W/taken" -w '%{http_code}' --interface "$1" -H "Authorization: Bearer $(field accessToken)"; }
with "allowed-ips: challenge"
session $NIP
equal "a session for the address that KSeF saw" 201 "$status"
equal "… works from there" 200 "$(taken 127.0.0.1)"
equal "… and from nowhere else" 403 "$(taken 127.0.0.2)"
equal "… as KSeF says" ip-not-allowed "$(jq -r .reasonCode "$W/taken")"
end_session || die "the session did not end"
with "allowed-ips: 127.0.0.1,127.0.0.8-127.0.0.9,127.0.1.0/24"
session $NIP
equal "a session for addresses, ranges and networks" 201 "$status"
equal "… works from each of them, not beside" "200 200 200 403 403" \
    "$(taken 127.0.0.1) $(taken 127.0.0.9) $(taken 127.0.1.77) $(taken 127.0.0.10) $(taken 127.0.2.1)"
end_session || die "the session did not end"

# ---- a certificate authority of one's own ----

agent_stop
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -out "$W/other-ca.pem" -days 1 -subj /CN=other 2>/dev/null
chmod 0644 "$W/other-ca.pem"
sed "s|ca-file: .*|ca-file: $W/other-ca.pem|" "$W/plain.yaml" >"$W/ksefvault.yaml"
agent_start
session $NIP
refused "a KSeF that another authority vouches for is not trusted" ksef.tls 502
agent_stop
grep -v 'ca-file:' "$W/plain.yaml" >"$W/ksefvault.yaml"
agent_start
session $NIP
refused "… nor one that the system does not know" ksef.tls 502
agent_stop
cp "$W/plain.yaml" "$W/ksefvault.yaml"
agent_start
session $NIP
equal "with its own authority named, it is" 201 "$status"
is "the ledger verifies" verify
finish
