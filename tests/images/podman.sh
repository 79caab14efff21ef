#!/usr/bin/env bash
# podman, also where its defaults do not work: tests/images/podman.sh ARGUMENTS...
#
# Some build machines withhold CAP_SYS_RESOURCE (so podman cannot raise the rlimits it likes to raise) or mount cgroups
# in the hybrid layout (which crun refuses). The configuration beside this script avoids both. It replaces the machine's
# own one, so it is named only where it is needed.
set -euo pipefail

if [[ -d /sys/fs/cgroup/unified ]] || ! (ulimit -n 1048576) 2>/dev/null; then
  CONTAINERS_CONF=$(dirname "$(realpath "$0")")/containers.conf
  export CONTAINERS_CONF
fi
exec podman "$@"
