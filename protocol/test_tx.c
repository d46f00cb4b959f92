/* Transactions and blocks. */
#include "protocol/test_samples.h"
#include "protocol/test_vectors.h"

static uint8_t bytes[SES_TX_BYTES_MAX];
static uint8_t block_bytes[3 * SES_TX_BYTES_MAX];

/* body || auth, as the model builds them from placeholders. */
static size_t model_tx(const json_t *v)
{
    const char *body = json_string_value(json_object_get(v, "body"));
    const uint8_t kind = (uint8_t)json_u64(v, "auth_kind");
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    const size_t body_len = strlen(body) / 2;
    uint8_t *at = ses_write_space(&w, body_len);
    TAP_MUST(at != NULL && ses_hex_decode(at, body_len, body) == SES_OK);
    at = ses_write_space(&w, 21);
    json_bytes(v, "auth_prefix", at, 21);
    if (kind == SES_AUTH_FIRST) {
        memset(ses_write_space(&w, SES_DSA_PK_BYTES), 0x02, SES_DSA_PK_BYTES);
    }
    memset(ses_write_space(&w, SES_DSA_SIG_BYTES), 0x5a, SES_DSA_SIG_BYTES);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    return w.len;
}

static void check_model_tx(const json_t *v)
{
    struct ses_tx tx;
    struct ses_account payer, want_payer;
    uint64_t nonce = 0, fee = 0;
    const size_t len = model_tx(v);
    TAP_EQ(json_u64(v, "tx_bytes"), len);
    TAP_ERR(SES_OK, ses_tx_decode(&tx, bytes, len));
    TAP_BYTES(json_hash(v, "tx_id").bytes, tx.id.bytes, 32);
    TAP_EQ(strlen(json_string_value(json_object_get(v, "body"))) / 2, tx.signed_len);
    TAP_EQ(tx.auth[0].kind != SES_AUTH_NODE, ses_tx_payment(&tx, &payer, &nonce, &fee));
    if (tx.auth[0].kind == SES_AUTH_NODE) {
        TAP_EQ(0, fee);
        return;
    }
    memcpy(want_payer.bytes, tx.auth[0].signer, 20);
    TAP_BYTES(want_payer.bytes, payer.bytes, 20);
    TAP_EQ(1000000, fee);
    TAP_OK(nonce >= 1 && nonce <= 3);
}

static void test_transactions_of_the_model(void)
{
    json_t *root = model_vectors();
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(json_object_get(root, "codec"), "transactions"), i, v)
    {
        check_model_tx(v);
    }
    TAP_OK(root == NULL || i == 5);
    json_decref(root);
}

static void test_block_of_the_model(void)
{
    json_t *root = model_vectors();
    if (root == NULL) {
        return;
    }
    const json_t *codec = json_object_get(root, "codec");
    const json_t *v = json_object_get(codec, "block");
    struct ses_block block;
    struct ses_writer w;
    ses_writer_init(&w, block_bytes, sizeof block_bytes);
    json_bytes(v, "header", ses_write_space(&w, SES_BLOCK_HEADER_BYTES), SES_BLOCK_HEADER_BYTES);
    for (size_t i = 0; i < 2; i++) {
        const size_t len = model_tx(json_array_get(json_object_get(codec, "transactions"), i));
        ses_write_u32(&w, (uint32_t)len);
        ses_write_bytes(&w, bytes, len);
    }
    TAP_EQ(json_u64(v, "bytes"), w.len);
    TAP_ERR(SES_OK, ses_block_decode(&block, block_bytes, w.len, w.len));
    TAP_BYTES(json_hash(v, "id").bytes, block.id.bytes, 32);
    TAP_EQ(9, block.height);
    TAP_EQ(1800000123, block.timestamp);
    TAP_EQ(2, block.tx_cnt);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_block_decode(&block, block_bytes, w.len, w.len - 1));
    json_decref(root);
}

static size_t sample(void (*write)(struct ses_writer *))
{
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    write(&w);
    TAP_ERR(SES_OK, ses_writer_done(&w));
    return w.len;
}

/* Flips one byte, decodes, flips it back. */
static enum ses_err decode_with(size_t len, size_t at, uint8_t value)
{
    struct ses_tx tx;
    const uint8_t old = bytes[at];
    bytes[at] = value;
    const enum ses_err err = ses_tx_decode(&tx, bytes, len);
    bytes[at] = old;
    TAP_OK(err == SES_OK || (tx.len == 0 && tx.auth_cnt == 0 && tx.auth[0].signature == NULL));
    return err;
}

