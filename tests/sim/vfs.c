/* SQLite's files on the simulated disks: "/<node>/<path>". One connection a file, no shared memory,
 * no locks to hold against others; time and randomness are the world's. */
#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "tests/sim/memory.h"

struct vfs_file {
    sqlite3_file base; /* first */
    struct sim_inode *inode;
    bool sync_name; /* as on unix: the first sync of a journal makes its name durable, too */
};

static struct sim *world_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

/* The disk and the path on it; NULL if the name is not ours. */
static struct sim_disk *disk_of(sqlite3_vfs *vfs, const char *name, const char **path)
{
    char *end = NULL;
    struct sim *s = world_of(vfs);
    if (name == NULL || name[0] != '/') {
        return NULL;
    }
    const unsigned long node = strtoul(name + 1, &end, 10);
    if (node >= SIM_NODES_MAX || *end != '/' || s->nodes[node].disk == NULL) {
        return NULL;
    }
    *path = end + 1;
    return s->nodes[node].disk;
}

/* ---- files ---- */
static struct sim_inode *inode_of(sqlite3_file *file)
{
    return ((struct vfs_file *)file)->inode;
}

static int file_close(sqlite3_file *file)
{
    sim_disk_close(inode_of(file));
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 offset)
{
    size_t got = 0;
    if (sim_disk_read(inode_of(file), (uint64_t)offset, out, (size_t)len, &got) != SES_OK) {
        errno = EIO;
        return SQLITE_IOERR_READ;
    }
    if (got < (size_t)len) {
        memset((uint8_t *)out + got, 0, (size_t)len - got);
        return SQLITE_IOERR_SHORT_READ;
    }
    return SQLITE_OK;
}

static int file_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
    const enum ses_err err = sim_disk_write(inode_of(file), (uint64_t)offset, bytes, (size_t)len);
    if (err == SES_ERR_NO_SPACE) {
        errno = ENOSPC;
        return SQLITE_FULL;
    }
    errno = err == SES_OK ? errno : EIO;
    return err == SES_OK ? SQLITE_OK : SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    return sim_disk_truncate(inode_of(file), (uint64_t)len) == SES_OK ? SQLITE_OK
                                                                      : SQLITE_IOERR_TRUNCATE;
}

static int file_sync(sqlite3_file *file, int flags)
{
    struct vfs_file *f = (struct vfs_file *)file;
    enum ses_err err = sim_disk_sync(f->inode);
    (void)flags;
    if (err == SES_OK && f->sync_name) {
        err = sim_disk_sync_dir(f->inode);
        f->sync_name = err != SES_OK;
    }
    return err == SES_OK ? SQLITE_OK : SQLITE_IOERR_FSYNC;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)sim_disk_size(inode_of(file));
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int file_reserved(sqlite3_file *file, int *out)
{
    (void)file;
    *out = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    (void)file;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector(sqlite3_file *file)
{
    (void)file;
    return 4096; /* as on unix: bytes beside a torn write stay what they were */
}

static int file_traits(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {.iVersion = 1,
                                           .xClose = file_close,
                                           .xRead = file_read,
                                           .xWrite = file_write,
                                           .xTruncate = file_truncate,
                                           .xSync = file_sync,
                                           .xFileSize = file_size,
                                           .xLock = file_lock,
                                           .xUnlock = file_lock,
                                           .xCheckReservedLock = file_reserved,
                                           .xFileControl = file_control,
                                           .xSectorSize = file_sector,
                                           .xDeviceCharacteristics = file_traits};

/* ---- the file system ---- */
static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                    int *out_flags)
{
    const char *path = NULL;
    struct vfs_file *f = (struct vfs_file *)file;
    struct sim_disk *disk = disk_of(vfs, name, &path);
    f->base.pMethods = NULL;
    if (disk == NULL ||
        sim_disk_open(disk, path, (flags & SQLITE_OPEN_CREATE) != 0, &f->inode) != SES_OK) {
        errno = EIO;
        return SQLITE_CANTOPEN;
    }
    f->base.pMethods = &methods;
    f->sync_name = (flags & SQLITE_OPEN_CREATE) != 0 &&
                   (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    if (out_flags != NULL) {
        *out_flags = flags;
    }
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    const char *path = NULL;
    struct sim_disk *disk = disk_of(vfs, name, &path);
    (void)sync_dir; /* a name that comes back after a loss of power must do no harm */
    if (disk == NULL) {
        return SQLITE_IOERR_DELETE;
    }
    if (!sim_disk_exists(disk, path)) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    return sim_disk_unlink(disk, path) == SES_OK ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    const char *path = NULL;
    struct sim_disk *disk = disk_of(vfs, name, &path);
    (void)flags;
    *out = disk != NULL && sim_disk_exists(disk, path);
    return SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
    (void)vfs;
    const int len = snprintf(out, (size_t)cap, "%s", name);
    return len >= 0 && len < cap ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_random(sqlite3_vfs *vfs, int len, char *out)
{
    struct dice *d = &world_of(vfs)->vfs_dice;
    ses_random_fill(&d->random, out, (size_t)len);
    return len;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us;
}

static int vfs_time64(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    *out = 210866760000000 + (sqlite3_int64)sim_unix_ms(world_of(vfs)); /* julian day 0, in ms */
    return SQLITE_OK;
}

static int vfs_time(sqlite3_vfs *vfs, double *out)
{
    sqlite3_int64 ms = 0;
    const int rc = vfs_time64(vfs, &ms);
    *out = (double)ms / 86400000.0;
    return rc;
}

static int vfs_error(sqlite3_vfs *vfs, int cap, char *out)
{
    (void)vfs;
    (void)cap;
    (void)out;
    return errno;
}

void sim_vfs_use(struct sim *s)
{
    static sqlite3_vfs vfs = {.iVersion = 2,
                              .szOsFile = sizeof(struct vfs_file),
                              .mxPathname = 256,
                              .zName = "sim",
                              .xOpen = vfs_open,
                              .xDelete = vfs_delete,
                              .xAccess = vfs_access,
                              .xFullPathname = vfs_path,
                              .xRandomness = vfs_random,
                              .xSleep = vfs_sleep,
                              .xCurrentTime = vfs_time,
                              .xGetLastError = vfs_error,
                              .xCurrentTimeInt64 = vfs_time64};
    vfs.pAppData = s;
    dice_init(&s->vfs_dice, s->seed, "sqlite", 0);
    sim_memory_start();
    SES_ASSERT(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
    sqlite3_randomness(0, NULL); /* its generator starts from ours, not from the run before */
}
