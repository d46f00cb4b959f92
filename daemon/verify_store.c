/* sessiond verify-store --config F: a whole check of the data directory of a node that is stopped.
 */
#include <inttypes.h>
#include <sys/stat.h>

#include "daemon/program.h"

struct verifying {
    struct settings s;
    struct ses_disk disk;
    struct ses_note note;
    struct ses_verify_report report;
};

static void on_damage(void *cookie, const char *text)
{
    (void)cookie;
    fprintf(stderr, PROGRAM ": damaged: %s\n", text);
}

/* The directory must be there: opening a disk would create it. */
static enum ses_err find_store(struct verifying *v, char path[PATH_CHARS],
                               struct ses_chain_params *chain)
{
    struct stat info;
    SES_TRY(ses_settings_path(&v->s, "data", path));
    enum ses_err err = ses_chain_file_load(&v->s, chain, &v->note);
    if (err == SES_ERR_NOT_FOUND || (err == SES_OK && stat(path, &info) != 0)) {
        ses_note_set(&v->note, "there is no store in %.300s: this node has never served", path);
        err = SES_ERR_NOT_FOUND;
    }
    return err;
}

static enum ses_err verify(struct verifying *v)
{
    char path[PATH_CHARS];
    struct ses_chain_params chain;
    SES_TRY(find_store(v, path, &chain));
    SES_TRY(ses_disk_open(&v->disk, path, &v->note)); /* refuses while a node runs on it */
    const struct ses_verify_params params = {.disk = &v->disk,
                                             .chain_id = chain.chain_id,
                                             .now_ms = ses_now_ms(ses_clock_system()),
                                             .on_damage = on_damage,
                                             .note = &v->note};
    const enum ses_err err = ses_store_verify(&v->report, &params);
    ses_disk_close(&v->disk);
    return err;
}

static void report_print(const struct ses_verify_report *r)
{
    printf("logs        %" PRIu64 ", %" PRIu64 " bytes, %" PRIu64 " records\n", r->log_cnt,
           r->log_bytes, r->record_cnt);
    printf("indexes     %" PRIu64 "\n", r->index_cnt);
    printf("unfinished  %" PRIu64 " bytes of a last write, %" PRIu64 " records to be indexed%s\n",
           r->tail_bytes, r->unindexed_cnt,
           r->tail_bytes + r->unindexed_cnt > 0 ? ": the next start does that" : "");
    if (r->damage_cnt == 0) {
        puts("damaged     nothing");
    } else {
        printf("damaged     %" PRIu64 ", listed above: what is lost here the other members have\n",
               r->damage_cnt);
    }
}

enum exit_code ses_verify_store_main(int argc, char **argv)
{
    struct verifying v = {0};
    enum ses_err err = ses_settings_read(&v.s, ses_settings_keys, &argc, argv, &v.note);
    if (err != SES_OK) {
        fprintf(stderr, PROGRAM ": %s\n", v.note.text);
        return EXIT_USAGE;
    }
    err = verify(&v);
    ses_settings_free(&v.s);
    if (err != SES_OK) {
        fprintf(stderr, PROGRAM ": %s\n", v.note.text[0] != '\0' ? v.note.text : ses_err_text(err));
        return err == SES_ERR_IN_USE ? EXIT_REFUSED : ses_exit_code(err);
    }
    report_print(&v.report);
    return v.report.damage_cnt == 0 ? EXIT_DONE : EXIT_FAILED;
}
