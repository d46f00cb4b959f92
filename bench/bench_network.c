/* The network layer on loopback, beside raw TCP in the same run.
 *
 *     bench_network [MEGABYTES]
 *
 * Two processes: a node that serves, and the measuring one, a node too. Streams take turns with raw
 * TCP, so that a busy machine slows both; a row shows the median of the rounds. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"
#include "network/network.h"

#define ROUNDS 7u
#define FRAME_BYTES 65536u
#define REQUESTS 8000u /* all rounds together stay within the burst that one node may send */
#define CONNECTIONS 200u
#define DIALS 100u

/* What both processes know, drawn before the fork. */
struct common {
    struct ses_hash chain_id;
    struct ses_ed25519_seed peer_seeds[2];
    struct ses_dsa_private *keys[2];
    struct ses_target targets[2]; /* 0: the measuring node, 1: the serving one */
};

struct bench {
    const struct common *common;
    struct ses_uv *uv;
    struct ses_net *net;
    struct ses_flow *flow;
    uint64_t bytes, want_bytes;
    uint32_t sent, received, want;
    uint32_t at_once;
    uint8_t frame[FRAME_BYTES];
};

static enum ses_err find_node(void *cookie, const struct ses_node_id *node_id,
                              struct ses_dsa_pk *out)
{
    const struct common *c = cookie;
    for (size_t i = 0; i < 2; i++) {
        if (memcmp(&c->targets[i].node_id, node_id, sizeof *node_id) == 0) {
            *out = c->targets[i].public_key;
            return SES_OK;
        }
    }
    return SES_ERR_NOT_FOUND;
}

static struct ses_net *host_new(struct ses_uv *uv, const struct common *c, size_t who)
{
    struct ses_net *net = NULL;
    const struct ses_host_params params = {.uv = uv,
                                           .random = ses_random_system(),
                                           .peer_seed = c->peer_seeds[who],
                                           .chain_id = c->chain_id,
                                           .is_node = true,
                                           .node_id = c->targets[who].node_id,
                                           .node_key = c->keys[who],
                                           .find_node = find_node,
                                           .find_cookie = (void *)(uintptr_t)c,
                                           .agent = "bench"};
    MUST(ses_host_new(&net, &params));
    return net;
}

static void common_init(struct common *c)
{
    const struct ses_random *random = ses_random_system();
    ses_random_fill(random, &c->chain_id, sizeof c->chain_id);
    for (size_t i = 0; i < 2; i++) {
        struct ses_dsa_seed seed;
        ses_random_fill(random, &seed, sizeof seed);
        ses_random_fill(random, &c->peer_seeds[i], sizeof c->peer_seeds[i]);
        MUST(ses_dsa_private_new(&c->keys[i], &seed));
        ses_dsa_private_pk(c->keys[i], &c->targets[i].public_key);
        ses_node_id_of(&c->targets[i].node_id, &c->targets[i].public_key);
        ses_ed25519_pk(&c->targets[i].endpoint.peer_key, &c->peer_seeds[i]);
    }
}

/* ---- the serving process ---- */

static void serve_echo(void *cookie, struct ses_call *call, const uint8_t *body, size_t len)
{
    (void)cookie;
    ses_call_reply(call, body, len);
}

static void sink_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    /* An empty frame asks whether everything has arrived. */
    (void)cookie;
    if (len == 0) {
        MUST(ses_flow_send(flow, body, 0));
    }
}

static void sink_close(void *cookie, struct ses_flow *flow, enum ses_err why)
{
    (void)cookie;
    (void)flow;
    (void)why;
}

static const struct ses_flow_events sink_events = {.on_frame = sink_frame, .on_close = sink_close};

static enum ses_err sink_accept(void *cookie, struct ses_flow *flow,
                                const struct ses_flow_events **events, void **flow_cookie)
{
    (void)flow;
    *events = &sink_events;
    *flow_cookie = cookie;
    return SES_OK;
}

/* Reads raw TCP connections to their end, one after the other, answering each with a byte. */
static void raw_sink(void *cookie)
{
    static uint8_t bytes[FRAME_BYTES];
    const int listener = *(const int *)cookie;
    for (;;) {
        const int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            return;
        }
        while (read(fd, bytes, sizeof bytes) > 0) {
        }
        if (write(fd, "x", 1) != 1) {
            return;
        }
        (void)close(fd);
    }
}

static void nothing(void *cookie)
{
    (void)cookie;
}

