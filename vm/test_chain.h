/* Shared by the tests of this folder: people with keys, transactions, a chain in memory, a clock
 * that stands still until it is moved. */
#ifndef SES_VM_TEST_CHAIN_H
#define SES_VM_TEST_CHAIN_H

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/tap.h"
#include "vm/vm_internal.h"

#define GENESIS_TIME 1800000000u
#define FEE 1000000u
#define LUX 1000000000ull
#define STAKE (100 * LUX)
#define RICH (100000 * LUX)

/* ---- randomness that is the same on every run: BLAKE3 of a counter ---- */
struct fixed_random {
    struct ses_random random;
    uint64_t counter;
};
static inline void fixed_fill(void *ctx, void *out, size_t len)
{
    struct fixed_random *f = ctx;
    struct ses_blake3 b;
    uint8_t number[8];
    ses_put_u64(number, f->counter++);
    ses_blake3_init_derive(&b, "session vm tests");
    ses_blake3_update(&b, number, sizeof(number));
    ses_blake3_final_xof(&b, out, len);
}
static inline void fixed_random_init(struct fixed_random *f)
{
    *f = (struct fixed_random){.random = {.ctx = f, .fill = fixed_fill}};
}

/* ---- people: an account and a node of one key each ---- */
struct person {
    struct ses_dsa_private *key;
    struct ses_dsa_pk pk;
    struct ses_kem_pk kem;
    struct ses_account account;
    struct ses_node_id node_id;
    uint64_t nonce; /* of the last transaction written */
    bool shown;     /* key */
};
static inline void person_init(struct person *p, const struct ses_random *random)
{
    struct ses_dsa_seed seed;
    struct ses_kem_seed kem_seed;
    struct ses_kem_private *kem = NULL;
    *p = (struct person){0};
    ses_random_fill(random, seed.bytes, sizeof(seed.bytes));
    ses_random_fill(random, kem_seed.bytes, sizeof(kem_seed.bytes));
    TAP_MUST(ses_dsa_private_new(&p->key, &seed) == SES_OK);
    TAP_MUST(ses_kem_private_new(&kem, &kem_seed) == SES_OK);
    ses_dsa_private_pk(p->key, &p->pk);
    ses_kem_private_pk(kem, &p->kem);
    ses_kem_private_free(kem);
    ses_account_of(&p->account, &p->pk);
    ses_node_id_of(&p->node_id, &p->pk);
}
static inline void people_free(struct person *p, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        ses_dsa_private_free(p[i].key);
    }
}

/* ---- genesis text ---- */
static inline json_t *hex_json(const void *bytes, size_t len)
{
    char *text = ses_alloc(2 * len + 1, 1);
    ses_hex_encode(text, bytes, len);
    json_t *json = json_string(text);
    ses_free(text);
    return json;
}
static inline json_t *account_json(const struct ses_account *account)
{
    char text[SES_ID_TEXT_MAX];
    ses_account_text(text, account);
    return json_string(text);
}
static inline json_t *node_json(const struct person *owner, const struct person *node,
                                uint64_t stake)
{
    char id[SES_ID_TEXT_MAX];
    const uint8_t peer[32] = {7};
    const uint8_t addr[8] = {4, 127, 0, 0, 1, 6, 0, 80};
    ses_node_id_text(id, &node->node_id);
    return json_pack(
        "{s:o, s:s, s:o, s:o, s:I, s:I, s:{s:o, s:[o]}}", "owner", account_json(&owner->account),
        "nodeId", id, "publicKey", hex_json(node->pk.bytes, SES_DSA_PK_BYTES), "encryptionKey",
        hex_json(node->kem.bytes, SES_KEM_PK_BYTES), "stake", (json_int_t)stake, "capacity",
        (json_int_t)1 << 40, "endpoint", "peerKey", hex_json(peer, 32), "addrs", hex_json(addr, 8));
}
/* Everybody in `people` is rich; the first `nodes` of them own a node each, of their own key. */
static inline json_t *genesis_json(const struct person *people, size_t cnt, size_t nodes,
                                   const char *params)
{
    json_t *allocations = json_array();
    json_t *list = json_array();
    for (size_t i = 0; i < cnt; i++) {
        json_array_append_new(allocations,
                              json_pack("{s:o, s:I}", "account", account_json(&people[i].account),
                                        "amount", (json_int_t)RICH));
    }
    for (size_t i = 0; i < nodes; i++) {
        json_array_append_new(list, node_json(&people[i], &people[i], STAKE));
    }
    json_t *parsed = json_loads(params, 0, NULL);
    TAP_MUST(parsed != NULL);
    return json_pack("{s:s, s:I, s:o, s:o, s:o}", "networkName", "test", "timestamp",
                     (json_int_t)GENESIS_TIME, "params", parsed, "allocations", allocations,
                     "serviceNodes", list);
}
static inline char *genesis_text(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    TAP_MUST(text != NULL);
    return text;
}

