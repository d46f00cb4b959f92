#include "protocol/duty.h"

#include "protocol/protocol_internal.h"

_Static_assert(SES_COMMITTED_BYTES == 96, "a commitment of the state");
_Static_assert(SES_JUDGEMENT_BYTES == 37, "a judgement");

void ses_committed_write(struct ses_writer *w, const struct ses_committed *c)
{
    ses_writer_check(w, ses_power_of_two(c->num_swarms) && c->swarm < c->num_swarms);
    ses_write_u64(w, c->epoch);
    ses_write_u32(w, c->swarm);
    ses_write_u32(w, c->num_swarms);
    ses_write_bytes(w, c->root.bytes, sizeof c->root.bytes);
    ses_write_u64(w, c->count);
    ses_write_u64(w, c->bytes);
    ses_write_bytes(w, c->reveal.bytes, sizeof c->reveal.bytes);
}

void ses_committed_read(struct ses_reader *r, struct ses_committed *c)
{
    memset(c, 0, sizeof *c);
    c->epoch = ses_read_u64(r);
    c->swarm = ses_read_u32(r);
    c->num_swarms = ses_read_u32(r);
    ses_read_bytes(r, c->root.bytes, sizeof c->root.bytes);
    c->count = ses_read_u64(r);
    c->bytes = ses_read_u64(r);
    ses_read_bytes(r, c->reveal.bytes, sizeof c->reveal.bytes);
    ses_reader_check(r, ses_power_of_two(c->num_swarms) && c->swarm < c->num_swarms,
                     SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        memset(c, 0, sizeof *c);
    }
}

void ses_reveal_commit(struct ses_hash *out, const struct ses_hash *reveal)
{
    ses_b(out, SES_TAG_REVEAL, SES_PARTS(SES_PART(reveal->bytes, sizeof reveal->bytes)));
}

/* ---- openings ---- */

static bool opening_ok(const struct ses_opening *o)
{
    return o->index < SES_OWED_MAX && o->chunk_len <= SES_CHUNK_BYTES &&
           o->path_cnt <= SES_OPENING_PATH_MAX;
}

void ses_opening_write(struct ses_writer *w, const struct ses_opening *o)
{
    ses_writer_check(w, opening_ok(o));
    ses_write_u8(w, o->index);
    ses_write_u8(w, o->leaf_only ? 0 : 1);
    if (o->leaf_only || w->err != SES_OK) {
        return;
    }
    ses_write_bytes(w, o->header_hash.bytes, sizeof o->header_hash.bytes);
    ses_write_bytes(w, o->payload_root.bytes, sizeof o->payload_root.bytes);
    ses_write_u16(w, o->chunk_len);
    if (o->chunk_len > 0) {
        ses_write_bytes(w, o->chunk, o->chunk_len);
    }
    ses_write_u8(w, o->path_cnt);
    for (unsigned i = 0; i < o->path_cnt; i++) {
        ses_write_bytes(w, o->path[i].bytes, sizeof o->path[i].bytes);
    }
}

static void read_chunk(struct ses_reader *r, struct ses_opening *o)
{
    ses_read_bytes(r, o->header_hash.bytes, sizeof o->header_hash.bytes);
    ses_read_bytes(r, o->payload_root.bytes, sizeof o->payload_root.bytes);
    o->chunk_len = ses_read_u16(r);
    ses_reader_check(r, o->chunk_len <= SES_CHUNK_BYTES, SES_ERR_MALFORMED);
    o->chunk = o->chunk_len > 0 ? ses_read_view(r, o->chunk_len) : NULL;
    o->path_cnt = ses_read_u8(r);
    ses_reader_check(r, o->path_cnt <= SES_OPENING_PATH_MAX, SES_ERR_MALFORMED);
    for (unsigned i = 0; r->err == SES_OK && i < o->path_cnt; i++) {
        ses_read_bytes(r, o->path[i].bytes, sizeof o->path[i].bytes);
    }
}

void ses_opening_read(struct ses_reader *r, struct ses_opening *o)
{
    memset(o, 0, sizeof *o);
    o->index = ses_read_u8(r);
    const uint8_t form = ses_read_u8(r);
    ses_reader_check(r, o->index < SES_OWED_MAX && form <= 1, SES_ERR_MALFORMED);
    o->leaf_only = form == 0;
    if (!o->leaf_only) {
        read_chunk(r, o);
    }
    if (r->err != SES_OK) {
        memset(o, 0, sizeof *o);
    }
}

static uint32_t chunk_cnt(uint32_t payload_bytes)
{
    return payload_bytes / SES_CHUNK_BYTES + (payload_bytes % SES_CHUNK_BYTES != 0);
}

/* Bytes of chunk `at`: all but the last have SES_CHUNK_BYTES. */
static uint16_t chunk_len(uint32_t payload_bytes, uint32_t at)
{
    const uint32_t left = payload_bytes - at * SES_CHUNK_BYTES;
    return (uint16_t)(left < SES_CHUNK_BYTES ? left : SES_CHUNK_BYTES);
}