static void serve(const struct common *c, int report, int raw_listener)
{
    struct ses_uv *uv = NULL;
    struct ses_multiaddr bound;
    MUST(ses_uv_new(&uv));
    struct ses_net *net = host_new(uv, c, 1);
    MUST(ses_host_listen(net, "/ip4/127.0.0.1/tcp/0", &bound, NULL));
    MUST(ses_net_serve(net, SES_PROTO_INFO, serve_echo, NULL));
    MUST(ses_net_accept(net, SES_PROTO_REPLICATE, sink_accept, NULL));
    MUST(write(report, &bound, sizeof bound) == (ssize_t)sizeof bound ? SES_OK : SES_ERR_IO);
    const struct ses_loop *loop = ses_uv_loop(uv);
    MUST(loop->work(loop->ctx, raw_sink, nothing, &raw_listener));
    ses_uv_run(uv);
}

/* ---- one stream ---- */

static void source_fill(struct bench *b)
{
    while (b->bytes < b->want_bytes) {
        const enum ses_err err = ses_flow_send(b->flow, b->frame, sizeof b->frame);
        if (err == SES_ERR_AGAIN) {
            return;
        }
        MUST(err);
        b->bytes += sizeof b->frame;
        if (b->bytes >= b->want_bytes) {
            const enum ses_err asked = ses_flow_send(b->flow, b->frame, 0);
            if (asked == SES_ERR_AGAIN) {
                b->bytes -= sizeof b->frame; /* one frame more, then asked again */
                return;
            }
            MUST(asked);
        }
    }
}

static void source_open(void *cookie, struct ses_flow *flow)
{
    struct bench *b = cookie;
    (void)flow;
    ses_uv_stop(b->uv);
}

static void source_frame(void *cookie, struct ses_flow *flow, const uint8_t *body, size_t len)
{
    struct bench *b = cookie;
    (void)flow;
    (void)body;
    (void)len;
    ses_uv_stop(b->uv);
}

static void source_writable(void *cookie, struct ses_flow *flow)
{
    (void)flow;
    source_fill(cookie);
}

static const struct ses_flow_events source_events = {.on_open = source_open,
                                                     .on_frame = source_frame,
                                                     .on_writable = source_writable,
                                                     .on_close = sink_close};

static double stream_round(struct bench *b)
{
    const uint64_t from = ses_mono_ns();
    b->bytes = 0;
    source_fill(b);
    ses_uv_run(b->uv);
    return (double)b->bytes * 1000.0 / (double)(ses_mono_ns() - from);
}

static double raw_round(struct bench *b, uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0 ? SES_OK
                                                                                 : SES_ERR_IO);
    const uint64_t from = ses_mono_ns();
    uint64_t bytes = 0;
    char done;
    while (bytes < b->want_bytes) {
        const ssize_t n = write(fd, b->frame, sizeof b->frame);
        MUST(n > 0 ? SES_OK : SES_ERR_IO);
        bytes += (uint64_t)n;
    }
    (void)shutdown(fd, SHUT_WR);
    MUST(read(fd, &done, 1) == 1 ? SES_OK : SES_ERR_IO);
    const uint64_t ns = ses_mono_ns() - from;
    (void)close(fd);
    return (double)bytes * 1000.0 / (double)ns;
}

static void bench_stream(struct bench *b, uint16_t raw_port)
{
    double ours[ROUNDS], raw[ROUNDS];
    MUST(ses_net_open(b->net, &b->flow, &b->common->targets[1], SES_PROTO_REPLICATE, NULL,
                      &source_events, b));
    ses_uv_run(b->uv);
    (void)stream_round(b);
    for (size_t i = 0; i < ROUNDS; i++) {
        ours[i] = stream_round(b);
        raw[i] = raw_round(b, raw_port);
    }
    const double a = median(ours, ROUNDS), r = median(raw, ROUNDS);
    printf("one stream, TLS + yamux         %10.0f MB/s\n", a);
    printf("raw TCP                         %10.0f MB/s   ratio %.2f\n", r, a / r);
}

/* ---- requests ---- */

static void request_next(struct bench *b);

static void on_reply(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct bench *b = cookie;
    (void)body;
    MUST(err);
    MUST(len == 100 ? SES_OK : SES_ERR_PEER); /* no refusal */
    b->received++;
    if (b->received == b->want) {
        ses_uv_stop(b->uv);
    } else {
        request_next(b);
    }
}

static void request_next(struct bench *b)
{
    while (b->sent < b->want && b->sent - b->received < b->at_once) {
        const struct ses_request request = {.target = &b->common->targets[1],
                                            .proto = SES_PROTO_INFO,
                                            .body = b->frame,
                                            .len = 100,
                                            .on_reply = on_reply,
                                            .cookie = b};
        b->sent++;
        MUST(ses_net_request(b->net, &request));
    }
}

static double requests_round(struct bench *b, uint32_t at_once, uint32_t cnt)
{
    const uint64_t from = ses_mono_ns();
    b->sent = b->received = 0;
    b->want = cnt;
    b->at_once = at_once;
    request_next(b);
    ses_uv_run(b->uv);
    return (double)cnt * 1e9 / (double)(ses_mono_ns() - from);
}

