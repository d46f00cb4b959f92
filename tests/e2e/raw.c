#include "tests/e2e/raw.h"

#include <stdio.h>
#include <string.h>

static enum ses_err node_add(void *cookie, const struct ses_registry_row *row,
                             const struct ses_node_keys *keys, const struct ses_endpoint *endpoint)
{
    struct raw *raw = cookie;
    struct ses_map_node *more = ses_realloc(raw->nodes, raw->node_cnt + 1u, sizeof *more);
    SES_REQUIRE(more != NULL, SES_ERR_MEMORY);
    raw->nodes = more;
    raw->nodes[raw->node_cnt++] = (struct ses_map_node){*row, *keys, *endpoint};
    return SES_OK;
}

static enum ses_err chain_read(struct raw *raw, const char *url, struct ses_note *note)
{
    struct ses_json_registry header;
    SES_TRY(ses_rpc_client_new(&raw->chain, url, 10000, note));
    SES_TRY(ses_chain_get_params(raw->chain, &raw->params, note));
    SES_TRY(ses_chain_get_registry(raw->chain, UINT64_MAX, &header, node_add, raw, note));
    raw->num_swarms = header.num_swarms;
    raw->epoch = header.epoch;
    return SES_OK;
}

static enum ses_err host_start(struct raw *raw)
{
    SES_TRY(ses_uv_new(&raw->uv));
    struct ses_host_params params = {.uv = raw->uv,
                                     .random = ses_random_system(),
                                     .chain_id = raw->params.chain_id,
                                     .agent = "session-raw/" SES_VERSION};
    ses_random_fill(params.random, params.peer_seed.bytes, sizeof params.peer_seed.bytes);
    return ses_host_new(&raw->net, &params);
}

bool raw_open(struct raw *raw, const char *chain_url)
{
    struct ses_note note = {0};
    memset(raw, 0, sizeof *raw);
    enum ses_err err = ses_crypto_init();
    if (err == SES_OK) {
        err = chain_read(raw, chain_url, &note);
    }
    if (err == SES_OK) {
        err = host_start(raw);
    }
    if (err != SES_OK) {
        fprintf(stderr, "raw: %s\n", note.text[0] != 0 ? note.text : ses_err_text(err));
    }
    return err == SES_OK;
}

static void on_closed(void *cookie)
{
    struct raw *raw = cookie;
    ses_uv_stop(raw->uv);
}

void raw_close(struct raw *raw)
{
    if (raw->net != NULL) {
        ses_host_close(raw->net, 0, on_closed, raw);
        ses_uv_run(raw->uv);
        ses_host_free(raw->net);
    }
    ses_uv_free(raw->uv);
    ses_rpc_client_free(raw->chain);
    ses_free(raw->nodes);
}

const struct ses_map_node *raw_node(const struct raw *raw, const char *node_id_text)
{
    struct ses_node_id id;
    if (ses_node_id_parse(&id, node_id_text) != SES_OK) {
        return NULL;
    }
    for (uint32_t i = 0; i < raw->node_cnt; i++) {
        if (memcmp(raw->nodes[i].row.node_id.bytes, id.bytes, sizeof id.bytes) == 0) {
            return &raw->nodes[i];
        }
    }
    return NULL;
}

void raw_target(struct ses_target *out, const struct ses_map_node *node)
{
    out->node_id = node->row.node_id;
    out->public_key = node->keys.public_key;
    out->endpoint = node->endpoint;
}

struct raw_wait {
    struct raw *raw;
    struct ses_buf *out;
    enum ses_err err;
};

static void on_reply(void *cookie, enum ses_err err, const uint8_t *body, size_t len)
{
    struct raw_wait *wait = cookie;
    wait->err = err;
    if (err == SES_OK) {
        wait->err = ses_buf_append(wait->out, body, len);
    }
    ses_uv_stop(wait->raw->uv);
}

enum ses_err raw_request(struct raw *raw, const struct ses_map_node *node, enum ses_proto proto,
                         const struct ses_identity *login, const uint8_t *body, size_t len,
                         struct ses_buf *out)
{
    struct raw_wait wait = {.raw = raw, .out = out};
    struct ses_target target;
    raw_target(&target, node);
    const struct ses_request request = {.target = &target,
                                        .proto = proto,
                                        .login = login,
                                        .body = body,
                                        .len = len,
                                        .on_reply = on_reply,
                                        .cookie = &wait};
    SES_TRY(ses_net_request(raw->net, &request));
    ses_uv_run(raw->uv);
    return wait.err;
}

enum ses_err raw_token_publish(struct raw *raw, const struct ses_map_node *node,
                               const struct ses_identity *owner, const struct ses_hash *token)
{
    const uint64_t now_s = ses_now_ms(ses_clock_system()) / 1000;
    struct ses_record_header h = {.ns = SES_NS_TOKEN, .ttl_class = 1, .ts_ms = now_s * 1000};
    memcpy(h.inbox.bytes, owner->id.bytes + 1, 32);
    uint8_t header[SES_RECORD_HEADER_BYTES];
    ses_record_header_encode(header, &h);
    struct ses_hash tag;
    ses_b(&tag, SES_TAG_TOKEN, SES_PARTS(SES_PART(token->bytes, 32)));
    static uint8_t payload[SES_OWNED_PREFIX_BYTES + 32];
    SES_TRY(ses_record_sign_owned(payload, header, &raw->params.chain_id, owner, tag.bytes, 32,
                                  ses_random_system()));
    static uint8_t frame[SES_OWNED_PREFIX_BYTES + 1024];
    struct ses_writer w;
    const struct ses_store_put put = {
        .record = {header, payload, sizeof payload}, .entry = SES_ENTRY_OWNER, .wait_ms = 5000};
    ses_writer_init(&w, frame, sizeof frame);
    ses_store_put_write(&w, &put);
    SES_TRY(ses_writer_done(&w));
    struct ses_buf answer = {0};
    enum ses_err err = raw_request(raw, node, SES_PROTO_STORE, NULL, frame, w.len, &answer);
    if (err == SES_OK) {
        struct ses_reader r;
        struct ses_refusal refusal;
        bool ok = false;
        err = ses_response_begin(&r, answer.bytes, answer.len, &ok, &refusal);
        err = err == SES_OK && !ok ? refusal.status : err;
    }
    ses_buf_free(&answer);
    return err;
}
