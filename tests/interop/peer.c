/* Our end of the interop tests.
 *
 *   peer listen         prints the address with its peer id, runs until standard input ends
 *   peer ping ADDRESS   prints "ok PEER-ID GROUP AGENT" or "failed ERROR"
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "network/network.h"

struct peer {
    struct ses_uv *uv;
    struct ses_net *net;
    int status;
};

static void on_closed(void *cookie)
{
    struct peer *peer = cookie;
    ses_uv_stop(peer->uv);
}

static void on_ping(void *cookie, enum ses_err err, const struct ses_ping *ping)
{
    struct peer *peer = cookie;
    char id[SES_PEER_ID_TEXT_MAX];
    if (err != SES_OK) {
        printf("failed %s\n", ses_err_name(err));
    } else {
        ses_peer_id_text(id, &ping->peer_id);
        printf("ok %s %s %s\n%s", id, ping->group, ping->agent, ping->protocols);
    }
    peer->status = 0;
    ses_host_close(peer->net, 1000, on_closed, peer);
}

static void wait_for_end(void *cookie)
{
    char byte;
    (void)cookie;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

static void end_seen(void *cookie)
{
    struct peer *peer = cookie;
    peer->status = 0;
    ses_host_close(peer->net, 1000, on_closed, peer);
}

static enum ses_err peer_listen(struct peer *peer)
{
    struct ses_multiaddr bound;
    struct ses_peer_id id;
    char id_text[SES_PEER_ID_TEXT_MAX];
    char text[SES_MULTIADDR_TEXT_MAX];
    const struct ses_loop *loop = ses_uv_loop(peer->uv);
    SES_TRY(ses_host_listen(peer->net, "/ip4/127.0.0.1/tcp/0", &bound, NULL));
    SES_TRY(ses_multiaddr_text(text, sizeof text, bound.bytes, bound.len));
    ses_host_peer_id(peer->net, &id);
    ses_peer_id_text(id_text, &id);
    printf("%s/p2p/%s\n", text, id_text);
    (void)fflush(stdout);
    return loop->work(loop->ctx, wait_for_end, end_seen, peer);
}

static enum ses_err peer_run(struct peer *peer, int argc, char **argv)
{
    struct ses_host_params params = {.random = ses_random_system(), .agent = "session-interop/1"};
    SES_TRY(ses_crypto_init());
    SES_TRY(ses_uv_new(&peer->uv));
    params.uv = peer->uv;
    ses_random_fill(params.random, &params.peer_seed, sizeof params.peer_seed);
    SES_TRY(ses_host_new(&peer->net, &params));
    if (argc == 2 && strcmp(argv[1], "listen") == 0) {
        SES_TRY(peer_listen(peer));
    } else if (argc == 3 && strcmp(argv[1], "ping") == 0) {
        SES_TRY(ses_host_ping(peer->net, argv[2], on_ping, peer));
    } else {
        fprintf(stderr, "usage: peer listen | peer ping ADDRESS\n");
        return SES_ERR_INVALID;
    }
    ses_uv_run(peer->uv);
    return SES_OK;
}

int main(int argc, char **argv)
{
    struct peer peer = {.status = 1};
    const enum ses_err err = peer_run(&peer, argc, argv);
    ses_host_free(peer.net);
    ses_uv_free(peer.uv);
    if (err != SES_OK) {
        fprintf(stderr, "peer: %s\n", ses_err_text(err));
    }
    return err == SES_OK ? peer.status : 1;
}
