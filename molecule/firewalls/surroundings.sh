# shellcheck shell=bash
# Somebody outside who tries to get into the lab without asking for a forward.
set -euo pipefail
ip -n outside route replace 192.168.15.0/24 via 192.168.1.2
ip -n outside route replace fd00:15::/64 via 2001:db8:1::2
