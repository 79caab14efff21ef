#!/usr/bin/env bash
# Run every session of noxfile.py, and name those whose Python is not on this machine: tests/tools/matrix.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tools/steps.sh
PATH=$PWD/.venv-dev/bin:$PATH
unset ANSIBLE_CONFIG

missing=()
mapfile -t sessions < <(nox --list --json | python -c 'import json, sys; [print(s["session"]) for s in json.load(sys.stdin)]')
for session in "${sessions[@]}"; do
  step "$session" nox --no-error-on-missing-interpreters --session "$session"
  # nox counts a session that it skipped as a success.
  if grep -q "interpreter .* not found" "tests/output/$session.log"; then
    passed=$((passed - 1)) skipped=$((skipped + 1))
    missing+=("$session")
  fi
done
[[ ${#missing[@]} -eq 0 ]] || echo "Skipped, no such Python on this machine: ${missing[*]}"
closing matrix