static void test_structure(void)
{
    struct ses_tx tx;
    const size_t len = sample(sample_tx_transfer);
    const size_t auth = 2 + 20 + 24;
    TAP_ERR(SES_OK, ses_tx_decode(&tx, bytes, len));
    TAP_EQ(SES_TX_TRANSFER, tx.type);
    TAP_EQ(5000000000, tx.body.transfer.amount);
    TAP_EQ(1, tx.auth_cnt);
    TAP_OK(tx.bytes == bytes && tx.auth[0].signature == bytes + len - SES_DSA_SIG_BYTES);
    TAP_ERR(SES_ERR_VERSION, decode_with(len, 0, 2));
    for (unsigned type = 0; type < 256; type++) {
        if (type == 0 || type > SES_TX_DEMAND) {
            TAP_ERR(SES_ERR_VERSION, decode_with(len, 1, (uint8_t)type));
        }
    }
    TAP_ERR(SES_ERR_MALFORMED, decode_with(len, auth, SES_AUTH_NODE)); /* not a node's type */
    TAP_ERR(SES_ERR_MALFORMED, decode_with(len, auth, 3));
    TAP_ERR(SES_ERR_TRUNCATED, decode_with(len, auth, SES_AUTH_FIRST)); /* wants a key */
    TAP_ERR(SES_ERR_TRUNCATED, ses_tx_decode(&tx, bytes, 0));
    TAP_ERR(SES_ERR_TOO_LARGE, ses_tx_decode(&tx, bytes, SES_TX_BYTES_MAX + 1));
}

static void test_register_structure(void)
{
    struct ses_tx tx;
    const size_t len = sample(sample_tx_register);
    const size_t node_auth = len - SES_DSA_SIG_BYTES - 21;
    const size_t owner_auth = node_auth - SES_DSA_SIG_BYTES - 21;
    TAP_ERR(SES_OK, ses_tx_decode(&tx, bytes, len));
    TAP_EQ(2, tx.auth_cnt);
    TAP_EQ(owner_auth, tx.signed_len);
    TAP_EQ(2, tx.body.reg.endpoint.addr_cnt);
    TAP_ERR(SES_ERR_MALFORMED, decode_with(len, node_auth, SES_AUTH_KNOWN));
    TAP_ERR(SES_ERR_MALFORMED, decode_with(len, owner_auth, SES_AUTH_NODE));
    TAP_ERR(SES_ERR_MALFORMED, decode_with(len, node_auth + 1, 0)); /* another node signs */
    TAP_ERR(SES_ERR_NOT_OWNER, decode_with(len, owner_auth + 1, 0));
}

static struct ses_dsa_private *make_key(uint8_t seed_byte, struct ses_dsa_pk *pk)
{
    struct ses_dsa_private *key = NULL;
    TAP_MUST(ses_dsa_private_new(&key, &(struct ses_dsa_seed){{seed_byte}}) == SES_OK);
    ses_dsa_private_pk(key, pk);
    return key;
}

static void test_sign_transfer(void)
{
    struct ses_dsa_pk pk, other;
    struct ses_dsa_private *key = make_key(1, &pk);
    struct ses_hash chain_id = model_name("chain", 0);
    struct ses_tx tx = {.type = SES_TX_TRANSFER, .body.transfer = {.amount = 7, .nonce = 1}};
    struct ses_writer w;
    for (unsigned kind = SES_AUTH_KNOWN; kind <= SES_AUTH_FIRST; kind++) {
        ses_writer_init(&w, bytes, sizeof bytes);
        tx.type = SES_TX_TRANSFER;
        ses_tx_write_body(&w, &tx);
        TAP_ERR(SES_OK, ses_tx_sign(&w, &chain_id, bytes, w.len, (enum ses_auth_kind)kind, key,
                                    tap_random()));
        struct ses_tx got;
        TAP_ERR(SES_OK, ses_tx_decode(&got, bytes, w.len));
        TAP_ERR(SES_OK, ses_tx_verify(&got, &chain_id, &pk));
        TAP_ERR(kind == SES_AUTH_KNOWN ? SES_ERR_NOT_FOUND : SES_OK,
                ses_tx_verify(&got, &chain_id, NULL));
        bytes[30] ^= 1; /* the amount */
        TAP_ERR(SES_ERR_SIGNATURE, ses_tx_verify(&got, &chain_id, &pk));
        bytes[30] ^= 1;
        chain_id.bytes[0] ^= 1; /* the same bytes on another chain */
        TAP_ERR(SES_ERR_SIGNATURE, ses_tx_verify(&got, &chain_id, &pk));
        chain_id.bytes[0] ^= 1;
        got.auth[0].signer[0] ^= 1; /* a key that is not the account's */
        TAP_ERR(SES_ERR_SIGNATURE, ses_tx_verify(&got, &chain_id, &pk));
    }
    struct ses_dsa_private *stranger = make_key(2, &other);
    struct ses_tx got;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_tx_write_body(&w, &tx);
    TAP_ERR(SES_OK,
            ses_tx_sign(&w, &chain_id, bytes, w.len, SES_AUTH_KNOWN, stranger, tap_random()));
    TAP_ERR(SES_OK, ses_tx_decode(&got, bytes, w.len));
    TAP_ERR(SES_ERR_SIGNATURE, ses_tx_verify(&got, &chain_id, &pk));
    ses_dsa_private_free(stranger);
    ses_dsa_private_free(key);
}

