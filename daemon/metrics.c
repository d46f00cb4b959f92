/* Prometheus text format, version 0.0.4. Names and help stand in tables. */
#include <inttypes.h>
#include <stdarg.h>

#include "daemon/daemon_internal.h"

#define TEXT_MAX 65536u

struct text {
    char *at;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(t->at + t->len, TEXT_MAX - t->len, format, args);
    va_end(args);
    SES_ASSERT(n >= 0 && (size_t)n < TEXT_MAX - t->len);
    t->len += (size_t)n;
}

static void add_one(struct text *t, const char *type, const char *name, const char *help,
                    uint64_t value)
{
    add(t, "# HELP sessiond_%s %s\n# TYPE sessiond_%s %s\nsessiond_%s %" PRIu64 "\n", name, help,
        name, type, name, value);
}

static void add_latency(struct text *t, const char *name, const char *help,
                        const struct ses_latency *l)
{
    static const char *const bounds[] = {"0.001", "0.002", "0.005", "0.01", "0.025",
                                         "0.05",  "0.1",   "0.25",  "0.5",  "1",
                                         "2.5",   "5",     "10",    "+Inf"};
    _Static_assert(SES_COUNT(bounds) == SES_LATENCY_BUCKET_CNT + 1, "one text a bucket");
    uint64_t below = 0;
    add(t, "# HELP sessiond_%s %s\n# TYPE sessiond_%s histogram\n", name, help, name);
    for (size_t i = 0; i < SES_COUNT(bounds); i++) {
        below += l->counts[i];
        add(t, "sessiond_%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, bounds[i], below);
    }
    add(t, "sessiond_%s_sum %" PRIu64 ".%03u\nsessiond_%s_count %" PRIu64 "\n", name,
        l->sum_ms / 1000, (unsigned)(l->sum_ms % 1000), name, l->cnt);
}

static void add_counters(struct text *t, const struct ses_daemon_stats *s)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } table[] = {
        {"stores_total", "store requests", s->stores},
        {"stored_total", "stores answered with a write quorum of receipts", s->stored},
        {"pending_total", "stores answered pending", s->pending_answers},
        {"probes_answered_total", "probes of testers answered", s->probes_answered},
        {"probes_sent_total", "probes sent to nodes under test", s->probes_sent},
        {"probes_failed_total", "probes without a valid answer", s->probes_failed},
        {"missed_epochs_total", "epochs that the chain judged as missed", s->misses},
        {"attached_total", "stores that joined a running one", s->attached},
        {"deletes_total", "delete requests", s->deletes},
        {"proofs_asked_total", "requests for proofs of an inbox", s->proofs_asked},
        {"retrieves_total", "retrieve requests", s->retrieves},
        {"retrieved_records_total", "records handed out", s->retrieved_records},
        {"retrieved_bytes_total", "bytes of pages handed out", s->retrieved_bytes},
        {"receipt_requests_total", "requests for receipts", s->receipts_asked},
        {"watch_pages_total", "pages pushed to watchers", s->watch_pages},
        {"watch_closed_slow_total", "watchers closed because they did not read",
         s->watch_closed_slow},
        {"replicated_out_total", "records sent to members", s->replicated_out},
        {"replicated_in_total", "new records taken from members", s->replicated_in},
        {"replicate_refused_total", "records of members that were refused", s->replicate_refused},
        {"receipts_valid_total", "valid receipts of members", s->receipts_valid},
        {"receipts_invalid_total", "invalid receipts of members", s->receipts_invalid},
        {"debts_spilled_total", "debts kept on disk only", s->debts_spilled},
        {"debts_expired_total", "records that expired before all members had them",
         s->debts_expired},
        {"sync_runs_total", "comparisons with members", s->sync_runs},
        {"sync_failed_total", "comparisons that ended early", s->sync_failed},
        {"sync_bytes_total", "bytes of comparisons that this node asked for", s->sync_bytes},
        {"sync_records_total", "missing records that members gave", s->sync_records},
        {"bulk_records_total", "records taken in whole segments", s->bulk_records},
        {"sync_served_total", "records given to members that lacked them", s->sync_served},
        {"sync_withheld_total", "records not given because an audit draws them", s->sync_withheld},
        {"sync_cut_off_total", "members cut off for lying", s->sync_cut_off},
        {"relayed_total", "late records passed on before a freeze", s->relayed},
        {"healed_total", "damaged records fetched again", s->healed},
        {"foreign_dropped_total", "records forgotten that another swarm serves",
         s->foreign_dropped},
        {"limits_hit_total", "times that a limit made somebody wait or go", s->limits_hit},
    };
    for (size_t i = 0; i < SES_COUNT(table); i++) {
        add_one(t, "counter", table[i].name, table[i].help, table[i].value);
    }
    add(t, "# HELP sessiond_refused_total requests refused, by reason\n"
           "# TYPE sessiond_refused_total counter\n");
    for (int i = 0; i < SES_REFUSED_CNT; i++) {
        add(t, "sessiond_refused_total{reason=\"%s\"} %" PRIu64 "\n",
            ses_refusal_kind_text((enum ses_refusal_kind)i), s->refused[i]);
    }
}

