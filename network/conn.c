/* A connection from the socket to the running muxer. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "network/host.h"

#define SECURITY_ID "/tls/1.0.0"
#define MUXER_ID "/yamux/1.0.0"
#define READ_BUDGET_BYTES (8u * SES_SCRATCH_BYTES) /* of one connection in a turn */
#define WRITE_BUDGET_BYTES (8u * SES_SCRATCH_BYTES)

static void conn_event(uv_poll_t *poll, int status, int events);

/* ---- memory and lists ---- */

void ses_sockaddr_text(char out[64], const struct sockaddr_storage *addr)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const void *)addr;
        (void)inet_ntop(AF_INET, &in4->sin_addr, host, sizeof host);
        (void)snprintf(out, 64, "%s:%u", host, ntohs(in4->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const void *)addr;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        (void)snprintf(out, 64, "[%s]:%u", host, ntohs(in6->sin6_port));
    }
}

static struct ses_ip ip_of(const struct sockaddr_storage *addr)
{
    struct ses_ip ip = {.bytes = {[10] = 0xff, [11] = 0xff}};
    if (addr->ss_family == AF_INET) {
        memcpy(ip.bytes + 12, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
    } else {
        memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, 16);
    }
    return ip;
}

/* Dead peers are found by the kernel, so that an idle connection costs no timer of ours. */
static void socket_tune(int fd)
{
    const int on = 1, idle_s = 60, interval_s = 15, tries = 4;
    const unsigned unacked_ms = 60000;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof unacked_ms);
}

static void due_fire(struct ses_due *due);

/* Takes over `fd`. */
static enum ses_err conn_new(struct ses_conn **out, struct ses_host *host, int fd,
                             const struct sockaddr_storage *peer, uint32_t deadline_ms)
{
    *out = NULL;
    struct ses_conn *conn = ses_alloc(1, sizeof *conn);
    struct ses_session *session = ses_alloc(1, sizeof *session);
    if (conn == NULL || session == NULL) {
        ses_free(conn);
        ses_free(session);
        (void)close(fd);
        return SES_ERR_MEMORY;
    }
    *conn = (struct ses_conn){.host = host, .fd = fd, .session = session, .ip = ip_of(peer)};
    session->ref_cnt = 1;
    session->peer.connection = ++host->conn_seq;
    ses_sockaddr_text(session->peer.address, peer);
    conn->tls_peer.clock = &host->loop->clock;
    conn->active_ms = ses_host_now_ms();
    conn->due.fire = due_fire;
    if (ses_due_set(&host->dues, &conn->due, conn->active_ms + deadline_ms) != SES_OK ||
        uv_poll_init(host->raw, &conn->poll, fd) != 0) {
        ses_due_clear(&host->dues, &conn->due);
        ses_free(conn);
        ses_free(session);
        (void)close(fd);
        return SES_ERR_MEMORY;
    }
    socket_tune(fd);
    conn->poll.data = conn;
    host->handle_cnt++;
    conn->next = host->conns;
    conn->link_at = &host->conns;
    if (conn->next != NULL) {
        conn->next->link_at = &conn->next;
    }
    host->conns = conn;
    host->stats.connections++;
    *out = conn;
    return SES_OK;
}

static void conn_free(struct ses_conn *conn)
{
    if (conn->pin_cnt > 0 || !conn->handle_closed) {
        return;
    }
    ses_session_drop(conn->session);
    ses_free(conn);
}

void ses_conn_unpin(struct ses_conn *conn)
{
    SES_ASSERT(conn->pin_cnt > 0);
    conn->pin_cnt--;
    conn_free(conn);
}

static void poll_closed(uv_handle_t *handle)
{
    struct ses_conn *conn = handle->data;
    conn->host->handle_cnt--;
    conn->handle_closed = true;
    conn_free(conn);
}

