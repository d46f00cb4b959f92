/* Multiaddrs and peer ids, as bytes and as text. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "network/address.h"

static void addr_bytes(const uint8_t *data, size_t size)
{
    struct ses_tcp_addr parts;
    struct ses_multiaddr again, parsed;
    char text[SES_MULTIADDR_TEXT_MAX];
    if (size > SES_MULTIADDR_MAX || ses_tcp_addr_read(&parts, data, size) != SES_OK) {
        return;
    }
    SES_ASSERT(ses_tcp_addr_write(&again, &parts) == SES_OK);
    SES_ASSERT(again.len == size && memcmp(again.bytes, data, size) == 0);
    SES_ASSERT(ses_multiaddr_text(text, sizeof text, data, size) == SES_OK);
    SES_ASSERT(ses_multiaddr_parse(&parsed, text) == SES_OK);
    SES_ASSERT(parsed.len == size && memcmp(parsed.bytes, data, size) == 0);
}

static void addr_text(const char *text)
{
    struct ses_multiaddr addr, parsed;
    struct ses_peer_id id, id_again;
    char again[SES_MULTIADDR_TEXT_MAX];
    if (ses_multiaddr_parse(&addr, text) == SES_OK) {
        SES_ASSERT(ses_multiaddr_text(again, sizeof again, addr.bytes, addr.len) == SES_OK);
        SES_ASSERT(ses_multiaddr_parse(&parsed, again) == SES_OK);
        SES_ASSERT(parsed.len == addr.len && memcmp(parsed.bytes, addr.bytes, addr.len) == 0);
    }
    if (ses_peer_id_parse(&id, text) == SES_OK) {
        ses_peer_id_text(again, &id);
        SES_ASSERT(ses_peer_id_parse(&id_again, again) == SES_OK);
        SES_ASSERT(ses_peer_id_equal(&id, &id_again));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[400];
    const size_t len = size < sizeof text ? size : sizeof text - 1;
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    addr_bytes(data, size);
    addr_text(text);
    return 0;
}
