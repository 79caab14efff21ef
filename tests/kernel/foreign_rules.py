# Copyright (c) 2026, the patchbay.netns founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shape of what well-known programs leave in the kernel, about the interfaces in0 and out0 of crossing.py."""

from __future__ import annotations

DOCKER = """*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER -
:DOCKER-ISOLATION-STAGE-1 -
:DOCKER-ISOLATION-STAGE-2 -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""

FIREWALLD = """
table inet firewalld {
    chain filter_PREROUTING { type filter hook prerouting priority filter + 10; policy accept;
        icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
    }
    chain filter_INPUT { type filter hook input priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        jump filter_INPUT_ZONES
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24 } reject with icmpv6 addr-unreachable
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
    }
    chain filter_INPUT_ZONES { goto filter_IN_public; }
    chain filter_FORWARD_ZONES {
        iifname vmap { "in0" : goto filter_FWD_public, "eth9" : goto filter_FWD_trusted }
        goto filter_FWD_public
    }
    chain filter_FWD_trusted { accept; }
    chain filter_FWD_public {
        jump filter_FWD_public_allow
        meta l4proto { icmp, ipv6-icmp } accept
        reject with icmpx admin-prohibited
    }
    chain filter_FWD_public_allow { oifname "in0" accept; }
    chain filter_IN_public {
        jump filter_IN_public_allow
        meta l4proto { icmp, ipv6-icmp } accept
    }
    chain filter_IN_public_allow { tcp dport 22 accept; }
}
"""

UFW = """*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT ACCEPT
:ufw-before-forward -
:ufw-before-input -
:ufw-user-forward -
:ufw-user-input -
:ufw-not-local -
:ufw-after-forward -
:ufw-logging-deny -
:ufw-reject-forward -
:ufw-skip-to-policy-input -
-A INPUT -j ufw-before-input
-A INPUT -j ufw-skip-to-policy-input
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-after-forward
-A FORWARD -j ufw-logging-deny
-A FORWARD -j ufw-reject-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -j ufw-user-input
-A ufw-logging-deny -m conntrack --ctstate INVALID -m limit --limit 3/min --limit-burst 10 -j RETURN
-A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny
-A ufw-not-local -j DROP
-A ufw-skip-to-policy-input -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-forward -i in0 -o out0 -p tcp -m tcp --dport 443 -j ACCEPT
COMMIT
"""

LIBVIRT = """*filter
:FORWARD ACCEPT
:LIBVIRT_FWI -
:LIBVIRT_FWO -
:LIBVIRT_FWX -
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWI -d 10.2.0.0/24 -o out0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o out0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 10.2.0.0/24 -i out0 -j ACCEPT
-A LIBVIRT_FWO -i out0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWX -i out0 -o out0 -j ACCEPT
COMMIT
"""

KUBE_PROXY = """
table ip kube-proxy {
    set cluster-ips { type ipv4_addr; elements = { 172.30.0.1, 172.30.0.10 }; }
    map service-ips {
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.1.0.1 . tcp . 443 : goto service-web, 172.30.0.10 . udp . 53 : goto service-dns }
    }
    map no-endpoint-services {
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.2.0.2 . tcp . 22 : goto reject-chain, 172.30.0.1 . udp . 1 : drop }
    }
    chain filter-forward { type filter hook forward priority -110; policy accept;
        ct state new jump service-endpoints-check
        ct state new jump cluster-ips-check
    }
    chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
    chain cluster-ips-check {
        ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
        ip daddr 172.30.0.0/16 drop
    }
    chain reject-chain { reject; }
    chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept;
        jump services
    }
    chain services {
        ip daddr . meta l4proto . th dport vmap @service-ips
    }
    chain service-web { numgen random mod 1 vmap { 0 : goto endpoint-1 }; }
    chain service-dns { meta l4proto udp dnat to 10.2.0.2:53; }
    chain endpoint-1 { meta l4proto tcp dnat to 10.2.0.2:8443; }
    chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept;
        meta mark & 0x00004000 == 0 return
        masquerade fully-random
    }
}
"""

ADMINISTRATOR = """
table inet filter {
    set friends { type ipv4_addr; flags interval; elements = { 10.1.0.0/28, 198.51.100.0/24 }; }
    chain input { type filter hook input priority filter; policy drop;
        ct state vmap { established : accept, related : accept, invalid : drop }
        iif lo accept
        tcp dport { 22, 443 } ip saddr @friends accept comment "friends only"
        meta l4proto { icmp, ipv6-icmp } accept
    }
    chain forward { type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "in0" oifname "out0" jump inside
    }
    chain inside {
        tcp dport 443 accept
        udp dport 22 limit rate 1/minute burst 1 packets accept
        ct status dnat accept
    }
}
"""