static void bench_requests(struct bench *b)
{
    const uint32_t at_once[] = {1, 64};
    for (size_t i = 0; i < SES_COUNT(at_once); i++) {
        double rates[ROUNDS];
        for (size_t round = 0; round < ROUNDS; round++) {
            rates[round] = requests_round(b, at_once[i], REQUESTS);
        }
        printf("requests, fresh streams, %2" PRIu32 " at once %7.0f /s\n", at_once[i],
               median(rates, ROUNDS));
    }
}

/* ---- connections ---- */

static double cpu_ms(int who)
{
    struct rusage use;
    MUST(getrusage(who, &use) == 0 ? SES_OK : SES_ERR_IO);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000.0 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1000.0;
}

static double rss_kib(pid_t pid)
{
    char path[64], line[256];
    double kib = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    MUST(file != NULL ? SES_OK : SES_ERR_IO);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            kib = strtod(line + 6, NULL);
        }
    }
    (void)fclose(file);
    return kib;
}

static void on_one_reply(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct bench *b = cookie;
    (void)body;
    (void)len;
    MUST(err);
    if (++b->received == b->want) {
        ses_uv_stop(b->uv);
    }
}

/* A client of its own per connection: all of them stay open. */
static void connect_all(struct bench *b, struct ses_net **clients, uint32_t cnt)
{
    b->want = 1;
    for (uint32_t i = 0; i < cnt; i++) {
        struct ses_host_params params = {
            .uv = b->uv, .random = ses_random_system(), .chain_id = b->common->chain_id};
        ses_random_fill(params.random, &params.peer_seed, sizeof params.peer_seed);
        MUST(ses_host_new(&clients[i], &params));
        const struct ses_request request = {.target = &b->common->targets[1],
                                            .proto = SES_PROTO_INFO,
                                            .body = b->frame,
                                            .len = 100,
                                            .on_reply = on_one_reply,
                                            .cookie = b};
        b->received = 0;
        MUST(ses_net_request(clients[i], &request));
        ses_uv_run(b->uv);
    }
}

static void bench_connections(struct bench *b, pid_t server)
{
    static struct ses_net *clients[CONNECTIONS];
    static struct ses_net *warm[DIALS];
    connect_all(b, warm, DIALS);
    const double rss = rss_kib(server), cpu = cpu_ms(RUSAGE_SELF);
    const uint64_t from = ses_mono_ns();
    connect_all(b, clients, CONNECTIONS);
    const double ms = (double)(ses_mono_ns() - from) / 1e6;
    printf("client: host, upgrade, auth     %10.2f ms CPU, %.2f ms until the first answer\n",
           (cpu_ms(RUSAGE_SELF) - cpu) / CONNECTIONS, ms / CONNECTIONS);
    printf("node: memory per idle connection%10.1f KiB\n", (rss_kib(server) - rss) / CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        ses_host_free(clients[i]);
    }
    for (size_t i = 0; i < DIALS; i++) {
        ses_host_free(warm[i]);
    }
}

static int raw_listen(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(bind(fd, (const struct sockaddr *)(const void *)&at, len) == 0 && listen(fd, 8) == 0 &&
                 getsockname(fd, (struct sockaddr *)(void *)&at, &len) == 0
             ? SES_OK
             : SES_ERR_IO);
    *port = at.sin_port;
    return fd;
}

int main(int argc, char **argv)
{
    static struct common common;
    static struct bench b;
    int report[2];
    uint16_t raw_port = 0;
    struct ses_multiaddr bound;
    MUST(ses_crypto_init());
    common_init(&common);
    const int raw = raw_listen(&raw_port);
    MUST(pipe(report) == 0 ? SES_OK : SES_ERR_IO);
    const pid_t server = fork();
    if (server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a measurement fails */
        serve(&common, report[1], raw);
        _exit(0);
    }
    MUST(server > 0 && read(report[0], &bound, sizeof bound) == (ssize_t)sizeof bound ? SES_OK
                                                                                      : SES_ERR_IO);
    common.targets[1].endpoint.addr_cnt = 1;
    common.targets[1].endpoint.addrs[0].len = bound.len;
    memcpy(common.targets[1].endpoint.addrs[0].bytes, bound.bytes, bound.len);
    b.common = &common;
    b.want_bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 256) << 20;
    MUST(ses_uv_new(&b.uv));
    b.net = host_new(b.uv, &common, 0);
    bench_stream(&b, raw_port);
    bench_requests(&b);
    bench_connections(&b, server);
    ses_host_free(b.net);
    ses_uv_free(b.uv);
    (void)kill(server, SIGTERM);
    (void)waitpid(server, NULL, 0);
    return 0;
}