void ses_opening_make(struct ses_opening *out, uint8_t index, const struct ses_record *record,
                      const struct ses_record_ids *ids, uint64_t draw)
{
    struct ses_hash chunks[SES_CHUNKS_MAX];
    struct ses_hash path[SES_MT_PATH_MAX];
    size_t path_cnt = 0;
    const uint32_t cnt = chunk_cnt(record->payload_bytes);
    *out = (struct ses_opening){
        .index = index, .header_hash = ids->header_hash, .payload_root = ids->payload_root};
    SES_ASSERT(index < SES_OWED_MAX && cnt <= SES_CHUNKS_MAX);
    if (cnt == 0) {
        return;
    }
    for (uint32_t i = 0; i < cnt; i++) {
        ses_b(&chunks[i], SES_TAG_CHUNK,
              SES_PARTS(SES_PART(record->payload + i * SES_CHUNK_BYTES,
                                 chunk_len(record->payload_bytes, i))));
    }
    const uint32_t at = (uint32_t)(draw % cnt);
    ses_mt_path(path, &path_cnt, chunks, cnt, at);
    SES_ASSERT(path_cnt <= SES_OPENING_PATH_MAX);
    out->chunk = record->payload + at * SES_CHUNK_BYTES;
    out->chunk_len = chunk_len(record->payload_bytes, at);
    out->path_cnt = (uint8_t)path_cnt;
    memcpy(out->path, path, path_cnt * sizeof path[0]);
}

static enum ses_err check_chunk(const struct ses_opening *o, uint32_t size, uint64_t draw)
{
    static const struct ses_hash none = {{0}};
    struct ses_hash root;
    struct ses_hash chunk;
    const uint32_t cnt = chunk_cnt(size);
    if (cnt == 0) {
        SES_REQUIRE(o->chunk_len == 0 && o->path_cnt == 0, SES_ERR_CHECKSUM);
        SES_REQUIRE(memcmp(o->payload_root.bytes, none.bytes, 32) == 0, SES_ERR_CHECKSUM);
        return SES_OK;
    }
    const uint32_t at = (uint32_t)(draw % cnt);
    SES_REQUIRE(o->chunk_len == chunk_len(size, at), SES_ERR_CHECKSUM);
    ses_b(&chunk, SES_TAG_CHUNK, SES_PARTS(SES_PART(o->chunk, o->chunk_len)));
    SES_REQUIRE(ses_mt_root_of_path(&root, &chunk, at, cnt, o->path, o->path_cnt) == SES_OK,
                SES_ERR_CHECKSUM);
    SES_REQUIRE(memcmp(root.bytes, o->payload_root.bytes, 32) == 0, SES_ERR_CHECKSUM);
    return SES_OK;
}

enum ses_err ses_opening_check(const struct ses_opening *o, const struct ses_leaf *leaf,
                               uint64_t draw)
{
    struct ses_hash id;
    uint8_t size[4];
    const bool deleted = leaf->kind == SES_RECORD_TOMBSTONE && leaf->size == 0;
    SES_REQUIRE(o->leaf_only == deleted, SES_ERR_CHECKSUM);
    if (o->leaf_only) {
        return SES_OK;
    }
    SES_REQUIRE(leaf->size <= SES_PAYLOAD_MAX, SES_ERR_CHECKSUM);
    ses_put_u32(size, leaf->size);
    ses_b(&id, SES_TAG_RECORD,
          SES_PARTS(SES_PART(o->header_hash.bytes, 32), SES_PART(size, sizeof size),
                    SES_PART(o->payload_root.bytes, 32)));
    SES_REQUIRE(memcmp(id.bytes, leaf->key.bytes + 32, 32) == 0, SES_ERR_CHECKSUM);
    return check_chunk(o, leaf->size, draw);
}

/* ---- judgements ---- */

const char *ses_cause_text(unsigned bit)
{
    static const char *const texts[SES_CAUSE_CNT] = {"commitment", "response",    "opening",
                                                     "free",       "unreachable", "deviant"};
    SES_ASSERT(bit < SES_CAUSE_CNT);
    return texts[bit];
}

static bool judgement_ok(const struct ses_judgement *j)
{
    return j->causes < 1u << SES_CAUSE_CNT && j->flags < SES_JUDGED_UNREACHED << 1 &&
           j->lacking < 1u << SES_OWED_MAX;
}

void ses_judgement_write(struct ses_writer *w, const struct ses_judgement *j)
{
    ses_writer_check(w, judgement_ok(j));
    ses_write_bytes(w, j->node_id.bytes, sizeof j->node_id.bytes);
    ses_write_u8(w, j->causes);
    ses_write_u8(w, j->flags);
    ses_write_u8(w, j->lacking);
    ses_write_u16(w, j->tested);
    ses_write_u16(w, j->answered);
    ses_write_u16(w, j->reached);
    ses_write_u64(w, j->slashed);
}

void ses_judgement_read(struct ses_reader *r, struct ses_judgement *j)
{
    memset(j, 0, sizeof *j);
    ses_read_bytes(r, j->node_id.bytes, sizeof j->node_id.bytes);
    j->causes = ses_read_u8(r);
    j->flags = ses_read_u8(r);
    j->lacking = ses_read_u8(r);
    j->tested = ses_read_u16(r);
    j->answered = ses_read_u16(r);
    j->reached = ses_read_u16(r);
    j->slashed = ses_read_u64(r);
    ses_reader_check(r, judgement_ok(j), SES_ERR_MALFORMED);
    if (r->err != SES_OK) {
        memset(j, 0, sizeof *j);
    }
}
