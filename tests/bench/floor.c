/* Copyright (c) 2026, the patchbay.netns founders
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The floor: how fast the kernel makes a lab when nothing else is in the way.
 *
 *   floor up COUNT BRIDGES FAMILIES     FAMILIES is 4 or 46
 *   floor down COUNT BRIDGES FAMILIES
 *
 * The lab is the one of lab.py. COUNT namespaces, named as iproute2 names them, are spread evenly over BRIDGES bridges
 * (a1, a2, ... hang on bench-a, b1, b2, ... on bench-b). Each has lo up, eth0 up whose other end is a port of the
 * bridge, an address and a default route. It prints the seconds that it took, its own start left out.
 *
 * What makes it fast: the far end of a cable is made where it belongs (moving one takes 15 ms); a cable is made as a
 * port, up, in one message; many messages are sent at once and only the last one is acknowledged, for errors are told
 * anyway; the socket of a namespace is opened while this process is in it; bridges come up last, when no port makes
 * them compute anything any more. Host ends and bridges are in one group, so that one message removes them all.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY "/run/netns"
#define OWN "/proc/thread-self/ns/net"
#define GROUP 0x70620001 /* of all that is on the host */
#define CHUNK 64         /* namespaces at a time: their cables go into one send */
#define MOST_BRIDGES 26
#define PEER_INDEX 2 /* of eth0 in its namespace, where lo is 1 */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void must(int result, const char *what)
{
    if (result < 0)
        fail(what);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* ---- netlink: a batch of messages, sent at once */

struct batch {
    size_t used;
    struct nlmsghdr *last;
    char bytes[CHUNK * 256];
};

static void *append(struct batch *batch, size_t size)
{
    void *start = batch->bytes + batch->used;
    if (batch->used + NLMSG_ALIGN(size) > sizeof batch->bytes) {
        fputs("floor: a batch is too small\n", stderr);
        exit(1);
    }
    memset(start, 0, NLMSG_ALIGN(size));
    batch->used += NLMSG_ALIGN(size);
    if (batch->last)
        batch->last->nlmsg_len = batch->bytes + batch->used - (char *)batch->last;
    return start;
}

/* Begin a message; ``header`` is the struct that follows the netlink header. */
static void begin(struct batch *batch, int type, int flags, const void *header, size_t size)
{
    struct nlmsghdr *message;
    batch->last = NULL;
    message = append(batch, sizeof *message);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    batch->last = message;
    memcpy(append(batch, size), header, size);
}

static struct rtattr *put(struct batch *batch, int type, const void *value, size_t size)
{
    struct rtattr *attribute = append(batch, RTA_LENGTH(size));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(attribute), value, size);
    return attribute;
}

static void put_number(struct batch *batch, int type, unsigned int value)
{
    put(batch, type, &value, sizeof value);
}

static void put_text(struct batch *batch, int type, const char *text)
{
    put(batch, type, text, strlen(text) + 1);
}

/* What is put between ``nest`` and ``close_nest`` is inside the attribute. */
static struct rtattr *nest(struct batch *batch, int type)
{
    return put(batch, type, NULL, 0);
}

static void close_nest(struct batch *batch, struct rtattr *attribute)
{
    attribute->rta_len = batch->bytes + batch->used - (char *)attribute;
}

static int open_netlink(void)
{
    int on = 1, sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    must(sock, "socket");
    must(setsockopt(sock, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on), "NETLINK_CAP_ACK");
    return sock;
}

/* Send the batch and wait until the kernel has done it; any error ends the program. */
static void send_batch(int sock, struct batch *batch)
{
    char answer[8192];
    ssize_t length;
    struct nlmsghdr *each;

    if (!batch->used)
        return;
    batch->last->nlmsg_flags |= NLM_F_ACK;
    must(send(sock, batch->bytes, batch->used, 0), "send");
    batch->used = 0;
    batch->last = NULL;
    for (;;) {
        length = recv(sock, answer, sizeof answer, 0);
        must(length, "recv");
        for (each = (void *)answer; NLMSG_OK(each, length); each = NLMSG_NEXT(each, length)) {
            if (each->nlmsg_type != NLMSG_ERROR)
                continue;
            errno = -((struct nlmsgerr *)NLMSG_DATA(each))->error;
            if (errno)
                fail("the kernel refused a message");
            return; /* the only acknowledgement is that of the last message */
        }
    }
}

/* ---- the lab: names and addresses as in lab.py */

static int count, bridges, both_families;

static int per_bridge(void)
{
    return (count + bridges - 1) / bridges;
}

