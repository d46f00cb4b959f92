/* What the members of a verify hand out, and what is told of each. */
#include <stdlib.h>
#include <string.h>

#include "client/verify.h"

#define SOON_MS 60000u /* it may have expired between two questions */

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ses_hash));
}

void ses_verify_free(struct verify *v)
{
    for (uint32_t i = 0; i < SES_MEMBERS_MAX; i++) {
        ses_free(v->served[i].ids);
        v->served[i].ids = NULL;
    }
}

/* ---- what is handed out ---- */
static enum ses_err list_member(struct verify *v, uint32_t member)
{
    struct ses_listing listing = {0};
    struct ses_refusal refusal = {0};
    struct served *s = &v->served[member];
    bool partial = false;
    const struct ses_map_node *node = ses_verify_node(v, member);
    SES_REQUIRE(node != NULL, SES_OK);
    enum ses_err err = ses_client_list_member(v->client, node, &v->inbox, SES_NS_INBOX, &listing,
                                              &partial, &refusal);
    if (err == SES_OK) {
        s->ids = ses_alloc((size_t)listing.cnt + 1, sizeof *s->ids);
        err = s->ids != NULL ? SES_OK : SES_ERR_MEMORY;
    }
    for (uint32_t i = 0; err == SES_OK && i < listing.cnt; i++) {
        s->ids[s->cnt++] = listing.list[i].id;
    }
    if (err == SES_OK) {
        qsort(s->ids, s->cnt, sizeof *s->ids, by_bytes);
        s->listed = true;
    }
    ses_listing_free(&listing);
    return err == SES_ERR_CLOSED || err == SES_ERR_MEMORY ? err : SES_OK;
}

static bool serves(const struct served *s, const uint8_t id[32])
{
    return s->cnt > 0 && bsearch(id, s->ids, s->cnt, sizeof *s->ids, by_bytes) != NULL;
}

/* A message of the inbox that more than half of those that proved it hand out, long enough for all
 * to be asked. One alone may not have heard of its delete, or not care. */
static bool is_served(const struct verify *v, const struct ses_complete_record *r)
{
    struct ses_segment segment;
    ses_segment_of(&segment, r->leaf.ttl_class, r->leaf.ts_ms);
    if (r->deleted != 0 || ses_segment_expires_ms(&segment) <= v->now_ms + SOON_MS) {
        return false;
    }
    uint32_t asked = 0;
    uint32_t serving = 0;
    for (uint32_t i = 0; i < v->complete->member_cnt; i++) {
        if ((r->holders >> i & 1) != 0 && v->served[i].listed) {
            asked++;
            serving += serves(&v->served[i], r->leaf.key.bytes + 32);
        }
    }
    return 2 * serving > asked;
}

static bool is_unserved(const struct verify *v, const struct ses_complete_record *r,
                        uint32_t member)
{
    const struct served *s = &v->served[member];
    return (r->holders >> member & 1) != 0 && s->listed && !serves(s, r->leaf.key.bytes + 32) &&
           is_served(v, r);
}

void ses_verify_count_unserved(struct verify *v)
{
    const struct ses_complete *c = v->complete;
    for (uint32_t k = 0; k < c->record_cnt; k++) {
        for (uint32_t i = 0; i < c->member_cnt; i++) {
            v->served[i].unserved += is_unserved(v, &c->records[k], i);
        }
    }
}

enum ses_err ses_verify_served(struct verify *v)
{
    const struct ses_complete *c = v->complete;
    for (uint32_t i = 0; i < c->member_cnt; i++) {
        if (c->members[i].state == SES_COMPLETE_PROVEN) {
            SES_TRY(list_member(v, i));
        }
    }
    ses_verify_count_unserved(v);
    return SES_OK;
}

/* ---- the report ---- */
static enum ses_client_verdict verdict_of(const struct ses_complete_member *m, uint32_t unserved)
{
    switch (m->state) {
    case SES_COMPLETE_SILENT:
        return SES_CLIENT_NO_PROOF;
    case SES_COMPLETE_NEW:
        return SES_CLIENT_NEW_MEMBER;
    case SES_COMPLETE_NONE:
        return SES_CLIENT_NO_COMMITMENT;
    case SES_COMPLETE_FALSE:
        return SES_CLIENT_FALSE_PROOF;
    case SES_COMPLETE_PROVEN:
        break;
    }
    const bool faulty = m->missing + m->promised + m->undeleted + m->deleted + unserved > 0;
    return faulty ? SES_CLIENT_WITHHOLDS : SES_CLIENT_COMPLETE;
}

