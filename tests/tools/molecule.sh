#!/usr/bin/env bash
# Run scenarios, two side by side, each in containers of its own: tests/tools/molecule.sh [SCENARIO...]
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tools/steps.sh

if [[ $(id -u) != 0 ]]; then
  exec sudo --preserve-env "$0" "$@"
fi

tests/tools/packages.sh podman runc netavark aardvark-dns iptables mmdebstrap
tests/images/build.sh

export PATH=$PWD/.venv-dev/bin:$PATH
export MOLECULE_GLOB='molecule/*/molecule.yml' MOLECULE_COMMAND_BORDERS=false NO_COLOR=1
unset ANSIBLE_CONFIG  # molecule writes its own

if [[ $# -eq 0 ]]; then
  for file in molecule/*/molecule.yml; do
    set -- "$@" "$(basename "$(dirname "$file")")"
  done
fi

results=$(mktemp)
trap 'rm -f "$results"' EXIT
# shellcheck disable=SC2016  # expanded by the inner shell
printf '%s\0' "$@" |
  xargs -0 -P2 -I{} bash -c '. tests/tools/steps.sh; step "$@"' - \
    molecule-{} molecule --base-config .config/molecule/config.yml test --scenario-name {} |
  tee "$results"
passed=$(grep -c '^  ok ' "$results" || true)
failed=$(($# - passed))
closing molecule
