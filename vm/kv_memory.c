/* A database in memory: a sorted array. A batch is sorted and merged in one pass, or not at all. */
#include "vm/vm_internal.h"

struct pair {
    uint8_t *key;
    size_t key_len;
    uint8_t *value; /* NULL in a batch: removes */
    size_t value_len;
    size_t seq; /* in a batch: a later change of a key wins */
};
struct ses_kv_memory {
    struct pair *pairs; /* by key, unique */
    size_t cnt;
    uint64_t fail_in;
};

enum ses_err ses_kv_memory_new(struct ses_kv_memory **out)
{
    *out = ses_alloc(1, sizeof(**out));
    return *out == NULL ? SES_ERR_MEMORY : SES_OK;
}

static void pairs_free(struct pair *pairs, size_t cnt)
{
    for (size_t i = 0; pairs != NULL && i < cnt; i++) {
        ses_free(pairs[i].key);
        ses_free(pairs[i].value);
    }
    ses_free(pairs);
}

void ses_kv_memory_free(struct ses_kv_memory *m)
{
    if (m != NULL) {
        pairs_free(m->pairs, m->cnt);
        ses_free(m);
    }
}

void ses_kv_memory_fail_at(struct ses_kv_memory *m, uint64_t n)
{
    m->fail_in = n;
}

static int compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    const size_t common = a_len < b_len ? a_len : b_len;
    const int order = common == 0 ? 0 : memcmp(a, b, common);
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int by_key(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;
    const int order = compare(x->key, x->key_len, y->key, y->key_len);
    return order != 0 ? order : (x->seq > y->seq) - (x->seq < y->seq);
}

/* First pair whose key is not less. */
static size_t lower_bound(const struct ses_kv_memory *m, const uint8_t *key, size_t key_len)
{
    size_t low = 0;
    size_t high = m->cnt;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (compare(m->pairs[mid].key, m->pairs[mid].key_len, key, key_len) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static enum ses_err get(void *ctx, const uint8_t *key, size_t key_len, struct ses_buf *out)
{
    const struct ses_kv_memory *m = ctx;
    const size_t at = lower_bound(m, key, key_len);
    SES_REQUIRE(at < m->cnt && compare(m->pairs[at].key, m->pairs[at].key_len, key, key_len) == 0,
                SES_ERR_NOT_FOUND);
    return ses_buf_append(out, m->pairs[at].value, m->pairs[at].value_len);
}

static uint8_t *copy_of(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = ses_alloc(len == 0 ? 1 : len, 1);
    if (copy != NULL && len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

static enum ses_err copy_batch(struct pair *batch, const struct ses_kv_change *changes, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        batch[i].key = copy_of(changes[i].key, changes[i].key_len);
        batch[i].key_len = changes[i].key_len;
        batch[i].seq = i;
        SES_REQUIRE(batch[i].key != NULL, SES_ERR_MEMORY);
        if (changes[i].value != NULL) {
            batch[i].value = copy_of(changes[i].value, changes[i].value_len);
            batch[i].value_len = changes[i].value_len;
            SES_REQUIRE(batch[i].value != NULL, SES_ERR_MEMORY);
        }
    }
    return SES_OK;
}

/* Takes `pair` or frees it. */
static void emit(struct pair *out, size_t *cnt, struct pair *pair, bool keep)
{
    if (keep) {
        out[(*cnt)++] = *pair;
    } else {
        ses_free(pair->key);
        ses_free(pair->value);
    }
}

static void merge(struct ses_kv_memory *m, struct pair *merged, struct pair *batch, size_t cnt)
{
    size_t out = 0;
    size_t old = 0;
    for (size_t i = 0; i < cnt; i++) {
        const bool last = i + 1 == cnt || compare(batch[i].key, batch[i].key_len, batch[i + 1].key,
                                                  batch[i + 1].key_len) != 0;
        int order = -1;
        while (old < m->cnt && order < 0) {
            order =
                compare(m->pairs[old].key, m->pairs[old].key_len, batch[i].key, batch[i].key_len);
            if (order <= 0) {
                emit(merged, &out, &m->pairs[old++], order < 0);
            }
        }
        emit(merged, &out, &batch[i], last && batch[i].value != NULL);
    }
    while (old < m->cnt) {
        merged[out++] = m->pairs[old++];
    }
    ses_free(m->pairs);
    m->pairs = merged;
    m->cnt = out;
}

static enum ses_err write_batch(void *ctx, const struct ses_kv_change *changes, size_t cnt)
{
    struct ses_kv_memory *m = ctx;
    if (m->fail_in > 0 && --m->fail_in == 0) {
        return SES_ERR_IO;
    }
    struct pair *batch = ses_alloc(cnt == 0 ? 1 : cnt, sizeof(*batch));
    struct pair *merged = ses_alloc(m->cnt + cnt + 1, sizeof(*merged));
    enum ses_err err = batch == NULL || merged == NULL ? SES_ERR_MEMORY : SES_OK;
    if (err == SES_OK) {
        err = copy_batch(batch, changes, cnt);
    }
    if (err != SES_OK) {
        pairs_free(batch, cnt);
        ses_free(merged);
        return err;
    }
    qsort(batch, cnt, sizeof(*batch), by_key);
    merge(m, merged, batch, cnt);
    ses_free(batch);
    return SES_OK;
}

static enum ses_err iterate(void *ctx, const uint8_t *prefix, size_t prefix_len,
                            const uint8_t *from, size_t from_len,
                            bool (*each)(void *cookie, const uint8_t *key, size_t key_len,
                                         const uint8_t *value, size_t value_len),
                            void *cookie)
{
    const struct ses_kv_memory *m = ctx;
    const bool from_prefix = compare(from, from_len, prefix, prefix_len) < 0;
    size_t at = from_prefix ? lower_bound(m, prefix, prefix_len) : lower_bound(m, from, from_len);
    for (; at < m->cnt; at++) {
        const struct pair *pair = &m->pairs[at];
        if (pair->key_len < prefix_len ||
            (prefix_len > 0 && memcmp(pair->key, prefix, prefix_len) != 0) ||
            !each(cookie, pair->key, pair->key_len, pair->value, pair->value_len)) {
            break;
        }
    }
    return SES_OK;
}

struct ses_kv ses_kv_memory_kv(struct ses_kv_memory *m)
{
    return (struct ses_kv){.ctx = m, .get = get, .write_batch = write_batch, .iterate = iterate};
}