void ses_conn_close(struct ses_conn *conn, enum ses_err why)
{
    if (conn->state == SES_CONN_CLOSED) {
        return;
    }
    ses_logf(conn->host->params.log, SES_LOG_DEBUG, "network", "close peer=%s why=%s",
             conn->session->peer.address, ses_err_name(why));
    conn->state = SES_CONN_CLOSED;
    conn->why = why;
    conn->dead_next = conn->host->dead;
    conn->host->dead = conn;
}

static void gate_leave(struct ses_conn *conn)
{
    if (conn->gated) {
        ses_gate_release(&conn->host->gate, &conn->ip, conn->gate_pending);
        conn->gated = false;
        conn->gate_pending = false;
    }
}

static void tls_end(struct ses_conn *conn)
{
    if (conn->ssl == NULL) {
        return;
    }
    if (SSL_is_init_finished(conn->ssl) && conn->why == SES_OK) {
        (void)SSL_shutdown(conn->ssl);
    }
    SSL_free(conn->ssl);
    ERR_clear_error();
    conn->ssl = NULL;
}

void ses_conn_teardown(struct ses_conn *conn)
{
    struct ses_host *host = conn->host;
    SES_ASSERT(conn->state == SES_CONN_CLOSED);
    ses_yamux_abandon(&conn->mux);
    ses_due_clear(&host->dues, &conn->due);
    gate_leave(conn);
    (void)uv_poll_stop(&conn->poll);
    tls_end(conn);
    (void)close(conn->fd);
    ses_mss_free(&conn->mss);
    ses_buf_free(&conn->out);
    *conn->link_at = conn->next;
    if (conn->next != NULL) {
        conn->next->link_at = conn->link_at;
    }
    host->stats.connections--;
    conn->pin_cnt++;
    uv_close((uv_handle_t *)&conn->poll, poll_closed);
    if (conn->link != NULL) {
        ses_link_conn_down(conn->link, conn);
    }
    if (conn->owner != NULL) {
        conn->owner->down(conn->owner_cookie, conn, conn->why);
    }
    ses_conn_unpin(conn);
}

bool ses_conn_usable(const struct ses_conn *conn)
{
    return conn->state == SES_CONN_OPEN && !conn->mux.goaway_received;
}

/* ---- budgets ---- */

/* `used` of `max` by all, `own` of it by this connection. */
static bool within(const struct ses_conn *conn, size_t used, size_t max, size_t own)
{
    if (conn->session->peer.is_node) {
        return used <= 2 * max;
    }
    return used <= max / 2 || (used <= max && own <= max / SES_BUDGET_PART);
}

bool ses_conn_may_queue(const struct ses_conn *conn)
{
    const struct ses_host *host = conn->host;
    return within(conn, host->pool.used_cnt, host->queued_max, conn->mux.chunk_cnt);
}

bool ses_conn_may_hold(const struct ses_conn *conn)
{
    const struct ses_host *host = conn->host;
    return within(conn, host->held_bytes, host->held_max, conn->held_bytes);
}

/* ---- time ---- */

static uint32_t idle_ms_of(const struct ses_conn *conn)
{
    if (conn->session->peer.is_node) {
        return conn->host->idle_ms * SES_IDLE_NODE_FACTOR;
    }
    const bool guest = conn->session->access == SES_ACCESS_GUEST;
    return guest && conn->host->idle_ms > SES_IDLE_GUEST_MS ? SES_IDLE_GUEST_MS
                                                            : conn->host->idle_ms;
}

void ses_conn_idle_rearm(struct ses_conn *conn)
{
    uint64_t at = conn->active_ms + idle_ms_of(conn);
    const uint64_t now = ses_host_now_ms();
    at = at > now ? at : now + 1000;
    if (ses_due_set(&conn->host->dues, &conn->due, at) != SES_OK) {
        ses_conn_close(conn, SES_ERR_MEMORY);
    }
}

