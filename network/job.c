/* ML-DSA costs a millisecond: signatures are made and checked on the worker pool. */
#include "network/host.h"

struct ses_job *ses_job_new(struct ses_conn *conn, enum ses_domain domain,
                            void (*done)(struct ses_job *job), void *cookie)
{
    struct ses_job *job = ses_alloc(1, sizeof *job);
    if (job != NULL) {
        job->host = conn->host;
        job->conn = conn;
        job->domain = domain;
        job->done = done;
        job->cookie = cookie;
        conn->pin_cnt++;
    }
    return job;
}

void ses_job_free(struct ses_job *job)
{
    ses_conn_unpin(job->conn);
    ses_free(job);
}

static void job_run(void *cookie)
{
    struct ses_job *job = cookie;
    if (job->verify) {
        job->verify_err = ses_verify(&job->verify_pk, job->domain, job->verify_message,
                                     job->verify_len, &job->verify_sig);
    }
    if (job->sign_key != NULL) {
        job->sign_err = ses_sign(&job->sign_sig, job->sign_key, job->domain, job->sign_message,
                                 job->sign_len, job->host->params.random);
    }
}

static void job_done(void *cookie)
{
    struct ses_job *job = cookie;
    job->host->job_cnt--;
    job->done(job);
}

enum ses_err ses_job_start(struct ses_job *job)
{
    const struct ses_loop *loop = job->host->loop;
    SES_TRY(loop->work(loop->ctx, job_run, job_done, job));
    job->host->job_cnt++;
    return SES_OK;
}
