/* Places in a forest, and lists of short names: what both sides of reconciliation share. */
#include "daemon/reconcile.h"

#include <string.h>

void reconcile_segment_id(struct ses_segment_id *out, const struct ses_segment *segment)
{
    ses_segment_encode(out->bytes, segment);
}

void reconcile_segment_of(struct ses_segment *out, const struct ses_segment_id *id)
{
    out->ttl_class = id->bytes[0];
    out->hour = ses_get_u32(id->bytes + 1);
}

void reconcile_place_child(struct ses_sync_place *out, const struct ses_sync_place *place,
                           unsigned nibble)
{
    SES_ASSERT(place->nibble_cnt < SES_LEAF_NIBBLES && nibble < 16);
    *out = *place;
    const unsigned shift = place->nibble_cnt % 2 == 0 ? 4 : 0;
    out->prefix.bytes[place->nibble_cnt / 2] |= (uint8_t)(nibble << shift);
    out->nibble_cnt++;
}

void reconcile_place_range(struct ses_forest_range *out, const struct ses_sync_place *place)
{
    reconcile_segment_id(&out->segment, &place->segment);
    ses_leaf_prefix_range(&out->low, &out->high, &place->prefix, place->nibble_cnt);
}

bool reconcile_place_holds(const struct ses_sync_place *place, const struct ses_leaf_key *key)
{
    const unsigned whole = place->nibble_cnt / 2;
    if (memcmp(place->prefix.bytes, key->bytes, whole) != 0) {
        return false;
    }
    return place->nibble_cnt % 2 == 0 ||
           (place->prefix.bytes[whole] >> 4) == (key->bytes[whole] >> 4);
}

size_t reconcile_place_leaves(size_t *first, const struct ses_sync_place *place,
                              const struct ses_leaf *leaves, size_t cnt)
{
    size_t end;
    *first = 0;
    while (*first < cnt && !reconcile_place_holds(place, &leaves[*first].key)) {
        (*first)++;
    }
    for (end = *first; end < cnt && reconcile_place_holds(place, &leaves[end].key); end++) {
    }
    return end - *first;
}

void reconcile_place_ask(struct ses_children_ask *out, const struct ses_sync_place *place)
{
    reconcile_segment_id(&out->segment, &place->segment);
    out->prefix = place->prefix;
    out->nibble_cnt = place->nibble_cnt;
}

/* ---- lists ---- */
void reconcile_list_free(struct reconcile_list *list)
{
    ses_free(list->groups);
    memset(list, 0, sizeof *list);
}

static bool same_place(const struct ses_sync_place *a, const struct ses_sync_place *b)
{
    return a->segment.ttl_class == b->segment.ttl_class && a->segment.hour == b->segment.hour &&
           a->nibble_cnt == b->nibble_cnt && memcmp(&a->prefix, &b->prefix, sizeof a->prefix) == 0;
}

enum ses_err reconcile_list_add(struct reconcile_list *list, const struct ses_sync_place *place,
                                uint64_t name)
{
    if (list->short_cnt >= list->short_max) {
        list->full = true;
        return SES_OK;
    }
    struct ses_sync_group *last = list->group_cnt > 0 ? &list->groups[list->group_cnt - 1] : NULL;
    if (last == NULL || last->cnt == SES_SYNC_SHORTS_MAX || !same_place(&last->place, place)) {
        if (list->group_cnt == list->group_cap) {
            const uint32_t cap = list->group_cap == 0 ? 64 : 2 * list->group_cap;
            struct ses_sync_group *groups = ses_realloc(list->groups, cap, sizeof *groups);
            SES_REQUIRE(groups != NULL, SES_ERR_MEMORY);
            list->groups = groups;
            list->group_cap = cap;
        }
        SES_ASSERT(list->groups != NULL);
        last = &list->groups[list->group_cnt++];
        *last = (struct ses_sync_group){.place = *place};
    }
    last->shorts[last->cnt++] = name;
    list->short_cnt++;
    return SES_OK;
}

/* How many groups from `at` on stand in one frame. */
static uint16_t frame_groups(const struct reconcile_list *list, uint32_t at, uint32_t short_max)
{
    uint32_t cnt = 0;
    uint32_t shorts = 0;
    while (at + cnt < list->group_cnt && cnt < SES_SYNC_GROUPS_MAX &&
           shorts + list->groups[at + cnt].cnt <= short_max) {
        shorts += list->groups[at + cnt].cnt;
        cnt++;
    }
    return (uint16_t)cnt;
}

enum ses_err reconcile_list_frame(struct ses_buf *out, uint8_t op,
                                  const struct reconcile_params *params,
                                  const struct reconcile_list *list, uint32_t *at,
                                  uint32_t short_max)
{
    SES_ASSERT(short_max >= SES_SYNC_SHORTS_MAX);
    const uint16_t cnt = frame_groups(list, *at, short_max);
    const struct ses_sync_ask ask = {
        .op = op, .set = params->set, .nonce = params->nonce, .cnt = cnt};
    struct ses_writer w;
    SES_TRY(ses_buf_reserve(out, 64 + (size_t)cnt * (80 + 8 * SES_SYNC_SHORTS_MAX)));
    ses_writer_init(&w, out->bytes + out->len, out->cap - out->len);
    ses_sync_ask_write(&w, &ask);
    for (uint16_t i = 0; i < cnt; i++) {
        ses_sync_group_write(&w, &list->groups[*at + i]);
    }
    SES_TRY(ses_writer_done(&w));
    out->len += w.len;
    *at += cnt;
    return SES_OK;
}

enum ses_err reconcile_need_children(struct reconcile_need *need, size_t cnt)
{
    if (cnt > need->ask_cap) {
        struct ses_children_ask *asks = ses_realloc(need->asks, cnt, sizeof *asks);
        SES_REQUIRE(asks != NULL, SES_ERR_MEMORY);
        need->asks = asks;
        need->ask_cap = cnt;
    }
    need->ask_cnt = cnt;
    need->kind = RECONCILE_CHILDREN;
    return SES_OK;
}
