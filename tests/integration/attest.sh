#!/usr/bin/env bash
# Who runs behind a connection: a program that lives while its file is replaced by an approved
# update.
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
    chmod 0644 "$W/erp/ask.py"
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

is "the ledger verifies" verify
finish
