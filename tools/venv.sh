#!/bin/sh
# Make .venv hold exactly what the given lock names, and rdskit itself (editable).
# Usage: tools/venv.sh LOCK...        Run by make; nothing outside the checkout is written, not even pip's cache.
set -eu
cd "$(dirname "$0")/.."

suits() { # is $1 a Python that we support, able to make a virtual environment?
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

choose() {
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if suits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "make: no Python >= 3.11 with venv was found (tried: ${PYTHON:-python3.13 python3.12 python3.11 python3 python})." >&2
    echo "      Install one (Debian, Ubuntu: python3 python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
}

# An environment whose interpreter has gone, or that was made elsewhere and moved here, is made anew.
if ! suits .venv/bin/python || [ "$(cat .venv/.made-in 2>/dev/null || pwd)" != "$(pwd)" ]; then
    chosen=$(choose)
    echo "make: preparing .venv with $("$chosen" --version)" >&2
    "$chosen" -m venv --clear .venv
fi

# Which package pip is at: a count that stays in one line of a terminal, and a line for every 20th elsewhere.
show_progress() { # of the lock $1; a loop of the shell, because mawk and sed keep lines back
    total=$(grep -c == "$1") number=0
    while read -r verb what _; do
        case $verb in
        Collecting) number=$((number + 1)) words="package $number of up to $total: $what" ;;
        Installing) words="installing $number packages, which takes some seconds more" ;;
        *) continue ;;
        esac
        if [ -t 2 ]; then
            printf '\r\033[Kmake: %s' "$words" >&2
        elif [ $((number % 20)) -eq 1 ] || [ "$verb" = Installing ]; then
            echo "make: $words" >&2
        fi
    done
    if [ -t 2 ] && [ $number -gt 0 ]; then printf '\r\033[K' >&2; fi
}

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
for lock in "$@"; do
    failed=.venv/.pip-failed
    { .venv/bin/python -m pip install --progress-bar off -r "$lock" 2>&1 || echo "$lock" >$failed; } |
        tee .venv/.pip-log | show_progress "$lock"
    if [ -e $failed ]; then
        rm $failed
        tail -n 20 .venv/.pip-log >&2
        echo "make: pip could not install $lock; all that it said is in .venv/.pip-log" >&2
        exit 1
    fi
done
.venv/bin/python -m pip install -qq --no-deps --no-build-isolation -e .
pwd >.venv/.made-in