static void report_node(const struct verify *v, uint32_t member,
                        const struct ses_client_verify *ask, struct ses_client_verify_result *out)
{
    const struct ses_complete_member *m = &v->complete->members[member];
    struct ses_client_verified node = {.verdict = verdict_of(m, v->served[member].unserved),
                                       .count = m->committed ? m->commitment.count : 0,
                                       .records = m->leaf_cnt,
                                       .missing = m->missing,
                                       .promised = m->promised,
                                       .undeleted = m->undeleted,
                                       .deleted = m->deleted,
                                       .unserved = v->served[member].unserved,
                                       .extra = m->extra};
    node.err = node.verdict == SES_CLIENT_NO_PROOF ? (int)m->err : SES_CLIENT_OK;
    if (m->committed) {
        memcpy(node.root, m->commitment.root.bytes, sizeof node.root);
    }
    ses_node_id_text(node.node, &m->node_id);
    out->members++;
    out->complete += node.verdict == SES_CLIENT_COMPLETE;
    out->faulty += node.verdict == SES_CLIENT_WITHHOLDS || node.verdict == SES_CLIENT_FALSE_PROOF ||
                   node.verdict == SES_CLIENT_NO_COMMITMENT;
    ask->on_node(ask->cookie, &node);
}

static enum ses_client_fault fault_of(enum ses_complete_kind kind)
{
    switch (kind) {
    case SES_COMPLETE_MISSING:
        return SES_CLIENT_MISSING;
    case SES_COMPLETE_PROMISED:
        return SES_CLIENT_PROMISED;
    case SES_COMPLETE_UNDELETED:
        return SES_CLIENT_UNDELETED;
    case SES_COMPLETE_DELETED:
        return SES_CLIENT_DELETED;
    case SES_COMPLETE_EXTRA:
        break;
    }
    return SES_CLIENT_EXTRA;
}

static void tell(const struct verify *v, const struct ses_client_verify *ask, uint32_t member,
                 enum ses_client_fault fault, const struct ses_leaf *leaf, uint32_t holders)
{
    struct ses_client_finding f = {.fault = fault,
                                   .hour_ms = leaf->ts_ms,
                                   .holders = holders,
                                   .proven = (unsigned)__builtin_popcountll(v->complete->proven)};
    ses_node_id_text(f.node, &v->complete->members[member].node_id);
    memcpy(f.id, leaf->key.bytes + 32, sizeof f.id);
    ask->on_finding(ask->cookie, &f);
}

static void report_findings(const struct verify *v, const struct ses_client_verify *ask)
{
    const struct ses_complete *c = v->complete;
    struct ses_complete_finding f;
    uint32_t record = 0;
    uint32_t member = 0;
    while (ses_complete_next(c, &record, &member, &f)) {
        tell(v, ask, f.member, fault_of(f.kind), &f.leaf, f.holders);
    }
    for (uint32_t k = 0; k < c->record_cnt; k++) {
        const struct ses_complete_record *r = &c->records[k];
        for (uint32_t i = 0; i < c->member_cnt; i++) {
            if (is_unserved(v, r, i)) {
                tell(v, ask, i, SES_CLIENT_UNSERVED, &r->leaf,
                     (uint32_t)__builtin_popcountll(r->holders));
            }
        }
    }
}

void ses_verify_report(const struct verify *v, const struct ses_client_verify *ask,
                       struct ses_client_verify_result *out)
{
    out->epoch = v->epoch;
    out->swarm = v->swarm;
    out->records = v->complete->record_cnt;
    out->wanted = v->wanted;
    for (uint32_t i = 0; i < v->complete->member_cnt; i++) {
        report_node(v, i, ask, out);
    }
    if (ask->on_finding != NULL) {
        report_findings(v, ask);
    }
}
