/* What a recipient remembers between two fetches: how far each node was read, and which records and
 * messages were seen. Sorted arrays: small, searched often, and equal sets are equal bytes. */
#include <string.h>

#include "messaging/messaging.h"

#define STATE_VERSION 1u
#define SEEN_BYTES 24u
#define CURSOR_BYTES (20u + 2u + SES_CURSOR_BYTES + 8u)

void ses_inbox_free(struct ses_inbox_state *state)
{
    ses_free(state->seen);
    ses_free(state->cursors);
    *state = (struct ses_inbox_state){0};
}

/* ---- seen ---- */

static void record_key(uint8_t key[16], const struct ses_hash *id)
{
    memcpy(key, id->bytes, 16);
}

/* Another domain than record ids, which are BLAKE3 with a key. */
static void message_key(uint8_t key[16], const struct ses_session_id *sender,
                        const uint8_t uuid[16])
{
    uint8_t bytes[33 + 16];
    struct ses_hash hash;
    memcpy(bytes, sender->bytes, 33);
    memcpy(bytes + 33, uuid, 16);
    ses_blake3_hash(&hash, bytes, sizeof bytes);
    memcpy(key, hash.bytes, 16);
}

/* Least index whose key is not below `key`. */
static uint32_t seen_find(const struct ses_inbox_state *state, const uint8_t key[16], bool *there)
{
    uint32_t low = 0;
    uint32_t high = state->seen_cnt;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        if (memcmp(state->seen[mid].key, key, 16) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *there = low < state->seen_cnt && memcmp(state->seen[low].key, key, 16) == 0;
    return low;
}

static void seen_remove(struct ses_inbox_state *state, uint32_t at)
{
    state->seen_cnt--;
    memmove(&state->seen[at], &state->seen[at + 1], (state->seen_cnt - at) * sizeof state->seen[0]);
}

static void seen_drop_oldest(struct ses_inbox_state *state)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < state->seen_cnt; i++) {
        if (state->seen[i].until_ms < state->seen[oldest].until_ms) {
            oldest = i;
        }
    }
    seen_remove(state, oldest);
}

static enum ses_err seen_room(struct ses_inbox_state *state)
{
    if (state->seen_cnt < state->seen_cap) {
        return SES_OK;
    }
    const uint32_t cap = state->seen_cap < 64 ? 64 : state->seen_cap * 2;
    struct ses_seen_entry *seen = ses_realloc(state->seen, cap, sizeof *seen);
    SES_REQUIRE(seen != NULL, SES_ERR_MEMORY);
    state->seen = seen;
    state->seen_cap = cap;
    return SES_OK;
}

enum ses_err ses_inbox_see_key(struct ses_inbox_state *state, const uint8_t key[16],
                               uint64_t until_ms)
{
    bool there;
    uint32_t at = seen_find(state, key, &there);
    if (!there && state->seen_cnt >= SES_SEEN_MAX) {
        seen_drop_oldest(state);
        at = seen_find(state, key, &there);
    }
    if (there) {
        if (state->seen[at].until_ms < until_ms) {
            state->seen[at].until_ms = until_ms;
        }
        return SES_OK;
    }
    SES_TRY(seen_room(state));
    memmove(&state->seen[at + 1], &state->seen[at], (state->seen_cnt - at) * sizeof state->seen[0]);
    memcpy(state->seen[at].key, key, 16);
    state->seen[at].until_ms = until_ms;
    state->seen_cnt++;
    return SES_OK;
}

bool ses_inbox_saw_record(const struct ses_inbox_state *state, const struct ses_hash *id)
{
    uint8_t key[16];
    bool there;
    record_key(key, id);
    (void)seen_find(state, key, &there);
    return there;
}

bool ses_inbox_saw_message(const struct ses_inbox_state *state, const struct ses_session_id *sender,
                           const uint8_t uuid[16])
{
    uint8_t key[16];
    bool there;
    message_key(key, sender, uuid);
    (void)seen_find(state, key, &there);
    return there && !SES_MUTANT(REPLAYS_NOT_SEEN);
}

