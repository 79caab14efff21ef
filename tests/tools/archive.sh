#!/usr/bin/env bash
# Does the collection work as users get it? Build the archive, look into it, install it, run from it: tests/tools/archive.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PWD/.venv-dev/bin:$PATH

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
ansible-galaxy collection build --output-path "$scratch"
archive=$(echo "$scratch"/patchbay-netns-*.tar.gz)

# What is for people who work on the collection stays out.
expected='^(CHANGELOG\.md|CONTRIBUTING\.md|FILES\.json|LICENSE|MANIFEST\.json|README\.md|(changelogs|docs|meta|playbooks|plugins|roles)(/.*)?)$'
if tar --list --file="$archive" | sed 's|/$||' | grep -vE "$expected"; then
  echo "The archive holds what galaxy.yml should ignore (above)." >&2
  exit 1
fi
if tar --list --file="$archive" | grep -E '\.py[co]$|__pycache__'; then
  echo "The archive holds compiled Python (above)." >&2
  exit 1
fi

cd "$scratch"
unset ANSIBLE_CONFIG
export ANSIBLE_COLLECTIONS_PATH=$scratch/collections
ansible-galaxy collection install --offline --collections-path "$ANSIBLE_COLLECTIONS_PATH" "$archive"
ansible-doc --list patchbay.netns
ansible-playbook --syntax-check --inventory localhost, patchbay.netns.site patchbay.netns.teardown patchbay.netns.lab
