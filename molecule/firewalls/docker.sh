# What Docker leaves in a machine's filter tables: the policy drop, its chain for users, and chains for its own bridge.
# Twice, in both kinds of iptables, so that a packet needs an accept in each.
set -euo pipefail
for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
  for chain in DOCKER DOCKER-BRIDGE DOCKER-CT DOCKER-FORWARD DOCKER-USER; do
    "$tool" -N "$chain"
  done
  "$tool" -A FORWARD -j DOCKER-USER
  "$tool" -A FORWARD -j DOCKER-FORWARD
  "$tool" -A DOCKER-FORWARD -j DOCKER-CT
  "$tool" -A DOCKER-FORWARD -j DOCKER-BRIDGE
  "$tool" -A DOCKER-FORWARD -i docker0 -j ACCEPT
  "$tool" -A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  "$tool" -A DOCKER-BRIDGE -o docker0 -j DOCKER
  "$tool" -A DOCKER ! -i docker0 -o docker0 -j DROP
  "$tool" -P FORWARD DROP
  # What the administrator of this machine wants to be so.
  "$tool" -A DOCKER-USER -i uplink -p tcp --dport 2222 -m comment --comment "no ssh" -j DROP
done
