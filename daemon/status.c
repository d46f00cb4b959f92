/* What a daemon tells about itself: a snapshot, and its JSON. */
#include <inttypes.h>

#include "daemon/daemon_internal.h"

static void fill_chain(const struct ses_daemon *d, struct ses_daemon_status *out)
{
    out->chain_ok = d->follow.ok;
    out->height = d->follow.head.height;
    out->clock_epoch = ses_epoch_at(&d->times, ses_daemon_now(d) / 1000);
    snprintf(out->chain_text, sizeof out->chain_text, "%s",
             d->follow.ok ? "ok" : d->follow.note.text);
}

static void fill_links(const struct ses_daemon *d, struct ses_daemon_status *out)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        const struct link *link = &d->links[i];
        if (!link->used) {
            continue;
        }
        struct ses_member_status *s = &out->links[out->link_cnt++];
        s->node_id = link->node_id;
        s->active = link->active;
        s->open = link->open;
        s->queued = link->queue_cnt;
        s->in_flight = link->batch_cnt;
        s->failures = link->failures;
        s->acked = link->acked;
        s->last_err = link->last_err;
    }
}

static void fill_seat(const struct ses_daemon *d, struct ses_daemon_status *out)
{
    uint32_t index[SES_MEMBERS_MAX];
    out->registered = d->registered;
    out->has_map = d->map != NULL;
    out->swarm = d->swarm;
    out->swarm_from_epoch = d->swarm_from_epoch;
    out->node_status = d->status;
    out->quorum = ses_daemon_quorum(d);
    if (d->map == NULL) {
        return;
    }
    out->epoch = d->map->epoch;
    out->num_swarms = d->map->num_swarms;
    out->node_cnt = d->map->node_cnt;
    if (d->swarm != SES_SWARM_NONE) {
        out->member_cnt =
            ses_map_members(d->map, d->swarm, index, SES_MEMBERS_MAX, &out->active_cnt);
    }
}

static bool disk_low(const struct ses_daemon *d)
{
    struct ses_store_stats stats;
    ses_store_stats(d->p.store, &stats);
    return stats.entry_refused;
}

/* The last epoch that was judged, if it cost something; NULL. */
static const struct ses_report *last_miss(const struct ses_daemon *d)
{
    uint32_t cnt = 0;
    const struct ses_report *reports = ses_daemon_reports(d, &cnt);
    while (cnt > 0 && !reports[cnt - 1].judged) {
        cnt--;
    }
    return cnt > 0 && reports[cnt - 1].judgement.causes != 0 ? &reports[cnt - 1] : NULL;
}

const char *ses_daemon_seatless(const struct ses_daemon *d)
{
    if (!d->registered) {
        return "not registered: run session node register --request DIR/registration.json; once "
               "done, it counts from the next epoch on";
    }
    if (d->status == SES_NODE_RETIRED) {
        return "retired: the stake was paid back; register a new node to serve again";
    }
    if (d->status == SES_NODE_DECOMMISSIONING) {
        return "decommissioned: the stake comes back after unbonding";
    }
    if (d->swarm_from_epoch != 0 || last_miss(d) != NULL) { /* a seat of the genesis is from 0 */
        return "the seat was lost by missed epochs in a row: keep the node running and reachable, "
               "the first epoch that it does not miss brings it back; `challenges` has the causes";
    }
    return "registered, without a seat yet: seats are given when an epoch begins";
}

static const char *advice(const struct ses_daemon *d, bool disk_low)
{
    if (d->map == NULL) {
        return "waiting for the chain: check `chain` in the configuration and that the chain runs";
    }
    if (d->swarm == SES_SWARM_NONE) {
        return ses_daemon_seatless(d);
    }
    if (disk_low) {
        return "the disk is nearly full: new messages are refused until space is freed";
    }
    if (!d->follow.ok) {
        return "the chain is unreachable: serving with the last verified map";
    }
    if (d->status == SES_NODE_DECOMMISSIONING) {
        return "decommissioned: keep it running until it retires; what it misses still costs stake";
    }
    return "";
}

static void fill_miss(const struct ses_daemon *d, struct ses_daemon_status *out)
{
    const struct ses_report *last = last_miss(d);
    if (last != NULL) {
        snprintf(out->advice, sizeof out->advice,
                 "missed epoch %" PRIu64 ": see `challenges` for the causes and what to do",
                 last->epoch);
    }
}

