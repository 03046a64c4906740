#!/bin/sh
# Runs Nightschool from this folder on a Mac. Written and checked on Linux, NOT TESTED on a Mac.
#
# At first start it fetches Python (with the hash below) and the packages (with the versions that
# Linux has in app/requirements.txt) onto the stick; after that it needs no network.

VERSION=3.11.9
RELEASE=20240814
ARM64=c4e2f7774421bcb381245945e132419b529399dfa4a56059acda1493751fa377
X86_64=c8680f90137e36b54b3631271ccdfe5de363e7d563d8df87c53e11b956a00e04

say() { printf 'nightschool: %s\n' "$*" >&2; }

fetch() {
    say "Fetching Python and the packages for this Mac onto the stick, once (about 1 GB)."
    archive="$runtime/python.tar.gz"
    mkdir -p "$runtime" || return 1
    curl --fail --location --proto '=https' --output "$archive" "https://github.com/astral-sh/python-build-standalone/releases/download/$RELEASE/cpython-$VERSION%2B$RELEASE-$triple-install_only_stripped.tar.gz" || return 1
    [ "$(shasum -a 256 "$archive" | cut -d ' ' -f 1)" = "$hash" ] || {
        say "What was fetched is not the file that was asked for (its SHA-256 differs)."
        rm -f "$archive"
        return 1
    }
    # exFAT holds no links: those that tar cannot make are only other names of the interpreter.
    tar -xzf "$archive" -C "$runtime" 2>/dev/null
    rm -f "$archive"
    xattr -dr com.apple.quarantine "$runtime" 2>/dev/null
    "$python" -I -m pip install --no-cache-dir --prefer-binary --disable-pip-version-check \
        --extra-index-url https://abetlen.github.io/llama-cpp-python/whl/cpu \
        -r "$here/app/requirements.txt" || return 1
    printf '../../../../../../app\n' > "$runtime/python/lib/python3.11/site-packages/nightschool.pth"
    touch "$runtime/complete"
}

main() {
    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
    case $(uname -m) in
        arm64) triple=aarch64-apple-darwin hash=$ARM64 ;;
        *) triple=x86_64-apple-darwin hash=$X86_64 ;;
    esac
    runtime="$here/runtime/darwin-$(uname -m)"
    python="$runtime/python/bin/python3.11"
    unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE DYLD_LIBRARY_PATH VIRTUAL_ENV
    export NIGHTSCHOOL_HOME="$here/data"
    if [ ! -e "$runtime/complete" ]; then
        fetch || {
            say "It could not be fetched. Check the network and the room on the stick, then start again."
            exit 1
        }
    fi
    exec "$python" -I -B -X utf8 -m nightschool portable run -- "$@"
}

main "$@"
