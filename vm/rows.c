/* Rows of a registry snapshot: shared by the blocks of an epoch, with the epoch of their change. */
#include "vm/vm_internal.h"

enum ses_err ses_rows_new(struct ses_rows **out, uint32_t cnt)
{
    *out = NULL;
    struct ses_rows *rows = ses_alloc(1, sizeof(*rows));
    SES_REQUIRE(rows != NULL, SES_ERR_MEMORY);
    rows->rows = ses_alloc(cnt == 0 ? 1 : cnt, sizeof(*rows->rows));
    if (rows->rows == NULL) {
        ses_free(rows);
        return SES_ERR_MEMORY;
    }
    rows->ref_cnt = 1;
    rows->cnt = cnt;
    *out = rows;
    return SES_OK;
}

struct ses_rows *ses_rows_ref(struct ses_rows *rows)
{
    if (rows != NULL) {
        rows->ref_cnt++;
    }
    return rows;
}

void ses_rows_unref(struct ses_rows *rows)
{
    if (rows != NULL && --rows->ref_cnt == 0) {
        ses_free(rows->rows);
        ses_free(rows);
    }
}

static bool same_row(const struct ses_registry_row *a, const struct ses_registry_row *b)
{
    return memcmp(a->owner.bytes, b->owner.bytes, sizeof(a->owner.bytes)) == 0 &&
           a->status == b->status && a->swarm == b->swarm && a->prev_swarm == b->prev_swarm &&
           a->swarm_from_epoch == b->swarm_from_epoch &&
           memcmp(a->keys_hash.bytes, b->keys_hash.bytes, sizeof(a->keys_hash.bytes)) == 0;
}

void ses_rows_settle(struct ses_rows *rows, const struct ses_rows *before, uint64_t epoch)
{
    const uint32_t before_cnt = before == NULL ? 0 : before->cnt;
    uint32_t b = 0;
    for (uint32_t i = 0; i < rows->cnt; i++) {
        struct ses_row *row = &rows->rows[i];
        int order = 1;
        while (b < before_cnt) {
            order = memcmp(before->rows[b].row.node_id.bytes, row->row.node_id.bytes,
                           sizeof(row->row.node_id.bytes));
            if (order >= 0) {
                break;
            }
            b++;
        }
        if (b < before_cnt && order == 0 && same_row(&before->rows[b].row, &row->row)) {
            row->hash = before->rows[b].hash;
            row->changed_epoch = before->rows[b].changed_epoch;
        } else {
            ses_registry_row_hash(&row->hash, &row->row);
            row->changed_epoch = epoch;
        }
    }
}

void ses_row_write(struct ses_writer *w, const struct ses_row *row)
{
    ses_write_bytes(w, row->row.node_id.bytes, sizeof(row->row.node_id.bytes));
    ses_write_bytes(w, row->row.owner.bytes, sizeof(row->row.owner.bytes));
    ses_write_u8(w, (uint8_t)row->row.status);
    ses_write_u32(w, row->row.swarm);
    ses_write_u32(w, row->row.prev_swarm);
    ses_write_u64(w, row->row.swarm_from_epoch);
    ses_write_bytes(w, row->row.keys_hash.bytes, sizeof(row->row.keys_hash.bytes));
    ses_write_u64(w, row->changed_epoch);
}

void ses_row_read(struct ses_reader *r, struct ses_row *row)
{
    memset(row, 0, sizeof(*row));
    ses_read_bytes(r, row->row.node_id.bytes, sizeof(row->row.node_id.bytes));
    ses_read_bytes(r, row->row.owner.bytes, sizeof(row->row.owner.bytes));
    const uint8_t status = ses_read_u8(r);
    ses_reader_check(r, status >= SES_NODE_ACTIVE && status <= SES_NODE_RETIRED, SES_ERR_MALFORMED);
    row->row.status = (enum ses_node_status)status;
    row->row.swarm = ses_read_u32(r);
    row->row.prev_swarm = ses_read_u32(r);
    row->row.swarm_from_epoch = ses_read_u64(r);
    ses_read_bytes(r, row->row.keys_hash.bytes, sizeof(row->row.keys_hash.bytes));
    row->changed_epoch = ses_read_u64(r);
    ses_registry_row_hash(&row->hash, &row->row);
}

uint32_t ses_rows_find(const struct ses_rows *rows, const struct ses_node_id *node_id)
{
    uint32_t low = 0;
    uint32_t high = rows->cnt;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        const int order = memcmp(rows->rows[mid].row.node_id.bytes, node_id->bytes, 20);
        if (order == 0) {
            return mid;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return SES_TESTS_NONE;
}
