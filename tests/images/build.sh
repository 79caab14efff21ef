#!/usr/bin/env bash
# Build the container images that are missing or out of date: tests/images/build.sh [SUITE | SUITE-VARIANT...]
#
# A suite's base comes from a container registry where one answers, and from Debian's packages otherwise. A variant is a
# suite's image with more in it, by the script of its name. An image is labelled with a hash of what it is made from, so
# nothing is done while nothing changed.
set -euo pipefail
cd "$(dirname "$0")"
[[ $# -gt 0 ]] || set -- bullseye bookworm trixie

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
  local image=$1 inputs=$2 suite=${1%%-*} script=debian.sh below
  below=patchbay-base-$suite
  mkdir -p "$scratch/wheels"
  if [[ $image != "$suite" ]]; then
    below=patchbay-$suite script=${image#*-}.sh
  # Fetched out here, where pip is set up for this machine. The wheel is pure Python and fits every one.
  elif [[ $suite == bullseye ]]; then
    ../../.venv-dev/bin/python -m pip download --no-deps --only-binary=:all: --dest "$scratch/wheels" pyroute2==0.9.7
  fi
  [[ $image != "$suite" ]] || ./podman.sh image exists "$below" || base "$suite"
  ./podman.sh build --network=host --volume "$scratch/wheels:/wheels:ro" --label "inputs=$inputs" --build-arg "SCRIPT=$script" \
    --build-arg "BASE=localhost/$below" --build-arg "SUITE=$suite" --tag "patchbay-$image" .
}

for image; do
  exec 9>&-  # the last image's lock: the suite of a variant may be the same one
  inputs=$(cat Containerfile debian.sh build.sh)
  if [[ $image == *-* ]]; then
    ./build.sh "${image%%-*}"
    inputs+=$(cat "${image#*-}.sh")
  fi
  inputs=$(sha256sum <<<"$inputs" | cut -c1-16)
  # Two scenarios may want the same image at the same time.
  exec 9>"${TMPDIR:-/tmp}/patchbay-image-$image.lock"
  flock 9
  found=$(./podman.sh image inspect --format '{{ index .Labels "inputs" }}' "patchbay-$image" 2>/dev/null || true)
  [[ $found != "$inputs" ]] || continue
  echo "Building the $image image ..."
  if ! build "$image" "$inputs" >"$scratch/log" 2>&1; then
    tail -n 50 "$scratch/log" >&2
    exit 1
  fi
done
