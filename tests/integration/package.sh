#!/usr/bin/env bash
# The Debian package: built, looked at, unpacked beside the system, and started as systemd would, with
# a socket that is passed. Nothing is installed on this machine.
. "$(dirname "$0")/harness.sh"
harness_begin
build=$(cd "$BIN/.." && pwd)

is "a .deb is built" eval "(cd '$build' && cpack -B '$W/deb')"
deb=$(echo "$W"/deb/*.deb)
root=$W/root
is "… and unpacks" dpkg-deb -x "$deb" "$root"
dpkg-deb -f "$deb" Depends >"$W/depends"
is "… it asks for the libraries it was linked with" grep -q 'libssl3.*libsystemd0' "$W/depends"
equal "… all of it is root's, nothing is writable for others" "" \
    "$(dpkg-deb -c "$deb" | awk '$2 != "root/root" || substr($1, 6, 1) == "w" || substr($1, 9, 1) == "w" || $1 ~ /s/')"
dpkg-deb -e "$deb" "$W/control"
is "… its scripts are shell" sh -n "$W/control/postinst"
is "… both" sh -n "$W/control/prerm"

# ---- what lies around the programs ----

for page in man1/ksefvault.1 man5/ksefvault.yaml.5 man8/ksefvaultd.8; do
    LC_ALL=C.UTF-8 groff -man -ww -z -Tutf8 "$root/usr/share/man/$page" >"$W/out" 2>&1
    equal "$page is good roff" "" "$(cat "$W/out")"
done
equal "the page has each command that --help has" "$("$BIN/ksefvault" help | sed -n 's/^  \([a-z][a-z -]*[a-z]\)  .*/\1/p' | sort)" \
    "$(sed -n 's/^\.SS "ksefvault \([a-z][a-z -]*[a-z]\)\( [A-Z[].*\)\{0,1\}"$/\1/p' "$root/usr/share/man/man1/ksefvault.1" | sort)"
complete() { # WORD…: what bash would offer for the last one
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ksefvault; printf "%s\n" "${COMPREPLY[@]}"' - \
        "$root/usr/share/bash-completion/completions/ksefvault" ksefvault "$@" | sort | paste -sd' '
}
equal "bash completes nouns" "credential" "$(complete cre)"
equal "… verbs" "register resume" "$(complete integration re)"
equal "… options" "--cert --config" "$(complete code verify --c)"
equal "… of everyday verbs too" "--key" "$(complete approve --k)"

# ---- units ----

units=$root/usr/lib/systemd/system
sed "s|/usr/libexec/ksefvault|$root/usr/libexec/ksefvault|; /^Documentation/d" "$units/ksefvault.service" >"$W/ksefvault.service"
cp "$units/ksefvault.socket" "$W/"
sed -i '/^Documentation/d' "$W/ksefvault.socket"
systemd-analyze verify "$W/ksefvault.service" "$W/ksefvault.socket" >"$W/out" 2>&1
equal "systemd finds nothing wrong with the units" "" "$(grep -F "$W" "$W/out")"
is "… and their exposure is 3.0 at most" systemd-analyze security --offline=true --threshold=30 "$W/ksefvault.service"
is "accounts are good" systemd-sysusers --root="$root" --dry-run ksefvault.conf
is "the sample configuration is accepted" "$root/usr/libexec/ksefvault/ksefvaultd" --check --config "$root/usr/share/doc/ksefvault/examples/ksefvault.yaml"

# ---- started by a socket ----

world_new "$W"
world_slot >"$W/out" 2>&1 || die "slot init: $(cat "$W/out")"
socket=$W/run/agent.sock
systemd-socket-activate --listen="$socket" "$root/usr/libexec/ksefvault/ksefvaultd" --config "$W/ksefvault.yaml" >>"$W/agent.log" 2>&1 &
world_agent_pid=$!
wait_for 10 test -S "$socket"
chmod 0666 "$socket" # SocketMode of the unit
installed() { "$root/usr/bin/ksefvault" --socket "$socket" --config "$W/ksefvault.yaml" "$@"; }
is "the first caller starts the agent and is answered" wait_for 60 eval 'installed status --json | jq -e ".next | startswith(\"Found\")"'
is "… by the programs of the package" pgrep -P "$world_agent_pid" -x -f "$root/usr/libexec/ksefvault/ksefvault-vault"
agent_stop
is "the socket stays when the agent stops: it is systemd's" test -S "$socket"
finish