static void due_fire(struct ses_due *due)
{
    struct ses_conn *conn = (struct ses_conn *)((uint8_t *)due - offsetof(struct ses_conn, due));
    if (conn->state != SES_CONN_OPEN) {
        ses_conn_close(conn, SES_ERR_TIMEOUT);
        return;
    }
    const bool busy = conn->mux.inbound_cnt + conn->mux.outbound_cnt > 0;
    if (busy || ses_host_now_ms() < conn->active_ms + idle_ms_of(conn)) {
        ses_conn_idle_rearm(conn);
        return;
    }
    ses_conn_close(conn, SES_OK);
}

/* ---- polling ---- */

static void poll_set(struct ses_conn *conn)
{
    if (conn->state == SES_CONN_CLOSED) {
        return;
    }
    const int events = (conn->state == SES_CONN_CONNECTING ? 0 : UV_READABLE) |
                       (conn->want_write ? UV_WRITABLE : 0);
    if (events == conn->poll_events) {
        return;
    }
    conn->poll_events = events;
    if (uv_poll_start(&conn->poll, events, conn_event) != 0) {
        ses_conn_close(conn, SES_ERR_IO);
    }
}

void ses_conn_touch(struct ses_conn *conn)
{
    if (conn->dirty || conn->state != SES_CONN_OPEN) {
        return;
    }
    conn->dirty = true;
    conn->pin_cnt++;
    conn->dirty_next = conn->host->dirty;
    conn->host->dirty = conn;
}

/* ---- the clear part ---- */

static void security_begin(struct ses_conn *conn)
{
    struct ses_buf hello = {0};
    conn->state = SES_CONN_SECURITY;
    conn->want_write = false;
    const enum ses_err err = ses_mss_dial(&conn->mss, SECURITY_ID, &hello);
    if (err != SES_OK ||
        send(conn->fd, hello.bytes, hello.len, MSG_NOSIGNAL) != (ssize_t)hello.len) {
        ses_conn_close(conn, SES_ERR_UNREACHABLE);
    }
    ses_buf_free(&hello);
}

static void connect_step(struct ses_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        ses_conn_close(conn, SES_ERR_UNREACHABLE);
        return;
    }
    const uint64_t at = ses_host_now_ms() + SES_UPGRADE_MS;
    if (ses_due_set(&conn->host->dues, &conn->due, at) != SES_OK) {
        ses_conn_close(conn, SES_ERR_MEMORY);
        return;
    }
    security_begin(conn);
}

static int choose_security(void *cookie, const char *id, size_t len)
{
    (void)cookie;
    return len == strlen(SECURITY_ID) && memcmp(id, SECURITY_ID, len) == 0 ? 0 : -1;
}

static int choose_muxer(void *cookie, const char *id, size_t len)
{
    (void)cookie;
    return len == strlen(MUXER_ID) && memcmp(id, MUXER_ID, len) == 0 ? 0 : -1;
}

static void tls_step(struct ses_conn *conn);

static void tls_begin(struct ses_conn *conn)
{
    conn->tls_peer.expected = conn->expected.len > 0 ? &conn->expected : NULL;
    conn->state = SES_CONN_TLS;
    ses_mss_free(&conn->mss);
    const enum ses_err err =
        ses_tls_start(conn->host->tls, &conn->ssl, conn->fd, conn->dialler, &conn->tls_peer);
    if (err != SES_OK) {
        ses_conn_close(conn, err);
        return;
    }
    tls_step(conn);
}

/* Negotiates the security protocol. Looks before it takes: what follows belongs to TLS, which reads
 * from the descriptor itself. */
