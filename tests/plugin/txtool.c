/* Signs transactions for the tests of sessionvm: every argument is taken as it is, nonsense too.
 *
 *   txtool account SEED                                             its account
 *   txtool node NODESEED OWNERSEED STAKE CAPACITY                   JSON for a genesis
 *   txtool nodeid NODESEED
 *   txtool transfer     CHAIN SEED known|first NONCE FEE TO AMOUNT
 *   txtool register     CHAIN SEED known|first NONCE FEE NODESEED STAKE CAPACITY
 *   txtool topup        CHAIN SEED known|first NONCE FEE NODEID AMOUNT
 *   txtool decommission CHAIN SEED known|first NONCE FEE NODEID
 */
#include <string.h>

#include "protocol/protocol.h"

/* This is a test program: what does not work ends it. */
static void must(enum ses_err err, const char *what)
{
    if (err != SES_OK) {
        fprintf(stderr, "txtool: %s: %s\n", what, ses_err_text(err));
        exit(1);
    }
}

struct keys {
    struct ses_dsa_private *dsa;
    struct ses_dsa_pk pk;
    struct ses_kem_pk kem_pk;
    struct ses_account account;
    struct ses_node_id node_id;
};

static void keys_load(struct keys *k, const char *seed_hex)
{
    struct ses_dsa_seed seed;
    struct ses_kem_seed kem_seed;
    struct ses_kem_private *kem = NULL;
    must(ses_hex_decode(seed.bytes, sizeof seed.bytes, seed_hex), "seed");
    must(ses_dsa_private_new(&k->dsa, &seed), "signing key");
    ses_dsa_private_pk(k->dsa, &k->pk);
    memcpy(kem_seed.bytes, seed.bytes, 32);
    memcpy(kem_seed.bytes + 32, seed.bytes, 32);
    must(ses_kem_private_new(&kem, &kem_seed), "encryption key");
    ses_kem_private_pk(kem, &k->kem_pk);
    ses_kem_private_free(kem);
    ses_account_of(&k->account, &k->pk);
    ses_node_id_of(&k->node_id, &k->pk);
}

