/* What a node can tell about its duties: one report an epoch, kept over restarts; one warning for
 * each miss, with the cause and what to do. */
#include <inttypes.h>

#include "daemon/daemon_internal.h"
#include "daemon/epoch.h"

#define REPORTS_KEY "epoch.reports"
#define REPORTS_VERSION 1u
#define REPORT_BYTES_MAX 512u

/* ---- kept ---- */
static void write_text(struct ses_writer *w, const char *text)
{
    const size_t len = strnlen(text, SES_WHY_MAX - 1);
    ses_write_u8(w, (uint8_t)len);
    ses_write_bytes(w, text, len);
}

static void read_text(struct ses_reader *r, char out[SES_WHY_MAX])
{
    const uint8_t len = ses_read_u8(r);
    ses_reader_check(r, len < SES_WHY_MAX, SES_ERR_MALFORMED);
    const uint8_t *text = r->err == SES_OK ? ses_read_view(r, len) : NULL;
    memset(out, 0, SES_WHY_MAX);
    if (text != NULL) {
        memcpy(out, text, len);
    }
}

static void write_report(struct ses_writer *w, const struct ses_report *r)
{
    const uint8_t flags =
        (uint8_t)((r->owes_commitment ? 1 : 0) | (r->owes_response ? 2 : 0) |
                  (r->committed ? 4 : 0) | (r->responded ? 8 : 0) | (r->judged ? 16 : 0));
    ses_write_u64(w, r->epoch);
    ses_write_u8(w, flags);
    ses_write_u64(w, r->commitment_sent_ms);
    ses_write_u64(w, r->response_sent_ms);
    ses_write_u64(w, r->count);
    ses_write_u64(w, r->bytes);
    ses_write_u8(w, r->owed_cnt);
    ses_write_u8(w, r->opened_cnt);
    ses_write_u16(w, r->target_cnt);
    ses_write_u16(w, r->reached_cnt);
    ses_judgement_write(w, &r->judgement);
    write_text(w, r->commitment_why);
    write_text(w, r->response_why);
}

static void read_report(struct ses_reader *in, struct ses_report *r)
{
    r->epoch = ses_read_u64(in);
    const uint8_t flags = ses_read_u8(in);
    r->owes_commitment = (flags & 1) != 0;
    r->owes_response = (flags & 2) != 0;
    r->committed = (flags & 4) != 0;
    r->responded = (flags & 8) != 0;
    r->judged = (flags & 16) != 0;
    r->commitment_sent_ms = ses_read_u64(in);
    r->response_sent_ms = ses_read_u64(in);
    r->count = ses_read_u64(in);
    r->bytes = ses_read_u64(in);
    r->owed_cnt = ses_read_u8(in);
    r->opened_cnt = ses_read_u8(in);
    r->target_cnt = ses_read_u16(in);
    r->reached_cnt = ses_read_u16(in);
    ses_judgement_read(in, &r->judgement);
    r->judgement.epoch = r->epoch;
    read_text(in, r->commitment_why);
    read_text(in, r->response_why);
}

void ses_reports_save(struct ses_daemon *d)
{
    const struct epochs *e = &d->epochs;
    const size_t room = 2 + SES_REPORTS_MAX * REPORT_BYTES_MAX;
    uint8_t *bytes = ses_alloc(room, 1);
    struct ses_writer w;
    enum ses_err err = SES_ERR_MEMORY;
    if (bytes != NULL) {
        ses_writer_init(&w, bytes, room);
        ses_write_u8(&w, REPORTS_VERSION);
        ses_write_u8(&w, (uint8_t)e->report_cnt);
        for (uint32_t i = 0; i < e->report_cnt; i++) {
            write_report(&w, &e->reports[i]);
        }
        SES_ASSERT(ses_writer_done(&w) == SES_OK);
        err = ses_store_meta_set(d->p.store, REPORTS_KEY, bytes, w.len);
    }
    if (err != SES_OK) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "cannot keep the reports for a restart: %s",
                 ses_err_text(err));
    }
    ses_free(bytes);
}