static void security_step(struct ses_conn *conn)
{
    uint8_t in[SES_MSS_MESSAGE_MAX];
    const ssize_t have = recv(conn->fd, in, sizeof in, MSG_PEEK);
    if (have <= 0) {
        if (have == 0 || (errno != EAGAIN && errno != EINTR)) {
            ses_conn_close(conn, SES_ERR_UNREACHABLE);
        }
        return;
    }
    struct ses_buf answer = {0};
    size_t used = 0;
    enum ses_err err = ses_mss_recv(&conn->mss, in, (size_t)have, &used, &answer);
    if (err == SES_OK && recv(conn->fd, in, used, 0) != (ssize_t)used) {
        err = SES_ERR_IO;
    }
    if (err == SES_OK && answer.len > 0 &&
        send(conn->fd, answer.bytes, answer.len, MSG_NOSIGNAL) != (ssize_t)answer.len) {
        err = SES_ERR_UNREACHABLE;
    }
    ses_buf_free(&answer);
    if (err != SES_OK) {
        /* A peer without this security protocol has no post-quantum channel for us. */
        ses_conn_close(conn, err == SES_ERR_NOT_FOUND ? SES_ERR_NOT_POST_QUANTUM : SES_ERR_PEER);
    } else if (conn->mss.state == SES_MSS_DONE) {
        tls_begin(conn);
    }
}

/* ---- TLS and what is inside ---- */

static void conn_open(struct ses_conn *conn)
{
    const enum ses_err err = ses_tls_exporter(conn->ssl, conn->exporter);
    if (err != SES_OK) {
        ses_conn_close(conn, err);
        return;
    }
    conn->state = SES_CONN_OPEN;
    conn->session->peer.peer_id = conn->tls_peer.id;
    ses_yamux_init(&conn->mux, conn->dialler, SES_STREAMS_IN_MAX, &conn->host->pool,
                   &ses_stream_events, conn);
    if (conn->gate_pending) {
        conn->gate_pending = false;
        ses_gate_upgraded(&conn->host->gate);
    }
    conn->active_ms = ses_host_now_ms();
    ses_conn_idle_rearm(conn);
    if (conn->owner != NULL && conn->state == SES_CONN_OPEN) {
        conn->owner->up(conn->owner_cookie, conn);
    }
}

static void muxer_begin(struct ses_conn *conn)
{
    conn->state = SES_CONN_MUXER;
    if (!conn->dialler) {
        ses_mss_listen(&conn->mss, choose_muxer, NULL);
    } else if (ses_mss_dial(&conn->mss, MUXER_ID, &conn->out) != SES_OK) {
        ses_conn_close(conn, SES_ERR_MEMORY);
        return;
    }
    ses_conn_flush(conn);
}

static void tls_step(struct ses_conn *conn)
{
    const enum ses_err err = ses_tls_handshake(conn->ssl, &conn->tls_peer, &conn->want_write);
    if (err == SES_ERR_AGAIN) {
        return;
    }
    if (err != SES_OK) {
        ses_conn_close(conn, err);
    } else if (ses_tls_early_muxer(conn->ssl)) {
        conn_open(conn);
    } else {
        muxer_begin(conn);
    }
}

/* Bytes out of TLS, of any amount. */
static void bytes_take(struct ses_conn *conn, const uint8_t *in, size_t len)
{
    enum ses_err err = SES_OK;
    if (conn->state == SES_CONN_MUXER) {
        size_t used = 0;
        err = ses_mss_recv(&conn->mss, in, len, &used, &conn->out);
        in += used;
        len -= used;
        if (err == SES_OK && conn->mss.state == SES_MSS_DONE) {
            ses_mss_free(&conn->mss);
            conn_open(conn);
        }
        ses_conn_touch(conn);
        if (err == SES_OK && conn->state == SES_CONN_MUXER) {
            ses_conn_flush(conn);
        }
    }
    if (err == SES_OK && conn->state == SES_CONN_OPEN && len > 0) {
        err = ses_yamux_recv(&conn->mux, in, len, ses_host_now_us());
        if (ses_yamux_pending(&conn->mux)) {
            ses_conn_touch(conn);
        }
    }
    if (err != SES_OK) {
        ses_conn_close(conn, SES_ERR_PEER);
    }
}

