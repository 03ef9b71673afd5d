#!/usr/bin/env bash
# The exported trail, checked by us and by programs that are not ours: openssl and coreutils, the Go
# checksum database's libraries, ssh-keygen. Each of them must also fail where it should.
. "$(dirname "$0")/harness.sh"
founded

by fin-01 grant suspend "$GRANT" --reason "For the trail" >/dev/null || die "suspend"
session $NIP
id=$(by cus-01 grant resume "$GRANT" --reason "Looked at it") && approved "$id" fin-01 cus-02
session $NIP || die "no session: $answer"
record=$(field record)
kv ledger export "$W/evidence" --proof 0,3 >"$W/out" 2>&1 || die "export: $(cat "$W/out")"
E=$W/evidence

# ---- by us ----

is "our verify finds nothing in the export" kv ledger verify "$E" --vkey "$W/log.vkey"
is "nor in the ledger itself" verify
is "the session's record is in the export" grep -q "\"seq\":$record,.*\"ev\":\"ksef.session\"" "$E/records.jsonl"
cp "$E/checkpoint" "$W/older"
session $NIP; kv ledger export "$W/later" >/dev/null 2>&1
is "a later state continues an older checkpoint" kv ledger verify "$W/later" --vkey "$W/log.vkey" --expect "$W/older"
is "an older state does not continue a later one: exit 11" exits 11 kv ledger verify "$E" --vkey "$W/log.vkey" --expect "$W/later/checkpoint"
sed 's/+[0-9a-f]\{8\}+/+00000000+/' "$W/log.vkey" >"$W/wrong.vkey"
isnt "a malformed key is not accepted" kv ledger verify "$E" --vkey "$W/wrong.vkey"
other_key() { # a good key of the same name, but another one
    local name pem id
    name=$(cut -d+ -f1 "$W/log.vkey")
    openssl ecparam -name prime256v1 -genkey -noout 2>/dev/null | openssl ec -pubout -outform DER 2>/dev/null >"$W/other.der"
    id=$(openssl dgst -sha256 -binary "$W/other.der" | head -c 4 | od -An -tx1 | tr -d ' \n')
    printf '%s+%s+%s\n' "$name" "$id" "$( (printf '\002'; cat "$W/other.der") | base64 -w0)" >"$W/other.vkey"
}
other_key
is "another key: exit 10" exits 10 kv ledger verify "$E" --vkey "$W/other.vkey"

# ---- by others ----

openssl_says() { (cd "$E" && sh verify_ecdsa_openssl.sh . "$1"); }
go_says() { (cd "$E" && HOME=$W GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$W/gocache go run logcheck.go . "$1"); }
is "openssl and coreutils alone accept it" openssl_says "$W/log.vkey"
isnt "… and not under another key" openssl_says "$W/other.vkey"
is "the Go checksum database's libraries accept it" go_says "$W/log.vkey"
isnt "… and not under another key" go_says "$W/other.vkey"

texts() { # every signed text, checked by ssh-keygen as the README says
    local f who at count=0
    cd "$E/approvals" || return 1
    for f in */*.txt; do
        [ -e "${f%.txt}.sig" ] || continue
        who=$(sed -n 's/^\(requester\|approver\|actor\): //p' "$f" | head -n 1)
        at=$(sed -n 's/^issued: //p' "$f" | head -n 1 | tr -d 'T:-')
        ssh-keygen -q -Y verify -f "${SIGNERS:-allowed_signers}" -I "$who" -n ksefvault-approval-v1 -O verify-time="$at" \
            -s "${f%.txt}.sig" <"$f" || { echo "$f by $who"; return 1; }
        count=$((count + 1))
    done
    echo "$count texts"
    [ "$count" -ge 12 ]
}
is "ssh-keygen alone verifies every signed text" texts
sed 's/^fin-01 /stranger /' "$E/approvals/allowed_signers" >"$W/signers"
no_fin_01() { SIGNERS=$W/signers texts; }
isnt "… and not without finance's key" no_fin_01

# ---- one byte changed anywhere is found, and the place named ----

damage() { # FILE BYTE: flip the byte's lowest bit in a copy; renew MANIFEST so that deeper checks must find it
    rm -rf "$W/damaged"; cp -R "$E" "$W/damaged"
    python3 - "$W/damaged/$1" "$2" <<'P'
import sys
path, at = sys.argv[1], int(sys.argv[2])
data = bytearray(open(path, "rb").read())
data[at % len(data)] ^= 1
open(path, "wb").write(data)
P
    [ "$1" = MANIFEST ] || (cd "$W/damaged" && find . -type f ! -name MANIFEST | sed 's,^\./,,' | LC_ALL=C sort | xargs -d '\n' sha256sum >MANIFEST)
}
found_in() { # WANTED: verify fails with 10 (or 13, 11) and its first line names the file
    local out got
    out=$(kv ledger verify "$W/damaged" --vkey "$W/log.vkey" 2>&1); got=$?
    printf '%s (exit %s)\n' "$out" "$got"
    case $got in 10 | 11 | 13) ;; *) return 1 ;; esac
    case $(head -1 <<<"$out") in *"$1"*) ;; *) return 1 ;; esac
}
blob=$(cd "$E/blobs" && ls | head -1)
statement=$(cd "$E" && ls approvals/*/finance-fin-01.txt | head -1)
for row in "records.jsonl 1200 records.jsonl" "checkpoint 60 checkpoint" "blobs/$blob 20 blobs/$blob" \
    "$statement 100 $statement" "approvals/allowed_signers 5 approvals/allowed_signers" "proofs/3.tlog-proof 60 proofs/3.tlog-proof" \
    "MANIFEST 5 MANIFEST" "keys/log.pem 60 keys/log.pem"; do
    read -r file at want <<<"$row"
    damage "$file" "$at"
    is "a changed bit in ${file%%/*}${file#"${file%%/*}"} is found there" found_in "$want"
done

# ---- what only a person with rights may do ----

isnt "another account can't export the ledger" as kv-other "$BIN/ksefvault" --socket "$W/run/agent.sock" \
    --config "$W/ksefvault.yaml" ledger export "$W/stolen"
refused_by() { # CODE COMMAND…: as kv-other, who holds no right
    local wanted=$1; shift
    as kv-other "$BIN/ksefvault" --socket "$W/run/agent.sock" --config "$W/ksefvault.yaml" --json "$@" | holds '.code == $c and (.detail | test("as root or as the vault"))' --arg c "$wanted"
}
is "… and is told who can" refused_by policy.not-allowed ledger export "$W/stolen"
is "… neither prove" refused_by policy.not-allowed ledger prove 3
is "… nor verify" refused_by policy.not-allowed ledger verify
is "a proof makes its folder" kv ledger prove 3 --out "$W/proofs"
is "… with the record in it" test -s "$W/proofs/3.json" -a -s "$W/proofs/3.tlog-proof"
beyond() { kv ledger prove 999999 --out "$W/beyond" --json | holds '.code == "input.not-found"'; }
is "what is not there will not be there in a second" beyond
is "the export was noted" grep -q '"ev":"export.made"' <(records)
isnt "an export does not overwrite" kv ledger export "$E"
finish
