/* What a recipient remembers: seen sets and cursors, their limits, their bytes. */
#include <string.h>

#include "base/tap.h"
#include "messaging/messaging.h"

#define NOW_MS 1700000000000u

static void reload(struct ses_inbox_state *state)
{
    struct ses_buf disk = {0};
    struct ses_buf again = {0};
    TAP_MUST(ses_inbox_encode(&disk, state) == SES_OK);
    ses_inbox_free(state);
    TAP_MUST(ses_inbox_decode(state, disk.bytes, disk.len) == SES_OK);
    TAP_MUST(ses_inbox_encode(&again, state) == SES_OK);
    TAP_EQ(disk.len, again.len);
    TAP_BYTES(disk.bytes, again.bytes, disk.len);
    ses_buf_free(&disk);
    ses_buf_free(&again);
}

static void test_replays(void)
{
    struct ses_inbox_state state = {0};
    const struct ses_session_id alice = {{7, 1}};
    const struct ses_session_id eve = {{7, 2}};
    const uint8_t uuid[16] = {1, 2, 3};
    const uint8_t other[16] = {1, 2, 4};
    TAP_OK(!ses_inbox_saw_message(&state, &alice, uuid));
    TAP_ERR(SES_OK, ses_inbox_see_message(&state, &alice, uuid, NOW_MS));
    TAP_ERR(SES_OK, ses_inbox_see_message(&state, &alice, uuid, NOW_MS));
    reload(&state);
    TAP_EQ(1, state.seen_cnt);
    TAP_OK(ses_inbox_saw_message(&state, &alice, uuid));
    TAP_OK(!ses_inbox_saw_message(&state, &alice, other));
    TAP_OK(!ses_inbox_saw_message(&state, &eve, uuid)); /* nobody can use up another's uuids */
    ses_inbox_prune(&state, NOW_MS + 31ull * 86400000u - 1);
    TAP_OK(ses_inbox_saw_message(&state, &alice, uuid));
    ses_inbox_prune(&state, NOW_MS + 31ull * 86400000u);
    TAP_OK(!ses_inbox_saw_message(&state, &alice, uuid));
    ses_inbox_free(&state);
}

/* A thousand random ids against a plain list. */
static void test_seen_is_a_set(void)
{
    static struct ses_hash ids[1000];
    struct ses_inbox_state state = {0};
    for (unsigned i = 0; i < SES_COUNT(ids); i++) {
        ses_random_fill(tap_random(), ids[i].bytes, 32);
        if (i % 2 == 0) {
            TAP_MUST(ses_inbox_see_record(&state, &ids[i], NOW_MS + i) == SES_OK);
        }
    }
    reload(&state);
    TAP_EQ(SES_COUNT(ids) / 2, state.seen_cnt);
    for (unsigned i = 0; i < SES_COUNT(ids); i++) {
        TAP_EQ(i % 2 == 0, ses_inbox_saw_record(&state, &ids[i]));
    }
    ses_inbox_prune(&state, NOW_MS + SES_SEEN_KEEP_MS + 499);
    for (unsigned i = 0; i < SES_COUNT(ids); i += 2) {
        TAP_EQ(i > 499, ses_inbox_saw_record(&state, &ids[i]));
    }
    ses_inbox_free(&state);
}

static void test_cursors(void)
{
    struct ses_inbox_state state = {0};
    struct ses_cursor got;
    const struct ses_cursor zero = {{0}};
    for (unsigned i = 0; i < SES_CURSORS_MAX + 10; i++) {
        const struct ses_node_id node = {{(uint8_t)(i * 37), (uint8_t)(i >> 8), (uint8_t)i}};
        const struct ses_cursor cursor = {{(uint8_t)i, (uint8_t)(i >> 8), 1}};
        TAP_MUST(ses_inbox_cursor_set(&state, &node, (int16_t)(i % 2 ? 0 : -1), &cursor,
                                      NOW_MS + i) == SES_OK);
    }
    TAP_EQ(SES_CURSORS_MAX, state.cursor_cnt);
    reload(&state);
    for (unsigned i = 0; i < SES_CURSORS_MAX + 10; i++) {
        const struct ses_node_id node = {{(uint8_t)(i * 37), (uint8_t)(i >> 8), (uint8_t)i}};
        const struct ses_cursor cursor = {{(uint8_t)i, (uint8_t)(i >> 8), 1}};
        ses_inbox_cursor_get(&state, &node, (int16_t)(i % 2 ? 0 : -1), &got);
        TAP_BYTES(i < 10 ? zero.bytes : cursor.bytes, got.bytes, SES_CURSOR_BYTES);
        ses_inbox_cursor_get(&state, &node, 77, &got);
        TAP_BYTES(zero.bytes, got.bytes, SES_CURSOR_BYTES);
    }
    ses_inbox_free(&state);
}

static void test_damaged_bytes(void)
{
    struct ses_inbox_state state = {0};
    struct ses_inbox_state got;
    struct ses_buf disk = {0};
    const struct ses_node_id node = {{1}};
    const struct ses_cursor cursor = {{1}};
    const struct ses_hash ids[2] = {{{1}}, {{2}}};
    TAP_MUST(ses_inbox_cursor_set(&state, &node, 0, &cursor, NOW_MS) == SES_OK);
    TAP_MUST(ses_inbox_see_record(&state, &ids[0], NOW_MS) == SES_OK);
    TAP_MUST(ses_inbox_see_record(&state, &ids[1], NOW_MS) == SES_OK);
    TAP_MUST(ses_inbox_encode(&disk, &state) == SES_OK);
    for (size_t len = 0; len < disk.len; len++) {
        TAP_OK(ses_inbox_decode(&got, disk.bytes, len) != SES_OK);
        TAP_OK(got.seen == NULL && got.cursors == NULL);
    }
    disk.bytes[disk.len - 24] = 0; /* the second key no longer above the first */
    TAP_ERR(SES_ERR_MALFORMED, ses_inbox_decode(&got, disk.bytes, disk.len));
    ses_buf_free(&disk);
    ses_inbox_free(&state);
}

int main(void)
{
    TAP_RUN(test_replays);
    TAP_RUN(test_seen_is_a_set);
    TAP_RUN(test_cursors);
    TAP_RUN(test_damaged_bytes);
    return tap_done();
}