/* Fills the host's buffer; false when TLS has no more for now. */
static bool read_some(struct ses_conn *conn, size_t *len)
{
    struct ses_host *host = conn->host;
    *len = 0;
    while (*len < sizeof host->in) {
        size_t got = 0;
        ERR_clear_error();
        if (SSL_read_ex(conn->ssl, host->in + *len, sizeof host->in - *len, &got) == 1) {
            *len += got;
            if (SSL_has_pending(conn->ssl) == 0) {
                return false;
            }
            continue;
        }
        const int error = SSL_get_error(conn->ssl, 0);
        if (error == SSL_ERROR_WANT_WRITE) {
            conn->want_write = true;
        } else if (error != SSL_ERROR_WANT_READ) {
            conn->why = error == SSL_ERROR_SSL ? SES_ERR_PEER : SES_ERR_CLOSED;
        }
        return false;
    }
    return true;
}

static void read_step(struct ses_conn *conn)
{
    size_t budget = READ_BUDGET_BYTES;
    bool more = true;
    while (more && conn->state != SES_CONN_CLOSED) {
        size_t len = 0;
        more = read_some(conn, &len);
        conn->host->stats.bytes_in += len;
        const enum ses_err why = conn->why;
        if (len > 0) {
            bytes_take(conn, conn->host->in, len);
        }
        if (why != SES_OK) {
            ses_conn_close(conn, why);
            return;
        }
        budget -= len < budget ? len : budget;
        if (budget == 0 && more) {
            conn->read_again = true; /* TLS holds bytes that no poll will announce */
            ses_conn_touch(conn);
            return;
        }
    }
}

/* ---- writing ---- */

/* What TLS does not take is kept in conn->out. False if it is blocked or closed. */
static bool write_some(struct ses_conn *conn, const uint8_t *bytes, size_t len, size_t *done)
{
    *done = 0;
    while (*done < len) {
        size_t put = 0;
        ERR_clear_error();
        if (SSL_write_ex(conn->ssl, bytes + *done, len - *done, &put) == 1) {
            *done += put;
            conn->host->stats.bytes_out += put;
            continue;
        }
        const int error = SSL_get_error(conn->ssl, 0);
        if (error == SSL_ERROR_WANT_WRITE) {
            conn->want_write = true;
        } else if (error != SSL_ERROR_WANT_READ) {
            ses_conn_close(conn, error == SSL_ERROR_SSL ? SES_ERR_PEER : SES_ERR_CLOSED);
        }
        return false;
    }
    return true;
}

static bool flush_kept(struct ses_conn *conn)
{
    size_t done = 0;
    if (conn->out.len == 0) {
        return true;
    }
    const bool all =
        write_some(conn, conn->out.bytes + conn->out_at, conn->out.len - conn->out_at, &done);
    conn->out_at += done;
    if (all) {
        ses_buf_free(&conn->out);
        conn->out_at = 0;
    }
    return all;
}

void ses_conn_flush(struct ses_conn *conn)
{
    struct ses_host *host = conn->host;
    size_t budget = WRITE_BUDGET_BYTES;
    if (conn->state != SES_CONN_OPEN && conn->state != SES_CONN_MUXER) {
        return;
    }
    conn->want_write = false;
    bool ok = flush_kept(conn);
    while (ok && conn->state == SES_CONN_OPEN) {
        const size_t len =
            ses_yamux_pull(&conn->mux, host->out, sizeof host->out, ses_host_now_us());
        if (len == 0) {
            break;
        }
        size_t done = 0;
        ok = write_some(conn, host->out, len, &done);
        if (!ok && conn->state == SES_CONN_OPEN &&
            ses_buf_append(&conn->out, host->out + done, len - done) != SES_OK) {
            ses_conn_close(conn, SES_ERR_MEMORY);
        }
        budget -= len < budget ? len : budget;
        if (budget == 0) {
            ses_conn_touch(conn);
            break;
        }
    }
    poll_set(conn);
}

void ses_conn_turn(struct ses_conn *conn)
{
    if (conn->read_again) {
        conn->read_again = false;
        read_step(conn);
    }
    ses_conn_flush(conn);
}

/* ---- events ---- */

