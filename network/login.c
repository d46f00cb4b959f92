/* /session/login/1: a user proves an inbox to a proven node, once per connection (network page). */
#include <string.h>

#include "network/host.h"

#define STATUS_FRAME_MAX 4096u
#define LOGIN_JOBS_MAX SES_LOGINS_MAX /* at a time */

static struct ses_hash inbox_of(const struct ses_session_id *id)
{
    struct ses_hash inbox;
    memcpy(inbox.bytes, id->bytes + 1, sizeof inbox.bytes);
    return inbox;
}

/* ---- dialler ---- */

struct login {
    struct ses_conn *conn;
    struct ses_proof *proof;
    struct ses_op *op; /* owns the identity while it is used */
    const struct ses_identity *identity;
    bool answered;
};

static void login_settle(struct login *login, enum ses_err err)
{
    login->proof->state = err == SES_OK ? SES_PROOF_DONE : SES_PROOF_FAILED;
    login->proof->err = err;
    if (login->conn->link != NULL) {
        ses_link_touch(login->conn->link);
    }
}

static enum ses_err status_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    struct login *login = st->owner;
    struct ses_reader r;
    struct ses_refusal refusal = {0};
    bool ok = false;
    SES_REQUIRE(!login->answered, SES_ERR_PEER);
    SES_TRY(ses_response_begin(&r, body, len, &ok, &refusal));
    login->answered = true;
    login_settle(login, ok ? SES_OK : refusal.status);
    return SES_OK;
}

static void status_gone(struct ses_stream *st)
{
    struct login *login = st->owner;
    if (!login->answered) {
        login_settle(login, st->why == SES_OK ? SES_ERR_PEER : st->why);
    }
    ses_free(login);
}

static const struct ses_stream_ops dialler_ops = {.on_bytes = status_frame, .on_gone = status_gone};

static enum ses_err login_send(struct ses_stream *st, const struct ses_job *job,
                               const struct ses_identity *identity)
{
    uint8_t body[SES_LOGIN_FRAME_MAX];
    struct ses_writer w;
    const struct ses_login frame = {.kem_pk = identity->kem_pk.bytes,
                                    .dsa_pk = identity->dsa_pk.bytes,
                                    .signature = job->sign_sig.bytes};
    ses_writer_init(&w, body, sizeof body);
    ses_login_write(&w, &frame);
    SES_TRY(ses_writer_done(&w));
    SES_TRY(ses_stream_send_frame(st, body, w.len));
    ses_stream_close(st);
    return SES_OK;
}

static void login_signed(struct ses_job *job)
{
    struct login *login = job->cookie;
    struct ses_stream *st = NULL;
    enum ses_err err = job->sign_err;
    if (err == SES_OK) {
        err = ses_stream_open(&st, job->conn, SES_LOGIN_ID, &dialler_ops, login, STATUS_FRAME_MAX);
    }
    if (err != SES_OK) {
        login_settle(login, err == SES_ERR_AGAIN ? SES_ERR_FULL : err);
        ses_op_signed(login->op);
        ses_free(login);
    } else {
        ses_stream_due(st, SES_AUTH_MS);
        err = login_send(st, job, login->identity);
        if (err != SES_OK) {
            ses_stream_reset(st, err); /* status_gone settles */
        }
        ses_op_signed(login->op);
    }
    ses_job_free(job);
}

static enum ses_err login_begin(struct ses_conn *conn, struct ses_proof *proof, struct ses_op *op)
{
    struct login *login = ses_alloc(1, sizeof *login);
    SES_REQUIRE(login != NULL, SES_ERR_MEMORY);
    *login = (struct login){.conn = conn, .proof = proof, .op = op, .identity = op->login};
    struct ses_job *job = ses_job_new(conn, SES_DOMAIN_LOGIN, login_signed, login);
    if (job == NULL) {
        ses_free(login);
        return SES_ERR_MEMORY;
    }
    ses_login_message(job->sign_message, &conn->host->params.chain_id, conn->exporter,
                      &conn->session->peer.node_id, &proof->inbox);
    job->sign_len = SES_LOGIN_MESSAGE_BYTES;
    job->sign_key = op->login->dsa;
    const enum ses_err err = ses_job_start(job);
    if (err != SES_OK) {
        ses_job_free(job);
        ses_free(login);
        return err;
    }
    op->signing = true;
    return SES_OK;
}

enum ses_proof_state ses_login_prove(struct ses_conn *conn, struct ses_op *op, enum ses_err *err)
{
    const struct ses_hash inbox = inbox_of(&op->login->id);
    struct ses_proof *proof = NULL;
    for (size_t i = 0; i < conn->proof_cnt; i++) {
        if (memcmp(&conn->proofs[i].inbox, &inbox, sizeof inbox) == 0) {
            proof = &conn->proofs[i];
        }
    }
    if (proof == NULL) {
        if (conn->proof_cnt == SES_LOGINS_MAX) {
            *err = SES_ERR_FULL;
            return SES_PROOF_FAILED;
        }
        proof = &conn->proofs[conn->proof_cnt++];
        *proof = (struct ses_proof){.inbox = inbox};
    }
    if (proof->state == SES_PROOF_NONE) {
        *err = login_begin(conn, proof, op);
        if (*err != SES_OK) {
            return SES_PROOF_FAILED;
        }
        proof->state = SES_PROOF_PENDING;
    }
    *err = proof->err;
    const enum ses_proof_state state = proof->state;
    if (state == SES_PROOF_FAILED && proof->err != SES_ERR_UNAUTHORISED) {
        proof->state = SES_PROOF_NONE; /* the next request may try again */
    }
    return state;
}

