/* Messaging beside the sum of the bare primitive calls that it cannot do without.
 *
 *     bench_messaging [MILLISECONDS-PER-ROUND]
 *
 * Ours and the bare calls take turns in short rounds, so that a busy machine slows both; a row
 * shows the median of the rounds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "messaging/messaging.h"

#define ROUNDS 11u
#define NOW_MS 1700000000000u

struct fixture {
    struct ses_identity *alice, *bob;
    struct ses_card to;
    size_t body_bytes;
    uint8_t body[81920];
    uint8_t scratch[SES_RECORD_HEADER_BYTES + SES_PAYLOAD_MAX];
    struct ses_buf sealed;
    struct ses_buf sealed0;
    struct ses_dsa_sig sig;
    struct ses_hash64 digest;
    struct ses_kem_ct ct;
    struct ses_secret32 secret;
};
typedef void work(struct fixture *f);

static void must(enum ses_err err)
{
    if (err != SES_OK) {
        fprintf(stderr, "bench_messaging: %s\n", ses_err_text(err));
        exit(1);
    }
}

/* ---- ours ---- */

static struct ses_seal1 message(struct fixture *f)
{
    return (struct ses_seal1){.from = f->alice,
                              .to = &f->to,
                              .ttl_class = 2,
                              .type = SES_CONTENT_TYPE,
                              .with_keys = true,
                              .body = f->body,
                              .body_bytes = f->body_bytes};
}

static void seal1(struct fixture *f)
{
    const struct ses_seal1 m = message(f);
    f->sealed.len = 0;
    must(ses_seal1(&f->sealed, &m, NOW_MS, ses_random_system()));
}

static void open1(struct fixture *f)
{
    struct ses_opened1 opened;
    const struct ses_record record = {f->sealed.bytes, f->sealed.bytes + SES_RECORD_HEADER_BYTES,
                                      (uint32_t)(f->sealed.len - SES_RECORD_HEADER_BYTES)};
    must(ses_open1(&opened, f->bob, &record, NULL, NULL));
    ses_opened1_free(&opened);
}

static void seal0(struct fixture *f)
{
    must(ses_seal0(f->scratch, &f->bob->kem_pk, f->body, f->body_bytes, ses_random_system()));
}

static void open0(struct fixture *f)
{
    must(ses_open0(f->scratch, f->bob, f->sealed0.bytes, f->sealed0.len));
}

static void sign(struct fixture *f)
{
    must(ses_sign(&f->sig, f->alice->dsa, SES_DOMAIN_ENVELOPE, f->digest.bytes, 64,
                  ses_random_system()));
}

static void verify(struct fixture *f)
{
    must(ses_verify(&f->alice->dsa_pk, SES_DOMAIN_ENVELOPE, f->digest.bytes, 64, &f->sig));
}

static void identity(struct fixture *f)
{
    struct ses_identity *fresh = NULL;
    (void)f;
    must(ses_identity_generate(&fresh, ses_random_system()));
    ses_identity_free(fresh);
}

/* ---- bare: the primitives on the same bytes, nothing else ---- */

static void encaps(struct fixture *f)
{
    struct ses_kem_public *key = NULL;
    must(ses_kem_public_new(&key, &f->bob->kem_pk));
    must(ses_kem_encaps(&f->ct, &f->secret, key, ses_random_system()));
    ses_kem_public_free(key);
}

static void derive(struct fixture *f, uint8_t kn[56])
{
    ses_kmac256(kn, 56, f->secret.bytes, 32, SES_PARTS(SES_PART(f->scratch, 1180)),
                "session/env/v1");
    ses_sha3_512(&f->digest, SES_PARTS(SES_PART(f->scratch, 1239)));
}

static size_t plain_bytes(const struct fixture *f)
{
    return f->sealed.len - SES_ENVELOPE1_HDR_BYTES - SES_AEAD_TAG_BYTES;
}

static void bare_seal1(struct fixture *f)
{
    uint8_t kn[56];
    struct ses_nonce nonce;
    encaps(f);
    derive(f, kn);
    memcpy(nonce.bytes, kn + 32, 24);
    sign(f);
    must(ses_aead_seal(f->scratch, &f->secret, &nonce, f->scratch + 1200, SES_ENVELOPE1_HDR_BYTES,
                       f->body, plain_bytes(f)));
}

static void bare_open1(struct fixture *f)
{
    uint8_t kn[56];
    struct ses_kem_ct ct;
    struct ses_nonce nonce;
    memcpy(ct.bytes, f->sealed.bytes + 60, sizeof ct.bytes);
    must(ses_kem_decaps(&f->secret, f->bob->kem, &ct));
    ses_kmac256(kn, 56, f->secret.bytes, 32, SES_PARTS(SES_PART(f->scratch, 1180)),
                "session/env/v1");
    memcpy(nonce.bytes, kn + 32, 24);
    /* as long as opening: authentication and decryption of the same bytes */
    must(ses_aead_seal(f->scratch, &f->secret, &nonce, f->body, SES_ENVELOPE1_HDR_BYTES, f->body,
                       plain_bytes(f)));
    verify(f);
}

