# What the integration tests share: a founded world, calls with their answers, people who ask and
# approve, records, and lines `ok N - sentence`. Source it (bash, as root).
#
#   founded              a vault with two finance people and two custodians, credential ksef-auth,
#                        integration erp-1 (account kv-erp, program $CONNECTOR), an active grant $GRANT
#   call USER METHOD PATH [BODY] [CURL OPTIONS]   sets $status $answer; headers are in $W/head
#   is / isnt SENTENCE COMMAND…                   one line of the result
#   finish                                        the exit status of the script
# shellcheck shell=bash disable=SC2034
set -u
. "$(dirname "${BASH_SOURCE[0]}")/world.sh"

# A third of the processors' time went into starting jq 1.6, 40 ms each time: it compiles its own library
# first. The same language by another program takes 4; it puts the keys of an object into order.
jq() { gojq "$@"; }

# valid NIPs; only the first is the company's own
NIP=Nip:5265877635
OTHER_NIP=Nip:7010002139
INTERNAL=InternalId:5265877635-12345
test_number=0
test_bad=0

ok() { test_number=$((test_number + 1)); printf 'ok %d - %s\n' $test_number "$*"; }
not_ok() {
    test_number=$((test_number + 1)) test_bad=$((test_bad + 1))
    printf 'not ok %d - %s\n' $test_number "$*"
}
note() { sed 's/^/#   /' <<<"$*"; }
said() { note "$* said: $(head -c 1500 "$W/said")"; }
is() {
    local sentence=$1; shift # in this shell, so that what the command sets stays
    if "$@" >"$W/said" 2>&1; then ok "$sentence"; else not_ok "$sentence"; said "$@"; fi
}
isnt() {
    local sentence=$1; shift
    if "$@" >"$W/said" 2>&1; then not_ok "$sentence"; said "$@"; else ok "$sentence"; fi
}
equal() { # SENTENCE WANTED GOT
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1"; note "wanted '$2', got '${3:0:1500}'"; fi
}
# exits STATUS COMMAND…: the command ends with this exit status; its output goes through
exits() { local wanted=$1 got=0; shift; "$@" || got=$?; [ "$got" = "$wanted" ] || { echo "exit status $got"; return 1; }; }

finish() {
    printf '1..%d\n' $test_number
    [ $test_bad = 0 ] && [ $test_number -gt 0 ]
    exit
}