static void test_sign_register(void)
{
    struct ses_dsa_pk owner_pk;
    struct ses_hash chain_id = model_name("chain", 0);
    struct ses_tx tx = {.type = SES_TX_REGISTER}, got;
    struct ses_dsa_private *owner = make_key(1, &owner_pk);
    struct ses_dsa_private *node = make_key(2, &tx.body.reg.public_key);
    struct ses_writer w;
    ses_account_of(&tx.body.reg.owner, &owner_pk);
    ses_node_id_of(&tx.body.reg.node_id, &tx.body.reg.public_key);
    tx.body.reg.endpoint = sample_endpoint_struct();
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_tx_write_body(&w, &tx);
    const size_t body_len = w.len;
    TAP_ERR(SES_OK,
            ses_tx_sign(&w, &chain_id, bytes, body_len, SES_AUTH_FIRST, owner, tap_random()));
    TAP_ERR(SES_OK, ses_tx_sign(&w, &chain_id, bytes, body_len, SES_AUTH_NODE, node, tap_random()));
    TAP_ERR(SES_OK, ses_tx_decode(&got, bytes, w.len));
    TAP_ERR(SES_OK, ses_tx_verify(&got, &chain_id, NULL));
    bytes[w.len - 1] ^= 1; /* the node's signature */
    TAP_ERR(SES_ERR_SIGNATURE, ses_tx_verify(&got, &chain_id, NULL));
    bytes[w.len - 1] ^= 1;
    got.body.reg.public_key.bytes[0] ^= 1; /* another key under this node id */
    TAP_ERR(SES_ERR_SIGNATURE, ses_tx_verify(&got, &chain_id, NULL));
    TAP_ERR(SES_ERR_INVALID,
            ses_tx_sign(&w, &chain_id, bytes, sizeof bytes, SES_AUTH_NODE, node, tap_random()));
    ses_dsa_private_free(owner);
    ses_dsa_private_free(node);
}

/* Bodies with random numbers come back as they went. */
static void test_random_bodies(void)
{
    for (unsigned i = 0; i < 200; i++) {
        struct ses_tx tx = {.type = (enum ses_tx_type)(1 + i % 4)}, got;
        struct ses_writer w;
        const unsigned signer = i % 4 == 1 ? 0x22 : i;
        ses_random_fill(tap_random(), &tx.body, sizeof tx.body);
        if (tx.type == SES_TX_REGISTER) {
            tx.body.reg.endpoint = sample_endpoint_struct();
            FILL(tx.body.reg.owner, 0x22);
            FILL(tx.body.reg.node_id, 0xA0);
        }
        ses_writer_init(&w, bytes, sizeof bytes);
        ses_tx_write_body(&w, &tx);
        sample_auth(&w, i % 8 < 4 ? SES_AUTH_KNOWN : SES_AUTH_FIRST, signer);
        if (tx.type == SES_TX_REGISTER) {
            sample_auth(&w, SES_AUTH_NODE, 0xA0);
        }
        TAP_ERR(SES_OK, ses_tx_decode(&got, bytes, w.len));
        static uint8_t again[SES_TX_BYTES_MAX];
        struct ses_writer w2;
        ses_writer_init(&w2, again, sizeof again);
        TAP_ERR(SES_OK, kind_recode(KIND_TX, bytes, w.len, &w2));
        TAP_EQ(w.len, w2.len);
        TAP_BYTES(bytes, again, w.len);
    }
}

