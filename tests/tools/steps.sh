# shellcheck shell=bash
# For suites that are not pytest: run named steps, show the end of what a failing one said, close with a countable line.

passed=0 failed=0 skipped=0

# step NAME COMMAND...: the whole output is in tests/output/NAME.log.
step() {
  local name=$1 start=$SECONDS log=tests/output/$1.log
  shift
  mkdir -p tests/output
  if "$@" </dev/null >"$log" 2>&1; then
    passed=$((passed + 1))
    # Where a step is pytest underneath, its own count is worth a look.
    printf '  ok    %-34s %4d s  %s\n' "$name" $((SECONDS - start)) "$(grep -oE '[0-9]+ passed.* in [0-9.]+s' "$log" | tail -n 1)"
  else
    failed=$((failed + 1))
    printf '  FAIL  %-34s %4d s  %s\n' "$name" $((SECONDS - start)) "$log"
    tail -n 100 "$log" | sed 's/^/        /'
  fi
}

# closing SUITE: the last line of a suite, and its exit status.
closing() {
  printf '%s: %d passed, %d failed, %d skipped\n' "$1" "$passed" "$failed" "$skipped"
  ((failed == 0 && passed > 0))
}
