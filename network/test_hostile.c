/* Raw sockets against a listening host: garbage, silence, floods. It closes them and goes on. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/address.h"
#include "network/limits.h"
#include "network/test_net.h"

struct attack {
    struct test_net *t;
    uint16_t port;
    const uint8_t *bytes;
    size_t len;
    size_t repeat;
    bool closed; /* by the host */
    size_t answer_len;
    uint8_t answer[4096];
};

/* On a worker thread, with a blocking socket: sends everything, then reads to the end. */
static void attack_run(void *cookie)
{
    struct attack *a = cookie;
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons(a->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0) {
        for (size_t i = 0; i < a->repeat; i++) {
            if (send(fd, a->bytes, a->len, MSG_NOSIGNAL) <= 0) {
                break;
            }
        }
        ssize_t n = 0;
        while (a->answer_len < sizeof a->answer &&
               (n = recv(fd, a->answer + a->answer_len, sizeof a->answer - a->answer_len, 0)) > 0) {
            a->answer_len += (size_t)n;
        }
        a->closed = a->answer_len < sizeof a->answer;
    }
    (void)close(fd);
}

static void attack_done(void *cookie)
{
    struct attack *a = cookie;
    ses_uv_stop(a->t->uv);
}

static void attack(struct attack *a)
{
    const struct ses_loop *loop = ses_uv_loop(a->t->uv);
    a->closed = false;
    a->answer_len = 0;
    TAP_MUST(loop->work(loop->ctx, attack_run, attack_done, a) == SES_OK);
    test_run(a->t);
    TAP_OK(a->closed);
}

static uint16_t port_of(const struct test_node *node)
{
    struct ses_tcp_addr addr;
    TAP_MUST(ses_tcp_addr_read(&addr, node->target.endpoint.addrs[0].bytes,
                               node->target.endpoint.addrs[0].len) == SES_OK);
    return addr.port;
}

static void still_serves(struct test_net *t, struct ses_net *client, struct test_node *node)
{
    struct test_reply reply;
    struct ses_host_stats stats;
    const struct ses_request request = test_request(&node->target, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_OK, test_ask(t, client, &request, &reply));
    ses_free(reply.body);
    ses_host_stats(node->net, &stats);
    TAP_EQ(1, stats.connections); /* the attackers' are gone */
}

#define HEADER "\x13/multistream/1.0.0\n"
#define TLS_ID "\x0b/tls/1.0.0\n"

static void test_garbage(void)
{
    struct test_net t;
    struct attack a = {.t = &t, .repeat = 1};
    static uint8_t noise[20000];
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    a.port = port_of(node);
    for (size_t i = 0; i < 20; i++) {
        ses_random_fill(tap_random(), noise, sizeof noise);
        if (i % 2 == 0) { /* as far as TLS, then noise */
            memcpy(noise, HEADER TLS_ID, sizeof(HEADER TLS_ID) - 1);
        }
        a.bytes = noise;
        a.len = sizeof noise;
        attack(&a);
    }
    a.bytes = (const uint8_t *)"\x03zz\n";
    a.len = 4;
    attack(&a);
    still_serves(&t, client, node);
    test_end(&t, client);
}

/* "na" to what this host does not speak, a bounded number of times. */
static void test_proposals_without_end(void)
{
    struct test_net t;
    struct attack a = {.t = &t, .repeat = 100};
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    a.port = port_of(node);
    a.bytes = (const uint8_t *)HEADER "\x07/noise\n";
    a.len = sizeof(HEADER "\x07/noise\n") - 1;
    attack(&a);
    TAP_OK(a.answer_len <= sizeof HEADER + 4 * 33);
    still_serves(&t, client, node);
    test_end(&t, client);
}

/* A connection that says nothing is closed after SES_UPGRADE_MS. */
static void test_silence(void)
{
    struct test_net t;
    struct attack a = {.t = &t};
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    a.port = port_of(node);
    attack(&a);
    TAP_EQ(0, a.answer_len);
    still_serves(&t, client, node);
    test_end(&t, client);
}

/* More silent connections than may be pending do not keep others out. */
static void test_silent_crowd(void)
{
    struct test_net t;
    struct test_reply reply;
    int fds[SES_CONNECTIONS_PENDING_MAX + 50];
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_net *client = test_client(&t);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons(port_of(node)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < SES_COUNT(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        TAP_MUST(connect(fds[i], (const struct sockaddr *)(const void *)&to, sizeof to) == 0);
    }
    const struct ses_request request = test_request(&node->target, SES_PROTO_INFO, "x", 1, NULL);
    TAP_ERR(SES_OK, test_ask(&t, client, &request, &reply));
    ses_free(reply.body);
    for (size_t i = 0; i < SES_COUNT(fds); i++) {
        (void)close(fds[i]);
    }
    test_end(&t, client);
}

/* Idle connections go by themselves, and the next request makes a new one. */
static void test_idle(void)
{
    struct test_net t;
    struct ses_net *client = NULL;
    struct ses_host_stats stats;
    test_init(&t);
    struct test_node *node = test_node_add(&t);
    struct ses_host_params params = test_params(&t);
    params.idle_ms = 300;
    TAP_MUST(ses_host_new(&client, &params) == SES_OK);
    TAP_ERR(SES_OK, ses_net_serve(node->net, SES_PROTO_INFO, test_echo, NULL));
    still_serves(&t, client, node);
    do { /* nodes keep theirs longer: 6 x 300 ms; the watchdog bounds this */
        struct attack a = {.t = &t,
                           .port = port_of(node),
                           .repeat = 1,
                           .bytes = (const uint8_t *)"\x03zz\n",
                           .len = 4};
        attack(&a);
        ses_host_stats(client, &stats);
        (void)usleep(50000);
    } while (stats.connections > 0);
    still_serves(&t, client, node);
    test_end(&t, client);
}

int main(void)
{
    TAP_RUN(test_garbage);
    TAP_RUN(test_proposals_without_end);
    TAP_RUN(test_silence);
    TAP_RUN(test_silent_crowd);
    TAP_RUN(test_idle);
    return tap_done();
}
