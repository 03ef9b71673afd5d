#!/usr/bin/env bash
# The inbox: signed texts dropped by anybody, and what hostile hands put there.
. "$(dirname "$0")/harness.sh"
founded
I=$W/state/inbox

statement() { # REQUEST PERSON FILE
    kv statement "$1" --as "$2" --key "$(key_of "$2")" --out "$3" >/dev/null 2>&1 && sign "$2" "$3"
}
drop() { chmod 0644 "$@" && as kv-other cp "$@" "$I/"; } # by an account without any rights
answered() { wait_for 15 as kv-other grep -q "^$2:" "$I/$1.answer"; }
state_is() { kv request show "$1" --json | holds '.state == $s' --arg s "$2"; }

id=$(request_grant erp-1 --context $INTERNAL) || die "request"
mkdir "$W/drop" && chmod 0755 "$W/drop"
statement "$id" fin-01 "$W/drop/a.txt" || die "statement"
cat "$W/drop/a.txt" "$W/drop/a.txt.sig" >"$W/drop/joined.txt"
drop "$W/drop/joined.txt"
is "a text with its signature behind it is taken" answered joined.txt ok
statement "$id" cus-01 "$W/drop/b.txt" || die "statement"
as kv-other cp /dev/null "$I/b.txt.sig" # it is just being written
drop "$W/drop/b.txt"
cp "$W/drop/joined.txt" "$W/drop/behind.txt"; drop "$W/drop/behind.txt"
is "a text waits for its signature" answered behind.txt ok
equal "… as it lies there" "$(cat "$W/drop/b.txt")" "$(cat "$I/b.txt")"
drop "$W/drop/b.txt.sig"
is "two files side by side are taken" answered b.txt ok
is "both count: the request is done" wait_for 15 state_is "$id" done
is "the files are gone" eval '[ ! -e "$I/joined.txt" ] && [ ! -e "$I/b.txt" ] && [ ! -e "$I/b.txt.sig" ]'
is "the grant works" session $INTERNAL
isnt "nobody can list the box" as kv-other ls "$I"

size=$(record_count)
sed 's/^rate: .*/rate: 7\/s/' "$W/drop/joined.txt" >"$W/drop/changed.txt"
drop "$W/drop/changed.txt"
is "a changed text is refused, and told why" answered changed.txt 'statement.request-differs\|signature.bad\|approval.request-not-open'
cp "$W/drop/changed.txt" "$W/drop/x code=ok y=\"z\".txt"; drop "$W/drop/x code=ok y=\"z\".txt"
logged() { grep -q ' inbox file=x?code?ok?y??z?.txt code=[a-z]*\.' "$W/agent.log"; }
is "a name that looks like other keys is one word in the log" wait_for 15 logged
as kv-other ln -s /etc/shadow "$I/link"
as kv-other mkfifo "$I/fifo"
as kv-other mkdir "$I/dir"
as kv-other cp /dev/null "$I/empty"
as kv-other cp "$W/drop/a.txt.sig" "$I/only.sig"
head -c 3000 /dev/urandom >"$W/drop/noise"; drop "$W/drop/noise"
for ((i = 0; i < 300; i++)); do echo "x"; done >"$W/drop/lines"; drop "$W/drop/lines"
cp "$W/drop/changed.txt" "$W/drop/last.txt"; drop "$W/drop/last.txt"
is "what is dropped behind hostile files is answered" answered last.txt 'statement.request-differs\|signature.bad\|approval.request-not-open'
is "hostile files do no harm" session $INTERNAL
# a file system of theirs over their file could let the vault wait for ever, for its attributes alone
as kv-other cp /dev/null "$I/mounted.txt"
if mount --bind "$W/drop/changed.txt" "$I/mounted.txt" 2>"$W/said"; then
    cp "$W/drop/a.txt.sig" "$W/drop/mounted.txt.sig"; drop "$W/drop/mounted.txt.sig"
    cp "$W/drop/changed.txt" "$W/drop/after.txt"; drop "$W/drop/after.txt"
    is "what is dropped behind a mounted file is answered" answered after.txt 'statement.request-differs\|signature.bad\|approval.request-not-open'
    equal "… and that one is not looked into" "" "$(find "$I" -name 'mounted.txt.answer')"
    umount "$I/mounted.txt"
else
    ok "not tried: nobody may mount a file here: $(cat "$W/said")" # a container