/* ---- listener ---- */

struct proving {
    struct ses_stream *st; /* NULL once it is gone */
    struct ses_hash inbox;
};

static enum ses_err status_send(struct ses_stream *st, enum ses_err status)
{
    uint8_t body[64];
    struct ses_writer w;
    if (status != SES_OK) {
        ses_stream_refuse(st, status);
        return SES_OK;
    }
    ses_writer_init(&w, body, sizeof body);
    ses_response_ok(&w);
    SES_TRY(ses_writer_done(&w));
    SES_TRY(ses_stream_send_frame(st, body, w.len));
    ses_stream_close(st);
    return SES_OK;
}

static enum ses_err inbox_admit(struct ses_session *session, const struct ses_hash *inbox,
                                enum ses_err verified)
{
    SES_REQUIRE(verified == SES_OK, SES_ERR_UNAUTHORISED);
    if (ses_session_logged_in(session, inbox)) {
        return SES_OK;
    }
    SES_REQUIRE(session->login_cnt < SES_LOGINS_MAX, SES_ERR_FULL);
    session->logins[session->login_cnt++] = *inbox;
    return SES_OK;
}

static void login_verified(struct ses_job *job)
{
    struct proving *proving = job->cookie;
    struct ses_conn *conn = job->conn;
    const enum ses_err status = inbox_admit(conn->session, &proving->inbox, job->verify_err);
    conn->login_job_cnt--;
    if (proving->st != NULL) {
        proving->st->owner = NULL;
        if (status_send(proving->st, status) != SES_OK) {
            ses_stream_reset(proving->st, SES_ERR_MEMORY);
        }
    }
    ses_free(proving);
    ses_job_free(job);
}

static enum ses_err login_check(struct ses_stream *st, const struct ses_login *frame,
                                struct ses_job *job)
{
    struct ses_conn *conn = st->conn;
    struct proving *proving = job->cookie;
    struct ses_kem_pk kem_pk;
    struct ses_session_id id;
    memcpy(kem_pk.bytes, frame->kem_pk, sizeof kem_pk.bytes);
    memcpy(job->verify_pk.bytes, frame->dsa_pk, sizeof job->verify_pk.bytes);
    memcpy(job->verify_sig.bytes, frame->signature, sizeof job->verify_sig.bytes);
    ses_session_id_of(&id, &kem_pk, &job->verify_pk);
    proving->st = st;
    proving->inbox = inbox_of(&id);
    job->verify = true;
    job->verify_len = SES_LOGIN_MESSAGE_BYTES;
    ses_login_message(job->verify_message, &conn->host->params.chain_id, conn->exporter,
                      &conn->host->params.node_id, &proving->inbox);
    SES_TRY(ses_job_start(job));
    conn->login_job_cnt++;
    conn->login_attempt_cnt++;
    st->owner = proving;
    return SES_OK;
}

static enum ses_err login_frame(struct ses_stream *st, const uint8_t *body, size_t len)
{
    struct ses_conn *conn = st->conn;
    struct ses_login frame;
    SES_REQUIRE(st->owner == NULL, SES_ERR_PEER);
    SES_TRY(ses_login_read(&frame, body, len));
    if (!conn->host->params.is_node || conn->session->access == SES_ACCESS_GUEST) {
        return status_send(st, SES_ERR_UNAUTHORISED);
    }
    if (conn->login_job_cnt >= LOGIN_JOBS_MAX ||
        conn->login_attempt_cnt >= SES_LOGIN_ATTEMPTS_MAX) {
        return status_send(st, SES_ERR_RATE);
    }
    struct proving *proving = ses_alloc(1, sizeof *proving);
    struct ses_job *job = ses_job_new(conn, SES_DOMAIN_LOGIN, login_verified, proving);
    const enum ses_err err =
        proving == NULL || job == NULL ? SES_ERR_MEMORY : login_check(st, &frame, job);
    if (err != SES_OK) {
        ses_free(proving);
        if (job != NULL) {
            ses_job_free(job);
        }
    }
    return err;
}

static void login_fin(struct ses_stream *st)
{
    if (st->owner == NULL) {
        ses_stream_close(st);
    }
}

static void login_gone(struct ses_stream *st)
{
    struct proving *proving = st->owner;
    if (proving != NULL) {
        proving->st = NULL;
    }
}

const struct ses_stream_ops ses_login_listener = {
    .on_bytes = login_frame, .on_fin = login_fin, .on_gone = login_gone};
