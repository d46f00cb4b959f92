/* Commitments, what is owed, and judgements as JSON. */
#include <string.h>

#include "rpc/rpc_internal.h"

json_t *ses_json_committed(const struct ses_committed *c)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o}", "nodeId",
                     ses_json_node_id(&c->node_id), "epoch", ses_json_u64(c->epoch), "swarmId",
                     ses_json_swarm(c->swarm), "numSwarms", (json_int_t)c->num_swarms, "root",
                     ses_json_hex(c->root.bytes, 32), "count", ses_json_u64(c->count), "bytes",
                     ses_json_u64(c->bytes), "reveal", ses_json_hex(c->reveal.bytes, 32));
}

enum ses_err ses_json_read_committed(const json_t *json, struct ses_committed *c,
                                     struct ses_note *note)
{
    struct ses_committed m = {0};
    memset(c, 0, sizeof *c);
    SES_TRY(ses_json_get_node_id(json, "nodeId", &m.node_id, note));
    SES_TRY(ses_json_get_u64(json, "epoch", &m.epoch, note));
    SES_TRY(ses_json_get_u32(json, "swarmId", &m.swarm, note));
    SES_TRY(ses_json_get_u32(json, "numSwarms", &m.num_swarms, note));
    SES_TRY(ses_json_get_hex(json, "root", m.root.bytes, 32, note));
    SES_TRY(ses_json_get_u64(json, "count", &m.count, note));
    SES_TRY(ses_json_get_u64(json, "bytes", &m.bytes, note));
    SES_TRY(ses_json_get_hex(json, "reveal", m.reveal.bytes, 32, note));
    if (m.num_swarms == 0 || (m.num_swarms & (m.num_swarms - 1)) != 0 || m.swarm >= m.num_swarms) {
        ses_note_set(note, "\"swarmId\" must be below \"numSwarms\", a power of two");
        return SES_ERR_INVALID;
    }
    *c = m;
    return SES_OK;
}

/* ---- what is owed ---- */

static json_t *owed_json(const struct ses_owed *o, bool drawn)
{
    json_t *draw = drawn ? ses_json_u64(o->chunk_draw) : json_null();
    if (o->kind == SES_OWED_AUDIT) {
        return json_pack("{s:s, s:o, s:o}", "kind", "audit", "position", ses_json_u64(o->position),
                         "chunkDraw", draw);
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "kind", "demand", "segment",
                     ses_json_hex(o->segment.bytes, SES_SEGMENT_ID_BYTES), "digest",
                     ses_json_hex(o->key.bytes, 32), "recordId",
                     ses_json_hex(o->key.bytes + 32, 32), "chunkDraw", draw);
}

