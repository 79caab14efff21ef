# shellcheck shell=bash
# ufw as it is after `ufw enable` on an installed machine, with two rules of the administrator's.
set -euo pipefail
ufw allow in on uplink to any port 22 proto tcp comment 'ssh'
ufw route allow in on uplink out on br-elsewhere to 10.99.0.2 port 443 proto tcp comment 'the web server'
ufw --force enable
systemctl enable ufw