static void bare_seal0(struct fixture *f)
{
    struct ses_nonce nonce;
    encaps(f);
    ses_random_fill(ses_random_system(), nonce.bytes, sizeof nonce.bytes);
    must(ses_aead_seal(f->scratch, &f->secret, &nonce, NULL, 0, f->body, f->body_bytes));
}

static void bare_open0(struct fixture *f)
{
    struct ses_kem_ct ct;
    struct ses_nonce nonce;
    memcpy(ct.bytes, f->sealed0.bytes, sizeof ct.bytes);
    memcpy(nonce.bytes, f->sealed0.bytes + sizeof ct.bytes, sizeof nonce.bytes);
    must(ses_kem_decaps(&f->secret, f->bob->kem, &ct));
    must(ses_aead_open(f->scratch, &f->secret, &nonce, NULL, 0,
                       f->sealed0.bytes + sizeof ct.bytes + sizeof nonce.bytes,
                       f->sealed0.len - sizeof ct.bytes - sizeof nonce.bytes));
}

/* ---- measuring ---- */

static double rate(work *w, struct fixture *f, uint64_t round_ns)
{
    uint64_t cnt = 0;
    const uint64_t start = ses_mono_ns();
    uint64_t now;
    do {
        w(f);
        cnt++;
        now = ses_mono_ns();
    } while (now - start < round_ns);
    return (double)cnt * 1e9 / (double)(now - start);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void row(const char *name, work *ours, work *bare, struct fixture *f, uint64_t round_ns)
{
    double o[ROUNDS];
    double b[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        o[i] = rate(ours, f, round_ns);
        b[i] = bare != NULL ? rate(bare, f, round_ns) : 0;
    }
    qsort(o, ROUNDS, sizeof o[0], by_size);
    qsort(b, ROUNDS, sizeof b[0], by_size);
    const double ours_s = o[ROUNDS / 2];
    const double bare_s = b[ROUNDS / 2];
    if (bare == NULL) {
        printf("%-28s %10.0f %10s %8s\n", name, ours_s, "-", "-");
    } else {
        printf("%-28s %10.0f %10.0f %7.1f%%\n", name, ours_s, bare_s, 100.0 * ours_s / bare_s);
    }
    fflush(stdout);
}

static void sizes(struct fixture *f, uint64_t round_ns)
{
    static const size_t bodies[] = {100, 10000, 70000};
    for (size_t i = 0; i < SES_COUNT(bodies); i++) {
        char name[32];
        f->body_bytes = bodies[i];
        seal1(f);
        snprintf(name, sizeof name, "seal v1, %zu bytes", bodies[i]);
        row(name, seal1, bare_seal1, f, round_ns);
        seal1(f);
        sign(f);
        snprintf(name, sizeof name, "open v1, %zu bytes", bodies[i]);
        row(name, open1, bare_open1, f, round_ns);
    }
}

static void v0(struct fixture *f, uint64_t round_ns)
{
    f->body_bytes = 1000;
    must(ses_buf_reserve(&f->sealed0, SES_ENVELOPE0_OVERHEAD + f->body_bytes));
    must(ses_seal0(f->sealed0.bytes, &f->bob->kem_pk, f->body, f->body_bytes, ses_random_system()));
    f->sealed0.len = SES_ENVELOPE0_OVERHEAD + f->body_bytes;
    row("seal v0, 1000 bytes", seal0, bare_seal0, f, round_ns);
    row("open v0, 1000 bytes", open0, bare_open0, f, round_ns);
}

int main(int argc, char **argv)
{
    static struct fixture f;
    const uint64_t ms = argc > 1 ? strtoull(argv[1], NULL, 10) : 30;
    const uint64_t round_ns = ms * 1000000u;
    must(ses_crypto_init());
    must(ses_identity_generate(&f.alice, ses_random_system()));
    must(ses_identity_generate(&f.bob, ses_random_system()));
    ses_card_of(&f.to, f.bob, "bob");
    printf("%-28s %10s %10s %8s\n", "per second", "ours", "bare", "ours");
    sizes(&f, round_ns);
    v0(&f, round_ns);
    sign(&f);
    row("sign", sign, NULL, &f, round_ns);
    row("verify", verify, NULL, &f, round_ns);
    row("identity creation", identity, NULL, &f, round_ns);
    ses_buf_free(&f.sealed);
    ses_buf_free(&f.sealed0);
    ses_identity_free(f.alice);
    ses_identity_free(f.bob);
    return 0;
}