static json_t *owed_list(const struct ses_owed *list, uint32_t cnt, bool drawn)
{
    json_t *json = json_array();
    for (uint32_t i = 0; i < cnt; i++) {
        json_array_append_new(json, owed_json(&list[i], drawn));
    }
    if (json_array_size(json) != cnt) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* Numbers of the set bits of `bits`. */
static json_t *bit_list(unsigned bits)
{
    json_t *json = json_array();
    for (unsigned i = 0; bits >> i != 0; i++) {
        if ((bits >> i & 1) != 0) {
            json_array_append_new(json, json_integer(i));
        }
    }
    return json;
}

json_t *ses_json_duty(const struct ses_duty *duty)
{
    return json_pack("{s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o}", "nodeId",
                     ses_json_node_id(&duty->node_id), "epoch", ses_json_u64(duty->epoch),
                     "committed", (int)duty->committed, "responded", (int)duty->responded, "shown",
                     bit_list(duty->shown), "root",
                     duty->has_root ? ses_json_committed(&duty->root) : json_null(), "owed",
                     owed_list(duty->owed, duty->owed_cnt, true), "demanded",
                     owed_list(duty->demanded, duty->demanded_cnt, false));
}

static enum ses_err read_bits(const json_t *json, const char *key, unsigned cnt, uint8_t *out,
                              struct ses_note *note)
{
    const json_t *list = json_object_get(json, key);
    *out = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *bit = json_array_get(list, i);
        if (!json_is_integer(bit) || json_integer_value(bit) < 0 ||
            json_integer_value(bit) >= (json_int_t)cnt) {
            ses_note_set(note, "\"%s\" must list numbers below %u", key, cnt);
            return SES_ERR_INVALID;
        }
        *out = (uint8_t)(*out | 1u << json_integer_value(bit));
    }
    if (!json_is_array(list)) {
        ses_note_set(note, "\"%s\" must be a list", key);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

static enum ses_err read_owed(const json_t *json, struct ses_owed *o, bool drawn,
                              struct ses_note *note)
{
    const char *kind = NULL;
    *o = (struct ses_owed){.kind = SES_OWED_DEMAND};
    SES_TRY(ses_json_get_text(json, "kind", &kind, note));
    if (drawn) {
        SES_TRY(ses_json_get_u64(json, "chunkDraw", &o->chunk_draw, note));
    }
    if (strcmp(kind, "audit") == 0) {
        o->kind = SES_OWED_AUDIT;
        return ses_json_get_u64(json, "position", &o->position, note);
    }
    if (strcmp(kind, "demand") != 0) {
        ses_note_set(note, "\"kind\" must be \"audit\" or \"demand\"");
        return SES_ERR_INVALID;
    }
    SES_TRY(ses_json_get_hex(json, "segment", o->segment.bytes, SES_SEGMENT_ID_BYTES, note));
    SES_TRY(ses_json_get_hex(json, "digest", o->key.bytes, 32, note));
    return ses_json_get_hex(json, "recordId", o->key.bytes + 32, 32, note);
}

static enum ses_err read_owed_list(const json_t *json, const char *key, struct ses_owed *out,
                                   uint32_t max, uint32_t *cnt, bool drawn, struct ses_note *note)
{
    const json_t *list = json_object_get(json, key);
    if (!json_is_array(list) || json_array_size(list) > max) {
        ses_note_set(note, "\"%s\" must be a list of at most %u", key, max);
        return SES_ERR_INVALID;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        SES_TRY(read_owed(json_array_get(list, i), &out[i], drawn, note));
    }
    *cnt = (uint32_t)json_array_size(list);
    return SES_OK;
}

enum ses_err ses_json_read_duty(const json_t *json, struct ses_duty *duty, struct ses_note *note)
{
    struct ses_duty d = {0};
    const json_t *root = json_object_get(json, "root");
    memset(duty, 0, sizeof *duty);
    SES_TRY(ses_json_get_node_id(json, "nodeId", &d.node_id, note));
    SES_TRY(ses_json_get_u64(json, "epoch", &d.epoch, note));
    SES_TRY(ses_json_get_bool(json, "committed", &d.committed, note));
    SES_TRY(ses_json_get_bool(json, "responded", &d.responded, note));
    SES_TRY(read_bits(json, "shown", SES_OWED_MAX, &d.shown, note));
    d.has_root = root != NULL && !json_is_null(root);
    if (d.has_root) {
        SES_TRY(ses_json_read_committed(root, &d.root, note));
    }
    SES_TRY(read_owed_list(json, "owed", d.owed, SES_OWED_MAX, &d.owed_cnt, true, note));
    SES_TRY(read_owed_list(json, "demanded", d.demanded, SES_DEMANDS_MAX, &d.demanded_cnt, false,
                           note));
    *duty = d;
    return SES_OK;
}

/* ---- judgements ---- */

static const char *const flag_texts[] = {"forgiven", "seat-lost", "decommissioned", "off-root",
                                         "unreached"};
_Static_assert(1u << (SES_COUNT(flag_texts) - 1) == SES_JUDGED_UNREACHED, "a text for each flag");

static const char *flag_text(unsigned bit)
{
    return flag_texts[bit];
}

static json_t *text_list(unsigned bits, const char *(*text)(unsigned bit))
{
    json_t *json = json_array();
    for (unsigned i = 0; bits >> i != 0; i++) {
        if ((bits >> i & 1) != 0) {
            json_array_append_new(json, json_string(text(i)));
        }
    }
    return json;
}

json_t *ses_json_judgement(const struct ses_judgement *j)
{
    return json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:i, s:i, s:i, s:o}", "nodeId",
                     ses_json_node_id(&j->node_id), "epoch", ses_json_u64(j->epoch), "missed",
                     j->causes != 0, "causes", text_list(j->causes, ses_cause_text), "flags",
                     text_list(j->flags, flag_text), "lacking", bit_list(j->lacking), "tested",
                     (int)j->tested, "answered", (int)j->answered, "reached", (int)j->reached,
                     "slashed", ses_json_u64(j->slashed));
}

static enum ses_err read_texts(const json_t *json, const char *key, unsigned cnt,
                               const char *(*text)(unsigned bit), uint8_t *out,
                               struct ses_note *note)
{
    const json_t *list = json_object_get(json, key);
    *out = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *given = json_string_value(json_array_get(list, i));
        unsigned bit = 0;
        while (given != NULL && bit < cnt && strcmp(given, text(bit)) != 0) {
            bit++;
        }
        if (given == NULL || bit == cnt) {
            ses_note_set(note, "\"%s\" has a member that is not known", key);
            return SES_ERR_INVALID;
        }
        *out = (uint8_t)(*out | 1u << bit);
    }
    if (!json_is_array(list)) {
        ses_note_set(note, "\"%s\" must be a list", key);
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

static enum ses_err read_u16(const json_t *json, const char *key, uint16_t *out,
                             struct ses_note *note)
{
    uint32_t value = 0;
    SES_TRY(ses_json_get_u32(json, key, &value, note));
    if (value > UINT16_MAX) {
        ses_note_set(note, "\"%s\" is above %u", key, UINT16_MAX);
        return SES_ERR_INVALID;
    }
    *out = (uint16_t)value;
    return SES_OK;
}

enum ses_err ses_json_read_judgement(const json_t *json, struct ses_judgement *j,
                                     struct ses_note *note)
{
    struct ses_judgement m = {0};
    memset(j, 0, sizeof *j);
    SES_TRY(ses_json_get_node_id(json, "nodeId", &m.node_id, note));
    SES_TRY(ses_json_get_u64(json, "epoch", &m.epoch, note));
    SES_TRY(read_texts(json, "causes", SES_CAUSE_CNT, ses_cause_text, &m.causes, note));
    SES_TRY(read_texts(json, "flags", SES_COUNT(flag_texts), flag_text, &m.flags, note));
    SES_TRY(read_bits(json, "lacking", SES_OWED_MAX, &m.lacking, note));
    SES_TRY(read_u16(json, "tested", &m.tested, note));
    SES_TRY(read_u16(json, "answered", &m.answered, note));
    SES_TRY(read_u16(json, "reached", &m.reached, note));
    SES_TRY(ses_json_get_u64(json, "slashed", &m.slashed, note));
    *j = m;
    return SES_OK;
}
