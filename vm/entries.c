/* Keys to values in a hash table that remembers the order of insertion. */
#include "vm/vm_internal.h"

#define SLOTS_MIN 16u

/* Ids can be ground to collide under a fixed function: the table's address, which nobody outside
 * knows, takes part. The order of slots is never visible. */
static uint32_t slot_of(const struct ses_entries *e, const struct ses_state_key *key)
{
    uint64_t h = (uint64_t)(uintptr_t)e * 0x9E3779B97F4A7C15u;
    uint8_t padded[32] = {0};
    memcpy(padded, key->bytes, key->len);
    padded[31] = key->len;
    for (size_t i = 0; i < sizeof(padded); i += 8) {
        h = (h ^ ses_get_u64(padded + i)) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    return (uint32_t)h & (e->slot_cnt - 1);
}

static bool same_key(const struct ses_state_key *a, const struct ses_state_key *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

void ses_entries_free(struct ses_entries *e)
{
    for (uint32_t i = 0; i < e->cnt; i++) {
        ses_free(e->list[i].value);
    }
    ses_free(e->list);
    ses_free(e->slots);
    *e = (struct ses_entries){0};
}

struct ses_entry *ses_entries_find(const struct ses_entries *e, const struct ses_state_key *key)
{
    if (e->slot_cnt == 0) {
        return NULL;
    }
    uint32_t slot = slot_of(e, key);
    while (e->slots[slot] != 0) {
        struct ses_entry *entry = &e->list[e->slots[slot] - 1];
        if (same_key(&entry->key, key)) {
            return entry;
        }
        slot = (slot + 1) & (e->slot_cnt - 1);
    }
    return NULL;
}

static void place(struct ses_entries *e, uint32_t index)
{
    uint32_t slot = slot_of(e, &e->list[index].key);
    while (e->slots[slot] != 0) {
        slot = (slot + 1) & (e->slot_cnt - 1);
    }
    e->slots[slot] = index + 1;
}

enum ses_err ses_entries_reserve(struct ses_entries *e, uint32_t more)
{
    SES_REQUIRE(more <= (1u << 29) - e->cnt, SES_ERR_FULL);
    const uint32_t want = e->cnt + more;
    if (want > e->cap) {
        const uint32_t cap = want > 2 * e->cap ? want : 2 * e->cap;
        struct ses_entry *list = ses_realloc(e->list, cap, sizeof(*list));
        SES_REQUIRE(list != NULL, SES_ERR_MEMORY);
        e->list = list;
        e->cap = cap;
    }
    uint32_t slot_cnt = e->slot_cnt == 0 ? SLOTS_MIN : e->slot_cnt;
    while (slot_cnt < 2 * want) {
        slot_cnt *= 2;
    }
    if (slot_cnt != e->slot_cnt) {
        uint32_t *slots = ses_alloc(slot_cnt, sizeof(*slots));
        SES_REQUIRE(slots != NULL, SES_ERR_MEMORY);
        ses_free(e->slots);
        e->slots = slots;
        e->slot_cnt = slot_cnt;
        for (uint32_t i = 0; i < e->cnt; i++) {
            place(e, i);
        }
    }
    return SES_OK;
}

void ses_entries_take(struct ses_entries *e, const struct ses_state_key *key, uint8_t *value,
                      uint32_t len, bool removed)
{
    struct ses_entry *entry = ses_entries_find(e, key);
    if (entry == NULL) {
        SES_ASSERT(e->cnt < e->cap && 2 * (e->cnt + 1) <= e->slot_cnt);
        entry = &e->list[e->cnt];
        *entry = (struct ses_entry){.key = *key};
        place(e, e->cnt++);
    }
    ses_free(entry->value);
    entry->value = value;
    entry->value_len = len;
    entry->removed = removed;
}

enum ses_err ses_entries_put(struct ses_entries *e, const struct ses_state_key *key,
                             const void *value, size_t len)
{
    SES_REQUIRE(len <= UINT32_MAX, SES_ERR_TOO_LARGE);
    SES_TRY(ses_entries_reserve(e, 1));
    uint8_t *copy = ses_alloc(len == 0 ? 1 : len, 1);
    SES_REQUIRE(copy != NULL, SES_ERR_MEMORY);
    if (len > 0) {
        memcpy(copy, value, len);
    }
    ses_entries_take(e, key, copy, (uint32_t)len, false);
    return SES_OK;
}
