/* Into the store: a delete statement goes with what it deletes. */
#include "daemon/daemon_internal.h"

_Static_assert(SES_DELETIONS_MAX == SES_DELETE_TARGETS_MAX, "one statement, one put");

static void deletions_of(struct ses_deletion *out, const struct ses_delete *statement)
{
    for (unsigned i = 0; i < statement->target_cnt; i++) {
        const struct ses_delete_target *t = &statement->targets[i];
        out[i] = (struct ses_deletion){.id = t->id,
                                       .ts_ms = t->header.ts_ms,
                                       .ns = t->header.ns,
                                       .ttl_class = t->header.ttl_class};
    }
}

enum ses_err ses_daemon_put(struct ses_daemon *d, const struct ses_put *put)
{
    if (put->ids->header.kind == SES_RECORD_MESSAGE) {
        return ses_store_put(d->p.store, put);
    }
    struct ses_delete statement;
    struct ses_deletion deletions[SES_DELETIONS_MAX];
    struct ses_put with = *put;
    SES_TRY(ses_delete_of_record(&statement, &put->record));
    deletions_of(deletions, &statement);
    with.targets = deletions;
    with.target_cnt = (uint8_t)statement.target_cnt;
    return ses_store_put(d->p.store, &with);
}