void ses_daemon_status(const struct ses_daemon *d, struct ses_daemon_status *out)
{
    memset(out, 0, sizeof *out);
    out->node_id = d->p.node_id;
    out->chain_id = d->p.chain_params.chain_id;
    fill_chain(d, out);
    fill_seat(d, out);
    fill_links(d, out);
    out->debts = d->debts.cnt;
    if (d->debts.first != NULL) {
        out->oldest_debt_ms = ses_daemon_mono(d) - d->debts.first->since_ms;
    }
    out->waiters = d->debts.waiter_cnt;
    out->watchers = d->watchers.cnt;
    out->replicas = d->replica_cnt;
    out->draining = d->draining;
    out->partial = d->sync.partial;
    out->disk_low = disk_low(d);
    snprintf(out->advice, sizeof out->advice, "%s", advice(d, out->disk_low));
    if (out->advice[0] == '\0') {
        fill_miss(d, out);
    }
}

const struct ses_daemon_stats *ses_daemon_stats(const struct ses_daemon *d)
{
    return &d->stats;
}

/* ---- JSON ---- */
static json_t *node_id_json(const struct ses_node_id *node_id)
{
    char text[SES_ID_TEXT_MAX];
    ses_node_id_text(text, node_id);
    return json_string(text);
}

static json_t *swarm_json(uint32_t swarm)
{
    return swarm != SES_SWARM_NONE ? json_integer(swarm) : json_null();
}

json_t *ses_status_json(const struct ses_daemon_status *s)
{
    return json_pack(
        "{s:o, s:o, s:s, s:b, s:s, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, "
        "s:I, s:o, s:I, s:I, s:b, s:b, s:s}",
        "nodeId", node_id_json(&s->node_id), "chainId", ses_json_hex(s->chain_id.bytes, 32),
        "version", SES_VERSION, "registered", s->registered, "nodeStatus",
        s->registered ? ses_node_status_text(s->node_status) : "not registered", "chainOk",
        s->chain_ok, "chain", s->chain_text, "epoch",
        s->has_map ? ses_json_u64(s->epoch) : json_null(), "clockEpoch",
        ses_json_u64(s->clock_epoch), "height", ses_json_u64(s->height), "swarm",
        swarm_json(s->swarm), "swarmFromEpoch", ses_json_u64(s->swarm_from_epoch), "numSwarms",
        (json_int_t)s->num_swarms, "nodes", (json_int_t)s->node_cnt, "members",
        (json_int_t)s->member_cnt, "activeMembers", (json_int_t)s->active_cnt, "writeQuorum",
        (json_int_t)s->quorum, "debts", (json_int_t)s->debts, "oldestDebtMs",
        ses_json_u64(s->oldest_debt_ms), "waitingStores", (json_int_t)s->waiters, "watchers",
        (json_int_t)s->watchers, "draining", s->draining, "partial", s->partial, "advice",
        s->advice);
}

static json_t *link_json(const struct ses_member_status *l)
{
    return json_pack("{s:o, s:b, s:b, s:I, s:I, s:o, s:o, s:s}", "nodeId",
                     node_id_json(&l->node_id), "active", l->active, "open", l->open, "queued",
                     (json_int_t)l->queued, "framesInFlight", (json_int_t)l->in_flight, "failures",
                     ses_json_u64(l->failures), "receipts", ses_json_u64(l->acked), "lastError",
                     l->last_err == SES_OK ? "" : ses_err_name(l->last_err));
}

json_t *ses_members_json(const struct ses_daemon_status *s)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list != NULL && i < s->link_cnt; i++) {
        if (json_array_append_new(list, link_json(&s->links[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *ses_scrub_json(const struct ses_store_stats *s)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "records", ses_json_u64(s->scrub_records),
                     "bytes", ses_json_u64(s->scrub_bytes), "damaged",
                     ses_json_u64(s->scrub_damaged), "cycles", ses_json_u64(s->scrub_cycles),
                     "lastCycleMs", ses_json_u64(s->scrub_cycle_ms));
}

json_t *ses_storage_json(const struct ses_store_stats *s)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "records",
        ses_json_u64(s->record_cnt), "payloadBytes", ses_json_u64(s->payload_bytes), "diskBytes",
        ses_json_u64(s->disk_bytes), "freeBytes", ses_json_u64(s->free_bytes), "inboxes",
        ses_json_u64(s->inbox_cnt), "segments", ses_json_u64(s->segment_cnt), "puts",
        ses_json_u64(s->puts), "batches", ses_json_u64(s->batches), "signatures",
        ses_json_u64(s->signatures), "corruptReads", ses_json_u64(s->corrupt_reads), "tornTails",
        ses_json_u64(s->torn_tails), "entryRefused", s->entry_refused, "scrub", ses_scrub_json(s));
}
