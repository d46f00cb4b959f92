/* plugin, inside: the standalone host as its methods see it. */
#ifndef SES_PLUGIN_HOST_H
#define SES_PLUGIN_HOST_H

#include <pthread.h>

#include "plugin/plugin.h"

struct ses_host {
    pthread_mutex_t lock; /* of the vm and of everything below it */
    pthread_cond_t wake;  /* of the producer: a transaction came, or the end */
    struct ses_vm *vm;
    struct ses_db *db;
    struct ses_workers *workers;
    struct ses_rpc_server *server;
    pthread_t producer;
    bool producing;
    bool stop;
    const struct ses_clock *clock;
    const struct ses_log *log;
    uint64_t block_ms;  /* least distance of blocks */
    uint64_t earliest;  /* mono ms before which no block is built */
    bool has_undecided; /* a verified block that the disk did not take yet */
    struct ses_hash undecided;
    enum ses_err fault; /* why no block is accepted at the moment; OK: all is well */
    struct ses_note fault_note;
};

/* What the servers' pages and sessionvm.health say. */
json_t *ses_host_health(struct ses_host *host);

#endif
