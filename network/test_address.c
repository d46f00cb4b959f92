/* Peer ids, multiaddrs, identify, and the pure parts of the limits. */
#include <string.h>

#include "base/tap.h"
#include "network/due.h"
#include "network/identify.h"
#include "network/limits.h"

static void test_peer_id(void)
{
    struct ses_ed25519_pk pk;
    struct ses_peer_id id, parsed;
    char text[SES_PEER_ID_TEXT_MAX];
    for (size_t i = 0; i < 50; i++) {
        ses_random_fill(tap_random(), &pk, sizeof pk);
        ses_peer_id_of(&id, &pk);
        TAP_EQ(38, id.len);
        ses_peer_id_text(text, &id);
        TAP_OK(strncmp(text, "12D3KooW", 8) == 0);
        TAP_ERR(SES_OK, ses_peer_id_parse(&parsed, text));
        TAP_OK(ses_peer_id_equal(&id, &parsed));
    }
    TAP_ERR(SES_ERR_MALFORMED, ses_peer_id_parse(&parsed, "12D3KooWnope"));
    TAP_ERR(SES_ERR_MALFORMED, ses_peer_id_parse(&parsed, ""));
    TAP_ERR(SES_ERR_MALFORMED, ses_peer_id_parse(&parsed, "b"));
    text[10] = text[10] == 'a' ? 'b' : 'a'; /* another id, which nothing in it contradicts */
    TAP_ERR(SES_OK, ses_peer_id_parse(&parsed, text));
    TAP_OK(!ses_peer_id_equal(&id, &parsed));
}

/* The same id as CIDv1: base32 of 01 72 and the multihash (peer-ids specification). */
static void test_peer_id_as_cid(void)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    struct ses_ed25519_pk pk;
    struct ses_peer_id id, parsed;
    uint8_t bytes[40] = {0x01, 0x72};
    char text[80] = "b";
    size_t at = 1;
    ses_random_fill(tap_random(), &pk, sizeof pk);
    ses_peer_id_of(&id, &pk);
    memcpy(bytes + 2, id.bytes, 38);
    for (size_t i = 0; i < 40; i += 5) { /* five bytes are eight digits */
        uint64_t group = 0;
        for (size_t j = 0; j < 5; j++) {
            group = group << 8 | bytes[i + j];
        }
        for (int shift = 35; shift >= 0; shift -= 5) {
            text[at++] = digits[group >> shift & 31];
        }
    }
    TAP_ERR(SES_OK, ses_peer_id_parse(&parsed, text));
    TAP_OK(ses_peer_id_equal(&id, &parsed));
    text[2] = 'z'; /* another codec */
    TAP_ERR(SES_ERR_MALFORMED, ses_peer_id_parse(&parsed, text));
}

static void test_multiaddr(void)
{
    static const char peer[] = "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
    const char *const good[] = {"/ip4/127.0.0.1/tcp/4001", "/ip6/2001:db8::1/tcp/1",
                                "/dns4/node.example.org/tcp/65535", "/dns/a/tcp/0",
                                "/dns6/x-1.y_z/tcp/443"};
    for (size_t i = 0; i < SES_COUNT(good); i++) {
        for (int with_peer = 0; with_peer < 2; with_peer++) {
            char want[SES_MULTIADDR_TEXT_MAX], text[SES_MULTIADDR_TEXT_MAX];
            struct ses_multiaddr addr;
            (void)snprintf(want, sizeof want, "%s%s", good[i], with_peer ? peer : "");
            TAP_ERR(SES_OK, ses_multiaddr_parse(&addr, want));
            TAP_ERR(SES_OK, ses_multiaddr_text(text, sizeof text, addr.bytes, addr.len));
            TAP_TEXT(want, text);
            TAP_ERR(SES_ERR_TOO_LARGE, ses_multiaddr_text(text, 5, addr.bytes, addr.len));
        }
    }
    static const uint8_t loopback[] = {4, 127, 0, 0, 1, 6, 0x0f, 0xa1};
    struct ses_multiaddr addr;
    TAP_ERR(SES_OK, ses_multiaddr_parse(&addr, good[0]));
    TAP_EQ(sizeof loopback, addr.len);
    TAP_BYTES(loopback, addr.bytes, sizeof loopback);
}

