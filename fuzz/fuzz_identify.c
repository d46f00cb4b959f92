/* Identify: what is accepted, written from what was understood, is understood the same. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "network/identify.h"

static void same(const struct ses_part *a, const struct ses_part *b)
{
    SES_ASSERT(a->len == b->len && (a->bytes == NULL) == (b->bytes == NULL));
    SES_ASSERT(a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[2 * SES_IDENTIFY_BYTES_MAX];
    struct ses_identify m, again;
    struct ses_writer w;
    struct ses_peer_key key;
    if (ses_identify_read(&m, data, size) != SES_OK) {
        return 0;
    }
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_identify_write(&w, &m);
    SES_ASSERT(ses_writer_done(&w) == SES_OK && w.len <= size);
    SES_ASSERT(ses_identify_read(&again, bytes, w.len) == SES_OK);
    SES_ASSERT(m.addr_cnt == again.addr_cnt && m.protocol_cnt == again.protocol_cnt);
    same(&m.agent, &again.agent);
    same(&m.public_key, &again.public_key);
    same(&m.observed, &again.observed);
    for (size_t i = 0; i < m.addr_cnt; i++) {
        same(&m.addrs[i], &again.addrs[i]);
    }
    for (size_t i = 0; i < m.protocol_cnt; i++) {
        same(&m.protocols[i], &again.protocols[i]);
    }
    (void)!ses_peer_key_read(&key, m.public_key.bytes, m.public_key.len);
    return 0;
}
