#include <arpa/inet.h>
#include <string.h>

#include "network/address.h"

enum {
    CODE_IP4 = 4,
    CODE_TCP = 6,
    CODE_IP6 = 41,
    CODE_DNS = 53,
    CODE_DNS4 = 54,
    CODE_DNS6 = 55,
    CODE_P2P = 421,
};

struct part {
    const char *name;
    uint64_t code;
    enum ses_host_kind kind;
};

static const struct part hosts[] = {
    {"ip4", CODE_IP4, SES_HOST_IP4},    {"ip6", CODE_IP6, SES_HOST_IP6},
    {"dns", CODE_DNS, SES_HOST_DNS},    {"dns4", CODE_DNS4, SES_HOST_DNS4},
    {"dns6", CODE_DNS6, SES_HOST_DNS6},
};

static bool name_valid(const char *name)
{
    const size_t len = strlen(name);
    if (len == 0 || len > SES_DNS_NAME_MAX) {
        return false;
    }
    for (const char *c = name; *c != '\0'; c++) {
        const bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                           (*c >= '0' && *c <= '9') || *c == '-' || *c == '.' || *c == '_';
        if (!plain) {
            return false;
        }
    }
    return true;
}

/* ---- bytes ---- */

static void host_read(struct ses_reader *r, struct ses_tcp_addr *out)
{
    const uint64_t code = ses_read_varint(r);
    size_t i = 0;
    while (i < SES_COUNT(hosts) && hosts[i].code != code) {
        i++;
    }
    ses_reader_check(r, i < SES_COUNT(hosts), SES_ERR_VERSION);
    if (r->err != SES_OK) {
        return;
    }
    out->kind = hosts[i].kind;
    if (code == CODE_IP4 || code == CODE_IP6) {
        ses_read_bytes(r, out->ip, code == CODE_IP4 ? 4 : 16);
        return;
    }
    const uint64_t len = ses_read_varint(r);
    ses_reader_check(r, len <= SES_DNS_NAME_MAX, SES_ERR_MALFORMED);
    ses_read_bytes(r, out->name, r->err == SES_OK ? (size_t)len : 0);
    ses_reader_check(r, strlen(out->name) == len && name_valid(out->name), SES_ERR_MALFORMED);
}

static void peer_read(struct ses_reader *r, struct ses_tcp_addr *out)
{
    ses_reader_check(r, ses_read_varint(r) == CODE_P2P, SES_ERR_VERSION);
    const uint64_t len = ses_read_varint(r);
    ses_reader_check(r, len <= sizeof out->peer.bytes, SES_ERR_MALFORMED);
    const uint8_t *bytes = ses_read_view(r, (size_t)len);
    if (bytes != NULL && r->err == SES_OK) {
        ses_reader_check(r, ses_peer_id_read(&out->peer, bytes, (size_t)len) == SES_OK,
                         SES_ERR_MALFORMED);
        out->has_peer = true;
    }
}

enum ses_err ses_tcp_addr_read(struct ses_tcp_addr *out, const uint8_t *bytes, size_t len)
{
    struct ses_tcp_addr addr = {0};
    struct ses_reader r;
    *out = addr;
    ses_reader_init(&r, bytes, len);
    host_read(&r, &addr);
    ses_reader_check(&r, ses_read_varint(&r) == CODE_TCP, SES_ERR_VERSION);
    addr.port = ses_read_u16(&r);
    if (r.err == SES_OK && r.left > 0) {
        peer_read(&r, &addr);
    }
    SES_REQUIRE(r.err != SES_OK || r.left == 0, SES_ERR_VERSION); /* .../tcp/1/ws */
    SES_TRY(ses_reader_done(&r));
    *out = addr;
    return SES_OK;
}

enum ses_err ses_tcp_addr_write(struct ses_multiaddr *out, const struct ses_tcp_addr *addr)
{
    struct ses_writer w;
    *out = (struct ses_multiaddr){0};
    ses_writer_init(&w, out->bytes, sizeof out->bytes);
    ses_write_varint(&w, hosts[addr->kind].code);
    if (addr->kind == SES_HOST_IP4 || addr->kind == SES_HOST_IP6) {
        ses_write_bytes(&w, addr->ip, addr->kind == SES_HOST_IP4 ? 4 : 16);
    } else {
        ses_write_varint(&w, strlen(addr->name));
        ses_write_bytes(&w, addr->name, strlen(addr->name));
    }
    ses_write_varint(&w, CODE_TCP);
    ses_write_u16(&w, addr->port);
    if (addr->has_peer) {
        ses_write_varint(&w, CODE_P2P);
        ses_write_varint(&w, addr->peer.len);
        ses_write_bytes(&w, addr->peer.bytes, addr->peer.len);
    }
    SES_TRY(ses_writer_done(&w));
    out->len = (uint16_t)w.len;
    return SES_OK;
}