/* ---- a chain ---- */
struct chain {
    struct ses_kv_memory *memory;
    struct ses_vm *vm;
    struct ses_clock clock;
    uint64_t now_s;
    const char *genesis;
    const struct ses_parallel *parallel;
};
static inline uint64_t chain_now(void *ctx)
{
    return ((const struct chain *)ctx)->now_s * 1000;
}
static inline enum ses_err chain_open(struct chain *c, struct ses_note *note)
{
    const struct ses_vm_params params = {.genesis = (const uint8_t *)c->genesis,
                                         .genesis_len = strlen(c->genesis),
                                         .kv = ses_kv_memory_kv(c->memory),
                                         .clock = &c->clock,
                                         .parallel = c->parallel};
    return ses_vm_new(&c->vm, &params, note);
}
static inline void chain_new(struct chain *c, const char *genesis)
{
    struct ses_note note = {{0}};
    *c = (struct chain){.now_s = GENESIS_TIME, .genesis = genesis};
    c->clock = (struct ses_clock){.ctx = c, .now_ms = chain_now};
    TAP_MUST(ses_kv_memory_new(&c->memory) == SES_OK);
    const enum ses_err err = chain_open(c, &note);
    if (err != SES_OK) {
        printf("# %s: %s\n", ses_err_text(err), note.text);
    }
    TAP_MUST(err == SES_OK);
}
static inline void chain_restart(struct chain *c)
{
    struct ses_note note = {{0}};
    ses_vm_free(c->vm);
    const enum ses_err err = chain_open(c, &note);
    if (err != SES_OK) {
        printf("# %s: %s\n", ses_err_text(err), note.text);
    }
    TAP_MUST(err == SES_OK);
}
static inline void chain_free(struct chain *c)
{
    ses_vm_free(c->vm);
    ses_kv_memory_free(c->memory);
}
/* Builds, accepts; the error of the first that fails. */
static inline enum ses_err chain_step(struct chain *c, struct ses_hash *id)
{
    struct ses_hash built;
    SES_TRY(ses_vm_build(c->vm, &built));
    SES_TRY(ses_vm_accept(c->vm, &built));
    if (id != NULL) {
        *id = built;
    }
    return SES_OK;
}
/* Parses, verifies, accepts on `c` what `from` accepted as `id`. */
static inline enum ses_err chain_follow(struct chain *c, const struct chain *from,
                                        const struct ses_hash *id)
{
    struct ses_buf bytes = {0};
    struct ses_hash parsed = {{0}};
    struct ses_note note = {{0}};
    enum ses_err err = ses_vm_block(from->vm, id, &bytes);
    c->now_s = from->now_s;
    err = err != SES_OK ? err : ses_vm_parse(c->vm, bytes.bytes, bytes.len, &parsed);
    err = err != SES_OK ? err : ses_vm_verify(c->vm, &parsed, &note);
    err = err != SES_OK ? err : ses_vm_accept(c->vm, &parsed);
    if (err != SES_OK) {
        printf("# follow: %s: %s\n", ses_err_text(err), note.text);
    }
    ses_buf_free(&bytes);
    return err;
}

