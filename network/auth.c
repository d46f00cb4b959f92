/* /session/auth/1: the nodes at the ends of a connection prove their ML-DSA keys over the TLS
 * exporter (network page). One hello each way. */
#include <string.h>

#include "network/host.h"

/* The message that the `role` end signs. False if an end has no Ed25519 key to bind. */
static bool auth_message(const struct ses_conn *conn, uint8_t out[SES_AUTH_MESSAGE_BYTES],
                         enum ses_auth_role role, const struct ses_node_id *node_id)
{
    const struct ses_host *host = conn->host;
    if (!conn->tls_peer.has_ed25519) {
        return false;
    }
    const struct ses_ed25519_pk *dialler =
        conn->dialler ? &host->peer_key : &conn->tls_peer.ed25519;
    const struct ses_ed25519_pk *listener =
        conn->dialler ? &conn->tls_peer.ed25519 : &host->peer_key;
    ses_auth_message(out, SES_AUTH_SUITE_NODE, role, &host->params.chain_id, node_id,
                     conn->exporter, dialler, listener);
    return true;
}

/* Fills in what this host signs, if it is a node. */
static bool sign_prepare(struct ses_job *job, enum ses_auth_role role)
{
    const struct ses_host *host = job->host;
    if (!host->params.is_node) {
        return true;
    }
    job->sign_key = host->params.node_key;
    job->sign_len = SES_AUTH_MESSAGE_BYTES;
    return auth_message(job->conn, job->sign_message, role, &host->params.node_id);
}

static bool verify_prepare(struct ses_job *job, enum ses_auth_role role,
                           const struct ses_auth_hello *hello)
{
    job->verify = true;
    job->verify_sig = hello->signature;
    job->verify_len = SES_AUTH_MESSAGE_BYTES;
    return auth_message(job->conn, job->verify_message, role, &hello->node_id);
}

static void peer_proven(struct ses_conn *conn, const struct ses_node_id *node_id,
                        const struct ses_dsa_pk *pk)
{
    struct ses_session *session = conn->session;
    session->peer.is_node = true;
    session->peer.node_id = *node_id;
    session->access = SES_ACCESS_NODE;
    ses_sha256(&conn->node_key_hash, SES_PARTS(SES_PART(pk->bytes, sizeof pk->bytes)));
}

static enum ses_err hello_send(struct ses_stream *st, const struct ses_job *job)
{
    struct ses_auth_hello hello = {.suite = SES_AUTH_SUITE_CLIENT};
    uint8_t body[SES_AUTH_FRAME_MAX];
    struct ses_writer w;
    if (job != NULL && job->sign_key != NULL) {
        SES_TRY(job->sign_err);
        hello.suite = SES_AUTH_SUITE_NODE;
        hello.node_id = job->host->params.node_id;
        hello.signature = job->sign_sig;
    }
    ses_writer_init(&w, body, sizeof body);
    ses_auth_hello_write(&w, &hello);
    SES_TRY(ses_writer_done(&w));
    SES_TRY(ses_stream_send_frame(st, body, w.len));
    ses_stream_close(st);
    return SES_OK;
}

/* ---- dialler ---- */

static void dialler_verified(struct ses_job *job)
{
    struct ses_conn *conn = job->conn;
    if (conn->state != SES_CONN_OPEN) {
        ses_job_free(job);
        return;
    }
    if (job->verify_err != SES_OK) {
        ses_logf(conn->host->params.log, SES_LOG_WARN, "network",
                 "%s did not prove the node that it should be", conn->session->peer.address);
        ses_conn_close(conn, SES_ERR_PEER_IDENTITY);
    } else {
        const struct ses_target *target = job->cookie;
        peer_proven(conn, &target->node_id, &job->verify_pk);
        conn->auth_done = true;
        ses_conn_idle_rearm(conn);
        if (conn->owner != NULL) {
            conn->owner->proven(conn->owner_cookie, conn);
        }
    }
    ses_job_free(job);
}

static enum ses_err dialler_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    const struct ses_target *target = st->owner;
    struct ses_conn *conn = st->conn;
    struct ses_auth_hello hello;
    SES_REQUIRE(!conn->auth_used, SES_ERR_PEER);
    conn->auth_used = true;
    SES_TRY(ses_auth_hello_read(&hello, body, len));
    if (hello.suite != SES_AUTH_SUITE_NODE ||
        memcmp(&hello.node_id, &target->node_id, sizeof hello.node_id) != 0) {
        ses_conn_close(conn, SES_ERR_PEER_IDENTITY);
        return SES_OK;
    }
    struct ses_job *job = ses_job_new(conn, SES_DOMAIN_AUTH, dialler_verified, st->owner);
    SES_REQUIRE(job != NULL, SES_ERR_MEMORY);
    job->verify_pk = target->public_key;
    const enum ses_err err =
        verify_prepare(job, SES_ROLE_LISTENER, &hello) ? ses_job_start(job) : SES_ERR_PEER_IDENTITY;
    if (err != SES_OK) {
        ses_job_free(job);
        ses_conn_close(conn, err);
    }
    return SES_OK;
}