static char letter(int number)
{
    return 'a' + number / per_bridge();
}

static int index_of_bridge(int bridge)
{
    return 1000 + bridge; /* chosen, so that nobody has to ask for it */
}

static void file_of(char *path, int number)
{
    sprintf(path, DIRECTORY "/%c%d", letter(number), number % per_bridge() + 1);
}

/* The address of a host in the network of a bridge, 10.(64 + bridge).0.0/16. */
static in_addr_t address4(int bridge, int host)
{
    return htonl(10u << 24 | (64u + bridge) << 16 | host);
}

static struct in6_addr address6(int bridge, int host)
{
    struct in6_addr address = {{{0xfd, 0x64, 0, bridge}}};
    address.s6_addr[14] = host >> 8;
    address.s6_addr[15] = host & 0xff;
    return address;
}

#define GATEWAY 0xfffe /* the bridge's own host part */

/* ---- messages */

static void link_up(struct batch *batch, int index)
{
    struct ifinfomsg link = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    begin(batch, RTM_NEWLINK, 0, &link, sizeof link);
}

/* Without IPv6 nobody needs an address that IPv6 chooses, and a thousand of these keep a machine busy for seconds. Of a
 * link that is still down; in the message that brings it up it would come too late. */
static void without_link_local(struct batch *batch, int index)
{
    struct ifinfomsg link = {.ifi_index = index};
    unsigned char none = IN6_ADDR_GEN_MODE_NONE;
    struct rtattr *spec, *family;

    begin(batch, RTM_NEWLINK, 0, &link, sizeof link);
    spec = nest(batch, IFLA_AF_SPEC);
    family = nest(batch, AF_INET6);
    put(batch, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
    close_nest(batch, family);
    close_nest(batch, spec);
}

static void first_up(struct batch *batch, int index)
{
    if (!both_families)
        without_link_local(batch, index);
    link_up(batch, index);
}

static void add_addresses(struct batch *batch, int index, int bridge, int host)
{
    struct ifaddrmsg address = {.ifa_family = AF_INET, .ifa_prefixlen = 16, .ifa_index = index};
    in_addr_t local = address4(bridge, host), broadcast = address4(bridge, 0xffff);
    struct in6_addr local6 = address6(bridge, host);

    begin(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof address);
    put(batch, IFA_LOCAL, &local, sizeof local);
    put(batch, IFA_ADDRESS, &local, sizeof local);
    put(batch, IFA_BROADCAST, &broadcast, sizeof broadcast);
    if (!both_families)
        return;
    address.ifa_family = AF_INET6;
    address.ifa_prefixlen = 64;
    address.ifa_flags = IFA_F_NODAD;
    begin(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof address);
    put(batch, IFA_LOCAL, &local6, sizeof local6);
}

static void add_default_routes(struct batch *batch, int index, int bridge)
{
    struct rtmsg route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
                          .rtm_type = RTN_UNICAST};
    in_addr_t gateway = address4(bridge, GATEWAY);
    struct in6_addr gateway6 = address6(bridge, GATEWAY);

    begin(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof route);
    put(batch, RTA_GATEWAY, &gateway, sizeof gateway);
    put_number(batch, RTA_OIF, index);
    if (!both_families)
        return;
    route.rtm_family = AF_INET6;
    begin(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof route);
    put(batch, RTA_GATEWAY, &gateway6, sizeof gateway6);
    put_number(batch, RTA_OIF, index);
}

