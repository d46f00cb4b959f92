/* The outbox item: what happens to one message until W members hold it. Events in, state out. */
#include <string.h>

#include "messaging/messaging.h"

/* After so many rounds in which every member called the message itself wrong, it is given up. */
#define REFUSED_ROUNDS_MAX 3u
#define SHIFT_MAX 16u
#define LOSSES_A_STEP 4u /* entry nodes that are tried before the next one is tried later */

enum ses_err ses_outbox_init(struct ses_outbox_item *item, const struct ses_session_id *to,
                             const uint8_t *body, size_t body_bytes, uint64_t now_ms,
                             const struct ses_random *random)
{
    memset(item, 0, sizeof *item);
    SES_REQUIRE(body_bytes <= SES_OUTBOX_BODY_MAX, SES_ERR_TOO_LARGE);
    SES_TRY(ses_buf_append(&item->body, body, body_bytes));
    item->to = *to;
    item->type = SES_CONTENT_TYPE;
    item->state = SES_OUTBOX_SEAL;
    item->created_ms = now_ms;
    item->next_ms = now_ms;
    item->order = ses_random_u64(random);
    ses_random_fill(random, item->uuid, sizeof item->uuid);
    return SES_OK;
}

static void drop(struct ses_buf *buf)
{
    if (buf->bytes != NULL) {
        ses_wipe(buf->bytes, buf->cap);
    }
    ses_buf_free(buf);
}

void ses_outbox_free(struct ses_outbox_item *item)
{
    drop(&item->body);
    drop(&item->record);
    ses_wipe(item, sizeof *item);
}

static void finish(struct ses_outbox_item *item, enum ses_outbox_state state, uint64_t now_ms)
{
    item->state = state;
    item->next_ms = now_ms;
    drop(&item->body);
    drop(&item->record);
    ses_wipe(&item->token, sizeof item->token);
}

static void seal_again(struct ses_outbox_item *item)
{
    item->state = SES_OUTBOX_SEAL;
    item->node_cnt = 0;
    item->uuid[0] = (uint8_t)(item->uuid[0] + (SES_MUTANT(OUTBOX_NEW_UUID) ? 1 : 0));
    drop(&item->record);
}

/* Doubles up to the limit, and moves by up to a quarter, so that those whose swarm was down do not
 * all come back at once. */
static uint64_t backoff_ms(const struct ses_outbox_item *item)
{
    const uint32_t shift = item->rounds < SHIFT_MAX ? item->rounds : SHIFT_MAX;
    uint64_t wait = (uint64_t)SES_OUTBOX_BACKOFF_MS << shift;
    wait = wait < SES_OUTBOX_BACKOFF_MAX_MS ? wait : SES_OUTBOX_BACKOFF_MAX_MS;
    const uint64_t jitter = (item->order >> (item->rounds % 32)) % (wait / 4 + 1);
    return wait - wait / 8 + jitter;
}

static void end_round(struct ses_outbox_item *item, uint64_t now_ms)
{
    item->next_ms = now_ms + backoff_ms(item);
    item->rounds += item->rounds < UINT32_MAX;
    item->tried = 0;
    item->refreshed = false;
}

