#!/bin/sh
# Runs Nightschool from this folder, on any Linux computer, and leaves nothing there.
#
#     sh start-linux.sh                  the service, until Ctrl+C; then the stick may be pulled out
#     sh start-linux.sh ask "When ...?"  any command of Nightschool
#
# The interpreter is started through the computer's own program loader: no file here needs an exec
# bit, which FAT does not keep.

say() { printf 'nightschool: %s\n' "$*" >&2; }

main() {
    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
    runtime="$here/runtime/@SYSTEM@"
    loader='@LOADER@'
    python="$runtime/@BINARY@"

    if [ "linux-$(uname -m)" != '@SYSTEM@' ]; then
        say "This stick was made for @SYSTEM@; this computer is linux-$(uname -m)." \
            "Make one on a computer like this: nightschool portable create."
        exit 3
    fi
    if [ ! -r "$python" ] || [ ! -e "$loader" ]; then
        say "$python or $loader is missing. Copy the whole folder again, or use a glibc system."
        exit 1
    fi
    for flag in @FLAGS@; do
        grep -qw "$flag" /proc/cpuinfo || {
            say "This computer's processor lacks $flag, which the model's program was built for." \
                "Use a newer computer, or make a stick here: nightschool portable create."
            exit 3
        }
    done

    # Nothing of this computer's own Python or libraries, and nothing written outside the stick.
    unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE PYTHONPYCACHEPREFIX PYTHONEXECUTABLE
    unset LD_PRELOAD LD_LIBRARY_PATH VIRTUAL_ENV CONDA_PREFIX
    NIGHTSCHOOL_HOME="$here/data"
    NIGHTSCHOOL_LOADER=$(printf '["%s", "--library-path", "%s"]' "$loader" \
        "$(printf '%s' "$runtime/lib" | sed 's/["\\]/\\&/g')")
    export NIGHTSCHOOL_HOME NIGHTSCHOOL_LOADER

    problem=$("$loader" --library-path "$runtime/lib" "$python" -I -S -B -c '' 2>&1) || {
        case $problem in
            *GLIBC*) say "This computer's C library is older than @GLIBC@." \
                "Make a stick on a computer like this: nightschool portable create." ;;
            *) say "Programs may not run from here ($problem)." \
                "If it is mounted noexec: sudo mount -o remount,exec MOUNTPOINT, or copy the" \
                "folder to this computer's disk." ;;
        esac
        exit 1
    }
    # What lives as long as the session; the program removes it, unless the stick is pulled out
    # from under it: then this shell, which is the computer's own, does.
    id=$(sed -n 's/.*"id": *"\([0-9a-f]\{12\}\).*/\1/p' "$here/PORTABLE")
    base=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
    [ -O "$base" ] || base=/dev/shm
    [ -d "$base" ] || base=/tmp
    NIGHTSCHOOL_HOST="$base/nightschool-$(id -u)-$id"
    export NIGHTSCHOOL_HOST

    trap : INT  # Ctrl+C is for the program; this shell waits for its end
    "$loader" --library-path "$runtime/lib" "$python" -I -B -X utf8 \
        -m nightschool portable run -- "$@"
    code=$?
    if [ ! -r "$here/PORTABLE" ] && [ -n "$id" ]; then
        rm -rf "$NIGHTSCHOOL_HOST" "/dev/shm/${NIGHTSCHOOL_HOST##*/}-open"
        [ "$code" -lt 128 ] || {
            say "The stick was pulled out. Put it back and start again."
            code=75
        }
    fi
    exit "$code"
}

main "$@"  # read as a whole before it runs: the stick may be gone when it ends