static void add_bridge(struct batch *batch, int bridge)
{
    struct ifinfomsg link = {.ifi_index = index_of_bridge(bridge)};
    char name[] = "bench-?";
    struct rtattr *info;

    name[6] = 'a' + bridge;
    begin(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
    put_text(batch, IFLA_IFNAME, name);
    put_number(batch, IFLA_GROUP, GROUP);
    info = nest(batch, IFLA_LINKINFO);
    put_text(batch, IFLA_INFO_KIND, "bridge");
    close_nest(batch, info);
}

/* The cable of namespace ``number``, whose file is open as ``netns``: a port here, eth0 there. */
static void add_cable(struct batch *batch, int number, int netns)
{
    struct ifinfomsg port = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, end = {.ifi_index = PEER_INDEX};
    struct rtattr *info, *data, *peer;
    char name[64];

    sprintf(name, "%c%d-eth0", letter(number), number % per_bridge() + 1);
    begin(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &port, sizeof port);
    put_text(batch, IFLA_IFNAME, name);
    put_number(batch, IFLA_GROUP, GROUP);
    put_number(batch, IFLA_MASTER, index_of_bridge(number / per_bridge()));
    info = nest(batch, IFLA_LINKINFO);
    put_text(batch, IFLA_INFO_KIND, "veth");
    data = nest(batch, IFLA_INFO_DATA);
    peer = nest(batch, VETH_INFO_PEER);
    memcpy(append(batch, sizeof end), &end, sizeof end); /* IFF_UP in here fails with ENOTCONN */
    put_text(batch, IFLA_IFNAME, "eth0");
    put_number(batch, IFLA_NET_NS_FD, netns);
    close_nest(batch, peer);
    close_nest(batch, data);
    close_nest(batch, info);
}

/* ---- up */

/* Make a namespace with a name, and stay in it; returns its file, open, and a netlink socket in it. */
static int make_namespace(int number, int *inside)
{
    char path[64];
    int file;

    file_of(path, number);
    file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    must(file, path);
    close(file);
    must(unshare(CLONE_NEWNET), "unshare");
    must(mount(OWN, path, "none", MS_BIND, NULL), "mount");
    *inside = open_netlink();
    file = open(path, O_RDONLY | O_CLOEXEC);
    must(file, path);
    return file;
}

static void make_chunk(int host, int from, int to)
{
    static struct batch batch;
    int files[CHUNK], sockets[CHUNK], number;

    for (number = from; number < to; number++) {
        files[number - from] = make_namespace(number, &sockets[number - from]);
        add_cable(&batch, number, files[number - from]);
    }
    send_batch(host, &batch);
    for (number = from; number < to; number++) {
        link_up(&batch, 1);
        first_up(&batch, PEER_INDEX);
        add_addresses(&batch, PEER_INDEX, number / per_bridge(), number % per_bridge() + 1);
        add_default_routes(&batch, PEER_INDEX, number / per_bridge());
        send_batch(sockets[number - from], &batch);
        close(sockets[number - from]);
        close(files[number - from]);
    }
}

/* Make /run/netns a shared mount, as iproute2 does: other mount namespaces are to see the names. */
static void share_directory(void)
{
    mkdir(DIRECTORY, 0755);
    if (mount("", DIRECTORY, "none", MS_SHARED | MS_REC, NULL) == 0)
        return;
    must(mount(DIRECTORY, DIRECTORY, "none", MS_BIND | MS_REC, NULL), "mount " DIRECTORY);
    must(mount("", DIRECTORY, "none", MS_SHARED | MS_REC, NULL), "share " DIRECTORY);
}

static void up(int host)
{
    static struct batch batch;
    int bridge, first, home = open(OWN, O_RDONLY | O_CLOEXEC);

    must(home, OWN);
    share_directory();
    for (bridge = 0; bridge < bridges; bridge++)
        add_bridge(&batch, bridge);
    send_batch(host, &batch);
    for (first = 0; first < count; first += CHUNK)
        make_chunk(host, first, first + CHUNK < count ? first + CHUNK : count);
    must(setns(home, CLONE_NEWNET), "setns");
    for (bridge = 0; bridge < bridges; bridge++) {
        first_up(&batch, index_of_bridge(bridge));
        add_addresses(&batch, index_of_bridge(bridge), bridge, GATEWAY);
    }
    send_batch(host, &batch);
}

/* ---- down */

static void down(int host)
{
    static struct batch batch;
    struct ifinfomsg link = {0};
    char path[64];
    int number;

    begin(&batch, RTM_DELLINK, 0, &link, sizeof link);
    put_number(&batch, IFLA_GROUP, GROUP);
    send_batch(host, &batch);
    for (number = 0; number < count; number++) {
        file_of(path, number);
        must(umount2(path, MNT_DETACH), path);
        must(unlink(path), path);
    }
}

int main(int argc, char **argv)
{
    double start = now();
    int host;

    if (argc != 5 || (strcmp(argv[1], "up") && strcmp(argv[1], "down")))
        return fputs("usage: floor up|down COUNT BRIDGES 4|46\n", stderr), 2;
    count = atoi(argv[2]);
    bridges = atoi(argv[3]);
    both_families = !strcmp(argv[4], "46");
    if (count < 1 || bridges < 1 || bridges > MOST_BRIDGES || per_bridge() > 1023)
        return fputs("floor: a bridge has at most 1,023 ports, and there are at most 26 bridges\n", stderr), 2;
    host = open_netlink();
    if (!strcmp(argv[1], "up"))
        up(host);
    else
        down(host);
    close(host);
    printf("%.6f\n", now() - start);
    return 0;
}
