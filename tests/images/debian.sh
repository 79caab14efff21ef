#!/usr/bin/env bash
# Runs inside the image while it is built: debian.sh SUITE
set -euo pipefail
suite=$1
export DEBIAN_FRONTEND=noninteractive

install() { apt-get install --yes --no-install-recommends "$@"; }

# Container images delete what apt downloads. Here the downloads are the archive of machines without a network.
rm -f /etc/apt/apt.conf.d/docker-*
printf 'APT::Keep-Downloaded-Packages "true";\n' >/etc/apt/apt.conf.d/90keep-downloads

apt-get update
install systemd systemd-sysv dbus python3 python3-apt procps
case $suite in
  # Debian's pyroute2 is too old here: roles take pip's, from the folder that build.sh fills.
  bullseye) install python3-pip ;;
  # The tools that other people use, to check our work against theirs. The newest suite does without: see below.
  bookworm) install iproute2 nftables iputils-ping ;;
esac
apt-get clean

if [[ $suite == bullseye ]]; then
  cp -r /wheels /opt/wheels
  printf '%s\n' '[global]' 'no-index = true' 'find-links = /opt/wheels' 'disable-pip-version-check = true' >/etc/pip.conf
else
  # Only into apt's archive: to install it is the work of a role.
  install --download-only python3-pyroute2
fi

# Units that make no sense in a container, or would reach for the machine's kernel.
systemctl mask systemd-modules-load.service systemd-binfmt.service systemd-udevd.service systemd-udev-trigger.service \
  systemd-remount-fs.service console-getty.service getty.target

if [[ $suite == trixie ]]; then
  # This one stands for a host that has none of the tools whose work the collection does.
  for tool in ip bridge tc nft iptables ip6tables; do
    if command -v "$tool"; then
      echo "$suite must not have $tool" >&2
      exit 1
    fi
  done
fi
