/* A target with its one connection and the requests that wait for it. */
#include <string.h>

#include "network/host.h"

static struct ses_link **slot_of(struct ses_host *host, const struct ses_node_id *node_id)
{
    /* Node ids are hashes. */
    const uint32_t at = ses_get_u32(node_id->bytes) % SES_LINK_TABLE;
    struct ses_link **slot = &host->links[at];
    while (*slot != NULL && memcmp(&(*slot)->target.node_id, node_id, sizeof *node_id) != 0) {
        slot = &(*slot)->hash_next;
    }
    return slot;
}

static void conn_detach(struct ses_link *link)
{
    if (link->conn != NULL) {
        link->conn->link = NULL;
        link->conn = NULL;
    }
}

/* The registry may have changed: a new key makes what was proven or is being proven void. */
static void target_set(struct ses_link *link, const struct ses_target *target)
{
    const bool same_key =
        memcmp(&link->target.public_key, &target->public_key, sizeof target->public_key) == 0;
    if (!same_key) {
        if (link->dial != NULL) {
            ses_dial_cancel(link->dial);
            link->dial = NULL;
        }
        conn_detach(link);
        ses_sha256(&link->key_hash,
                   SES_PARTS(SES_PART(target->public_key.bytes, sizeof target->public_key.bytes)));
    }
    link->target = *target;
}

enum ses_err ses_link_get(struct ses_link **out, struct ses_host *host,
                          const struct ses_target *target)
{
    struct ses_link **slot = slot_of(host, &target->node_id);
    *out = NULL;
    if (*slot == NULL) {
        SES_REQUIRE(host->link_cnt < SES_LINKS_MAX, SES_ERR_FULL);
        struct ses_link *link = ses_alloc(1, sizeof *link);
        SES_REQUIRE(link != NULL, SES_ERR_MEMORY);
        link->host = host;
        link->target.node_id = target->node_id;
        link->last = &link->first;
        *slot = link;
        host->link_cnt++;
    }
    target_set(*slot, target);
    *out = *slot;
    return SES_OK;
}

void ses_link_touch(struct ses_link *link)
{
    if (!link->touched) {
        link->touched = true;
        link->touched_next = link->host->touched;
        link->host->touched = link;
    }
}

void ses_link_conn_down(struct ses_link *link, struct ses_conn *conn)
{
    if (link->conn == conn) {
        conn_detach(link);
        ses_link_touch(link);
    }
}

/* A node that dialled us and proved the very key that we want to talk to. */
static struct ses_conn *inbound_find(const struct ses_link *link)
{
    for (struct ses_conn *conn = link->host->conns; conn != NULL; conn = conn->next) {
        if (conn->link == NULL && !conn->dialler && ses_conn_usable(conn) &&
            conn->session->peer.is_node &&
            memcmp(&conn->session->peer.node_id, &link->target.node_id,
                   sizeof link->target.node_id) == 0 &&
            memcmp(&conn->node_key_hash, &link->key_hash, sizeof link->key_hash) == 0) {
            return conn;
        }
    }
    return NULL;
}

void ses_link_fail(struct ses_link *link, enum ses_err err)
{
    uint32_t left = link->waiting_cnt; /* not those that callbacks add */
    while (left-- > 0 && link->first != NULL) {
        ses_op_fail(link->first, err);
    }
}

static void link_dialled(void *cookie, struct ses_conn *conn, enum ses_err err)
{
    struct ses_link *link = cookie;
    link->dial = NULL;
    ses_link_touch(link);
    if (err != SES_OK) {
        ses_link_fail(link, err);
        return;
    }
    conn_detach(link);
    link->conn = conn;
    conn->link = link;
}

static void link_connect(struct ses_link *link)
{
    const struct ses_endpoint *endpoint = &link->target.endpoint;
    struct ses_multiaddr addrs[SES_ENDPOINT_ADDRS_MAX];
    struct ses_peer_id expected;
    struct ses_conn *conn = inbound_find(link);
    if (conn != NULL) {
        link->conn = conn;
        conn->link = link;
        return;
    }
    size_t cnt = 0;
    for (size_t i = 0; i < endpoint->addr_cnt && i < SES_ENDPOINT_ADDRS_MAX; i++) {
        if (endpoint->addrs[i].len <= SES_MULTIADDR_MAX) {
            addrs[cnt].len = endpoint->addrs[i].len;
            memcpy(addrs[cnt++].bytes, endpoint->addrs[i].bytes, endpoint->addrs[i].len);
        }
    }
    ses_peer_id_of(&expected, &endpoint->peer_key);
    const enum ses_err err = ses_dial_start(&link->dial, link->host, addrs, cnt, &expected,
                                            &link->target, link_dialled, link);
    if (err != SES_OK) {
        ses_link_fail(link, err);
    }
}

static void link_free(struct ses_link *link)
{
    struct ses_host *host = link->host;
    struct ses_link **slot = slot_of(host, &link->target.node_id);
    SES_ASSERT(*slot == link);
    *slot = link->hash_next;
    host->link_cnt--;
    ses_free(link);
}

/* Starts the waiting requests in their order, as far as the connection takes them. */
static void waiting_try(struct ses_link *link)
{
    struct ses_op *op = link->first;
    uint32_t left = link->waiting_cnt; /* not those that callbacks add */
    while (left-- > 0 && op != NULL && link->conn != NULL && ses_conn_usable(link->conn)) {
        struct ses_op *next = op->next;
        const enum ses_err err = ses_op_try(op, link->conn);
        if (err == SES_ERR_CLOSED) {
            break;
        }
        if (err == SES_OK) {
            ses_op_started(op);
        } else if (err != SES_ERR_AGAIN) {
            ses_op_fail(op, err);
        }
        op = next;
    }
}

void ses_link_pump(struct ses_link *link)
{
    if (link->conn != NULL && !ses_conn_usable(link->conn)) {
        conn_detach(link);
    }
    if (link->conn == NULL && link->dial == NULL && link->first != NULL) {
        link_connect(link);
    }
    waiting_try(link);
    const bool used = link->conn != NULL || link->dial != NULL || link->first != NULL;
    if (!used && !link->touched && link->op_cnt == 0) {
        link_free(link);
    }
}
