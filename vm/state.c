/* The state as layers: the accepted one at the bottom, one above for each undecided block. */
#include "vm/vm_internal.h"

#define KEYS_BYTES_MAX (SES_DSA_PK_BYTES + 2u * SES_KEM_PK_BYTES + 1u)
#define NODE_BYTES_MAX 512u

struct ses_state_key ses_state_key(enum ses_state_table table, const uint8_t id[20])
{
    struct ses_state_key key = {.len = 21};
    key.bytes[0] = (uint8_t)table;
    memcpy(key.bytes + 1, id, 20);
    return key;
}

struct ses_state_key ses_state_key_slot(enum ses_state_table table, const uint8_t id[20],
                                        uint8_t slot)
{
    struct ses_state_key key = ses_state_key(table, id);
    key.bytes[key.len++] = slot;
    return key;
}

struct ses_state_key ses_state_key_single(enum ses_state_table table)
{
    struct ses_state_key key = {.len = 1};
    key.bytes[0] = (uint8_t)table;
    return key;
}

bool ses_state_key_cold(const struct ses_state_key *key)
{
    const uint8_t table = key->bytes[0];
    return table == SES_STATE_ACCOUNT_KEY || table == SES_STATE_NODE_KEYS ||
           table == SES_STATE_ENDPOINT;
}

static const struct ses_entry *find(const struct ses_layer *layer, const struct ses_state_key *key)
{
    for (; layer != NULL; layer = layer->parent) {
        const struct ses_entry *entry = ses_entries_find(&layer->entries, key);
        if (entry != NULL) {
            return entry;
        }
    }
    return NULL;
}

const uint8_t *ses_state_hot(const struct ses_layer *layer, const struct ses_state_key *key,
                             size_t *len)
{
    SES_ASSERT(!ses_state_key_cold(key));
    const struct ses_entry *entry = find(layer, key);
    if (entry == NULL || entry->removed) {
        *len = 0;
        return NULL;
    }
    *len = entry->value_len;
    return entry->value;
}

enum ses_err ses_state_load(const struct ses_layer *layer, const struct ses_state_key *key,
                            struct ses_buf *out)
{
    const struct ses_entry *entry = find(layer, key);
    if (entry != NULL) {
        SES_REQUIRE(!entry->removed, SES_ERR_NOT_FOUND);
        return ses_buf_append(out, entry->value, entry->value_len);
    }
    SES_REQUIRE(ses_state_key_cold(key), SES_ERR_NOT_FOUND);
    return ses_ledger_get(layer->kv, SES_STORE_STATE, key->bytes, key->len, out);
}

enum ses_err ses_state_put(struct ses_layer *layer, const struct ses_state_key *key,
                           const void *value, size_t len)
{
    if (!ses_state_key_cold(key)) {
        size_t old_len = 0;
        const uint8_t *old = ses_state_hot(layer, key, &old_len);
        if (old != NULL && old_len == len && memcmp(old, value, len) == 0) {
            return SES_OK;
        }
    }
    return ses_entries_put(&layer->entries, key, value, len);
}

enum ses_err ses_state_remove(struct ses_layer *layer, const struct ses_state_key *key)
{
    size_t len = 0;
    if (ses_state_hot(layer, key, &len) == NULL) {
        return SES_OK;
    }
    SES_TRY(ses_entries_reserve(&layer->entries, 1));
    ses_entries_take(&layer->entries, key, NULL, 0, true);
    return SES_OK;
}

/* ---- accounts ---- */

void ses_account_load(const struct ses_layer *layer, const struct ses_account *account,
                      struct ses_account_state *out)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_ACCOUNT, account->bytes);
    struct ses_reader r;
    size_t len = 0;
    const uint8_t *value = ses_state_hot(layer, &key, &len);
    *out = (struct ses_account_state){0};
    if (value == NULL) {
        return;
    }
    ses_reader_init(&r, value, len);
    out->balance = ses_read_u64(&r);
    out->nonce = ses_read_u64(&r);
    out->has_key = ses_read_u8(&r) == 1;
    SES_ASSERT(ses_reader_done(&r) == SES_OK);
}

enum ses_err ses_account_store(struct ses_layer *layer, const struct ses_account *account,
                               const struct ses_account_state *state)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_ACCOUNT, account->bytes);
    uint8_t bytes[SES_ACCOUNT_STATE_BYTES];
    ses_put_u64(bytes, state->balance);
    ses_put_u64(bytes + 8, state->nonce);
    bytes[16] = state->has_key ? 1 : 0;
    return ses_state_put(layer, &key, bytes, sizeof(bytes));
}

enum ses_err ses_account_key_load(const struct ses_layer *layer, const struct ses_account *account,
                                  struct ses_dsa_pk *out)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_ACCOUNT_KEY, account->bytes);
    struct ses_buf buf = {0};
    enum ses_err err = ses_state_load(layer, &key, &buf);
    if (err == SES_OK && buf.len != sizeof(out->bytes)) {
        err = SES_ERR_CHECKSUM;
    }
    memset(out, 0, sizeof(*out));
    if (err == SES_OK) {
        memcpy(out->bytes, buf.bytes, sizeof(out->bytes));
    }
    ses_buf_free(&buf);
    return err;
}

