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
drop "$W/drop/b.txt" "$W/drop/b.txt.sig"
is "two files side by side are taken" answered b.txt ok
is "both count: the request is done" wait_for 15 state_is "$id" done
is "the files are gone" eval '[ ! -e "$I/joined.txt" ] && [ ! -e "$I/b.txt" ] && [ ! -e "$I/b.txt.sig" ]'
is "the grant works" session $INTERNAL
isnt "nobody can list the box" as kv-other ls "$I"

size=$(record_count)
sed 's/^rate: .*/rate: 7\/s/' "$W/drop/joined.txt" >"$W/drop/changed.txt"
drop "$W/drop/changed.txt"
is "a changed text is refused, and told why" answered changed.txt 'statement.request-differs\|signature.bad\|approval.request-not-open'
head -c 20000000 /dev/zero >"$W/drop/huge"; drop "$W/drop/huge"
as kv-other ln -s /etc/shadow "$I/link"
as kv-other mkfifo "$I/fifo"
as kv-other mkdir "$I/dir"
as kv-other cp /dev/null "$I/empty"
as kv-other cp "$W/drop/a.txt.sig" "$I/only.sig"
head -c 3000 /dev/urandom >"$W/drop/noise"; drop "$W/drop/noise"
for ((i = 0; i < 300; i++)); do echo "x"; done >"$W/drop/lines"; drop "$W/drop/lines"
sleep 1
is "hostile files do no harm" session $INTERNAL
equal "and leave no record but the session's" "" "$(records "$size" | jq -r 'select((.ev | startswith("use.") or . == "ksef.session") | not).ev')"
agent_stop
statement_while_down() { cp "$W/drop/joined.txt" "$W/drop/again.txt"; drop "$W/drop/again.txt"; }
statement_while_down
agent_start
is "what was dropped while the agent was down is taken at its start" answered again.txt ok
is "the ledger verifies" verify
finish
