# shellcheck shell=bash
# What somebody has told firewalld at runtime only: the zone of the lab's bridge, and that of a network.
set -euo pipefail
firewall-cmd --zone=internal --change-interface=v-net-0
firewall-cmd --zone=work --change-source=10.66.0.0/24
