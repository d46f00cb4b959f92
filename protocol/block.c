#include "protocol/protocol_internal.h"
#include "protocol/tx.h"

#define BLOCK_VERSION 1u
_Static_assert(SES_BLOCK_HEADER_BYTES == 1 + 32 + 8 + 8 + 32 + 2, "block header (registry page)");

void ses_block_write_header(struct ses_writer *w, const struct ses_block *block)
{
    ses_write_u8(w, BLOCK_VERSION);
    ses_write_bytes(w, block->parent.bytes, sizeof block->parent.bytes);
    ses_write_u64(w, block->height);
    ses_write_u64(w, block->timestamp);
    ses_write_bytes(w, block->state_root.bytes, sizeof block->state_root.bytes);
    ses_write_u16(w, block->tx_cnt);
}

const uint8_t *ses_block_next_tx(struct ses_reader *r, size_t *tx_len)
{
    const uint32_t len = ses_read_u32(r);
    ses_reader_check(r, len >= 1, SES_ERR_MALFORMED);
    ses_reader_check(r, len <= SES_TX_BYTES_MAX, SES_ERR_TOO_LARGE);
    const uint8_t *tx = ses_read_view(r, len);
    *tx_len = tx == NULL ? 0 : len;
    return tx;
}

enum ses_err ses_block_decode(struct ses_block *block, const uint8_t *bytes, size_t len,
                              uint64_t block_max_bytes)
{
    struct ses_reader r;
    size_t tx_len;
    memset(block, 0, sizeof *block);
    SES_REQUIRE(len <= block_max_bytes, SES_ERR_TOO_LARGE);
    ses_reader_init(&r, bytes, len);
    ses_reader_check(&r, ses_read_u8(&r) == BLOCK_VERSION, SES_ERR_VERSION);
    ses_read_bytes(&r, block->parent.bytes, sizeof block->parent.bytes);
    block->height = ses_read_u64(&r);
    block->timestamp = ses_read_u64(&r);
    ses_read_bytes(&r, block->state_root.bytes, sizeof block->state_root.bytes);
    block->tx_cnt = ses_read_u16(&r);
    ses_read_prove(&r, block->tx_cnt, 4 + 1);
    for (unsigned i = 0; r.err == SES_OK && i < block->tx_cnt; i++) {
        (void)ses_block_next_tx(&r, &tx_len);
    }
    SES_TRY(ses_read_end(&r, block, sizeof *block));
    ses_sha256(&block->id, SES_PARTS(SES_PART(bytes, len)));
    return SES_OK;
}