static void keys_free(struct keys *k)
{
    ses_dsa_private_free(k->dsa);
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

/* Listens nowhere: /ip4/127.0.0.1/tcp/9 */
static void endpoint_make(struct ses_endpoint *e)
{
    static const uint8_t addr[] = {0x04, 127, 0, 0, 1, 0x06, 0, 9};
    memset(e, 0, sizeof *e);
    e->peer_key.bytes[0] = 1;
    e->addr_cnt = 1;
    e->addrs[0].len = sizeof addr;
    memcpy(e->addrs[0].bytes, addr, sizeof addr);
}

static void print_hex(const void *bytes, size_t len)
{
    char *text = ses_alloc(2 * len + 1, 1);
    must(text != NULL ? SES_OK : SES_ERR_MEMORY, "memory");
    ses_hex_encode(text, bytes, len);
    printf("%s", text);
    ses_free(text);
}

static int print_node(char **argv)
{
    struct keys node;
    struct keys owner;
    struct ses_endpoint e;
    char text[SES_ID_TEXT_MAX];
    keys_load(&node, argv[2]);
    keys_load(&owner, argv[3]);
    endpoint_make(&e);
    ses_account_text(text, &owner.account);
    printf("{\"owner\":\"%s\",", text);
    ses_node_id_text(text, &node.node_id);
    printf("\"nodeId\":\"%s\",\"publicKey\":\"", text);
    print_hex(node.pk.bytes, sizeof node.pk.bytes);
    printf("\",\"encryptionKey\":\"");
    print_hex(node.kem_pk.bytes, sizeof node.kem_pk.bytes);
    printf("\",\"stake\":%s,\"capacity\":%s,\"endpoint\":{\"peerKey\":\"", argv[4], argv[5]);
    print_hex(e.peer_key.bytes, 32);
    printf("\",\"addrs\":[\"");
    print_hex(e.addrs[0].bytes, e.addrs[0].len);
    printf("\"]}}\n");
    keys_free(&node);
    keys_free(&owner);
    return 0;
}

static int print_id(const char *command, const char *seed)
{
    struct keys k;
    char text[SES_ID_TEXT_MAX];
    keys_load(&k, seed);
    if (strcmp(command, "account") == 0) {
        ses_account_text(text, &k.account);
    } else {
        ses_node_id_text(text, &k.node_id);
    }
    printf("%s\n", text);
    keys_free(&k);
    return 0;
}

static void body_register(struct ses_tx *tx, const struct keys *owner, const struct keys *node,
                          char **args)
{
    tx->type = SES_TX_REGISTER;
    tx->body.reg.owner = owner->account;
    tx->body.reg.node_id = node->node_id;
    tx->body.reg.public_key = node->pk;
    tx->body.reg.encryption_key = node->kem_pk;
    tx->body.reg.stake = number(args[3]);
    tx->body.reg.capacity = number(args[4]);
    endpoint_make(&tx->body.reg.endpoint);
    tx->body.reg.nonce = number(args[0]);
    tx->body.reg.fee = number(args[1]);
}

/* args: NONCE FEE ... */
static bool body_other(struct ses_tx *tx, const char *command, char **args)
{
    const uint64_t nonce = number(args[0]);
    const uint64_t fee = number(args[1]);
    if (strcmp(command, "transfer") == 0) {
        tx->type = SES_TX_TRANSFER;
        must(ses_account_parse(&tx->body.transfer.to, args[2]), "TO");
        tx->body.transfer.amount = number(args[3]);
        tx->body.transfer.nonce = nonce;
        tx->body.transfer.fee = fee;
    } else if (strcmp(command, "topup") == 0) {
        tx->type = SES_TX_TOP_UP;
        must(ses_node_id_parse(&tx->body.top_up.node_id, args[2]), "NODEID");
        tx->body.top_up.amount = number(args[3]);
        tx->body.top_up.nonce = nonce;
        tx->body.top_up.fee = fee;
    } else if (strcmp(command, "decommission") == 0) {
        tx->type = SES_TX_DECOMMISSION;
        must(ses_node_id_parse(&tx->body.decommission.node_id, args[2]), "NODEID");
        tx->body.decommission.nonce = nonce;
        tx->body.decommission.fee = fee;
    } else {
        return false;
    }
    return true;
}

static int sign(int argc, char **argv)
{
    static uint8_t bytes[SES_TX_BYTES_MAX];
    static struct ses_tx tx;
    struct ses_writer w;
    struct ses_hash chain_id;
    struct keys signer;
    struct keys node = {0};
    const enum ses_auth_kind kind = strcmp(argv[4], "first") == 0 ? SES_AUTH_FIRST : SES_AUTH_KNOWN;
    must(ses_hex_decode(chain_id.bytes, 32, argv[2]), "CHAIN");
    keys_load(&signer, argv[3]);
    if (strcmp(argv[1], "register") == 0 && argc == 10) {
        keys_load(&node, argv[7]);
        body_register(&tx, &signer, &node, argv + 5);
    } else if (!body_other(&tx, argv[1], argv + 5)) {
        keys_free(&signer);
        return 2;
    }
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_tx_write_body(&w, &tx);
    const size_t body_len = w.len;
    must(ses_tx_sign(&w, &chain_id, bytes, body_len, kind, signer.dsa, ses_random_system()),
         "signature");
    if (node.dsa != NULL) {
        must(ses_tx_sign(&w, &chain_id, bytes, body_len, SES_AUTH_NODE, node.dsa,
                         ses_random_system()),
             "signature of the node");
    }
    must(ses_writer_done(&w), "writing");
    print_hex(bytes, w.len);
    printf("\n");
    keys_free(&signer);
    keys_free(&node);
    return 0;
}

int main(int argc, char **argv)
{
    must(ses_crypto_init(), "start");
    if (argc == 3 && (strcmp(argv[1], "account") == 0 || strcmp(argv[1], "nodeid") == 0)) {
        return print_id(argv[1], argv[2]);
    }
    if (argc == 6 && strcmp(argv[1], "node") == 0) {
        return print_node(argv);
    }
    return argc >= 8 && argc <= 10 ? sign(argc, argv) : 2;
}
