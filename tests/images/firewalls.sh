#!/usr/bin/env bash
# Runs inside the image while it is built, on top of its suite's image: firewalls.sh SUITE
#
# A machine with other people's firewalls, all of them installed and none of them at work.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

apt-get update
apt-get install --yes --no-install-recommends iptables ufw firewalld conntrack python3-pyroute2
apt-get clean

systemctl disable ufw.service firewalld.service
