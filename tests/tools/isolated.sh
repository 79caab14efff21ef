#!/usr/bin/env bash
# Run a command as root in network and mount namespaces of its own: tests/tools/isolated.sh COMMAND...
#
# What the command does to links, sysctls of the network, nftables, named namespaces and our own state ends with it; the
# machine never sees any of it. Only the three empty folders under the private mounts stay.
set -euo pipefail

if [[ $(id -u) != 0 ]]; then
  exec sudo --preserve-env "$0" "$@"
fi

# shellcheck disable=SC2016  # expanded inside the new namespaces
exec unshare --net --mount -- bash -euc '
  for folder in /run/netns /run/patchbay.netns /etc/netns; do
    mkdir -p "$folder"
    mount -t tmpfs -o mode=0755 isolated "$folder"
  done
  # /sys/class/net shows the namespace that the file system was mounted in.
  mount -t sysfs -o ro sysfs /sys
  ip link set lo up
  exec "$@"
' isolated "$@"