/* ---- transactions ---- */
struct tx_bytes {
    uint8_t bytes[SES_TX_BYTES_MAX];
    size_t len;
};
/* Signs `tx` (type and body set) by `owner`, and for a registration by `node`. */
static inline void sign_tx(struct tx_bytes *out, const struct chain *c, const struct ses_tx *tx,
                           enum ses_auth_kind kind, const struct person *owner,
                           const struct person *node, const struct ses_random *random)
{
    struct ses_hash chain_id;
    struct ses_writer w;
    ses_vm_chain_id(c->vm, &chain_id);
    ses_writer_init(&w, out->bytes, sizeof(out->bytes));
    ses_tx_write_body(&w, tx);
    const size_t body_len = w.len;
    TAP_MUST(ses_tx_sign(&w, &chain_id, out->bytes, body_len, kind, owner->key, random) == SES_OK);
    if (tx->type == SES_TX_REGISTER) {
        TAP_MUST(ses_tx_sign(&w, &chain_id, out->bytes, body_len, SES_AUTH_NODE, node->key,
                             random) == SES_OK);
    }
    out->len = w.len;
}
static inline enum ses_auth_kind kind_of(struct person *p)
{
    const enum ses_auth_kind kind = p->shown ? SES_AUTH_KNOWN : SES_AUTH_FIRST;
    p->shown = true;
    return kind;
}
static inline void make_transfer(struct tx_bytes *out, const struct chain *c, struct person *from,
                                 const struct ses_account *to, uint64_t amount,
                                 const struct ses_random *random)
{
    const struct ses_tx tx = {
        .type = SES_TX_TRANSFER,
        .body.transfer = {.to = *to, .amount = amount, .nonce = ++from->nonce, .fee = FEE}};
    sign_tx(out, c, &tx, kind_of(from), from, NULL, random);
}
static inline struct ses_tx register_of(struct person *owner, const struct person *node,
                                        uint64_t stake)
{
    return (struct ses_tx){.type = SES_TX_REGISTER,
                           .body.reg = {.owner = owner->account,
                                        .node_id = node->node_id,
                                        .public_key = node->pk,
                                        .encryption_key = node->kem,
                                        .stake = stake,
                                        .capacity = 1000000,
                                        .endpoint = {.addr_cnt = 1, .addrs = {{3, {4, 1, 2}}}},
                                        .nonce = ++owner->nonce,
                                        .fee = FEE}};
}
static inline void make_register(struct tx_bytes *out, const struct chain *c, struct person *owner,
                                 const struct person *node, uint64_t stake,
                                 const struct ses_random *random)
{
    const struct ses_tx tx = register_of(owner, node, stake);
    sign_tx(out, c, &tx, kind_of(owner), owner, node, random);
}
static inline void make_top_up(struct tx_bytes *out, const struct chain *c, struct person *owner,
                               const struct ses_node_id *node_id, uint64_t amount,
                               const struct ses_random *random)
{
    const struct ses_tx tx = {
        .type = SES_TX_TOP_UP,
        .body.top_up = {
            .node_id = *node_id, .amount = amount, .nonce = ++owner->nonce, .fee = FEE}};
    sign_tx(out, c, &tx, kind_of(owner), owner, NULL, random);
}
static inline void make_decommission(struct tx_bytes *out, const struct chain *c,
                                     struct person *owner, const struct ses_node_id *node_id,
                                     const struct ses_random *random)
{
    const struct ses_tx tx = {
        .type = SES_TX_DECOMMISSION,
        .body.decommission = {.node_id = *node_id, .nonce = ++owner->nonce, .fee = FEE}};
    sign_tx(out, c, &tx, kind_of(owner), owner, NULL, random);
}
static inline enum ses_err submit(struct chain *c, const struct tx_bytes *tx)
{
    struct ses_hash id;
    struct ses_note note = {{0}};
    const enum ses_err err = ses_vm_submit(c->vm, tx->bytes, tx->len, &id, &note);
    if (err != SES_OK && note.text[0] == 0) {
        printf("# %s without a note\n", ses_err_name(err));
        TAP_OK(false);
    }
    return err;
}

/* A block of the given header fields around transactions, parsed but not verified. */
static inline struct ses_block next_block(const struct chain *c)
{
    struct ses_vm_head head;
    ses_vm_head(c->vm, &head);
    return (struct ses_block){.parent = head.id,
                              .height = head.height + 1,
                              .timestamp = c->now_s > head.timestamp ? c->now_s : head.timestamp};
}
static inline enum ses_err forge(struct chain *c, struct ses_hash *id, struct ses_block block,
                                 const struct tx_bytes *const *txs, uint16_t cnt)
{
    struct ses_buf buf = {0};
    uint8_t header[SES_BLOCK_HEADER_BYTES];
    struct ses_writer w;
    block.tx_cnt = cnt;
    ses_writer_init(&w, header, sizeof(header));
    ses_block_write_header(&w, &block);
    TAP_MUST(ses_buf_append(&buf, header, sizeof(header)) == SES_OK);
    for (uint16_t i = 0; i < cnt; i++) {
        uint8_t len[4];
        ses_put_u32(len, (uint32_t)txs[i]->len);
        TAP_MUST(ses_buf_append(&buf, len, 4) == SES_OK);
        TAP_MUST(ses_buf_append(&buf, txs[i]->bytes, txs[i]->len) == SES_OK);
    }
    const enum ses_err err = ses_vm_parse(c->vm, buf.bytes, buf.len, id);
    ses_buf_free(&buf);
    return err;
}
/* What verification says to a block of these transactions; a wrong root is the best it can get. */
static inline enum ses_err judge(struct chain *c, const struct tx_bytes *const *txs, uint16_t cnt)
{
    struct ses_hash id;
    struct ses_note note = {{0}};
    SES_TRY(forge(c, &id, next_block(c), txs, cnt));
    const enum ses_err err = ses_vm_verify(c->vm, &id, &note);
    TAP_OK(err == SES_OK || note.text[0] != 0);
    TAP_ERR(SES_OK, ses_vm_reject(c->vm, &id));
    return err;
}

/* Balances of `people`, stakes and what was burned. */
struct supply {
    uint64_t sum;
};
static inline bool add_stake(void *cookie, const struct ses_node *node)
{
    ((struct supply *)cookie)->sum += node->stake;
    return true;
}
static inline uint64_t supply_of(const struct chain *c, const struct person *people, size_t cnt)
{
    struct supply s = {0};
    TAP_MUST(ses_vm_nodes(c->vm, NULL, add_stake, &s) == SES_OK);
    TAP_EQ(s.sum, ses_vm_total_bonded(c->vm));
    s.sum += ses_vm_total_burned(c->vm);
    for (size_t i = 0; i < cnt; i++) {
        struct ses_vm_account a;
        TAP_MUST(ses_vm_account(c->vm, &people[i].account, &a) == SES_OK);
        s.sum += a.balance;
    }
    return s.sum;
}

#endif
