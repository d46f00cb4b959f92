/* Inside of struct ses_uv, for the files that watch descriptors. */
#ifndef SES_NETWORK_UV_H
#define SES_NETWORK_UV_H

#include <uv.h>

#include "network/network.h"

uv_loop_t *ses_uv_raw(struct ses_uv *uv);

#endif
