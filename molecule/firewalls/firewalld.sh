# shellcheck shell=bash
# firewalld as it is after `systemctl enable --now firewalld`, with a port that the administrator opened.
set -euo pipefail
systemctl enable --now firewalld
firewall-cmd --permanent --zone=public --add-port=8443/tcp
firewall-cmd --reload
bash /root/firewalld-runtime.sh