static uint64_t age_ms(uint64_t since_ms, uint64_t now_ms)
{
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

/* A record's time must be near ours when it is offered: also if our clock was set back. */
static bool stale(const struct ses_outbox_item *item, uint64_t now_ms)
{
    return age_ms(item->ts_ms, now_ms) > SES_OUTBOX_RESEAL_MS || item->ts_ms > now_ms + 1000;
}

enum ses_outbox_step ses_outbox_step(struct ses_outbox_item *item, uint64_t now_ms)
{
    if (item->state == SES_OUTBOX_STORED || item->state == SES_OUTBOX_FAILED) {
        return SES_OUTBOX_DO_NOTHING;
    }
    if (age_ms(item->created_ms, now_ms) >= ses_ttl_ms(item->ttl_class)) {
        item->last_err = item->last_err != SES_OK ? item->last_err : SES_ERR_TIMEOUT;
        finish(item, SES_OUTBOX_FAILED, now_ms);
        return SES_OUTBOX_DO_NOTHING;
    }
    if (now_ms < item->next_ms) {
        return SES_OUTBOX_DO_WAIT;
    }
    if (item->state == SES_OUTBOX_CHECK) {
        if (age_ms(item->ts_ms, now_ms) < SES_OUTBOX_LOST_MS) {
            return SES_OUTBOX_DO_CHECK;
        }
        seal_again(item);
    }
    if (item->state == SES_OUTBOX_OFFER && !stale(item, now_ms)) {
        return SES_OUTBOX_DO_OFFER;
    }
    seal_again(item);
    return SES_OUTBOX_DO_SEAL;
}

uint32_t ses_outbox_member(const struct ses_outbox_item *item, uint32_t member_cnt)
{
    SES_ASSERT(member_cnt > 0);
    return (uint32_t)((item->order % member_cnt + item->tried + item->rounds) % member_cnt);
}

void ses_outbox_sealed(struct ses_outbox_item *item, struct ses_buf *record,
                       const struct ses_record_ids *ids, enum ses_entry_kind entry,
                       const struct ses_hash *token, uint64_t stamp)
{
    SES_ASSERT(item->state == SES_OUTBOX_SEAL);
    drop(&item->record);
    item->record = *record;
    *record = (struct ses_buf){0};
    item->state = SES_OUTBOX_OFFER;
    item->id = ids->id;
    item->ts_ms = ids->header.ts_ms;
    item->entry = entry;
    item->stamp = entry == SES_ENTRY_STAMP ? stamp : 0;
    ses_wipe(&item->token, sizeof item->token);
    if (entry == SES_ENTRY_TOKEN) {
        item->token = *token;
    }
}

void ses_outbox_accepted(struct ses_outbox_item *item, const struct ses_stored *stored,
                         uint64_t now_ms)
{
    SES_ASSERT(item->state == SES_OUTBOX_OFFER);
    item->attempts += item->attempts < UINT32_MAX;
    item->last_err = SES_OK;
    item->quorum = stored->quorum;
    item->node_cnt = stored->node_cnt;
    memcpy(item->nodes, stored->nodes, stored->node_cnt * sizeof stored->nodes[0]);
    if (SES_MUTANT(PENDING_IS_STORED)) {
        finish(item, SES_OUTBOX_STORED, now_ms);
        return;
    }
    item->state = SES_OUTBOX_CHECK;
    drop(&item->record);
    item->rounds = 0;
    if (stored->state == SES_STORED) {
        item->next_ms = now_ms; /* by its word; the receipts, which it has, are the proof */
    } else {
        end_round(item, now_ms);
    }
}

/* Would another member say the same of this very message? */
static bool permanent(enum ses_err err)
{
    return err == SES_ERR_TOO_LARGE || err == SES_ERR_MALFORMED || err == SES_ERR_INVALID ||
           err == SES_ERR_VERSION || err == SES_ERR_SIGNATURE;
}

static void next_member(struct ses_outbox_item *item, enum ses_err err, uint32_t member_cnt,
                        uint64_t now_ms)
{
    item->last_err = err;
    item->tried++;
    if (item->tried < member_cnt) {
        return;
    }
    end_round(item, now_ms);
    if (permanent(err) && item->rounds >= REFUSED_ROUNDS_MAX) {
        finish(item, SES_OUTBOX_FAILED, now_ms);
    }
}

/* The node wants more work, or does not take the token. */
static enum ses_outbox_advice show_more(struct ses_outbox_item *item,
                                        const struct ses_refusal *refusal, uint32_t member_cnt,
                                        uint64_t now_ms)
{
    if (item->entry == SES_ENTRY_TOKEN) {
        item->last_err = refusal->status;
        seal_again(item);
        return SES_OUTBOX_DROP_TOKEN;
    }
    if (refusal->status == SES_ERR_WORK && refusal->work_bits > item->work_bits &&
        refusal->work_bits <= SES_OUTBOX_WORK_BITS_MAX) {
        item->work_bits = refusal->work_bits;
        item->last_err = refusal->status;
        seal_again(item);
        return SES_OUTBOX_GO_ON;
    }
    next_member(item, refusal->status, member_cnt, now_ms);
    return SES_OUTBOX_GO_ON;
}

enum ses_outbox_advice ses_outbox_refused(struct ses_outbox_item *item,
                                          const struct ses_refusal *refusal, uint32_t member_cnt,
                                          uint64_t now_ms)
{
    SES_ASSERT(item->state == SES_OUTBOX_OFFER);
    item->attempts += item->attempts < UINT32_MAX;
    if (refusal->status == SES_ERR_WRONG_SWARM && !item->refreshed) {
        item->refreshed = true;
        item->tried = 0;
        item->last_err = refusal->status;
        return SES_OUTBOX_REFRESH_MAP;
    }
    if (refusal->status == SES_ERR_WORK || refusal->status == SES_ERR_UNAUTHORISED) {
        return show_more(item, refusal, member_cnt, now_ms);
    }
    /* the inbox's, the same at every member */
    if (refusal->status == SES_ERR_QUOTA || refusal->status == SES_ERR_STRANGERS) {
        item->last_err = refusal->status;
        end_round(item, now_ms);
        return SES_OUTBOX_GO_ON;
    }
    next_member(item, refusal->status, member_cnt, now_ms);
    return SES_OUTBOX_GO_ON;
}

void ses_outbox_lost(struct ses_outbox_item *item, enum ses_err err, uint32_t member_cnt,
                     uint64_t now_ms)
{
    SES_ASSERT(item->state == SES_OUTBOX_OFFER || item->state == SES_OUTBOX_SEAL);
    item->attempts += item->attempts < UINT32_MAX;
    next_member(item, err, member_cnt, now_ms);
    if (SES_MUTANT(OUTBOX_GIVES_UP)) {
        finish(item, SES_OUTBOX_FAILED, now_ms);
    }
}

void ses_outbox_counted(struct ses_outbox_item *item, const struct ses_node_id *nodes,
                        uint32_t node_cnt, uint32_t quorum, bool asked, uint64_t now_ms)
{
    SES_ASSERT(item->state == SES_OUTBOX_CHECK && node_cnt <= SES_MEMBERS_MAX);
    if (!asked) {
        item->last_err = SES_ERR_UNREACHABLE;
        end_round(item, now_ms);
        return;
    }
    item->last_err = SES_OK;
    item->node_cnt = (uint8_t)node_cnt;
    memcpy(item->nodes, nodes, node_cnt * sizeof nodes[0]);
    item->quorum = (uint8_t)(quorum < UINT8_MAX ? quorum : UINT8_MAX);
    if (node_cnt >= quorum && node_cnt > 0) {
        finish(item, SES_OUTBOX_STORED, now_ms);
        return;
    }
    if (node_cnt > 0) {
        end_round(item, now_ms);
        return;
    }
    /* Nobody knows of it: the entry node lost it, or lied, or signs with keys that our map does not
     * list. Another one then, whatever number of them lie; later each time, for each time it is
     * sealed again the recipient may get one more copy. */
    item->rounds = item->attempts / LOSSES_A_STEP;
    end_round(item, now_ms);
    item->order++;
    seal_again(item);
}
