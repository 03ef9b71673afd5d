#!/usr/bin/env bash
# Who runs behind a connection: a program that lives while its file is replaced by an approved
# update, and accounts that keep the agent busy with large programs.
. "$(dirname "$0")/harness.sh"
# The ERP is a program that lives on: for each line it reads, it asks for a session over a new
# connection, and prints status and code.
before_start() {
    cp "$(realpath /usr/bin/python3)" "$CONNECTOR"
    cat >"$W/erp/ask.py" <<'EOF'
import json, socket, sys, uuid
for line in sys.stdin:
    body = json.dumps({"context": line.strip()}).encode()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        s.sendall(b"POST /v1/sessions HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n"
                  b"Content-Type: application/json\r\nIdempotency-Key: %s\r\nContent-Length: %d\r\n\r\n%s"
                  % (uuid.uuid4().hex.encode(), len(body), body))
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    print(head.split()[1].decode(), json.loads(body).get("code", "-"))
EOF
    cat >"$W/erp/keep.py" <<'EOF'
import http.client, json, socket, sys, uuid
kept = http.client.HTTPConnection("agent")
kept.sock = socket.socket(socket.AF_UNIX)
kept.sock.connect(sys.argv[1])
for line in sys.stdin:
    kept.request("POST", "/v1/sessions", json.dumps({"context": line.strip()}),
                 {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex})
    answer = kept.getresponse()
    print(answer.status, json.loads(answer.read()).get("code", "-"))
EOF
    cat >"$W/erp/hold.py" <<'EOF'
import socket, sys
held = [socket.socket(socket.AF_UNIX) for _ in range(24)]
for s in held:
    s.connect(sys.argv[1])
print("held")
sys.stdin.read()
EOF
    chmod 0644 "$W"/erp/*.py
}
founded
python() { local user=$1 program=$2 script=$3; as "$user" env PYTHONHOME=/usr "$program" -u "$W/erp/$script" "$W/run/agent.sock"; }
erp() { python kv-erp "$CONNECTOR" ask.py <<<"$NIP"; } # a process of its own
coproc OLD { python kv-erp "$CONNECTOR" ask.py; }
old() { local line=; echo "$NIP" >&"${OLD[1]}" && read -r -t 60 line <&"${OLD[0]}"; echo "$line"; }
alarms() { records | jq -c 'select(.ev == "alarm.exe-changed" or .ev == "integ.suspend")' | wc -l; }

# ---- an update, while the former version runs ----

equal "the ERP has a session" "201 -" "$(old)"
cp "$CONNECTOR" "$W/erp/next" && printf 'x' >>"$W/erp/next"
update=$(by cus-01 integration change erp-1 --next-exe "$W/erp/next" --reason "Update") || die "change: $(cat "$W/err")"
approved "$update" fin-01 cus-02
equal "the next version is approved, the former one goes on" "201 -" "$(old)"
ln "$CONNECTOR" "$CONNECTOR.dpkg-tmp" && mv "$W/erp/next" "$CONNECTOR"
equal "… also while the update is being unpacked" "201 -" "$(old)"
rm "$CONNECTOR.dpkg-tmp"
equal "… and when its file is gone" "201 -" "$(old)"
equal "the new version has a session" "201 -" "$(erp)"
equal "… and none of it was an alarm" 0 "$(alarms)"
eval "exec ${OLD[1]}>&-"
wait "$OLD_PID" 2>/dev/null

# ---- a connection that is older than the registration ----

cp "$CONNECTOR" "$W/erp/late" && printf 'y' >>"$W/erp/late" # a program that nobody has read
coproc LATE { python 61041 "$W/erp/late" keep.py; }
late() { local line=; echo "$NIP" >&"${LATE[1]}" && read -r -t 60 line <&"${LATE[0]}"; echo "$line"; }
equal "a stranger is refused" "403 policy.caller-unknown" "$(late)"
new_integration erp-late 61041 "$W/erp/late"
equal "registered meanwhile, he is told to try again: his program was not read" "503 policy.exe-unread" "$(late)"
is_read() { [ "$(late)" = "403 policy.no-grant" ]; }
is "… and then it has been, for the connection that he has" wait_for 20 is_read
eval "exec ${LATE[1]}>&-"
wait "$LATE_PID" 2>/dev/null

# ---- large programs of other accounts ----

# hog USER: a program of 511 MiB whose change time never rests, so that it is never known, with two
# dozen connections
hog() {
    mkdir -p "$W/hog" && cp "$(realpath /usr/bin/python3)" "$W/hog/large" && truncate -s 511M "$W/hog/large"
    chmod 0755 "$W/hog" "$W/hog/large"
}
hog_start() { # USER
    while :; do chmod 0755 "$W/hog/large"; chmod 0555 "$W/hog/large"; sleep 0.01; done &
    restless=$!
    coproc HOG { python "$1" "$W/hog/large" hold.py; }
    local line=; read -r -t 60 line <&"${HOG[0]}"
    [ "$line" = held ] || die "no connections: $line"
}
hog_stop() { eval "exec ${HOG[1]}>&-"; wait "$HOG_PID" 2>/dev/null; kill "$restless"; wait "$restless" 2>/dev/null; }
asks() { # SENTENCE: three calls of the ERP, whose own program is read anew
    chmod 0555 "$CONNECTOR"; chmod 0755 "$CONNECTOR"
    equal "$1" "201 - 201 - 201 -" "$(for _ in 1 2 3; do erp; done | xargs)"
}
hog
hog_start kv-other
asks "a stranger's large program does not keep the ERP waiting"
hog_stop
new_integration erp-hog 61031 "$W/hog/large"
hog_start 61031
asks "… nor does another integration's"
hog_stop
equal "… and nothing of that is an alarm" 0 "$(alarms)"
is "the ledger verifies" verify
finish