static void test_bad_multiaddr(void)
{
    struct ses_multiaddr addr;
    const char *const malformed[] = {"",
                                     "ip4/1.2.3.4/tcp/1",
                                     "/ip4/1.2.3/tcp/1",
                                     "/ip4/1.2.3.4/tcp/65536",
                                     "/ip4",
                                     "/ip4/1.2.3.4/tcp/",
                                     "/ip4/1.2.3.4/tcp/1x",
                                     "/ip4/1.2.3.4/tcp/1/",
                                     "/dns4//tcp/1",
                                     "/dns4/a b/tcp/1",
                                     "/ip6/1.2.3.4/tcp/1",
                                     "/ip4/1.2.3.4/tcp/-1",
                                     "/ip4/1.2.3.4/tcp/1/p2p/nonsense0"};
    for (size_t i = 0; i < SES_COUNT(malformed); i++) {
        TAP_OK(ses_multiaddr_parse(&addr, malformed[i]) != SES_OK);
        TAP_EQ(0, addr.len);
    }
    const char *const foreign[] = {"/ip4/1.2.3.4/udp/1", "/ip4/1.2.3.4/tcp/1/ws/x",
                                   "/onion3/x/tcp/1"};
    for (size_t i = 0; i < SES_COUNT(foreign); i++) {
        TAP_ERR(SES_ERR_VERSION, ses_multiaddr_parse(&addr, foreign[i]));
    }
    struct ses_tcp_addr parts;
    TAP_ERR(SES_ERR_VERSION, ses_tcp_addr_read(&parts, (const uint8_t *)"\xcc\x03", 2));
    TAP_ERR(SES_ERR_TRUNCATED, ses_tcp_addr_read(&parts, (const uint8_t *)"\x04\x7f", 2));
    TAP_ERR(SES_ERR_VERSION, /* /ws behind it */
            ses_tcp_addr_read(&parts, (const uint8_t *)"\x04\x7f\0\0\1\6\0\1\xdd\x03", 10));
}

/* What is accepted encodes to the very same bytes. */
static void test_random_multiaddr(void)
{
    uint8_t bytes[64];
    size_t good_cnt = 0;
    for (size_t i = 0; i < 200000; i++) {
        struct ses_tcp_addr parts;
        struct ses_multiaddr again;
        const size_t len = 1 + (size_t)ses_random_below(tap_random(), 12);
        ses_random_fill(tap_random(), bytes, sizeof bytes);
        bytes[0] = (uint8_t[]){4, 53, 54, 55, 41}[bytes[0] % 5];
        bytes[1] %= 8;
        bytes[5] = 6;
        if (ses_tcp_addr_read(&parts, bytes, len) != SES_OK) {
            continue;
        }
        good_cnt++;
        TAP_ERR(SES_OK, ses_tcp_addr_write(&again, &parts));
        TAP_EQ(len, again.len);
        TAP_BYTES(bytes, again.bytes, len);
    }
    TAP_OK(good_cnt > 0);
}

static void test_identify(void)
{
    uint8_t bytes[1024];
    struct ses_writer w;
    struct ses_identify m = {.public_key = SES_PART("key", 3),
                             .agent = SES_PART("agent", 5),
                             .protocol_version = SES_PART("v/1", 3),
                             .observed = SES_PART("\x04\x7f\0\0\1\6\0\1", 8),
                             .addr_cnt = 1,
                             .addrs = {SES_PART("addr", 4)},
                             .protocol_cnt = 2,
                             .protocols = {SES_PART("/a", 2), SES_PART("/b", 2)}};
    struct ses_identify read;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_identify_write(&w, &m);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    /* a signed peer record and a number, which are skipped */
    ses_write_bytes(&w, "\x42\x03xyz\x48\x96\x01", 8);
    TAP_ERR(SES_OK, ses_identify_read(&read, bytes, w.len));
    TAP_EQ(2, read.protocol_cnt);
    TAP_EQ(1, read.addr_cnt);
    TAP_BYTES("/b", read.protocols[1].bytes, 2);
    TAP_BYTES("agent", read.agent.bytes, 5);
    for (size_t cut = 1; cut < w.len; cut++) { /* never reads beyond, whatever it makes of it */
        const enum ses_err err = ses_identify_read(&read, bytes, cut);
        TAP_OK(err == SES_OK || err == SES_ERR_TRUNCATED);
    }
    TAP_ERR(SES_ERR_MALFORMED, ses_identify_read(&read, (const uint8_t *)"\x0b", 1));
    TAP_ERR(SES_ERR_TRUNCATED, ses_identify_read(&read, (const uint8_t *)"\x0a\xff\xff\x7f", 4));
}

static void test_bucket(void)
{
    struct ses_bucket b = {0};
    for (size_t i = 0; i < 10; i++) {
        TAP_OK(ses_bucket_take(&b, 1000, 5, 10));
    }
    TAP_OK(!ses_bucket_take(&b, 1000, 5, 10));
    TAP_OK(!ses_bucket_take(&b, 1199, 5, 10));
    TAP_OK(ses_bucket_take(&b, 1200, 5, 10));
    TAP_OK(!ses_bucket_take(&b, 1200, 5, 10));
    size_t got = 0;
    while (ses_bucket_take(&b, 1000000, 5, 10)) {
        got++;
    }
    TAP_EQ(10, got); /* never more than the burst */
}

