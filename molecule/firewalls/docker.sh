# shellcheck shell=bash
# What Docker's daemon does to a machine's filter tables when it starts: the policy drop, its chain for users, which it leaves
# as it is, and chains for its own bridge, which it writes anew. Twice, in both kinds of iptables, so that a packet needs an
# accept in each.
set -euo pipefail
for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
  for chain in DOCKER DOCKER-BRIDGE DOCKER-CT DOCKER-FORWARD; do
    "$tool" -N "$chain" 2>/dev/null || "$tool" -F "$chain"
  done
  "$tool" -A DOCKER-FORWARD -j DOCKER-CT
  "$tool" -A DOCKER-FORWARD -j DOCKER-BRIDGE
  "$tool" -A DOCKER-FORWARD -i docker0 -j ACCEPT
  "$tool" -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  "$tool" -A DOCKER-BRIDGE -o docker0 -j DOCKER
  "$tool" -A DOCKER ! -i docker0 -o docker0 -j DROP
  # What the administrator of this machine wants to be so.
  if "$tool" -N DOCKER-USER 2>/dev/null; then
    "$tool" -A DOCKER-USER -i uplink -p tcp --dport 2222 -m comment --comment "no ssh" -j DROP
  fi
  for chain in DOCKER-FORWARD DOCKER-USER; do
    "$tool" -D FORWARD -j "$chain" 2>/dev/null || true
    "$tool" -I FORWARD -j "$chain"
  done
  "$tool" -P FORWARD DROP
done