static void dialler_gone(struct ses_stream *st)
{
    /* The stream ends before the hello: a peer that does not speak the protocol is no node. */
    if (!st->conn->auth_used) {
        const bool timeout = st->why == SES_ERR_TIMEOUT;
        ses_conn_close(st->conn, timeout ? SES_ERR_TIMEOUT : SES_ERR_PEER_IDENTITY);
    }
}

static const struct ses_stream_ops dialler_ops = {.on_bytes = dialler_frame,
                                                  .on_gone = dialler_gone};

static void dialler_begin(struct ses_conn *conn, const struct ses_job *job, void *target)
{
    struct ses_stream *st = NULL;
    enum ses_err err =
        ses_stream_open(&st, conn, SES_AUTH_ID, &dialler_ops, target, SES_AUTH_FRAME_MAX);
    if (err == SES_OK) {
        ses_stream_due(st, SES_AUTH_MS);
        err = hello_send(st, job);
    }
    if (err != SES_OK) {
        ses_conn_close(conn, err);
    }
}

static void dialler_signed(struct ses_job *job)
{
    if (job->conn->state == SES_CONN_OPEN) {
        dialler_begin(job->conn, job, job->cookie);
    }
    ses_job_free(job);
}

void ses_auth_dial(struct ses_conn *conn, const struct ses_target *target)
{
    void *cookie = (void *)(uintptr_t)target;
    if (!conn->host->params.is_node) {
        dialler_begin(conn, NULL, cookie);
        return;
    }
    struct ses_job *job = ses_job_new(conn, SES_DOMAIN_AUTH, dialler_signed, cookie);
    if (job == NULL) {
        ses_conn_close(conn, SES_ERR_MEMORY);
        return;
    }
    enum ses_err err =
        sign_prepare(job, SES_ROLE_DIALLER) ? ses_job_start(job) : SES_ERR_PEER_IDENTITY;
    if (err != SES_OK) {
        ses_job_free(job);
        ses_conn_close(conn, err);
    }
}

/* ---- listener ---- */

struct listener_auth {
    struct ses_stream *st; /* NULL once it is gone */
    struct ses_job *job;
    bool claims_node;
    struct ses_node_id node_id;
};

static void listener_done(struct ses_job *job)
{
    struct listener_auth *auth = job->cookie;
    struct ses_conn *conn = job->conn;
    if (!auth->claims_node) {
        conn->session->access = SES_ACCESS_CLIENT;
    } else if (job->verify && job->verify_err == SES_OK) {
        peer_proven(conn, &auth->node_id, &job->verify_pk);
    } else {
        ses_logf(conn->host->params.log, SES_LOG_INFO, "network",
                 "%s claims to be a node and does not prove it: treated as a guest",
                 conn->session->peer.address);
    }
    conn->auth_done = true;
    if (conn->state == SES_CONN_OPEN) {
        ses_conn_idle_rearm(conn);
    }
    if (auth->st != NULL) {
        auth->st->owner = NULL;
        if (hello_send(auth->st, job) != SES_OK) {
            ses_stream_reset(auth->st, SES_ERR_CRYPTO);
        }
    }
    ses_free(auth);
    ses_job_free(job);
}

static enum ses_err listener_job(struct ses_stream *st, struct ses_job *job,
                                 struct listener_auth *auth, const struct ses_auth_hello *hello)
{
    const struct ses_host_params *params = &st->conn->host->params;
    auth->st = st;
    auth->claims_node = hello->suite == SES_AUTH_SUITE_NODE;
    auth->node_id = hello->node_id;
    const bool known =
        auth->claims_node && params->find_node != NULL &&
        params->find_node(params->find_cookie, &hello->node_id, &job->verify_pk) == SES_OK;
    SES_REQUIRE(!known || verify_prepare(job, SES_ROLE_DIALLER, hello), SES_ERR_PEER);
    SES_REQUIRE(sign_prepare(job, SES_ROLE_LISTENER), SES_ERR_PEER);
    SES_TRY(ses_job_start(job));
    st->owner = auth;
    return SES_OK;
}

static enum ses_err listener_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    struct ses_conn *conn = st->conn;
    struct ses_auth_hello hello;
    SES_REQUIRE(!conn->dialler && !conn->auth_used, SES_ERR_PEER);
    conn->auth_used = true;
    SES_TRY(ses_auth_hello_read(&hello, body, len));
    struct listener_auth *auth = ses_alloc(1, sizeof *auth);
    struct ses_job *job = ses_job_new(conn, SES_DOMAIN_AUTH, listener_done, auth);
    const enum ses_err err =
        auth == NULL || job == NULL ? SES_ERR_MEMORY : listener_job(st, job, auth, &hello);
    if (err != SES_OK) {
        ses_free(auth);
        if (job != NULL) {
            ses_job_free(job);
        }
    }
    return err;
}

/* The dialler closes its side behind the hello; the answer follows. */
static void listener_fin(struct ses_stream *st)
{
    if (st->owner == NULL) {
        ses_stream_close(st);
    }
}

static void listener_gone(struct ses_stream *st)
{
    struct listener_auth *auth = st->owner;
    if (auth != NULL) {
        auth->st = NULL;
    }
}

const struct ses_stream_ops ses_auth_listener = {
    .on_bytes = listener_frame, .on_fin = listener_fin, .on_gone = listener_gone};
