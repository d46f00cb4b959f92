/* Receipts on their way between members: those of one signing batch share their signature. */
#include "daemon/daemon_internal.h"

static bool same_group(const struct ses_receipt *a, const struct ses_receipt *b)
{
    return a->n == b->n && ses_equal(&a->node_id, &b->node_id, sizeof a->node_id) &&
           ses_equal(&a->signature, &b->signature, sizeof a->signature);
}

static uint16_t group_size(const struct receipt_at *list, uint16_t cnt, uint16_t first,
                           const bool *written)
{
    uint16_t size = 0;
    for (uint16_t i = first; i < cnt; i++) {
        const bool in = !written[i] && same_group(list[i].receipt, list[first].receipt);
        size = (uint16_t)(size + (in ? 1 : 0));
    }
    return size;
}

static void group_write(struct ses_writer *w, const struct receipt_at *list, uint16_t cnt,
                        uint16_t first, bool *written)
{
    const struct ses_receipt *lead = list[first].receipt;
    const struct ses_receipt_group group = {.node_id = lead->node_id,
                                            .n = lead->n,
                                            .signature = lead->signature,
                                            .cnt = group_size(list, cnt, first, written)};
    ses_receipt_group_write(w, &group);
    for (uint16_t i = first; i < cnt; i++) {
        if (!written[i] && same_group(list[i].receipt, lead)) {
            ses_receipt_group_item_write(w, list[i].record, list[i].receipt);
            written[i] = true;
        }
    }
}

uint16_t ses_groups_write(struct ses_writer *w, const struct receipt_at *list, uint16_t cnt,
                          bool *written)
{
    uint16_t groups = 0;
    for (uint16_t i = 0; i < cnt; i++) {
        if (!written[i]) {
            group_write(w, list, cnt, i, written);
            groups++;
        }
    }
    return groups;
}
