#!/usr/bin/env bash
# Every check that reads the code and runs none of it: tests/tools/lint.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tools/steps.sh
PATH=$PWD/.venv-dev/bin:$PATH
export ANSIBLE_COLLECTIONS_PATH=$PWD/.ansible/collections ANSIBLE_CONFIG=$PWD/ansible.cfg NO_COLOR=1

# Controller-side and target-side code have different oldest Pythons, and so two ruff configurations.
target_side=(plugins/modules plugins/module_utils)
controller_side=(. --exclude plugins/modules --exclude plugins/module_utils)

step ruff-targets ruff check --config ruff-modules.toml "${target_side[@]}"
step ruff-controller ruff check "${controller_side[@]}"
step format-targets ruff format --check --config ruff-modules.toml "${target_side[@]}"
step format-controller ruff format --check "${controller_side[@]}"
step mypy mypy --package ansible_collections.patchbay.netns.plugins
step yamllint yamllint --strict .
# Left to itself it would prefer a copy of this collection that is installed in the home folder.
step ansible-lint env ANSIBLE_HOME="$PWD/.ansible" ansible-lint
step docs antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all .
step changelog antsibull-changelog lint
step archive tests/tools/archive.sh
closing lint