static uint32_t open_links(const struct ses_daemon_status *s)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < s->link_cnt; i++) {
        cnt += s->links[i].open ? 1 : 0;
    }
    return cnt;
}

static void add_gauges(struct text *t, const struct ses_daemon_status *s,
                       const struct ses_store_stats *store)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } table[] = {
        {"epoch", "epoch of the map in use", s->epoch},
        {"clock_epoch", "epoch by the own clock", s->clock_epoch},
        {"chain_height", "height of the last head seen", s->height},
        {"chain_ok", "1 while the chain answers", s->chain_ok},
        {"registered", "1 if the node stands in the registry", s->registered},
        {"partial", "1 until the node holds what its swarm holds", s->partial},
        {"swarm_members", "members of the own swarm", s->member_cnt},
        {"members_open", "members with an open flow", open_links(s)},
        {"debts", "records that some member has not given a receipt for", s->debts},
        {"oldest_debt_milliseconds", "age of the oldest of them", s->oldest_debt_ms},
        {"waiting_stores", "stores that wait for their answer", s->waiters},
        {"watchers", "open watch flows", s->watchers},
        {"records", "live records", store->record_cnt},
        {"payload_bytes", "bytes of live payloads", store->payload_bytes},
        {"disk_bytes", "bytes on disk", store->disk_bytes},
        {"disk_free_bytes", "free bytes of the disk", store->free_bytes},
        {"inboxes", "inboxes with live records", store->inbox_cnt},
        {"segments", "live segments", store->segment_cnt},
        {"disk_low", "1 while new messages are refused for lack of space", store->entry_refused},
        {"scrub_last_cycle_timestamp_seconds", "when all records were read last, 0: not yet",
         store->scrub_cycle_ms / 1000},
    };
    for (size_t i = 0; i < SES_COUNT(table); i++) {
        add_one(t, "gauge", table[i].name, table[i].help, table[i].value);
    }
    add_one(t, "counter", "store_batches_total", "fdatasync batches", store->batches);
    add_one(t, "counter", "store_signatures_total", "receipt batches signed", store->signatures);
    add_one(t, "counter", "corrupt_reads_total", "records whose bytes do not match their id",
            store->corrupt_reads);
    add_one(t, "counter", "scrub_records_total", "records that the scrub read",
            store->scrub_records);
    add_one(t, "counter", "scrub_bytes_total", "bytes that the scrub read", store->scrub_bytes);
    add_one(t, "counter", "scrub_damaged_total", "damaged records that the scrub found",
            store->scrub_damaged);
    add_one(t, "counter", "scrub_cycles_total", "times that the scrub read all records",
            store->scrub_cycles);
}

char *ses_metrics_text(const struct ses_daemon_status *status, const struct ses_daemon_stats *stats,
                       const struct ses_store_stats *store)
{
    struct text t = {.at = ses_alloc(TEXT_MAX, 1)};
    if (t.at == NULL) {
        return NULL;
    }
    add_counters(&t, stats);
    add_gauges(&t, status, store);
    add_latency(&t, "store_seconds", "from the request to its answer", &stats->store_latency);
    add_latency(&t, "retrieve_seconds", "from the request to its answer", &stats->retrieve_latency);
    return t.at;
}
