#include "protocol/node.h"
#include "protocol/protocol_internal.h"

static bool lengths_ok(const struct ses_endpoint *e)
{
    size_t bytes = sizeof e->peer_key.bytes + 1;
    if (e->addr_cnt > SES_ENDPOINT_ADDRS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < e->addr_cnt; i++) {
        if (e->addrs[i].len < 1 || e->addrs[i].len > SES_MULTIADDR_MAX) {
            return false;
        }
        bytes += 2u + e->addrs[i].len;
    }
    return bytes <= SES_ENDPOINT_BYTES_MAX;
}

void ses_endpoint_write(struct ses_writer *w, const struct ses_endpoint *e)
{
    ses_writer_check(w, lengths_ok(e));
    if (w->err != SES_OK) {
        return;
    }
    ses_write_bytes(w, e->peer_key.bytes, sizeof e->peer_key.bytes);
    ses_write_u8(w, e->addr_cnt);
    for (unsigned i = 0; i < e->addr_cnt; i++) {
        ses_write_u16(w, e->addrs[i].len);
        ses_write_bytes(w, e->addrs[i].bytes, e->addrs[i].len);
    }
}

static void read_addr(struct ses_reader *r, struct ses_endpoint *e, unsigned i)
{
    const uint16_t len = ses_read_u16(r);
    ses_reader_check(r, len >= 1 && len <= SES_MULTIADDR_MAX, SES_ERR_MALFORMED);
    if (r->err == SES_OK) {
        e->addrs[i].len = len;
        ses_read_bytes(r, e->addrs[i].bytes, len);
    }
}

void ses_endpoint_read(struct ses_reader *r, struct ses_endpoint *e)
{
    memset(e, 0, sizeof *e);
    ses_read_bytes(r, e->peer_key.bytes, sizeof e->peer_key.bytes);
    const uint8_t addr_cnt = ses_read_u8(r);
    ses_reader_check(r, addr_cnt <= SES_ENDPOINT_ADDRS_MAX, SES_ERR_MALFORMED);
    for (unsigned i = 0; r->err == SES_OK && i < addr_cnt; i++) {
        read_addr(r, e, i);
    }
    e->addr_cnt = addr_cnt;
    ses_reader_check(r, r->err != SES_OK || lengths_ok(e), SES_ERR_TOO_LARGE);
    if (r->err != SES_OK) {
        memset(e, 0, sizeof *e);
    }
}
