/* Who serves an inbox, in which order they are asked, and what their refusals mean. */
#include <inttypes.h>
#include <string.h>

#include "client/client_internal.h"

#define DAY_MS 86400000u

enum ses_err ses_client_view(struct ses_client *c, const struct ses_hash *inbox,
                             struct ses_swarm_view *out, struct ses_note *note)
{
    const struct ses_map *map = &c->registry.map;
    memset(out, 0, sizeof *out);
    out->swarm = ses_map_swarm_of_inbox(map, inbox);
    out->cnt = ses_map_members(map, out->swarm, out->nodes, SES_MEMBERS_MAX, &out->active_cnt);
    if (out->active_cnt == 0) {
        ses_note_set(note,
                     "swarm %" PRIu32 " has no active node at epoch %" PRIu64
                     ": nobody can serve this inbox until nodes register",
                     out->swarm, map->epoch);
        return SES_ERR_UNREACHABLE;
    }
    return SES_OK;
}

static void sort_group(const struct ses_map *map, const struct ses_hash *key, uint64_t day,
                       uint32_t *nodes, uint32_t cnt)
{
    struct ses_hash ranks[SES_MEMBERS_MAX];
    uint8_t day_bytes[8];
    ses_put_u64(day_bytes, day);
    for (uint32_t i = 0; i < cnt; i++) {
        const uint32_t node = nodes[i];
        struct ses_hash rank;
        ses_sha256(&rank, SES_PARTS(SES_PART(key->bytes, 32), SES_PART(day_bytes, 8),
                                    SES_PART(map->nodes[node].row.node_id.bytes, 20)));
        uint32_t at = i; /* insertion: a group has at most SES_MEMBERS_MAX members */
        for (; at > 0 && memcmp(ranks[at - 1].bytes, rank.bytes, 32) > 0; at--) {
            ranks[at] = ranks[at - 1];
            nodes[at] = nodes[at - 1];
        }
        ranks[at] = rank;
        nodes[at] = node;
    }
}

void ses_client_order(struct ses_client *c, struct ses_swarm_view *view)
{
    const uint64_t day = ses_client_now(c) / DAY_MS;
    const struct ses_hash *key = &c->state.order_key;
    sort_group(&c->registry.map, key, day, view->nodes, view->active_cnt);
    sort_group(&c->registry.map, key, day, view->nodes + view->active_cnt,
               view->cnt - view->active_cnt);
}

static void clock_note(struct ses_note *note, uint64_t node_ms, uint64_t now_ms)
{
    const bool behind = node_ms > now_ms;
    const uint64_t off_s = (behind ? node_ms - now_ms : now_ms - node_ms) / 1000;
    ses_note_set(note,
                 "this machine's clock is %" PRIu64 " s %s the node's: set it by NTP (messages "
                 "must be at most 2 minutes old and 10 seconds early)",
                 off_s, behind ? "behind" : "ahead of");
}

void ses_refusal_note(struct ses_note *note, const struct ses_refusal *r, uint64_t now_ms)
{
    switch ((int)r->status) {
    case SES_ERR_CLOCK:
        clock_note(note, r->time_ms, now_ms);
        return;
    case SES_ERR_WRONG_SWARM:
        ses_note_set(note,
                     "the node says that swarm %" PRIu32 " of %" PRIu32 " serves this inbox (epoch "
                     "%" PRIu64 "), the chain's registry says otherwise: try again in a minute",
                     r->swarm, r->num_swarms, r->epoch);
        return;
    case SES_ERR_QUOTA:
        ses_note_set(note, "the recipient's inbox is full: the message waits in the outbox until "
                           "older ones expire");
        return;
    case SES_ERR_STRANGERS:
        ses_note_set(note, "the part of the recipient's inbox that strangers may fill is full: the "
                           "message waits in the outbox until older ones expire (whoever the "
                           "recipient has written to is no stranger)");
        return;
    case SES_ERR_WORK:
        ses_note_set(note,
                     "the node wants proof of work of %u bits, at most %u are spent on one "
                     "message: the recipient can give you a write token by writing to you",
                     (unsigned)r->work_bits, SES_OUTBOX_WORK_BITS_MAX);
        return;
    case SES_ERR_RATE:
        ses_note_set(note, "too many requests: wait a minute");
        return;
    case SES_ERR_TOO_LARGE:
        ses_note_set(note, "the node finds the message too large: the limit is %zu bytes",
                     ses_client_message_max());
        return;
    case SES_ERR_UNAUTHORISED:
        ses_note_set(note, "the node does not take the proof that this inbox is ours, or the write "
                           "token");
        return;
    case SES_ERR_DISK_LOW:
        ses_note_set(note, "the node's disk is full: another member or a later time will do");
        return;
    case SES_ERR_UNAVAILABLE:
        ses_note_set(note, "the node cannot serve this now (it is starting or catching up)");
        return;
    default:
        ses_note_set(note, "the node refused: %s", ses_err_text(r->status));
    }
}
