#!/usr/bin/env bash
# Run suites one after the other, whatever they end with, and sum up: tests/tools/suites.sh SUITE...
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

summary='' failed=0
mkdir -p tests/output
for suite; do
  printf '\n== %s\n' "$suite"
  start=$SECONDS status=ok log=tests/output/$suite.log
  make --no-print-directory "$suite" 2>&1 | tee "$log" || { status=FAIL failed=1; }
  closing=$(grep -E '[0-9]+ (passed|failed|errors?)\b' "$log" | tail -n 1)
  summary+=$(printf '%-12s %-5s %5d s   %s' "$suite" "$status" $((SECONDS - start)) "${closing:-no closing line}")$'\n'
done
printf '\n== summary\n%s' "$summary"
exit "$failed"
