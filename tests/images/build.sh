#!/usr/bin/env bash
# Build the container images that are missing or out of date: tests/images/build.sh [SUITE...]
#
# A suite's base comes from a container registry where one answers, and from Debian's packages otherwise. An image is
# labelled with a hash of what it is made from, so nothing is done while nothing changed.
set -euo pipefail
cd "$(dirname "$0")"
[[ $# -gt 0 ]] || set -- bullseye bookworm trixie

inputs=$(cat Containerfile debian.sh build.sh | sha256sum | cut -c1-16)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

base() {
  local suite=$1
  if timeout 120 ./podman.sh pull --quiet "debian:$suite-slim"; then
    ./podman.sh tag "debian:$suite-slim" "patchbay-base-$suite"
  else
    mmdebstrap --quiet --variant=minbase "$suite" "$scratch/$suite.tar"
    ./podman.sh import --quiet "$scratch/$suite.tar" "patchbay-base-$suite"
  fi
}

build() {
  local suite=$1
  mkdir -p "$scratch/wheels"
  # Fetched out here, where pip is set up for this machine. The wheel is pure Python and fits every one.
  if [[ $suite == bullseye ]]; then
    ../../.venv-dev/bin/python -m pip download --no-deps --only-binary=:all: --dest "$scratch/wheels" pyroute2==0.9.7
  fi
  ./podman.sh image exists "patchbay-base-$suite" || base "$suite"
  ./podman.sh build --network=host --volume "$scratch/wheels:/wheels:ro" --label "inputs=$inputs" \
    --build-arg "BASE=localhost/patchbay-base-$suite" --build-arg "SUITE=$suite" --tag "patchbay-$suite" .
}

for suite; do
  # Two scenarios may want the same image at the same time.
  exec 9>"${TMPDIR:-/tmp}/patchbay-image-$suite.lock"
  flock 9
  found=$(./podman.sh image inspect --format '{{ index .Labels "inputs" }}' "patchbay-$suite" 2>/dev/null || true)
  [[ $found != "$inputs" ]] || continue
  echo "Building the $suite image ..."
  if ! build "$suite" >"$scratch/log" 2>&1; then
    tail -n 50 "$scratch/log" >&2
    exit 1
  fi
done
