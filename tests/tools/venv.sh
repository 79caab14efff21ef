#!/usr/bin/env bash
# Make a virtual environment, or leave it alone: tests/tools/venv.sh FOLDER REQUIREMENTS
#
# Works from the top of the checkout. Does nothing while the pins, the Python and the checkout's place are the ones the
# environment was made from. pip's own output is shown only when pip fails.
set -euo pipefail

folder=$1 requirements=$2 python=${PYTHON:-python3}

say() { printf '%s\n' "$*" >&2; }

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "Python 3.11 or newer is needed to run Ansible, and $python is $("$python" -V 2>&1 || true)." \
    "Name another one: make PYTHON=/path/to/python3 ..."
  exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  say "Installing python3-venv ..."
  if ! { as_root apt-get update -qq && as_root apt-get install -qq -y --no-install-recommends python3-venv; } >/dev/null 2>&1; then
    say "Python's venv module is missing. Install it and try again: sudo apt install python3-venv"
    exit 1
  fi
fi

# The Python underneath, should $python itself be one of a virtual environment (perhaps the one that is about to go).
python=$("$python" -c 'import os, sys; print(os.path.realpath(sys._base_executable))')

# One at a time: somebody may run two suites at once in a fresh checkout.
exec 9>"$folder.lock"
flock 9

# A virtual environment holds absolute paths, so a moved checkout needs a new one.
stamp=$({ pwd; "$python" -VV; cat requirements/*.txt; } | sha256sum)
[[ -f $folder/.stamp && $(<"$folder/.stamp") == "$stamp" ]] && exit 0

say "Preparing $folder ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "$python" -m venv --clear "$folder" &&
  "$folder/bin/python" -m pip install --disable-pip-version-check --no-input --requirement "$requirements"; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
printf '%s\n' "$stamp" >"$folder/.stamp"
