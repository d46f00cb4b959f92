/* A network of namespaces whose packets all pass through this program, which can lose, delay,
 * repeat and cut them. What netem does, without a kernel module, and it ends with the process.
 *
 *     wire COUNT SEED
 *
 * Makes COUNT network namespaces; number i (from 0) has the address 10.77.0.(i + 1) on its only
 * link. Prints "ready" and a descriptor for each: nsenter --net=/proc/PID/fd/N PROGRAM. Then reads
 * lines:
 *
 *     FROM TO LOSS DELAY_MS JITTER_MS TWICE    of packets one way; LOSS and TWICE per thousand
 *
 * 1000 lost is a cut. Jitter puts packets out of order. A '*' stands for all. Ends with its input,
 * and with it everything that no program holds open. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PLACES_MAX 32
#define NETWORK 0x0a4d0001u /* 10.77.0.1 */
#define PACKET_MAX 2048
#define QUEUE_MAX 8192

struct rule {
    unsigned loss, delay_ms, jitter_ms, twice;
};
struct packet {
    uint64_t due_us;
    uint64_t number; /* packets of one moment keep their order */
    int to;
    ssize_t len;
    uint8_t bytes[PACKET_MAX];
};
static struct {
    int cnt;
    int tun[PLACES_MAX], ns[PLACES_MAX];
    struct rule rules[PLACES_MAX][PLACES_MAX];
    uint64_t random, numbers;
    struct packet *heap[QUEUE_MAX]; /* the first is due first */
    int heap_cnt;
} wire;

static void die(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(errno == EPERM || errno == EACCES || errno == ENOENT ? 77 : 1);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static unsigned below(unsigned n)
{
    uint64_t z = wire.random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return n == 0 ? 0 : (unsigned)((z ^ z >> 31) % n);
}

/* ---- namespaces ---- */
static void up(int fd, const char *name, uint32_t address)
{
    struct ifreq request = {0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (address != 0) {
        in.sin_addr.s_addr = htonl(address);
        memcpy(&request.ifr_addr, &in, sizeof in);
        if (ioctl(fd, SIOCSIFADDR, &request) != 0) {
            die("setting an address");
        }
        in.sin_addr.s_addr = htonl(0xffffff00u);
        memcpy(&request.ifr_netmask, &in, sizeof in);
        if (ioctl(fd, SIOCSIFNETMASK, &request) != 0) {
            die("setting a netmask");
        }
    }
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
        die("switching a link on");
    }
}

static void place_make(int i)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    if (unshare(CLONE_NEWNET) != 0) {
        die("making a network namespace");
    }
    wire.ns[i] = open("/proc/self/ns/net", O_RDONLY);
    wire.tun[i] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (wire.ns[i] < 0 || wire.tun[i] < 0 || fd < 0) {
        die("opening /dev/net/tun");
    }
    snprintf(request.ifr_name, sizeof request.ifr_name, "wire0");
    if (ioctl(wire.tun[i], TUNSETIFF, &request) != 0) {
        die("making a link");
    }
    up(fd, "lo", 0);
    up(fd, "wire0", NETWORK + (uint32_t)i);
    close(fd);
}

