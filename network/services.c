/* What an inbound stream may ask for: our protocols within their limits, and identify, push, ping,
 * auth and login. */
#include <string.h>

#include "network/host.h"

#define PROTOCOL_VERSION "session/0.1.0"
#define PUSH_MS 10000u

#define PING_QUEUE_BYTES 4096u

enum {
    BUILTIN_IDENTIFY = SES_PROTO_CNT,
    BUILTIN_PUSH,
    BUILTIN_PING,
    BUILTIN_AUTH,
    BUILTIN_LOGIN,
    BUILTIN_END,
};
static const char *const builtin_ids[] = {SES_IDENTIFY_ID, SES_IDENTIFY_PUSH_ID, SES_PING_ID,
                                          SES_AUTH_ID, SES_LOGIN_ID};
_Static_assert(SES_COUNT(builtin_ids) == BUILTIN_END - SES_PROTO_CNT, "one id each");

static bool is_served(const struct ses_host *host, enum ses_proto proto)
{
    return host->services[proto].serve != NULL || host->services[proto].accept != NULL;
}

static bool id_is(const char *want, const char *id, size_t len)
{
    return strlen(want) == len && memcmp(want, id, len) == 0;
}

int ses_services_choose(void *cookie, const char *id, size_t len)
{
    const struct ses_host *host = cookie;
    for (int i = 0; i < SES_PROTO_CNT; i++) {
        if (is_served(host, (enum ses_proto)i) && id_is(ses_proto_id((enum ses_proto)i), id, len)) {
            return i;
        }
    }
    for (int i = SES_PROTO_CNT; i < BUILTIN_END; i++) {
        if (id_is(builtin_ids[i - SES_PROTO_CNT], id, len)) {
            return i;
        }
    }
    return -1;
}

/* ---- identify ---- */

static void nothing_gone(struct ses_stream *st)
{
    (void)st;
}

static enum ses_err unexpected_bytes(struct ses_stream *st, const uint8_t *bytes, size_t len)
{
    (void)st;
    (void)bytes;
    (void)len;
    return SES_ERR_PEER;
}

static const struct ses_stream_ops identify_ops = {
    .on_bytes = unexpected_bytes, .on_gone = nothing_gone, .raw = true};

static struct ses_part text_part(const char *text)
{
    return SES_PART(text, strlen(text));
}

static enum ses_err identify_encode(const struct ses_host *host, struct ses_writer *w)
{
    struct ses_identify m = {.protocol_version = text_part(PROTOCOL_VERSION),
                             .agent = text_part(host->agent)};
    uint8_t key[SES_PEER_KEY_ED25519_BYTES];
    struct ses_writer key_writer;
    ses_writer_init(&key_writer, key, sizeof key);
    ses_peer_key_write(&key_writer, &host->peer_key);
    m.public_key = SES_PART(key, sizeof key);
    for (size_t i = 0; i < host->listener_cnt; i++) {
        m.addrs[m.addr_cnt++] =
            SES_PART(host->listeners[i].addr.bytes, host->listeners[i].addr.len);
    }
    for (int i = 0; i < SES_PROTO_CNT; i++) {
        if (is_served(host, (enum ses_proto)i)) {
            m.protocols[m.protocol_cnt++] = text_part(ses_proto_id((enum ses_proto)i));
        }
    }
    for (size_t i = 0; i < SES_COUNT(builtin_ids); i++) {
        m.protocols[m.protocol_cnt++] = text_part(builtin_ids[i]);
    }
    ses_identify_write(w, &m);
    return ses_writer_done(w);
}

static void identify_begin(struct ses_stream *st)
{
    uint8_t body[4096]; /* what readers accept at least */
    struct ses_writer w;
    ses_writer_init(&w, body, sizeof body);
    st->ops = &identify_ops;
    enum ses_err err = identify_encode(st->conn->host, &w);
    if (err == SES_OK) {
        err = ses_stream_send_frame(st, body, w.len);
    }
    if (err != SES_OK) {
        ses_stream_reset(st, err);
        return;
    }
    ses_stream_close(st);
    ses_stream_due(st, PUSH_MS);
}

/* What a peer pushes is checked and not used: addresses come from the registry. */
static enum ses_err push_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    struct ses_identify m;
    (void)st;
    return ses_identify_read(&m, body, len);
}

static const struct ses_stream_ops push_ops = {.on_bytes = push_frame, .on_gone = nothing_gone};

/* ---- ping ---- */

static enum ses_err ping_bytes(struct ses_stream *st, const uint8_t *bytes, size_t len)
{
    /* A peer that sends pings and takes no answers is cut off. */
    SES_REQUIRE(st->ys.out.len + len <= PING_QUEUE_BYTES, SES_ERR_FULL);
    return ses_stream_send(st, bytes, len);
}

static const struct ses_stream_ops ping_ops = {
    .on_bytes = ping_bytes, .on_gone = nothing_gone, .raw = true};

/* ---- beginning ---- */

static enum ses_err admit(struct ses_stream *st, enum ses_proto proto)
{
    const struct ses_limit *limit = ses_limit_of(proto);
    struct ses_conn *conn = st->conn;
    const struct ses_session *session = conn->session;
    const uint32_t factor = session->access == SES_ACCESS_NODE ? SES_NODE_RATE : 1;
    SES_REQUIRE(session->access >= limit->access, SES_ERR_UNAUTHORISED);
    SES_REQUIRE(session->inbound_cnt[proto] < limit->concurrent, SES_ERR_RATE);
    SES_REQUIRE(ses_bucket_take(&conn->buckets[proto], ses_host_now_ms(), limit->rate * factor,
                                limit->burst * factor),
                SES_ERR_RATE);
    return SES_OK;
}

static void proto_begin(struct ses_stream *st, enum ses_proto proto)
{
    const enum ses_err err = admit(st, proto);
    if (err != SES_OK) {
        ses_stream_refuse(st, err);
        return;
    }
    st->proto = proto;
    st->inbound_counted = true;
    st->conn->session->inbound_cnt[proto]++;
    if (st->conn->host->services[proto].serve != NULL) {
        ses_call_accept(st, proto);
    } else {
        ses_flow_accept(st, proto);
    }
}

static void framed_begin(struct ses_stream *st, const struct ses_stream_ops *ops, size_t max,
                         uint32_t deadline_ms)
{
    st->ops = ops;
    st->frames.max = max;
    ses_stream_due(st, deadline_ms);
}

void ses_services_begin(struct ses_stream *st, int chosen)
{
    switch (chosen) {
    case BUILTIN_IDENTIFY:
        identify_begin(st);
        break;
    case BUILTIN_PUSH:
        framed_begin(st, &push_ops, SES_IDENTIFY_BYTES_MAX, PUSH_MS);
        break;
    case BUILTIN_PING:
        st->ops = &ping_ops;
        break;
    case BUILTIN_AUTH:
        framed_begin(st, &ses_auth_listener, SES_AUTH_FRAME_MAX, SES_AUTH_MS);
        break;
    case BUILTIN_LOGIN:
        framed_begin(st, &ses_login_listener, SES_LOGIN_FRAME_MAX, SES_AUTH_MS);
        break;
    default:
        proto_begin(st, (enum ses_proto)chosen);
    }
}