/* ---- text ---- */

/* Cuts the next "/word" off *text into `out`. */
static enum ses_err word_take(char *out, size_t cap, const char **text)
{
    SES_REQUIRE(**text == '/', SES_ERR_MALFORMED);
    const char *from = *text + 1;
    const size_t len = strcspn(from, "/");
    SES_REQUIRE(len > 0 && len < cap, SES_ERR_MALFORMED);
    memcpy(out, from, len);
    out[len] = '\0';
    *text = from + len;
    return SES_OK;
}

static enum ses_err host_parse(struct ses_tcp_addr *out, const char *name, const char *value)
{
    for (size_t i = 0; i < SES_COUNT(hosts); i++) {
        if (strcmp(hosts[i].name, name) != 0) {
            continue;
        }
        out->kind = hosts[i].kind;
        if (out->kind == SES_HOST_IP4 || out->kind == SES_HOST_IP6) {
            const int family = out->kind == SES_HOST_IP4 ? AF_INET : AF_INET6;
            SES_REQUIRE(inet_pton(family, value, out->ip) == 1, SES_ERR_MALFORMED);
            return SES_OK;
        }
        SES_REQUIRE(name_valid(value), SES_ERR_MALFORMED);
        memcpy(out->name, value, strlen(value) + 1);
        return SES_OK;
    }
    return SES_ERR_VERSION;
}

static enum ses_err port_parse(uint16_t *out, const char *text)
{
    uint32_t port = 0;
    SES_REQUIRE(strlen(text) <= 5, SES_ERR_MALFORMED);
    for (const char *c = text; *c != '\0'; c++) {
        SES_REQUIRE(*c >= '0' && *c <= '9', SES_ERR_MALFORMED);
        port = port * 10 + (uint32_t)(*c - '0');
    }
    SES_REQUIRE(port <= UINT16_MAX, SES_ERR_MALFORMED);
    *out = (uint16_t)port;
    return SES_OK;
}

enum ses_err ses_multiaddr_parse(struct ses_multiaddr *out, const char *text)
{
    struct ses_tcp_addr addr = {0};
    char name[16];
    char value[SES_DNS_NAME_MAX + 1];
    *out = (struct ses_multiaddr){0};
    SES_TRY(word_take(name, sizeof name, &text));
    SES_TRY(word_take(value, sizeof value, &text));
    SES_TRY(host_parse(&addr, name, value));
    SES_TRY(word_take(name, sizeof name, &text));
    SES_REQUIRE(strcmp(name, "tcp") == 0, SES_ERR_VERSION);
    SES_TRY(word_take(value, sizeof value, &text));
    SES_TRY(port_parse(&addr.port, value));
    if (*text != '\0') {
        SES_TRY(word_take(name, sizeof name, &text));
        SES_REQUIRE(strcmp(name, "p2p") == 0, SES_ERR_VERSION);
        SES_TRY(word_take(value, sizeof value, &text));
        SES_TRY(ses_peer_id_parse(&addr.peer, value));
        addr.has_peer = true;
    }
    SES_REQUIRE(*text == '\0', SES_ERR_MALFORMED);
    return ses_tcp_addr_write(out, &addr);
}

enum ses_err ses_multiaddr_text(char *out, size_t cap, const uint8_t *bytes, size_t len)
{
    struct ses_tcp_addr addr;
    char host[SES_DNS_NAME_MAX + 1];
    char peer[SES_PEER_ID_TEXT_MAX];
    SES_REQUIRE(cap > 0, SES_ERR_TOO_LARGE);
    out[0] = '\0';
    SES_TRY(ses_tcp_addr_read(&addr, bytes, len));
    if (addr.kind == SES_HOST_IP4 || addr.kind == SES_HOST_IP6) {
        const int family = addr.kind == SES_HOST_IP4 ? AF_INET : AF_INET6;
        SES_ASSERT(inet_ntop(family, addr.ip, host, sizeof host) != NULL);
    } else {
        memcpy(host, addr.name, sizeof host);
    }
    if (addr.has_peer) {
        ses_peer_id_text(peer, &addr.peer);
    }
    const int n = snprintf(out, cap, "/%s/%s/tcp/%u%s%s", hosts[addr.kind].name, host, addr.port,
                           addr.has_peer ? "/p2p/" : "", addr.has_peer ? peer : "");
    if (n < 0 || (size_t)n >= cap) {
        out[0] = '\0';
        return SES_ERR_TOO_LARGE;
    }
    return SES_OK;
}
