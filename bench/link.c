#include "bench/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"

#define PAIRS_MAX 64u
#define BLOCK_BYTES 16384u
#define QUEUE_BYTES (4u << 20) /* on its way in one direction of one connection */
#define BURST_NS 2000000u      /* of the token bucket */
#define WAIT_MAX_NS 20000000u

struct block {
    struct block *next;
    uint64_t due_ns;
    size_t at, len;
    uint8_t bytes[BLOCK_BYTES];
};
struct way {
    int from, to;
    struct block *first, **last;
    size_t queued;
    bool limited, ended, full; /* full: the receiver's socket takes no more now */
};
struct pair {
    bool used;
    struct way ways[2]; /* towards the backend, and back */
};
struct state {
    struct link *l;
    struct pair pairs[PAIRS_MAX];
    uint32_t turn;
    double tokens;
    uint64_t filled_ns;
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

struct link *link_new(uint32_t port_cnt)
{
    struct link *l =
        mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(l != MAP_FAILED && port_cnt <= LINK_PORTS, "link: memory");
    l->port_cnt = port_cnt;
    for (uint32_t i = 0; i < port_cnt; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof at;
        struct sockaddr *address = (struct sockaddr *)(void *)&at;
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        must(fd >= 0 && bind(fd, address, len) == 0 && listen(fd, 64) == 0 &&
                 getsockname(fd, address, &len) == 0,
             "link: listen");
        l->listeners[i] = fd;
        l->ports[i] = ntohs(at.sin_port);
    }
    return l;
}

/* ---- connections ---- */
static void way_init(struct way *w, int from, int to, bool limited)
{
    *w = (struct way){.from = from, .to = to, .limited = limited};
    w->last = &w->first;
}

static void pair_free(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        while (p->ways[i].first != NULL) {
            struct block *b = p->ways[i].first;
            p->ways[i].first = b->next;
            ses_free(b);
        }
        (void)close(p->ways[i].from);
    }
    p->used = false;
}