enum ses_err ses_inbox_see_record(struct ses_inbox_state *state, const struct ses_hash *id,
                                  uint64_t now_ms)
{
    uint8_t key[16];
    record_key(key, id);
    return ses_inbox_see_key(state, key, now_ms + SES_SEEN_KEEP_MS);
}

enum ses_err ses_inbox_see_message(struct ses_inbox_state *state,
                                   const struct ses_session_id *sender, const uint8_t uuid[16],
                                   uint64_t now_ms)
{
    uint8_t key[16];
    message_key(key, sender, uuid);
    return ses_inbox_see_key(state, key, now_ms + SES_SEEN_KEEP_MS);
}

/* ---- cursors ---- */

static int cursor_order(const struct ses_inbox_cursor *c, const struct ses_node_id *node_id,
                        int16_t ns)
{
    const int order = memcmp(c->node_id.bytes, node_id->bytes, sizeof node_id->bytes);
    return order != 0 ? order : (c->ns > ns) - (c->ns < ns);
}

static uint32_t cursor_find(const struct ses_inbox_state *state, const struct ses_node_id *node_id,
                            int16_t ns, bool *there)
{
    uint32_t at = 0;
    while (at < state->cursor_cnt && cursor_order(&state->cursors[at], node_id, ns) < 0) {
        at++;
    }
    *there = at < state->cursor_cnt && cursor_order(&state->cursors[at], node_id, ns) == 0;
    return at;
}

void ses_inbox_cursor_get(const struct ses_inbox_state *state, const struct ses_node_id *node_id,
                          int16_t ns, struct ses_cursor *out)
{
    bool there;
    memset(out, 0, sizeof *out);
    const uint32_t at = cursor_find(state, node_id, ns, &there);
    if (there) {
        *out = state->cursors[at].cursor;
    }
}

static void cursor_drop_oldest(struct ses_inbox_state *state)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < state->cursor_cnt; i++) {
        if (state->cursors[i].used_ms < state->cursors[oldest].used_ms) {
            oldest = i;
        }
    }
    state->cursor_cnt--;
    memmove(&state->cursors[oldest], &state->cursors[oldest + 1],
            (state->cursor_cnt - oldest) * sizeof state->cursors[0]);
}

static enum ses_err cursor_room(struct ses_inbox_state *state)
{
    if (state->cursor_cnt < state->cursor_cap) {
        return SES_OK;
    }
    const uint32_t cap = state->cursor_cap < 16 ? 16 : state->cursor_cap * 2;
    struct ses_inbox_cursor *cursors = ses_realloc(state->cursors, cap, sizeof *cursors);
    SES_REQUIRE(cursors != NULL, SES_ERR_MEMORY);
    state->cursors = cursors;
    state->cursor_cap = cap;
    return SES_OK;
}

enum ses_err ses_inbox_cursor_set(struct ses_inbox_state *state, const struct ses_node_id *node_id,
                                  int16_t ns, const struct ses_cursor *cursor, uint64_t now_ms)
{
    bool there;
    uint32_t at = cursor_find(state, node_id, ns, &there);
    if (!there) {
        if (state->cursor_cnt >= SES_CURSORS_MAX) {
            cursor_drop_oldest(state);
            at = cursor_find(state, node_id, ns, &there);
        }
        SES_TRY(cursor_room(state));
        memmove(&state->cursors[at + 1], &state->cursors[at],
                (state->cursor_cnt - at) * sizeof state->cursors[0]);
        memset(&state->cursors[at], 0, sizeof state->cursors[at]);
        state->cursors[at].node_id = *node_id;
        state->cursors[at].ns = ns;
        state->cursor_cnt++;
    }
    state->cursors[at].cursor = *cursor;
    state->cursors[at].used_ms = now_ms;
    return SES_OK;
}

void ses_inbox_prune(struct ses_inbox_state *state, uint64_t now_ms)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < state->seen_cnt; i++) {
        if (state->seen[i].until_ms > now_ms) {
            state->seen[kept++] = state->seen[i];
        }
    }
    state->seen_cnt = kept;
}