fi
equal "and leave no record but the session's" "" "$(records "$size" | jq -r 'select((.ev | startswith("use.") or . == "ksef.session") | not).ev')"

# ---- a reason, which has no place in the box ----

size=$(record_count)
kv grant suspend "$GRANT" --reason "A look" --as fin-01 --key "$W/people/fin-01" --out "$W/drop/act.txt" >"$W/out" 2>&1 || die "suspend: $(cat "$W/out")"
sign fin-01 "$W/drop/act.txt" && drop "$W/drop/act.txt.sig" "$W/drop/act.txt"
is "a text whose reason did not come along is refused" answered act.txt input.field-missing
is "… and is told the command that takes both" as kv-other grep -q 'ksefvault submit FILE' "$I/act.txt.answer"
equal "… and the ledger is as before" "$size" "$(record_count)"
is "… the grant works" session $NIP
is "the command takes both" kv submit "$W/drop/act.txt"
is "… and the ledger verifies" verify
approved "$(by fin-02 grant resume "$GRANT" --reason "Looked at")" fin-01 cus-01

# ---- too large ----

large() { # NAME: it is refused, told why, and gone
    answered "$1" input.too-large && [ ! -e "$I/$1" ] && [ ! -e "$I/$1.sig" ]
}
as kv-other truncate -s 4T "$I/sparse"
is "four terabytes of nothing are refused, and gone" large sparse
head -c 20000000 /dev/zero >"$W/drop/huge"; drop "$W/drop/huge"
is "so are twenty megabytes" large huge
as kv-other truncate -s 4T "$I/alone.sig"
is "… and a signature, with no text beside it" large alone
head -c 20000 /dev/zero >"$W/drop/halves"; cp "$W/drop/halves" "$W/drop/halves.sig"; drop "$W/drop/halves" "$W/drop/halves.sig"
is "… and two that only together are too large" large halves
is "the agent goes on" session $INTERNAL

# ---- while nobody watches ----

id=$(request_grant erp-1 --context $OTHER_NIP) || die "request"
joined() { statement "$id" "$1" "$W/drop/$2" && cat "$W/drop/$2.sig" >>"$W/drop/$2"; }
joined fin-01 down.txt && joined cus-01 late.txt || die "statement"
agent_stop
cp "$W/drop/joined.txt" "$W/drop/again.txt"
drop "$W/drop/again.txt" "$W/drop/down.txt"
as kv-other truncate -s 4T "$I/sparse"
agent_start
is "what was dropped while the agent was down is taken at its start" answered again.txt ok
is "… an approval, too: not before the ledger's end is signed" answered down.txt ok
is "… what is too large is refused then" large sparse

# The kernel keeps a number of events, and then only says that there were more.
vault=$(agent_child vault) events=$(cat /proc/sys/fs/inotify/max_queued_events)
kill -STOP "$vault"
as kv-other $world_python -c 'import os, sys
for i in range(int(sys.argv[2])):
    name = sys.argv[1] + "/event-%d" % i
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
    os.unlink(name)' "$I" $((events + 10))
drop "$W/drop/late.txt"
as kv-other bash -c 'for ((i = 0; i < 300; i++)); do printf -- "noise\n-----BEGIN SSH SIGNATURE" >"$0/many-$i"; done' "$I"
kill -CONT "$vault"
is "what was dropped while events were lost is taken" answered late.txt ok
is "… and counts: the request is done" wait_for 15 state_is "$id" done
many_answered() { [ "$(find "$I" -name 'many-*.answer' | wc -l)" = 300 ] && [ "$(find "$I" -name 'many-*' | wc -l)" = 300 ]; }
is "… and three hundred others are answered" wait_for 15 many_answered

# ---- what nobody needs any more ----

agent_stop
is "answers stay" test -e "$I/joined.txt.answer" -a -e "$I/late.txt.answer"
is "… and a signature that waits for its text" test -e "$I/only.sig"
cp -R "$BIN" "$W/bin"
BIN=$W/bin
mv "$BIN/ksefvault-vault" "$BIN/ksefvault-vault.real"
cat >"$BIN/ksefvault-vault" <<EOF
#!/bin/sh
export LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME=+8d FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
exec $BIN/ksefvault-vault.real
EOF
chmod 0755 "$BIN" "$BIN/ksefvault-vault"
agent_start
empty() { [ -z "$(ls -A "$I")" ]; }
is "after a week all that lay there is gone" wait_for 15 empty
is "the ledger verifies" verify
finish