/* ---- nodes ---- */

bool ses_node_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                   struct ses_node *out)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_NODE, node_id->bytes);
    struct ses_reader r;
    size_t len = 0;
    const uint8_t *value = ses_state_hot(layer, &key, &len);
    if (value == NULL) {
        memset(out, 0, sizeof(*out));
        return false;
    }
    ses_reader_init(&r, value, len);
    ses_node_read(&r, out);
    SES_ASSERT(ses_reader_done(&r) == SES_OK);
    return true;
}

enum ses_err ses_node_store(struct ses_layer *layer, const struct ses_node *node)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_NODE, node->node_id.bytes);
    uint8_t bytes[NODE_BYTES_MAX];
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_node_write(&w, node);
    SES_TRY(ses_writer_done(&w));
    return ses_state_put(layer, &key, bytes, w.len);
}

enum ses_err ses_node_keys_store(struct ses_layer *layer, const struct ses_node_id *node_id,
                                 const struct ses_node_keys *keys,
                                 const struct ses_endpoint *endpoint)
{
    struct ses_state_key key = ses_state_key(SES_STATE_NODE_KEYS, node_id->bytes);
    uint8_t bytes[KEYS_BYTES_MAX + SES_ENDPOINT_BYTES_MAX];
    struct ses_hash hash;
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof(bytes));
    ses_node_keys_write(&w, keys);
    const size_t keys_len = w.len;
    ses_endpoint_write(&w, endpoint);
    SES_TRY(ses_writer_done(&w));
    ses_node_keys_hash(&hash, keys, endpoint);
    SES_TRY(ses_state_put(layer, &key, bytes, keys_len));
    key.bytes[0] = SES_STATE_ENDPOINT;
    SES_TRY(ses_state_put(layer, &key, bytes + keys_len, w.len - keys_len));
    key.bytes[0] = SES_STATE_KEYS_HASH;
    return ses_state_put(layer, &key, hash.bytes, sizeof(hash.bytes));
}

enum ses_err ses_node_keys_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                                struct ses_node_keys *keys, struct ses_endpoint *endpoint)
{
    struct ses_state_key key = ses_state_key(SES_STATE_NODE_KEYS, node_id->bytes);
    struct ses_buf buf = {0};
    struct ses_reader r;
    enum ses_err err = ses_state_load(layer, &key, &buf);
    if (err == SES_OK) {
        key.bytes[0] = SES_STATE_ENDPOINT;
        err = ses_state_load(layer, &key, &buf);
    }
    if (err == SES_OK) {
        ses_reader_init(&r, buf.bytes, buf.len);
        ses_node_keys_read(&r, keys);
        ses_endpoint_read(&r, endpoint);
        err = ses_reader_done(&r);
    }
    ses_buf_free(&buf);
    return err;
}

enum ses_err ses_node_dsa_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                               struct ses_dsa_pk *out)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_NODE_KEYS, node_id->bytes);
    struct ses_buf buf = {0};
    enum ses_err err = ses_state_load(layer, &key, &buf);
    if (err == SES_OK && buf.len < sizeof(out->bytes)) {
        err = SES_ERR_CHECKSUM;
    }
    memset(out, 0, sizeof(*out));
    if (err == SES_OK) {
        memcpy(out->bytes, buf.bytes, sizeof(out->bytes)); /* keys begin with it */
    }
    ses_buf_free(&buf);
    return err;
}

bool ses_keys_hash_load(const struct ses_layer *layer, const struct ses_node_id *node_id,
                        struct ses_hash *out)
{
    const struct ses_state_key key = ses_state_key(SES_STATE_KEYS_HASH, node_id->bytes);
    size_t len = 0;
    const uint8_t *value = ses_state_hot(layer, &key, &len);
    if (value == NULL || len != sizeof(out->bytes)) {
        return false;
    }
    memcpy(out->bytes, value, sizeof(out->bytes));
    return true;
}

/* ---- totals ---- */

void ses_totals_load(const struct ses_layer *layer, struct ses_totals *out)
{
    const struct ses_state_key key = ses_state_key_single(SES_STATE_TOTALS);
    size_t len = 0;
    const uint8_t *value = ses_state_hot(layer, &key, &len);
    *out = (struct ses_totals){0};
    if (value != NULL && len == 16) {
        out->bonded = ses_get_u64(value);
        out->burned = ses_get_u64(value + 8);
    }
}

enum ses_err ses_totals_store(struct ses_layer *layer, const struct ses_totals *totals)
{
    const struct ses_state_key key = ses_state_key_single(SES_STATE_TOTALS);
    uint8_t bytes[16];
    ses_put_u64(bytes, totals->bonded);
    ses_put_u64(bytes + 8, totals->burned);
    return ses_state_put(layer, &key, bytes, sizeof(bytes));
}