damage() { # FILE OFFSET: one bit of it is another, whatever it was
    local byte; byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# small_state SIZE: the state folder on a file system of its own, for before_start
small_state() {
    mkdir -p "$W/state"
    if ! mount -t tmpfs -o "size=$1,mode=0755" ksefvault-test "$W/state" 2>"$W/said"; then
        ok "not tried: nobody may mount a small file system here: $(cat "$W/said")" # a container
        finish
    fi
    at_end 'agent_stop; umount "$W/state"'
}

# at_end COMMAND: also done when the test ends, before its world goes. (A trap of the test's own would
# put its last command's status in the place of the test's.)
harness_last=()
at_end() { harness_last+=("$1"); }

# A test's folder goes with it, and so does everything that it started.
harness_end() {
    local status=$? command # of the test: what is done here must not change it
    for command in "${harness_last[@]}"; do eval "$command"; done
    world_end
    if [ $status != 0 ] && [ -s "$W/agent.log" ]; then
        echo '# the end of the agent'"'"'s log:'
        tail -25 "$W/agent.log" | sed 's/^/#   /'
    fi
    if [ -z "${KEEP:-}" ]; then rm -rf "$W"; else echo "# kept: $W"; fi
    exit $status
}
harness_begin() {
    W=$(mktemp -d /tmp/ksefvault-test.XXXXXX)
    trap harness_end EXIT
    trap 'exit 130' INT TERM
}

# ---- calls ----

# The client is the registered program for the ERP's account, and plain curl for all others; $PROGRAM
# and the headers $KEY (Idempotency-Key) and $TYPE (Content-Type) can be set for one call. An empty
# header is not sent.
call() { # USER METHOD PATH [BODY] [CURL OPTIONS…]
    local user=$1 method=$2 path=$3 body=${4:-} program=/usr/bin/curl out; shift $(($# < 4 ? $# : 4))
    [ "$user" != kv-erp ] || program=$CONNECTOR
    program=${PROGRAM:-$program}
    local options=(-sS --max-time 60 --unix-socket "$W/run/agent.sock" -X "$method" -w '\n%{http_code}')
    if [ "$method" = POST ]; then
        options+=(-H "Idempotency-Key: ${KEY-key-$SRANDOM$SRANDOM}" -H "Content-Type: ${TYPE-application/json}")
        [ -z "$body" ] || options+=(--data-binary "$body")
    fi
    out=$(as "$user" "$program" "${options[@]}" -D - "$@" "http://agent$path" 2>&1)
    status=${out##*$'\n'} out=${out%$'\n'*}
    printf '%s\n' "${out%%$'\r\n\r\n'*}" >"$W/head"
    answer=${out#*$'\r\n\r\n'}
    printf '%s %s %s < %s\n> %s %s\n' "$user" "$method" "$path" "${body:0:200}" "$status" "$answer" >>"$W/calls"
    [ "$status" -ge 200 ] 2>/dev/null && [ "$status" -lt 300 ]
}
code() { jq -r '.code // empty' <<<"$answer" 2>/dev/null; }
field() { jq -r ".$1 | values" <<<"$answer" 2>/dev/null; }
header() { tr -d '\r' <"$W/head" | sed -n "s/^$1: //ip" | head -1; }

# session CONTEXT [CURL OPTIONS…]: the ERP asks for a session
session() { local context=$1; shift; call kv-erp POST /v1/sessions "{\"context\":\"$context\"}" "$@"; }

# end_session [FILE…]: end the lease of the last answer, or those of the files, and wait until their
# session is gone at KSeF too
end_session() {
    local id
    for id in $(if [ $# = 0 ]; then field session; else jq -r .session "$@"; fi | sort -u); do
        call kv-erp DELETE "/v1/sessions/$id" || return 1
    done
    wait_for 15 no_sessions
}
no_sessions() { agent_answers | holds '.sessions == 0'; }

# refused SENTENCE CODE HTTP: what the last call got
refused() {
    if [ "$(code)" = "$2" ] && [ "$status" = "$3" ]; then
        ok "$1 [$2]"
    else
        not_ok "$1 [$2]"; note "wanted $3 $2, got $status ${answer:0:800}"
    fi
}

# ---- records ----

records() { api -f "http://agent/v1/records?from=${1:-0}&count=256" | jq -c '.records[] | fromjson'; }
record_count() { api -f http://agent/v1/status | jq .records; }
record() { api -f "http://agent/v1/records/$1" | jq '.record | fromjson'; }
# The whole trail as the agent keeps it. 0: nothing found.
verify() { kv ledger verify --vkey "$W/log.vkey" "$@"; }

# ---- people ----

uid_of() { case $1 in *[!0-9]*) id -u "$1" ;; *) echo "$1" ;; esac; }

key_of() { ssh-keygen -lf "$W/people/$1.pub" | awk '{ print "ssh:" $2 }'; }
sign() { rm -f "$2.sig"; ssh-keygen -q -Y sign -n "${3:-ksefvault-approval-v1}" -f "$W/people/$1" "$2" 2>/dev/null; }
approve() { kv approve "$1" --as "$2" --key "$W/people/$2" --yes >"$W/out" 2>&1 || die "approve $1 by $2: $(cat "$W/out")"; }
# by PERSON NOUN VERB…: a signed request or act; prints the request's id
by() { local who=$1; shift; kv "$@" --as "$who" --key "$W/people/$who" --json >"$W/out" 2>"$W/err" || { cat "$W/err" >&2; return 1; }; jq -r '.request // empty' "$W/out"; }
# approved ID PERSON…: all of them approve
approved() { local id=$1 who; shift; for who; do approve "$id" "$who"; done; }

request_grant() { # INTEGRATION [OPTIONS…]: fin-02 asks
    local integration=$1; shift
    # shellcheck disable=SC2046 # words
    by fin-02 grant request --credential "${CREDENTIAL:-ksef-auth}" --integration "$integration" \
        $(printf -- '--operation %s ' ${OPERATIONS:-auth.xades session.open}) --reason "A test" "$@"
}
new_grant() { # INTEGRATION [OPTIONS…]: asked and approved
    local id; id=$(request_grant "$@") || die "grant request: $(cat "$W/err")"
    approved "$id" fin-01 cus-01
    echo "$id"
}
new_integration() { # ID USER PROGRAM
    local id
    # shellcheck disable=SC2046 # words
    id=$(by cus-01 integration register "$1" --purpose "A test's ERP" --business-owner fin-01 --custodian cus-01 \
        --context $NIP --context $INTERNAL --context $OTHER_NIP \
        $(printf -- '--operation %s ' ${OPERATIONS:-auth.xades session.open}) \
        --uid "$(uid_of "$2")" --exe "$3" --exe-sha256 "$(sha256sum "$3" | cut -d' ' -f1)" --reason "A test") ||
        die "integration register: $(cat "$W/err")"
    approved "$id" fin-01 cus-02
}

# ---- the world ----

found() {
    kv vault found --test --dir "$W/ceremony" --person "fin-01:finance:$W/people/fin-01.pub" \
        --person "fin-02:finance:$W/people/fin-02.pub" --person "cus-01:custodian:$W/people/cus-01.pub" \
        --person "cus-02:custodian:$W/people/cus-02.pub" --policy "$world_root/tests/integration/policy-test.yaml" \
        >"$W/out" 2>&1
}
new_credential() { # ID [KIND [KEY-TYPE]]
    local id
    id=$(by cus-01 credential generate "$1" --kind "${2:-auth-certificate}" --key-type "${3:-ec-p256}" --slot "${SLOT:-main}" --environment test \
        --context $NIP --context $INTERNAL --context $OTHER_NIP --business-owner fin-01 --custodian cus-01 \
        --reason "A test") || die "credential generate"
    approved "$id" fin-01 cus-02
    credential_is "$1" key || die "no key was made"
    kv credential self-sign "$1" --subject seal --nip "${SEAL_NIP:-5265877635}" --common-name Demo --organization Demo >"$W/out" 2>&1 ||
        die "self-sign: $(cat "$W/out")"
}
credential_is() { wait_for 20 has_credential "$@"; }
has_credential() { kv credential list --json | holds 'any(.credentials[]; .id == $id and .state == $state)' --arg id "$1" --arg state "$2"; }

started() { # a world with a slot and an agent, unfounded
    harness_begin
    world_new "$W"
    mkdir -p "$W/erp" && cp /usr/bin/curl "$W/erp/connector" && chmod 0755 "$W/erp" "$W/erp/connector"
    CONNECTOR=$W/erp/connector
    world_slot >"$W/out" 2>&1 || die "slot init: $(cat "$W/out")"
    [ "$(type -t before_start)" != function ] || before_start # of the test
    agent_start
}

founded() {
    local text
    started
    found || [ -d "$W/ceremony" ] || die "no texts: $(cat "$W/out")" # exit status 4: waits for signatures
    for text in finance-fin-01 finance-fin-02 custodian-cus-01 custodian-cus-02; do
        sign "${text#*-}" "$W/ceremony/$text.txt" || die "sign $text: $(ls "$W/ceremony" "$W/people")"
    done
    found || die "not founded: $(cat "$W/out")"
    cp "$W/ceremony/log.vkey" "$W/log.vkey" || die "no log key"
    new_credential ksef-auth
    new_integration erp-1 kv-erp "$CONNECTOR"
    GRANT=$(new_grant erp-1 --context $NIP) || exit 1
}
