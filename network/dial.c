/* Dialling a peer: its addresses in turn, each to the end of the proof of who it is. */
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "network/host.h"

#define DIAL_ADDRS_MAX SES_ENDPOINT_ADDRS_MAX
#define RESOLVED_MAX 4u

struct ses_dial {
    struct ses_host *host;
    struct ses_multiaddr addrs[DIAL_ADDRS_MAX];
    size_t addr_cnt;
    size_t addr_at; /* next to be tried */
    struct sockaddr_storage resolved[RESOLVED_MAX];
    size_t resolved_cnt;
    bool has_expected;
    struct ses_peer_id expected;
    const struct ses_target *target;
    struct ses_conn *conn;
    struct ses_due due;
    enum ses_err err; /* what went wrong so far, the most telling */
    bool resolving, cancelled;
    uv_getaddrinfo_t lookup;
    ses_dialled_fn *on_done;
    void *cookie;
};

static void dial_free(struct ses_dial *dial)
{
    if (dial->resolving) {
        dial->cancelled = true; /* freed when libuv gives it back */
        (void)uv_cancel((uv_req_t *)&dial->lookup);
        return;
    }
    ses_due_clear(&dial->host->dues, &dial->due);
    dial->host->dial_cnt--;
    ses_free(dial);
}

static void dial_finish(struct ses_dial *dial, struct ses_conn *conn, enum ses_err err)
{
    ses_dialled_fn *on_done = dial->on_done;
    void *cookie = dial->cookie;
    if (conn != NULL) {
        conn->owner = NULL;
    } else if (dial->conn != NULL) {
        dial->conn->owner = NULL;
        ses_conn_close(dial->conn, err);
    }
    dial->conn = NULL;
    ses_due_clear(&dial->host->dues, &dial->due);
    dial_free(dial);
    on_done(cookie, conn, err);
}

/* Somebody else at the address, or a weak channel, says more than silence. */
static void err_note(struct ses_dial *dial, enum ses_err err)
{
    const bool telling = dial->err == SES_ERR_PEER_IDENTITY ||
                         dial->err == SES_ERR_NOT_POST_QUANTUM || dial->err == SES_ERR_PEER;
    if (!telling || err == SES_ERR_PEER_IDENTITY) {
        dial->err = err == SES_ERR_CLOSED || err == SES_OK ? SES_ERR_UNREACHABLE : err;
    }
}

/* ---- the connection of an attempt ---- */

static void dial_next(struct ses_dial *dial);

static void conn_up(void *cookie, struct ses_conn *conn)
{
    struct ses_dial *dial = cookie;
    if (dial->target != NULL) {
        ses_auth_dial(conn, dial->target);
    } else {
        dial_finish(dial, conn, SES_OK);
    }
}

static void conn_proven(void *cookie, struct ses_conn *conn)
{
    dial_finish(cookie, conn, SES_OK);
}

static void conn_down(void *cookie, struct ses_conn *conn, enum ses_err why)
{
    struct ses_dial *dial = cookie;
    SES_ASSERT(dial->conn == conn);
    dial->conn = NULL;
    err_note(dial, why);
    dial_next(dial);
}

static const struct ses_conn_owner dial_owner = {
    .up = conn_up, .proven = conn_proven, .down = conn_down};

static bool attempt(struct ses_dial *dial, const struct sockaddr_storage *to)
{
    const enum ses_err err =
        ses_conn_dial(&dial->conn, dial->host, to, dial->has_expected ? &dial->expected : NULL,
                      &dial_owner, dial);
    if (err != SES_OK) {
        err_note(dial, err);
    }
    return err == SES_OK;
}

/* ---- names ---- */

static void port_set(struct sockaddr_storage *to, uint16_t port)
{
    if (to->ss_family == AF_INET) {
        ((struct sockaddr_in *)(void *)to)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)(void *)to)->sin6_port = htons(port);
    }
}

static void lookup_done(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct ses_dial *dial = lookup->data;
    dial->resolving = false;
    struct ses_tcp_addr addr;
    const struct ses_multiaddr *at = &dial->addrs[dial->addr_at - 1];
    if (status == 0 && ses_tcp_addr_read(&addr, at->bytes, at->len) == SES_OK) {
        for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
            if (dial->resolved_cnt < RESOLVED_MAX && a->ai_addrlen <= sizeof dial->resolved[0] &&
                (a->ai_family == AF_INET || a->ai_family == AF_INET6)) {
                struct sockaddr_storage *to = &dial->resolved[dial->resolved_cnt++];
                memset(to, 0, sizeof *to);
                memcpy(to, a->ai_addr, a->ai_addrlen);
                port_set(to, addr.port);
            }
        }
    }
    uv_freeaddrinfo(found);
    if (dial->cancelled) {
        dial_free(dial);
    } else {
        dial_next(dial);
    }
}

