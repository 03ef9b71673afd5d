#!/bin/sh
# Checks an evidence folder with nothing but sh, coreutils and openssl.
#
#   verify_ecdsa_openssl.sh FOLDER VKEYFILE
#
# VKEYFILE holds the log's public key as one line, "name+hash+base64". Take it from the founding papers or from
# somebody you trust, not from the folder that you are checking.
#
# Checked: the key's own hash; every signature line of FOLDER/checkpoint that this key made, and that there is one;
# the chain (`prev`) and the Merkle root of FOLDER/records.jsonl against the signed root; that every blob which a record
# names is there and has the content that its name says; MANIFEST. Not judged: what the records mean. Approvals are
# checked with ssh-keygen, see FOLDER/README. About 25 ms per record; for many thousands use the Go program.
#
# Exit status: 0 everything holds, 1 something does not (the first thing is named), 2 usage.
set -u
LC_ALL=C
export LC_ALL

fail() { echo "FAIL: $*" >&2; exit 1; }
sha() { openssl dgst -sha256 -binary; }

[ $# -eq 2 ] || { echo "usage: $0 FOLDER VKEYFILE" >&2; exit 2; }
dir=$1
for f in "$dir/checkpoint" "$dir/records.jsonl"; do
    [ -r "$f" ] || { echo "usage: $dir is not an evidence folder, no ${f##*/}" >&2; exit 2; }
done
[ -r "$2" ] || { echo "usage: cannot read $2" >&2; exit 2; }
t=$(mktemp -d) || exit 2
trap 'rm -rf "$t"' EXIT
trap 'exit 1' HUP INT TERM

# 1. The key: type 0x02 (ECDSA), its hash is the start of SHA-256(SubjectPublicKeyInfo).
vkey=
IFS= read -r vkey < "$2"
name=${vkey%%+*}
rest=${vkey#*+}
keyid=${rest%%+*}
printf '%s' "${rest#*+}" | base64 -d > "$t/key" 2>/dev/null || fail "$2 is not a key of the form name+hash+base64"
[ "$(head -c 1 "$t/key" | od -An -v -tx1 | tr -d ' \n')" = 02 ] || fail "$2 is not an ECDSA (type 02) key"
tail -c +2 "$t/key" > "$t/spki"
[ "$(sha256sum < "$t/spki" | cut -c 1-8)" = "$keyid" ] || fail "the hash in $2 does not belong to its key"
openssl pkey -pubin -inform DER -in "$t/spki" -out "$t/pub" 2>/dev/null || fail "$2 holds no public key that openssl reads"

# 2. The checkpoint: text up to the last empty line, then signature lines.
n=0
empty=0
while IFS= read -r line; do
    n=$((n + 1))
    [ -n "$line" ] || empty=$n
done < "$dir/checkpoint"
[ -z "$line" ] || fail "checkpoint: the last line has no LF"
[ "$empty" -ge 4 ] || fail "checkpoint: no empty line after the text"
head -n $((empty - 1)) "$dir/checkpoint" > "$t/text"
{ IFS= read -r origin; IFS= read -r size; IFS= read -r root; } < "$t/text"
[ "$origin" = "$name" ] || fail "checkpoint: it is of '$origin', the key is of '$name'"
case $size in '' | *[!0-9]* | 0?*) fail "checkpoint: size '$size'" ;; esac
verified=0
tail -n +$((empty + 1)) "$dir/checkpoint" > "$t/sigs"
while IFS= read -r line; do
    case $line in
    '— '*' '*) ;;
    *) fail "checkpoint: not a signature line: $line" ;;
    esac
    line=${line#* }
    printf '%s' "${line#* }" | base64 -d > "$t/sig" 2>/dev/null || fail "checkpoint: a signature line is not base64"
    [ "${line%% *}" = "$name" ] || continue
    [ "$(head -c 4 "$t/sig" | od -An -v -tx1 | tr -d ' \n')" = "$keyid" ] || continue
    tail -c +5 "$t/sig" > "$t/der"
    openssl dgst -sha256 -verify "$t/pub" -signature "$t/der" "$t/text" > /dev/null 2>&1 ||
        fail "checkpoint: the signature of $name+$keyid is wrong"
    verified=$((verified + 1))
done < "$t/sigs"
[ "$verified" -ge 1 ] || fail "checkpoint: no signature line by $name+$keyid"
echo "ok  checkpoint of $name, size $size, signature lines verified: $verified"

# 3. The records: each one's `prev` is the hash of the one before, and the tree over the first `size` has the signed root.
n=0
last=
while IFS= read -r line; do
    prev=${line#*\"prev\":\"}
    prev=${prev%%\"*}
    [ "$prev" = "$last" ] || fail "records.jsonl: line $((n + 1)): prev is not the hash of the line before"
    { printf '\000'; printf '%s' "$line"; } | sha > "$t/cur"
    last=$(base64 -w 0 < "$t/cur")
    if [ "$n" -lt "$size" ]; then
        k=$n
        level=0
        while [ $((k & 1)) -eq 1 ]; do
            { printf '\001'; cat "$t/s$level" "$t/cur"; } | sha > "$t/new"
            mv "$t/new" "$t/cur"
            k=$((k >> 1))
            level=$((level + 1))
        done
        mv "$t/cur" "$t/s$level"
    fi
    n=$((n + 1))
    [ $((n % 200)) -ne 0 ] || [ ! -t 2 ] || printf '\r%s of %s records' "$n" "$size" >&2
    while :; do
        case $line in
        *'{"k":"'*) ;;
        *) break ;;
        esac
        line=${line#*'{"k":"'}
        h=${line#*'"h":"'}
        h=$(printf '%s' "${h%%\"*}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
        [ -e "$dir/blobs/$h" ] || fail "records.jsonl: line $n: blobs/$h is missing"
    done
    line=
done < "$dir/records.jsonl"
[ "$n" -lt 200 ] || [ ! -t 2 ] || echo >&2
[ -z "$line" ] || fail "records.jsonl: line $((n + 1)) has no LF"
[ "$n" -ge "$size" ] || fail "records.jsonl: $n records, the checkpoint covers $size"
: | sha > "$t/cur"
k=$size
level=0
first=1
while [ "$k" -gt 0 ]; do
    if [ $((k & 1)) -eq 1 ]; then
        if [ "$first" -eq 1 ]; then
            cp "$t/s$level" "$t/cur"
            first=0
        else
            { printf '\001'; cat "$t/s$level" "$t/cur"; } | sha > "$t/new"
            mv "$t/new" "$t/cur"
        fi
    fi
    k=$((k >> 1))
    level=$((level + 1))
done
[ "$(base64 -w 0 < "$t/cur")" = "$root" ] || fail "records.jsonl: the root of the first $size records is not the signed one"
echo "ok  records chained: $n, the root of the first $size is the signed one, not covered: $((n - size))"

# 4. The blobs: each file's name is its SHA-256.
n=0
for f in "$dir"/blobs/*; do
    [ -e "$f" ] || break
    [ "$(sha256sum < "$f" | cut -c 1-64)" = "${f##*/}" ] || fail "blobs/${f##*/}: the content is not what the name says"
    n=$((n + 1))
done
echo "ok  blobs: $n"

# 5. The list of files.
[ -r "$dir/MANIFEST" ] || fail "MANIFEST is missing"
(cd "$dir" && sha256sum --quiet --strict -c MANIFEST) > "$t/out" 2>&1 || fail "MANIFEST: $(head -n 1 "$t/out")"
echo "ok  MANIFEST"