static int dial(uint16_t port)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (port == 0 || (connect(fd, (const struct sockaddr *)(const void *)&at, sizeof at) != 0 &&
                      errno != EINPROGRESS)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void take(struct state *s, uint32_t port)
{
    const int one = 1;
    const int dialler = accept4(s->l->listeners[port], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    const int backend = dialler >= 0 ? dial(atomic_load(&s->l->backends[port])) : -1;
    struct pair *p = NULL;
    for (uint32_t i = 0; i < PAIRS_MAX && p == NULL; i++) {
        p = s->pairs[i].used ? NULL : &s->pairs[i];
    }
    if (dialler < 0 || backend < 0 || p == NULL) {
        (void)close(dialler);
        (void)close(backend);
        return;
    }
    (void)setsockopt(dialler, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(backend, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    p->used = true;
    way_init(&p->ways[0], dialler, backend, false);
    way_init(&p->ways[1], backend, dialler, true);
}

/* ---- bytes ---- */
static bool read_some(struct state *s, struct way *w)
{
    while (w->queued < QUEUE_BYTES) {
        struct block *b = ses_alloc(1, sizeof *b);
        must(b != NULL, "link: memory");
        const ssize_t n = read(w->from, b->bytes, sizeof b->bytes);
        if (n <= 0) {
            ses_free(b);
            w->ended = n == 0;
            return n == 0 || errno == EAGAIN || errno == EINTR;
        }
        b->len = (size_t)n;
        b->due_ns = ses_mono_ns() + atomic_load(&s->l->delay_ns);
        *w->last = b;
        w->last = &b->next;
        w->queued += b->len;
    }
    return true;
}

static void fill(struct state *s, uint64_t now_ns)
{
    const double rate = (double)atomic_load(&s->l->bytes_per_s);
    const double most = rate * BURST_NS / 1e9 + BLOCK_BYTES;
    s->tokens += rate * (double)(now_ns - s->filled_ns) / 1e9;
    s->tokens = s->tokens < most ? s->tokens : most;
    s->filled_ns = now_ns;
}

static bool may_send(const struct state *s, const struct way *w)
{
    return !w->limited || s->tokens > 0 || atomic_load(&s->l->bytes_per_s) == 0;
}

/* One block at most, so that the connections share the link. */
static bool write_one(struct state *s, struct way *w, bool *sent)
{
    struct block *b = w->first;
    if (b == NULL || w->full || b->due_ns > s->filled_ns || !may_send(s, w)) {
        return true;
    }
    const ssize_t n = send(w->to, b->bytes + b->at, b->len - b->at, MSG_NOSIGNAL);
    if (n < 0) {
        w->full = errno == EAGAIN;
        return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
    }
    *sent = true;
    s->tokens -= w->limited ? (double)n : 0;
    b->at += (size_t)n;
    w->queued -= (size_t)n;
    if (b->at == b->len) {
        w->first = b->next;
        w->last = w->first == NULL ? &w->first : w->last;
        ses_free(b);
    }
    return true;
}

static bool pair_write(struct state *s, struct pair *p, bool *sent)
{
    for (unsigned i = 0; i < 2; i++) {
        struct way *w = &p->ways[i];
        if (!write_one(s, w, sent)) {
            return false;
        }
        if (w->ended && w->first == NULL) {
            (void)shutdown(w->to, SHUT_WR);
        }
    }
    return !(p->ways[0].ended && p->ways[1].ended && p->ways[0].first == NULL &&
             p->ways[1].first == NULL);
}

static void write_all(struct state *s)
{
    bool sent = true;
    while (sent) {
        sent = false;
        for (uint32_t i = 0; i < PAIRS_MAX; i++) {
            struct pair *p = &s->pairs[(s->turn + i) % PAIRS_MAX];
            if (p->used && !pair_write(s, p, &sent)) {
                pair_free(p);
            }
        }
        s->turn++;
    }
}

/* ---- waiting ---- */
static uint64_t until_next(const struct state *s)
{
    const uint64_t rate = atomic_load(&s->l->bytes_per_s);
    uint64_t wait_ns = WAIT_MAX_NS;
    for (uint32_t i = 0; i < PAIRS_MAX; i++) {
        for (unsigned k = 0; s->pairs[i].used && k < 2; k++) {
            const struct way *w = &s->pairs[i].ways[k];
            if (w->first == NULL || w->full) {
                continue;
            }
            const uint64_t due_ns = w->first->due_ns;
            uint64_t ns = due_ns > s->filled_ns ? due_ns - s->filled_ns : 0;
            if (!may_send(s, w) && rate > 0) {
                const uint64_t refill_ns =
                    (uint64_t)((BLOCK_BYTES - s->tokens) * 1e9 / (double)rate);
                ns = ns > refill_ns ? ns : refill_ns;
            }
            wait_ns = wait_ns < ns ? wait_ns : ns;
        }
    }
    return wait_ns;
}

static void wait_ready(struct state *s)
{
    struct pollfd fds[LINK_PORTS + 2 * PAIRS_MAX];
    nfds_t cnt = 0;
    for (uint32_t i = 0; i < s->l->port_cnt; i++) {
        fds[cnt++] = (struct pollfd){.fd = s->l->listeners[i], .events = POLLIN};
    }
    for (uint32_t i = 0; i < PAIRS_MAX; i++) {
        for (unsigned k = 0; k < 2; k++) {
            const struct way *in = &s->pairs[i].ways[k], *out = &s->pairs[i].ways[1 - k];
            const bool reads = !in->ended && in->queued < QUEUE_BYTES;
            const int events = (reads ? POLLIN : 0) | (out->full ? POLLOUT : 0);
            const bool used = s->pairs[i].used && events != 0;
            fds[cnt++] = (struct pollfd){.fd = used ? in->from : -1, .events = (short)events};
        }
    }
    const struct timespec wait = {.tv_nsec = (long)until_next(s)};
    (void)ppoll(fds, cnt, &wait, NULL);
    for (uint32_t i = 0; i < PAIRS_MAX; i++) {
        for (unsigned k = 0; s->pairs[i].used && k < 2; k++) {
            const short got = fds[s->l->port_cnt + 2 * i + k].revents;
            struct pair *p = &s->pairs[i];
            p->ways[1 - k].full &= (got & POLLOUT) == 0;
            if ((got & (POLLIN | POLLHUP | POLLERR)) != 0 && !read_some(s, &p->ways[k])) {
                pair_free(p);
            }
        }
    }
    for (uint32_t i = 0; i < s->l->port_cnt; i++) {
        if (fds[i].revents != 0) {
            take(s, i);
        }
    }
}

void link_run(struct link *l)
{
    static struct state s;
    s.l = l;
    s.filled_ns = ses_mono_ns();
    for (;;) {
        wait_ready(&s);
        fill(&s, ses_mono_ns());
        write_all(&s);
    }
}
