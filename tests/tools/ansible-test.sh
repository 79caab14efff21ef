#!/usr/bin/env bash
# Run ansible-test on this checkout, wherever it lies: tests/tools/ansible-test.sh sanity|integration [ARGUMENTS...]
#
# ansible-test insists on a working directory named ansible_collections/patchbay/netns that is not a link: it gets a copy
# of the files that git knows or would add.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tools/steps.sh

suite=$1
log=$PWD/tests/output/ansible-test-$suite.log
mkdir -p tests/output
PATH=$PWD/.venv-dev/bin:$PATH
unset ANSIBLE_CONFIG
[[ $suite != sanity ]] || python tests/tools/get_pip.py

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
tree=$copy/ansible_collections/patchbay/netns
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard |
  tar --create --null --files-from=- --ignore-failed-read 2>/dev/null | tar --extract --directory="$tree"

cd "$tree"
version=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ansible-test "$@" --local --python "$version" --color no </dev/null >"$log" 2>&1 || status=$?
tests=$(grep -cE '^Running (sanity test|.* integration test)' "$log" || true)
if [[ ${status-0} != 0 || $tests == 0 ]]; then
  # Much of the output of sanity tests is pip at work.
  if [[ $suite == sanity ]]; then grep -E -A4 '^(ERROR|FATAL)' "$log" || tail -n 50 "$log"; else tail -n 200 "$log"; fi
  # Its last words name a count, unless it could not even begin.
  failed=$(sed -nE 's/.* ([0-9]+) (sanity|integration) test\(s\) listed below .* failed.*/\1/p' "$log" | tail -n 1)
  failed=${failed:-1}
fi
passed=$((tests > failed ? tests - failed : 0))
closing "$suite"