/* Reports of another version, or damaged ones, are left behind: they only inform. */
void ses_reports_load(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    struct ses_buf bytes = {0};
    struct ses_reader r;
    e->report_cnt = 0;
    if (ses_store_meta_get(d->p.store, REPORTS_KEY, &bytes) == SES_OK) {
        ses_reader_init(&r, bytes.bytes, bytes.len);
        ses_reader_check(&r, ses_read_u8(&r) == REPORTS_VERSION, SES_ERR_VERSION);
        const uint8_t cnt = ses_read_u8(&r);
        ses_reader_check(&r, cnt <= SES_REPORTS_MAX, SES_ERR_MALFORMED);
        for (uint8_t i = 0; r.err == SES_OK && i < cnt; i++) {
            read_report(&r, &e->reports[i]);
        }
        e->report_cnt = ses_reader_done(&r) == SES_OK ? cnt : 0;
    }
    ses_buf_free(&bytes);
}

/* ---- opened and found ---- */
static struct ses_report *insert(struct epochs *e, uint64_t epoch)
{
    if (e->report_cnt == SES_REPORTS_MAX) {
        e->report_cnt--;
        memmove(e->reports, e->reports + 1, e->report_cnt * sizeof e->reports[0]);
    }
    uint32_t i = e->report_cnt++;
    while (i > 0 && e->reports[i - 1].epoch > epoch) {
        e->reports[i] = e->reports[i - 1];
        i--;
    }
    memset(&e->reports[i], 0, sizeof e->reports[i]);
    e->reports[i].epoch = epoch;
    return &e->reports[i];
}

static struct ses_report *find(struct epochs *e, uint64_t epoch)
{
    for (uint32_t i = 0; i < e->report_cnt; i++) {
        if (e->reports[i].epoch == epoch) {
            return &e->reports[i];
        }
    }
    return NULL;
}

struct ses_report *ses_report_now(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    struct ses_report *report = find(e, e->plan->epoch);
    return report != NULL ? report : insert(e, e->plan->epoch);
}

void ses_report_why(struct ses_daemon *d, char why[SES_WHY_MAX], const char *what,
                    const char *detail)
{
    char text[SES_WHY_MAX] = "";
    if (detail != NULL) {
        snprintf(text, sizeof text, "%.70s: %.80s", what, detail);
    } else {
        snprintf(text, sizeof text, "%.150s", what);
    }
    if (strcmp(text, why) != 0) {
        memcpy(why, text, sizeof text);
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "epoch %" PRIu64 ": %s", d->epochs.plan->epoch,
                 text);
    }
}

const struct ses_report *ses_daemon_reports(const struct ses_daemon *d, uint32_t *cnt)
{
    *cnt = d->epochs.report_cnt;
    return d->epochs.reports;
}

/* ---- judged ---- */
static const char *advice(const struct ses_report *r, unsigned cause)
{
    switch (1u << cause) {
    case SES_CAUSE_COMMITMENT:
        return r->commitment_why[0] != '\0' ? r->commitment_why
               : r->commitment_sent_ms != 0 ? "it was sent, but stood in no block before the "
                                              "epoch ended: is the chain slow or full?"
                                            : "it was not sent: was the node running, and did it "
                                              "reach the chain?";
    case SES_CAUSE_RESPONSE:
        return r->response_why[0] != '\0' ? r->response_why
               : r->response_sent_ms != 0 ? "it was sent, but stood in no block before the epoch "
                                            "ended: is the chain slow or full?"
                                          : "it was not sent: was the node running, and did it "
                                            "reach the chain?";
    case SES_CAUSE_OPENING:
        return r->response_why[0] != '\0'
                   ? r->response_why
                   : "a record that was committed to or promised was not shown: check the disk";
    case SES_CAUSE_FREE:
        return "too little free space for the capacity offered: free some, or add a disk";
    case SES_CAUSE_UNREACHABLE:
        return "its testers did not reach it: did it run? check `announce`, `listen` and the "
               "firewall";
    case SES_CAUSE_DEVIANT:
        return "it holds another set than its swarm: check its clock and its links to the members";
    default:
        return "";
    }
}

static void warn_miss(struct ses_daemon *d, const struct ses_report *r)
{
    char text[700] = "";
    size_t len = 0;
    for (unsigned i = 0; i < SES_CAUSE_CNT; i++) {
        if ((r->judgement.causes >> i & 1) != 0 && len < sizeof text) {
            len += (size_t)snprintf(text + len, sizeof text - len, "; %s: %s", ses_cause_text(i),
                                    advice(r, i));
        }
    }
    const bool forgiven = (r->judgement.flags & SES_JUDGED_FORGIVEN) != 0;
    char slashed[SES_LUX_TEXT_MAX];
    ses_lux_text(slashed, r->judgement.slashed);
    ses_logf(d->p.log, SES_LOG_WARN, MODULE, "missed epoch %" PRIu64 ", slashed %s LUX%s%s",
             r->epoch, slashed, forgiven ? " (forgiven, an outage)" : "", text);
}