static bool lookup_start(struct ses_dial *dial, const struct ses_tcp_addr *addr)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_family = addr->kind == SES_HOST_DNS4   ? AF_INET
                                                : addr->kind == SES_HOST_DNS6 ? AF_INET6
                                                                              : AF_UNSPEC};
    dial->lookup.data = dial;
    dial->resolving =
        uv_getaddrinfo(dial->host->raw, &dial->lookup, lookup_done, addr->name, NULL, &hints) == 0;
    return dial->resolving;
}

/* ---- attempts in turn ---- */

/* Starts on one multiaddr; false if nothing came of it. */
static bool address_start(struct ses_dial *dial, const struct ses_multiaddr *at)
{
    struct ses_tcp_addr addr;
    const enum ses_err err = ses_tcp_addr_read(&addr, at->bytes, at->len);
    if (err != SES_OK) {
        return false; /* not an address for us: skipped */
    }
    if (addr.has_peer && dial->has_expected && !ses_peer_id_equal(&addr.peer, &dial->expected)) {
        err_note(dial, SES_ERR_PEER_IDENTITY);
        return false;
    }
    if (addr.kind != SES_HOST_IP4 && addr.kind != SES_HOST_IP6) {
        return lookup_start(dial, &addr);
    }
    struct sockaddr_storage to = {0};
    if (addr.kind == SES_HOST_IP4) {
        to.ss_family = AF_INET;
        memcpy(&((struct sockaddr_in *)(void *)&to)->sin_addr, addr.ip, 4);
    } else {
        to.ss_family = AF_INET6;
        memcpy(&((struct sockaddr_in6 *)(void *)&to)->sin6_addr, addr.ip, 16);
    }
    port_set(&to, addr.port);
    return attempt(dial, &to);
}

static void dial_next(struct ses_dial *dial)
{
    while (dial->resolved_cnt > 0) {
        const struct sockaddr_storage to = dial->resolved[0];
        dial->resolved_cnt--;
        memmove(dial->resolved, dial->resolved + 1, dial->resolved_cnt * sizeof to);
        if (attempt(dial, &to)) {
            return;
        }
    }
    while (dial->addr_at < dial->addr_cnt) {
        if (address_start(dial, &dial->addrs[dial->addr_at++])) {
            return;
        }
    }
    dial_finish(dial, NULL, dial->err);
}

/* The deadline of all, and the first step: set to now at the start, so that nothing is called back
 * from inside of ses_dial_start. */
static void due_fire(struct ses_due *due)
{
    struct ses_dial *dial = (struct ses_dial *)((uint8_t *)due - offsetof(struct ses_dial, due));
    if (dial->addr_at > 0 || dial->addr_cnt == 0) {
        dial_finish(dial, NULL, dial->addr_cnt == 0 ? SES_ERR_UNREACHABLE : SES_ERR_TIMEOUT);
        return;
    }
    if (ses_due_set(&dial->host->dues, &dial->due, ses_host_now_ms() + SES_DIAL_MS) != SES_OK) {
        dial_finish(dial, NULL, SES_ERR_MEMORY);
        return;
    }
    dial_next(dial);
}

enum ses_err ses_dial_start(struct ses_dial **out, struct ses_host *host,
                            const struct ses_multiaddr *addrs, size_t addr_cnt,
                            const struct ses_peer_id *expected, const struct ses_target *target,
                            ses_dialled_fn *on_done, void *cookie)
{
    *out = NULL;
    SES_REQUIRE(addr_cnt <= DIAL_ADDRS_MAX, SES_ERR_TOO_LARGE);
    struct ses_dial *dial = ses_alloc(1, sizeof *dial);
    SES_REQUIRE(dial != NULL, SES_ERR_MEMORY);
    dial->host = host;
    for (size_t i = 0; i < addr_cnt; i++) {
        dial->addrs[i] = addrs[i];
    }
    dial->addr_cnt = addr_cnt;
    dial->has_expected = expected != NULL;
    if (expected != NULL) {
        dial->expected = *expected;
    }
    dial->target = target;
    dial->on_done = on_done;
    dial->cookie = cookie;
    dial->err = SES_ERR_UNREACHABLE;
    dial->due.fire = due_fire;
    if (ses_due_set(&host->dues, &dial->due, 0) != SES_OK) {
        ses_free(dial);
        return SES_ERR_MEMORY;
    }
    host->dial_cnt++;
    *out = dial;
    return SES_OK;
}

void ses_dial_cancel(struct ses_dial *dial)
{
    if (dial->conn != NULL) {
        dial->conn->owner = NULL;
        ses_conn_close(dial->conn, SES_ERR_CLOSED);
        dial->conn = NULL;
    }
    ses_due_clear(&dial->host->dues, &dial->due);
    dial_free(dial);
}