/* ---- packets under way: a binary heap ---- */
static bool before(const struct packet *a, const struct packet *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void swap(int a, int b)
{
    struct packet *p = wire.heap[a];
    wire.heap[a] = wire.heap[b];
    wire.heap[b] = p;
}

static void push(struct packet *p)
{
    int at = wire.heap_cnt++;
    wire.heap[at] = p;
    while (at > 0 && before(wire.heap[at], wire.heap[(at - 1) / 2])) {
        swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct packet *pop(void)
{
    struct packet *first = wire.heap[0];
    wire.heap[0] = wire.heap[--wire.heap_cnt];
    for (int at = 0;;) {
        int least = at;
        for (int child = 2 * at + 1; child <= 2 * at + 2; child++) {
            if (child < wire.heap_cnt && before(wire.heap[child], wire.heap[least])) {
                least = child;
            }
        }
        if (least == at) {
            return first;
        }
        swap(at, least);
        at = least;
    }
}

static void deliver(const struct packet *p)
{
    /* a full queue of the receiver loses it, as on any wire */
    (void)!write(wire.tun[p->to], p->bytes, (size_t)p->len);
}

static void send_later(const struct packet *from, const struct rule *rule)
{
    if (rule->delay_ms == 0 && rule->jitter_ms == 0) {
        deliver(from);
        return;
    }
    struct packet *p = wire.heap_cnt < QUEUE_MAX ? malloc(sizeof *p) : NULL;
    if (p == NULL) {
        return;
    }
    *p = *from;
    p->number = wire.numbers++;
    p->due_us = now_us() + rule->delay_ms * 1000ull + below(rule->jitter_ms * 1000 + 1);
    push(p);
}

/* An IPv4 packet for another place of this network; anything else is dropped. */
static bool destination(struct packet *p)
{
    if (p->len < 20 || p->bytes[0] >> 4 != 4) {
        return false;
    }
    const uint32_t to = (uint32_t)p->bytes[16] << 24 | (uint32_t)p->bytes[17] << 16 |
                        (uint32_t)p->bytes[18] << 8 | p->bytes[19];
    p->to = (int)(to - NETWORK);
    return to >= NETWORK && p->to < wire.cnt;
}

static void forward(int from)
{
    static struct packet p;
    for (int i = 0; i < 64; i++) {
        p.len = read(wire.tun[from], p.bytes, sizeof p.bytes);
        if (p.len <= 0) {
            return;
        }
        if (!destination(&p)) {
            continue;
        }
        const struct rule *rule = &wire.rules[from][p.to];
        if (below(1000) < rule->loss) {
            continue;
        }
        send_later(&p, rule);
        if (below(1000) < rule->twice) {
            send_later(&p, rule);
        }
    }
}

/* ---- orders ---- */
static bool stands_for(const char *text, int i)
{
    return strcmp(text, "*") == 0 || strtol(text, NULL, 10) == i;
}

static void obey(const char *line)
{
    char from[8];
    char to[8];
    struct rule rule;
    if (sscanf(line, "%7s %7s %u %u %u %u", from, to, &rule.loss, &rule.delay_ms, &rule.jitter_ms,
               &rule.twice) != 6) {
        fprintf(stderr, "wire: not an order: %s\n", line);
        return;
    }
    for (int i = 0; i < wire.cnt; i++) {
        for (int j = 0; j < wire.cnt; j++) {
            if (stands_for(from, i) && stands_for(to, j)) {
                wire.rules[i][j] = rule;
            }
        }
    }
}

/* False at the end of the input. */
static bool read_orders(void)
{
    static char text[4096];
    static size_t len;
    const ssize_t got = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
    if (got <= 0) {
        return false;
    }
    len += (size_t)got;
    text[len] = 0;
    char *line = text;
    for (char *end = strchr(line, '\n'); end != NULL; end = strchr(line, '\n')) {
        *end = 0;
        obey(line);
        line = end + 1;
    }
    len = strlen(line);
    memmove(text, line, len);
    return true;
}

static void run(void)
{
    struct pollfd fds[PLACES_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    for (int i = 0; i < wire.cnt; i++) {
        fds[i + 1] = (struct pollfd){.fd = wire.tun[i], .events = POLLIN};
    }
    for (;;) {
        struct timespec wait = {.tv_sec = 1};
        const uint64_t now = now_us();
        if (wire.heap_cnt > 0) {
            const uint64_t due = wire.heap[0]->due_us;
            wait.tv_sec = 0;
            wait.tv_nsec = due > now ? (long)(due - now > 999999 ? 999999 : due - now) * 1000 : 0;
        }
        if (ppoll(fds, (nfds_t)wire.cnt + 1, &wait, NULL) < 0 && errno != EINTR) {
            die("poll");
        }
        if (fds[0].revents != 0 && !read_orders()) {
            return;
        }
        for (int i = 0; i < wire.cnt; i++) {
            if (fds[i + 1].revents != 0) {
                forward(i);
            }
        }
        while (wire.heap_cnt > 0 && wire.heap[0]->due_us <= now_us()) {
            struct packet *p = pop();
            deliver(p);
            free(p);
        }
    }
}

int main(int argc, char **argv)
{
    wire.cnt = argc == 3 ? (int)strtol(argv[1], NULL, 10) : 0;
    if (wire.cnt < 1 || wire.cnt > PLACES_MAX) {
        fprintf(stderr, "usage: wire COUNT SEED\n");
        return 2;
    }
    wire.random = strtoull(argv[2], NULL, 10);
    for (int i = 0; i < wire.cnt; i++) {
        place_make(i);
    }
    printf("ready");
    for (int i = 0; i < wire.cnt; i++) {
        printf(" %d", wire.ns[i]);
    }
    printf("\n");
    fflush(stdout);
    run();
    return 0;
}
