# blue and red behind br-lab, made without anything of this collection: port 8080 of the machine leads to port 80 of blue,
# and the lab goes out under the machine's address. The outside knows a way into the lab, which is closed only by a firewall.
set -euo pipefail
ip link add br-lab type bridge
ip link set br-lab up
ip address add 10.20.0.1/24 dev br-lab
ip address add fd00:20::1/64 dev br-lab nodad
number=2
for name in red blue; do
  ip netns add "$name"
  ip link add "veth-$name" type veth peer name eth0 netns "$name"
  ip link set "veth-$name" master br-lab up
  ip -n "$name" link set lo up
  ip -n "$name" link set eth0 up
  ip -n "$name" address add "10.20.0.$number/24" dev eth0
  ip -n "$name" address add "fd00:20::$number/64" dev eth0 nodad
  ip -n "$name" route add default via 10.20.0.1
  ip -n "$name" route add ::/0 via fd00:20::1
  number=$((number + 1))
done
ip -n outside route add 10.20.0.0/24 via 192.168.1.2
ip -n outside route add fd00:20::/64 via 2001:db8:1::2
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
nft -f - <<'RULES'
table inet patchbay {
  chain prerouting {
    type nat hook prerouting priority dstnat
    fib daddr type local meta nfproto ipv4 tcp dport 8080 dnat ip to 10.20.0.3:80
    fib daddr type local meta nfproto ipv6 tcp dport 8080 dnat ip6 to [fd00:20::3]:80
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr 10.20.0.0/24 oifname "uplink" masquerade
    ip6 saddr fd00:20::/64 oifname "uplink" masquerade
  }
}
RULES
python3 /root/probe.py --netns red ping 8.8.8.8 --seconds 5 | grep -q reached
python3 /root/probe.py --netns red ping 2001:4860:4860::8888 --seconds 5 | grep -q reached