static struct ses_ip ip4(uint8_t a, uint8_t d)
{
    return (struct ses_ip){.bytes = {[10] = 0xff, 0xff, a, 0, 0, d}};
}

static void test_gate(void)
{
    static struct ses_gate g;
    const struct ses_ip mine = ip4(127, 1), one = ip4(9, 1), two = ip4(9, 2);
    ses_gate_init(&g, 300);
    for (size_t i = 0; i < SES_CONNECTIONS_PER_IP; i++) {
        TAP_ERR(SES_OK, ses_gate_admit(&g, &one, 1000));
        ses_gate_upgraded(&g);
    }
    TAP_ERR(SES_ERR_FULL, ses_gate_admit(&g, &one, 1000)); /* per address */
    TAP_ERR(SES_OK, ses_gate_admit(&g, &two, 1000));
    ses_gate_release(&g, &one, false);
    TAP_ERR(SES_OK, ses_gate_admit(&g, &one, 1000));
    enum ses_err err = SES_OK;
    for (size_t i = 0; i < SES_CONNECTIONS_BURST && err != SES_ERR_RATE; i++) {
        ses_gate_release(&g, &one, true);
        err = ses_gate_admit(&g, &one, 1000);
    }
    TAP_ERR(SES_ERR_RATE, err); /* new connections a second */
    while (ses_gate_admit(&g, &mine, 1000) == SES_OK) {
    }
    TAP_EQ(300, g.connection_cnt); /* loopback counts in all */
    TAP_EQ(2, g.ip_cnt);
    ses_gate_release(&g, &two, true);
    ses_gate_prune(&g, 1000);
    TAP_EQ(2, g.ip_cnt); /* remembered until its bucket is full */
    ses_gate_prune(&g, 1000000);
    TAP_EQ(1, g.ip_cnt);
    ses_gate_free(&g);
}

/* A /64 is one origin; hostile numbers of addresses end at the table's bound. */
static void test_gate_ip6(void)
{
    static struct ses_gate g;
    struct ses_ip ip = {.bytes = {0x20, 0x01, 0x0d, 0xb8}};
    ses_gate_init(&g, 300);
    for (size_t i = 0; i < SES_CONNECTIONS_PER_IP; i++) {
        ip.bytes[15] = (uint8_t)i;
        TAP_ERR(SES_OK, ses_gate_admit(&g, &ip, 1000));
    }
    TAP_ERR(SES_ERR_FULL, ses_gate_admit(&g, &ip, 1000));
    ip.bytes[7] = 1;
    TAP_ERR(SES_OK, ses_gate_admit(&g, &ip, 1000));
    TAP_EQ(2, g.ip_cnt);
    ses_gate_free(&g);
}

static void test_dues(void)
{
    static struct ses_due dues[500];
    struct ses_dues d = {0};
    const struct ses_random *random = tap_random();
    for (size_t i = 0; i < SES_COUNT(dues); i++) {
        TAP_ERR(SES_OK, ses_due_set(&d, &dues[i], ses_random_below(random, 1000)));
    }
    for (size_t i = 0; i < SES_COUNT(dues); i += 3) {
        ses_due_clear(&d, &dues[i]);
        ses_due_clear(&d, &dues[i]);
    }
    for (size_t i = 1; i < SES_COUNT(dues); i += 3) {
        TAP_ERR(SES_OK, ses_due_set(&d, &dues[i], ses_random_below(random, 1000)));
    }
    uint64_t last = 0;
    size_t cnt = 0;
    for (uint64_t now = 0; now <= 1000; now++) {
        struct ses_due *due = NULL;
        while ((due = ses_dues_pop(&d, now)) != NULL) {
            TAP_OK(due->at_ms >= last && due->at_ms == now);
            last = due->at_ms;
            cnt++;
        }
    }
    TAP_EQ(333, cnt);
    TAP_EQ(UINT64_MAX, ses_dues_next(&d));
    ses_dues_free(&d);
}

int main(void)
{
    TAP_RUN(test_peer_id);
    TAP_RUN(test_peer_id_as_cid);
    TAP_RUN(test_multiaddr);
    TAP_RUN(test_bad_multiaddr);
    TAP_RUN(test_random_multiaddr);
    TAP_RUN(test_identify);
    TAP_RUN(test_bucket);
    TAP_RUN(test_gate);
    TAP_RUN(test_gate_ip6);
    TAP_RUN(test_dues);
    return tap_done();
}
