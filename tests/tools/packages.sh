#!/usr/bin/env bash
# Install Debian packages that are missing, and say so: tests/tools/packages.sh PACKAGE...
set -euo pipefail

dpkg-query --show "$@" >/dev/null 2>&1 && exit
echo "Installing $* ..."
sudo=()
[[ $(id -u) == 0 ]] || sudo=(sudo)
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@" >/dev/null
