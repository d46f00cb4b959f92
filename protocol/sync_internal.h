/* What frame_sync.c and frame_bulk.c share. */
#ifndef SES_PROTOCOL_SYNC_INTERNAL_H
#define SES_PROTOCOL_SYNC_INTERNAL_H

#include "protocol/sync_frame.h"

void ses_segment_put(struct ses_writer *w, const struct ses_segment *m);
void ses_segment_take(struct ses_reader *r, struct ses_segment *m);
void ses_sync_set_put(struct ses_writer *w, const struct ses_sync_set *m);
void ses_sync_set_take(struct ses_reader *r, struct ses_sync_set *m);
/* A byte that is 0 or 1. */
bool ses_flag_take(struct ses_reader *r);

#endif
