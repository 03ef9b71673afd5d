#!/usr/bin/env bash
# docs/policy.md against the program: of each number in its table the ends of the range are taken and
# what lies beyond them is refused, with file, line and key. Needs no agent.
. "$(dirname "$0")/harness.sh"
harness_begin
document=$world_root/docs/policy.md
check() { "$BIN/ksefvault" policy check "$W/policy.yaml" >"$W/out" 2>"$W/err"; }
# text KEY VALUE: a policy with this key so
text() {
    local version=1 finance=1 custodian=1 limits='' action='' rest=''
    case $1 in
    version) version=$2 ;;
    'approvals: default: finance') finance=$2 ;;
    'approvals: default: custodian') custodian=$2 ;;
    'approvals: ACTION: finance') action="  grant: {finance: $2, custodian: 1}" ;;
    'approvals: ACTION: custodian') action="  grant: {finance: 1, custodian: $2}" ;;
    'limits: emergency-hours-default') limits="limits: {emergency-hours-max: 24, ${1#limits: }: $2}" ;;
    limits:*) limits="limits: {${1#limits: }: $2}" ;;
    key-types:*) rest="key-types: {${1#key-types: }: [$2]}" ;;
    *) rest="$1: $2" ;;
    esac
    printf '%s\n' "version: $version" 'approvals:' "  default: {finance: $finance, custodian: $custodian}" "$action" "$limits" "$rest" |
        grep . >"$W/policy.yaml"
}
taken() { text "$1" "$2"; is "$1: $2 is taken" check; }
not_taken() {
    text "$1" "$2"
    isnt "$1: $2 is refused" check
    is "… by line and key" grep -Eq "policy.yaml: line [0-9]+: .*${1##*: }" "$W/err"
}
rows() { sed -n 's/^| `\([^`]*\)` | \([^|]*\) | \([^|]*\) | \([^|]*\) |$/\1|\3/p' "$document" | head -18; }
equal "the table has every key of the program" "$(grep -oE '(TEXTS?|QUORUM|MAPPING_PTR)\("[a-z-]+"' "$world_root/policy/ruleset_raw.c" | sed 's/.*"\(.*\)"/\1/' | grep -vxE 'default|grant|policy|resume|emergency|review|rotate|destroy|restore|approvals|limits|key-types' | sort -u)" \
    "$(rows | cut -d'|' -f1 | sed 's/.*: //' | sort -u)"
while IFS='|' read -r key range; do
    case $range in
    [0-9]*/*' to '*) taken "$key" "${range% to *}"; taken "$key" "${range#* to }"; not_taken "$key" 0/h; not_taken "$key" 5/week ;;
    [0-9]*' to '*)
        first=${range% to *} last=${range#* to } last=${last%% *}
        taken "$key" "$first"
        taken "$key" "$last"
        not_taken "$key" $((last + 1))
        [ "$first" = 0 ] || not_taken "$key" $((first - 1))
        not_taken "$key" many
        ;;
    1*) taken "$key" 1; not_taken "$key" 2 ;;
    *yes*) taken "$key" yes; taken "$key" no; not_taken "$key" maybe ;;
    *software*) for word in software claimed attested; do taken "$key" $word; done; not_taken "$key" none ;;
    *suspend*) taken "$key" suspend; taken "$key" 'alarm-for 1'; taken "$key" 'alarm-for 168'; not_taken "$key" 'alarm-for 169'; not_taken "$key" 'alarm-for 0' ;;
    'see below'*)
        for word in ssh-ed25519 ecdsa-sha2-nistp256 ssh-rsa sk-ssh-ed25519@openssh.com sk-ecdsa-sha2-nistp256@openssh.com; do taken "$key" $word; done
        not_taken "$key" ssh-dss
        ;;
    *) not_ok "a range that this test understands: $key, $range" ;;
    esac
done < <(rows)
finish