static void conn_step(struct ses_conn *conn)
{
    switch (conn->state) {
    case SES_CONN_CONNECTING:
        connect_step(conn);
        break;
    case SES_CONN_SECURITY:
        security_step(conn);
        break;
    case SES_CONN_TLS:
        tls_step(conn);
        break;
    case SES_CONN_MUXER:
    case SES_CONN_OPEN:
        read_step(conn);
        break;
    case SES_CONN_CLOSED:
        break;
    }
}

static void conn_event(uv_poll_t *poll, int status, int events)
{
    struct ses_conn *conn = poll->data;
    if (conn->state == SES_CONN_CLOSED) {
        return;
    }
    if (status < 0) {
        ses_conn_close(conn,
                       conn->state == SES_CONN_CONNECTING ? SES_ERR_UNREACHABLE : SES_ERR_CLOSED);
        return;
    }
    const bool handshaking = conn->state == SES_CONN_SECURITY || conn->state == SES_CONN_TLS;
    conn_step(conn);
    /* TLS may have read the first data together with the end of the handshake. */
    if (handshaking && (conn->state == SES_CONN_OPEN || conn->state == SES_CONN_MUXER)) {
        read_step(conn);
    }
    if ((events & UV_WRITABLE) != 0) {
        ses_conn_flush(conn);
    }
    poll_set(conn);
}

/* ---- beginning ---- */

/* Connections that are not upgraded yet fill their quota: the oldest goes, which has had the most
 * time, so that silent ones cannot keep everybody else out. */
static void pending_evict(struct ses_host *host)
{
    struct ses_conn *oldest = NULL; /* new ones stand in front */
    for (struct ses_conn *conn = host->conns; conn != NULL; conn = conn->next) {
        oldest = conn->gate_pending ? conn : oldest;
    }
    if (oldest != NULL) {
        gate_leave(oldest);
        ses_conn_close(oldest, SES_ERR_FULL);
    }
}

enum ses_err ses_conn_accept(struct ses_host *host, int fd, const struct sockaddr_storage *from)
{
    struct ses_conn *conn = NULL;
    const struct ses_ip ip = ip_of(from);
    const enum ses_err err = ses_gate_admit(&host->gate, &ip, ses_host_now_ms());
    if (err != SES_OK) {
        (void)close(fd);
        host->stats.refused++;
        return err;
    }
    if (host->gate.pending_cnt > SES_CONNECTIONS_PENDING_MAX) {
        pending_evict(host);
    }
    const enum ses_err made = conn_new(&conn, host, fd, from, SES_UPGRADE_MS);
    if (made != SES_OK) {
        ses_gate_release(&host->gate, &ip, true);
        return made;
    }
    conn->gated = true;
    conn->gate_pending = true;
    conn->state = SES_CONN_SECURITY;
    ses_mss_listen(&conn->mss, choose_security, NULL);
    poll_set(conn);
    return SES_OK;
}

enum ses_err ses_conn_dial(struct ses_conn **out, struct ses_host *host,
                           const struct sockaddr_storage *to, const struct ses_peer_id *expected,
                           const struct ses_conn_owner *owner, void *cookie)
{
    *out = NULL;
    const int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    SES_REQUIRE(fd >= 0, errno == EMFILE || errno == ENFILE ? SES_ERR_FULL : SES_ERR_UNREACHABLE);
    const socklen_t len =
        to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (connect(fd, (const struct sockaddr *)to, len) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return SES_ERR_UNREACHABLE;
    }
    struct ses_conn *conn = NULL;
    SES_TRY(conn_new(&conn, host, fd, to, SES_CONNECT_MS));
    conn->dialler = true;
    conn->state = SES_CONN_CONNECTING;
    conn->want_write = true;
    conn->owner = owner;
    conn->owner_cookie = cookie;
    if (expected != NULL) {
        conn->expected = *expected;
    }
    poll_set(conn);
    *out = conn;
    return SES_OK;
}