static size_t block_of(uint16_t tx_cnt, uint32_t first_len)
{
    const struct ses_block block = sample_block_struct(tx_cnt);
    struct ses_writer w;
    ses_writer_init(&w, block_bytes, sizeof block_bytes);
    ses_block_write_header(&w, &block);
    for (unsigned i = 0; i < tx_cnt && i < 2; i++) {
        ses_write_u32(&w, first_len);
        (void)ses_write_space(&w, first_len);
    }
    TAP_ERR(SES_OK, ses_writer_done(&w));
    return w.len;
}

static void test_block_structure(void)
{
    struct ses_block block;
    struct ses_reader r;
    size_t len = block_of(2, 10);
    TAP_ERR(SES_OK, ses_block_decode(&block, block_bytes, len, 1000000));
    TAP_ERR(SES_ERR_TRUNCATED, ses_block_decode(&block, block_bytes, len - 1, 1000000));
    TAP_EQ(0, block.height); /* zeros after an error */
    TAP_ERR(SES_ERR_MALFORMED, ses_block_decode(&block, block_bytes, len + 1, 1000000));
    size_t tx_len;
    unsigned cnt = 0;
    ses_reader_init(&r, block_bytes + SES_BLOCK_HEADER_BYTES, len - SES_BLOCK_HEADER_BYTES);
    while (ses_block_next_tx(&r, &tx_len) != NULL) {
        TAP_EQ(10, tx_len);
        cnt++;
    }
    TAP_EQ(2, cnt);
    len = block_of(1, 0); /* an empty transaction */
    TAP_ERR(SES_ERR_TRUNCATED, ses_block_decode(&block, block_bytes, len, 1000000));
    len = block_of(2, 1);
    ses_put_u32(block_bytes + SES_BLOCK_HEADER_BYTES, 0);
    TAP_ERR(SES_ERR_MALFORMED, ses_block_decode(&block, block_bytes, len, 1000000));
    len = block_of(1, SES_TX_BYTES_MAX + 1);
    TAP_ERR(SES_ERR_TOO_LARGE, ses_block_decode(&block, block_bytes, len, 1000000));
    len = block_of(65535, 10); /* more transactions than bytes */
    TAP_ERR(SES_ERR_TRUNCATED, ses_block_decode(&block, block_bytes, len, 1000000));
    len = block_of(0, 0);
    block_bytes[0] = 2;
    TAP_ERR(SES_ERR_VERSION, ses_block_decode(&block, block_bytes, len, 1000000));
}

static void test_type_text(void)
{
    TAP_TEXT("transfer", ses_tx_type_text(SES_TX_TRANSFER));
    TAP_TEXT("register", ses_tx_type_text(SES_TX_REGISTER));
    TAP_TEXT("top-up", ses_tx_type_text(SES_TX_TOP_UP));
    TAP_TEXT("decommission", ses_tx_type_text(SES_TX_DECOMMISSION));
    TAP_TEXT("commitment", ses_tx_type_text(SES_TX_COMMITMENT));
    TAP_TEXT("response", ses_tx_type_text(SES_TX_RESPONSE));
    TAP_TEXT("rotate-key", ses_tx_type_text(SES_TX_ROTATE_KEY));
    TAP_TEXT("endpoint", ses_tx_type_text(SES_TX_ENDPOINT));
    TAP_TEXT("demand", ses_tx_type_text(SES_TX_DEMAND));
    TAP_TEXT("unknown", ses_tx_type_text((enum ses_tx_type)10));
}

static void test_lux_text(void)
{
    static const struct {
        uint64_t nlux;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "0.000000001"},
        {500000000, "0.5"},
        {12500000000, "12.5"},
        {100000000000, "100"},
        {1000000001, "1.000000001"},
        {UINT64_MAX, "18446744073.709551615"},
    };
    for (size_t i = 0; i < SES_COUNT(cases); i++) {
        char text[SES_LUX_TEXT_MAX];
        ses_lux_text(text, cases[i].nlux);
        TAP_TEXT(cases[i].text, text);
    }
}

int main(void)
{
    TAP_RUN(test_transactions_of_the_model);
    TAP_RUN(test_block_of_the_model);
    TAP_RUN(test_structure);
    TAP_RUN(test_register_structure);
    TAP_RUN(test_sign_transfer);
    TAP_RUN(test_sign_register);
    TAP_RUN(test_random_bodies);
    TAP_RUN(test_block_structure);
    TAP_RUN(test_type_text);
    TAP_RUN(test_lux_text);
    return tap_done();
}
