# Shared by the scripts of this folder; sourced, not run.
# shellcheck shell=bash

export LC_ALL=C
ci_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(dirname "$ci_dir")
me=ci/$(basename "$0")

# The folders whose code is the product; the tests are held to fewer rules.
# shellcheck disable=SC2034 # used by the scripts that source this file
product=(core policy ledger ksef pkcs11 tpm agent client cli)

die() {
    echo "$me: $*" >&2
    exit 2
}

# The comment at the head of a script is its help.
help() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
}

scratch_folder() {
    scratch=$(mktemp -d) || die "cannot make a temporary folder"
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT TERM
}

# files_under ROOT-RELATIVE-FOLDERS… -- FIND-TESTS…: regular files, sorted, one a line. Build trees
# and git's folder are left out; a folder that does not exist has no files.
files_under() {
    local folders=()
    while [ "$1" != -- ]; do
        [ ! -e "$root/$1" ] || folders+=("$1")
        shift
    done
    shift
    [ ${#folders[@]} -eq 0 ] ||
        (cd "$root" && find "${folders[@]}" \( -path ./build -o -path ./.git \) -prune -o \
            -type f \( "$@" \) -print | sed 's|^\./||' | sort)
}

c_files() {
    files_under "$@" -- -name '*.c' -o -name '*.h'
}

# strip KEEP < list of files: see strip.awk.
strip() {
    local files
    mapfile -t files
    [ ${#files[@]} -eq 0 ] || (cd "$root" && awk -v keep="$1" -f "$ci_dir/strip.awk" "${files[@]}")
}

# verdict FILE WHAT: print the violations in FILE and fail if there are any.
verdict() {
    local count
    count=$(wc -l < "$1")
    if [ "$count" -gt 0 ]; then
        cat "$1"
        echo "$me: $count violation(s)" >&2
        exit 1
    fi
    echo "$me: $2"
}
