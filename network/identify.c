#include "network/identify.h"

/* Field numbers of the specification. */
enum {
    FIELD_PUBLIC_KEY = 1,
    FIELD_LISTEN_ADDRS = 2,
    FIELD_PROTOCOLS = 3,
    FIELD_OBSERVED = 4,
    FIELD_VERSION = 5,
    FIELD_AGENT = 6,
};
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void field_write(struct ses_writer *w, unsigned number, const struct ses_part *value)
{
    if (value->bytes == NULL) {
        return;
    }
    ses_write_varint(w, number << 3 | WIRE_BYTES);
    ses_write_varint(w, value->len);
    ses_write_bytes(w, value->bytes, value->len);
}

void ses_identify_write(struct ses_writer *w, const struct ses_identify *m)
{
    field_write(w, FIELD_PUBLIC_KEY, &m->public_key);
    for (size_t i = 0; i < m->addr_cnt; i++) {
        field_write(w, FIELD_LISTEN_ADDRS, &m->addrs[i]);
    }
    for (size_t i = 0; i < m->protocol_cnt; i++) {
        field_write(w, FIELD_PROTOCOLS, &m->protocols[i]);
    }
    field_write(w, FIELD_OBSERVED, &m->observed);
    field_write(w, FIELD_VERSION, &m->protocol_version);
    field_write(w, FIELD_AGENT, &m->agent);
}

/* The value of a field of any wire type; empty for numbers, which identify does not use. */
static struct ses_part value_read(struct ses_reader *r, uint64_t key)
{
    uint64_t len = 0;
    switch (key & 7) {
    case WIRE_VARINT:
        (void)ses_read_varint(r);
        return (struct ses_part){0};
    case WIRE_BYTES:
        len = ses_read_varint(r);
        break;
    case WIRE_FIXED32:
        len = 4;
        break;
    case WIRE_FIXED64:
        len = 8;
        break;
    default:
        ses_reader_check(r, false, SES_ERR_MALFORMED);
    }
    ses_reader_check(r, len <= r->left, SES_ERR_TRUNCATED);
    const uint8_t *bytes = ses_read_view(r, (size_t)len);
    return SES_PART(bytes, r->err == SES_OK ? (size_t)len : 0);
}

static void field_take(struct ses_identify *m, uint64_t number, const struct ses_part *value)
{
    if (number == FIELD_PUBLIC_KEY) {
        m->public_key = *value;
    } else if (number == FIELD_LISTEN_ADDRS && m->addr_cnt < SES_IDENTIFY_ADDRS_MAX) {
        m->addrs[m->addr_cnt++] = *value;
    } else if (number == FIELD_PROTOCOLS && m->protocol_cnt < SES_IDENTIFY_PROTOCOLS_MAX) {
        m->protocols[m->protocol_cnt++] = *value;
    } else if (number == FIELD_OBSERVED) {
        m->observed = *value;
    } else if (number == FIELD_VERSION) {
        m->protocol_version = *value;
    } else if (number == FIELD_AGENT) {
        m->agent = *value;
    }
}

enum ses_err ses_identify_read(struct ses_identify *m, const uint8_t *bytes, size_t len)
{
    struct ses_reader r;
    *m = (struct ses_identify){0};
    SES_REQUIRE(len <= SES_IDENTIFY_BYTES_MAX, SES_ERR_TOO_LARGE);
    ses_reader_init(&r, bytes, len);
    while (r.err == SES_OK && r.left > 0) {
        const uint64_t key = ses_read_varint(&r);
        ses_reader_check(&r, key >> 3 != 0, SES_ERR_MALFORMED);
        const struct ses_part value = value_read(&r, key);
        if (r.err == SES_OK && (key & 7) == WIRE_BYTES) {
            field_take(m, key >> 3, &value);
        }
    }
    const enum ses_err err = ses_reader_done(&r);
    if (err != SES_OK) {
        *m = (struct ses_identify){0};
    }
    return err;
}
