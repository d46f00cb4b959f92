/* ses_host_ping: dial, identify, ping, close. For any libp2p peer. */
#include <string.h>

#include "network/host.h"

#define PROBE_STEP_MS 10000u

struct probe {
    struct ses_host *host;
    struct ses_dial *dial;
    struct ses_conn *conn;
    struct ses_ping ping;
    uint8_t nonce[SES_PING_BYTES];
    uint8_t echo[SES_PING_BYTES];
    size_t echo_len;
    uint64_t sent_us;
    bool answered;
    void (*on_done)(void *cookie, enum ses_err err, const struct ses_ping *ping);
    void *cookie;
};

static void probe_finish(struct probe *probe, enum ses_err err)
{
    probe->host->op_cnt--;
    if (probe->conn != NULL) {
        ses_conn_close(probe->conn, SES_OK);
    }
    probe->on_done(probe->cookie, err, err == SES_OK ? &probe->ping : NULL);
    ses_free(probe);
}

static enum ses_err gone_err(const struct ses_stream *st)
{
    return st->why == SES_OK ? SES_ERR_PEER : st->why;
}

/* ---- ping ---- */

static enum ses_err echo_bytes(struct ses_stream *st, const uint8_t *bytes, size_t len)
{
    struct probe *probe = st->owner;
    SES_REQUIRE(probe != NULL && len <= sizeof probe->echo - probe->echo_len, SES_ERR_PEER);
    memcpy(probe->echo + probe->echo_len, bytes, len);
    probe->echo_len += len;
    if (probe->echo_len < sizeof probe->echo) {
        return SES_OK;
    }
    SES_REQUIRE(memcmp(probe->echo, probe->nonce, sizeof probe->echo) == 0, SES_ERR_PEER);
    probe->ping.rtt_us = ses_host_now_us() - probe->sent_us;
    st->owner = NULL;
    ses_stream_close(st);
    probe_finish(probe, SES_OK);
    return SES_OK;
}

static void echo_gone(struct ses_stream *st)
{
    if (st->owner != NULL) {
        probe_finish(st->owner, gone_err(st));
    }
}

static const struct ses_stream_ops echo_ops = {
    .on_bytes = echo_bytes, .on_gone = echo_gone, .raw = true};

static void ping_begin(struct probe *probe)
{
    struct ses_stream *st = NULL;
    enum ses_err err =
        ses_stream_open(&st, probe->conn, SES_PING_ID, &echo_ops, probe, SES_PING_BYTES);
    if (err == SES_OK) {
        ses_random_fill(probe->host->params.random, probe->nonce, sizeof probe->nonce);
        probe->sent_us = ses_host_now_us();
        ses_stream_due(st, PROBE_STEP_MS);
        err = ses_stream_send(st, probe->nonce, sizeof probe->nonce);
        if (err == SES_OK) {
            return;
        }
        st->owner = NULL;
    }
    probe_finish(probe, err);
}

/* ---- identify ---- */

static void text_copy(char *out, size_t cap, const struct ses_part *text)
{
    const size_t len = text->len < cap - 1 ? text->len : cap - 1;
    for (size_t i = 0; i < len; i++) {
        const char c = ((const char *)text->bytes)[i];
        out[i] = c >= ' ' && c <= '~' ? c : '?'; /* it may end on a terminal */
    }
    out[len] = '\0';
}

static void protocols_copy(struct ses_ping *ping, const struct ses_identify *m)
{
    size_t at = 0;
    for (size_t i = 0; i < m->protocol_cnt; i++) {
        if (m->protocols[i].len + 2 > sizeof ping->protocols - at) {
            break;
        }
        text_copy(ping->protocols + at, sizeof ping->protocols - at, &m->protocols[i]);
        at += m->protocols[i].len;
        ping->protocols[at++] = '\n';
    }
    ping->protocols[at] = '\0';
}

static enum ses_err identify_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    struct probe *probe = st->owner;
    struct ses_identify m;
    struct ses_peer_id id;
    SES_REQUIRE(probe != NULL && !probe->answered, SES_ERR_PEER);
    SES_TRY(ses_identify_read(&m, body, len));
    SES_REQUIRE(m.public_key.bytes != NULL && m.public_key.len <= SES_PEER_KEY_PB_MAX,
                SES_ERR_PEER);
    ses_peer_id_of_pb(&id, m.public_key.bytes, m.public_key.len);
    SES_REQUIRE(ses_peer_id_equal(&id, &probe->ping.peer_id), SES_ERR_PEER_IDENTITY);
    text_copy(probe->ping.agent, sizeof probe->ping.agent, &m.agent);
    protocols_copy(&probe->ping, &m);
    probe->answered = true;
    return SES_OK;
}

static void identify_gone(struct ses_stream *st)
{
    struct probe *probe = st->owner;
    if (probe->answered) {
        ping_begin(probe);
    } else {
        probe_finish(probe, gone_err(st));
    }
}

static const struct ses_stream_ops identify_ops = {.on_bytes = identify_frame,
                                                   .on_gone = identify_gone};

static void probe_dialled(void *cookie, struct ses_conn *conn, enum ses_err err)
{
    struct probe *probe = cookie;
    struct ses_stream *st = NULL;
    probe->dial = NULL;
    probe->conn = conn;
    if (err == SES_OK) {
        probe->ping.peer_id = conn->session->peer.peer_id;
        (void)snprintf(probe->ping.group, sizeof probe->ping.group, "%s",
                       SSL_get0_group_name(conn->ssl));
        err = ses_stream_open(&st, conn, SES_IDENTIFY_ID, &identify_ops, probe,
                              SES_IDENTIFY_BYTES_MAX);
    }
    if (err != SES_OK) {
        probe_finish(probe, err);
        return;
    }
    ses_stream_close(st); /* nothing to say but the question */
    ses_stream_due(st, PROBE_STEP_MS);
}

enum ses_err ses_host_ping(struct ses_net *net, const char *multiaddr_with_p2p,
                           void (*on_done)(void *cookie, enum ses_err err,
                                           const struct ses_ping *ping),
                           void *cookie)
{
    struct ses_host *host = ses_host_of(net);
    struct ses_multiaddr addr;
    struct ses_tcp_addr parts;
    SES_REQUIRE(!host->closing, SES_ERR_CLOSED);
    SES_TRY(ses_multiaddr_parse(&addr, multiaddr_with_p2p));
    SES_TRY(ses_tcp_addr_read(&parts, addr.bytes, addr.len));
    struct probe *probe = ses_alloc(1, sizeof *probe);
    SES_REQUIRE(probe != NULL, SES_ERR_MEMORY);
    probe->host = host;
    probe->on_done = on_done;
    probe->cookie = cookie;
    const enum ses_err err =
        ses_dial_start(&probe->dial, host, &addr, 1, parts.has_peer ? &parts.peer : NULL, NULL,
                       probe_dialled, probe);
    if (err != SES_OK) {
        ses_free(probe);
        return err;
    }
    host->op_cnt++;
    return SES_OK;
}
