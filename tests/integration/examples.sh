#!/usr/bin/env bash
# The examples of docs/examples, run as an ERP would: each gets a session and ends it; refused, each says
# why and ends with an error.
. "$(dirname "$0")/harness.sh"
founded
examples=$world_root/docs/examples
mkdir -m 0755 "$W/examples" && cp "$examples"/session.py "$examples"/session.mjs "$examples"/Session.java "$examples"/Session.cs "$W/examples/" && chmod 0644 "$W"/examples/*
interpreter() { case $1 in *.py) readlink -f /usr/bin/python3 ;; *.mjs) readlink -f "$(command -v node)" ;; *.java) readlink -f "$(command -v java)" ;; *.exe) readlink -f /usr/bin/mono ;; esac; }
(cd "$W/examples" && mcs -r:System.Runtime.Serialization Session.cs) >"$W/out" 2>&1 || die "Session.cs: $(cat "$W/out")"
chmod 0644 "$W/examples/Session.exe"
uid=61200
for example in session.py session.mjs Session.java Session.exe; do
    uid=$((uid + 1)) program=$(interpreter $example)
    new_credential "cred-$uid"
    run() { (cd "$W/examples" && as $uid env HOME=/tmp "$program" "$example" "$1" "$W/run/agent.sock") >"$W/shown" 2>&1; }
    isnt "$example, not registered, fails" run $NIP
    is "… and says why" grep -q policy.caller-unknown "$W/shown"
    new_integration "example-$uid" $uid "$program"
    CREDENTIAL=cred-$uid new_grant "example-$uid" --context $NIP >/dev/null
    is "$example gets a session" run $NIP
    is "… and shows its lease" grep -q '"session":' "$W/shown"
    is "… and ends it" wait_for 15 no_sessions
done
is "the ledger verifies" verify
finish