/* ---- bytes ---- */

enum ses_err ses_inbox_encode(struct ses_buf *out, const struct ses_inbox_state *state)
{
    struct ses_writer w;
    const size_t room = 1u + 4u + 4u + (size_t)state->cursor_cnt * CURSOR_BYTES +
                        (size_t)state->seen_cnt * SEEN_BYTES;
    SES_TRY(ses_buf_reserve(out, room));
    ses_writer_init(&w, out->bytes + out->len, room);
    ses_write_u8(&w, STATE_VERSION);
    ses_write_u32(&w, state->cursor_cnt);
    for (uint32_t i = 0; i < state->cursor_cnt; i++) {
        const struct ses_inbox_cursor *c = &state->cursors[i];
        ses_write_bytes(&w, c->node_id.bytes, sizeof c->node_id.bytes);
        ses_write_u16(&w, (uint16_t)c->ns);
        ses_write_bytes(&w, c->cursor.bytes, sizeof c->cursor.bytes);
        ses_write_u64(&w, c->used_ms);
    }
    ses_write_u32(&w, state->seen_cnt);
    for (uint32_t i = 0; i < state->seen_cnt; i++) {
        ses_write_bytes(&w, state->seen[i].key, sizeof state->seen[i].key);
        ses_write_u64(&w, state->seen[i].until_ms);
    }
    SES_TRY(ses_writer_done(&w));
    out->len += w.len;
    return SES_OK;
}

static enum ses_err read_cursors(struct ses_reader *r, struct ses_inbox_state *state)
{
    const uint32_t cnt = ses_read_u32(r);
    ses_reader_check(r, cnt <= SES_CURSORS_MAX && cnt <= r->left / CURSOR_BYTES, SES_ERR_MALFORMED);
    for (uint32_t i = 0; r->err == SES_OK && i < cnt; i++) {
        SES_TRY(cursor_room(state));
        struct ses_inbox_cursor *c = &state->cursors[i];
        memset(c, 0, sizeof *c);
        ses_read_bytes(r, c->node_id.bytes, sizeof c->node_id.bytes);
        c->ns = (int16_t)ses_read_u16(r);
        ses_read_bytes(r, c->cursor.bytes, sizeof c->cursor.bytes);
        c->used_ms = ses_read_u64(r);
        ses_reader_check(r, i == 0 || cursor_order(c - 1, &c->node_id, c->ns) < 0,
                         SES_ERR_MALFORMED);
        state->cursor_cnt++;
    }
    return SES_OK;
}

static enum ses_err read_seen(struct ses_reader *r, struct ses_inbox_state *state)
{
    const uint32_t cnt = ses_read_u32(r);
    ses_reader_check(r, cnt <= SES_SEEN_MAX && cnt <= r->left / SEEN_BYTES, SES_ERR_MALFORMED);
    for (uint32_t i = 0; r->err == SES_OK && i < cnt; i++) {
        SES_TRY(seen_room(state));
        struct ses_seen_entry *e = &state->seen[i];
        ses_read_bytes(r, e->key, sizeof e->key);
        e->until_ms = ses_read_u64(r);
        ses_reader_check(r, i == 0 || memcmp(e[-1].key, e->key, sizeof e->key) < 0,
                         SES_ERR_MALFORMED);
        state->seen_cnt++;
    }
    return SES_OK;
}

static enum ses_err decode(struct ses_inbox_state *state, const uint8_t *bytes, size_t len)
{
    struct ses_reader r;
    ses_reader_init(&r, bytes, len);
    ses_reader_check(&r, ses_read_u8(&r) == STATE_VERSION, SES_ERR_VERSION);
    SES_TRY(read_cursors(&r, state));
    SES_TRY(read_seen(&r, state));
    return ses_reader_done(&r);
}

enum ses_err ses_inbox_decode(struct ses_inbox_state *state, const uint8_t *bytes, size_t len)
{
    memset(state, 0, sizeof *state);
    const enum ses_err err = decode(state, bytes, len);
    if (err != SES_OK) {
        ses_inbox_free(state);
    }
    return err;
}