static const struct ses_judgement *judgement_of(const struct ses_chain_challenges *c,
                                                uint64_t epoch)
{
    for (uint32_t i = 0; i < c->history_cnt; i++) {
        if (c->history[i].epoch == epoch) {
            return &c->history[i];
        }
    }
    return NULL;
}

/* Epochs that passed while this node was down have no report yet. */
static void open_missing(struct ses_daemon *d, const struct ses_chain_challenges *c)
{
    struct epochs *e = &d->epochs;
    const uint64_t oldest = e->report_cnt > 0 ? e->reports[0].epoch : 0;
    for (uint32_t i = 0; i < c->history_cnt; i++) {
        const struct ses_judgement *j = &c->history[i];
        if (j->causes == 0 || j->epoch < oldest || j->epoch >= c->duty.epoch ||
            find(e, j->epoch) != NULL) {
            continue;
        }
        struct ses_report *report = insert(e, j->epoch);
        snprintf(report->commitment_why, SES_WHY_MAX, "the node was not running, or had no map");
        memcpy(report->response_why, report->commitment_why, SES_WHY_MAX);
    }
}

static bool judge(struct ses_daemon *d, struct ses_report *r, const struct ses_chain_challenges *c)
{
    const struct ses_judgement *j = judgement_of(c, r->epoch);
    if (r->judged || r->epoch >= c->duty.epoch) {
        return false;
    }
    r->judged = true;
    if (j != NULL) {
        r->judgement = *j;
    }
    if (r->judgement.causes != 0) {
        d->stats.misses++;
        warn_miss(d, r);
    }
    return true;
}

void ses_reports_judge(struct ses_daemon *d, const struct ses_chain_standing *standing)
{
    bool news = false;
    open_missing(d, &standing->challenges);
    for (uint32_t i = 0; i < d->epochs.report_cnt; i++) {
        news = judge(d, &d->epochs.reports[i], &standing->challenges) || news;
    }
    if (news) {
        ses_reports_save(d);
    }
}

/* ---- told ---- */
static json_t *causes_json(const struct ses_report *r)
{
    json_t *list = json_array();
    for (unsigned i = 0; list != NULL && i < SES_CAUSE_CNT; i++) {
        if ((r->judgement.causes >> i & 1) != 0) {
            json_array_append_new(
                list, json_pack("{s:s, s:s}", "cause", ses_cause_text(i), "why", advice(r, i)));
        }
    }
    return list;
}

static const char *outcome(const struct ses_report *r)
{
    if (!r->judged) {
        return "open";
    }
    if (r->judgement.causes == 0) {
        return "passed";
    }
    return (r->judgement.flags & SES_JUDGED_FORGIVEN) != 0 ? "forgiven" : "missed";
}

static json_t *part_json(bool owed, bool included, uint64_t sent_ms, const char *why)
{
    return json_pack("{s:b, s:o, s:b, s:s}", "owed", owed, "sentMs",
                     sent_ms != 0 ? ses_json_u64(sent_ms) : json_null(), "included", included,
                     "why", why);
}

static json_t *report_json(const struct ses_report *r)
{
    json_t *commitment =
        part_json(r->owes_commitment, r->committed, r->commitment_sent_ms, r->commitment_why);
    json_t *response =
        part_json(r->owes_response, r->responded, r->response_sent_ms, r->response_why);
    json_object_set_new(commitment, "records", ses_json_u64(r->count));
    json_object_set_new(commitment, "bytes", ses_json_u64(r->bytes));
    json_object_set_new(response, "openingsOwed", json_integer(r->owed_cnt));
    json_object_set_new(response, "openingsSent", json_integer(r->opened_cnt));
    json_object_set_new(response, "nodesToTest", json_integer(r->target_cnt));
    json_object_set_new(response, "nodesReached", json_integer(r->reached_cnt));
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:b}", "epoch", ses_json_u64(r->epoch),
                     "outcome", outcome(r), "commitment", commitment, "response", response,
                     "causes", causes_json(r), "slashed", ses_json_u64(r->judgement.slashed),
                     "offRoot", (r->judgement.flags & SES_JUDGED_OFF_ROOT) != 0);
}

json_t *ses_reports_json(const struct ses_report *reports, uint32_t cnt)
{
    json_t *list = json_array();
    for (uint32_t i = cnt; list != NULL && i > 0; i--) { /* the newest first */
        if (json_array_append_new(list, report_json(&reports[i - 1])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
