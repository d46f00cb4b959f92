/* A disk in memory that does to its node what real ones do. Each file is two images: what reads
 * see, and what would be left if the power went now. A write changes the first and remembers where;
 * a sync copies these places to the second. At a loss of power each 512-byte sector that was
 * written since comes out old, new or torn. Logs and SQLite's files stand on the same disk. */
#include "tests/sim/memory.h"

#define SECTOR 512u
#define PATH_MAX_CHARS 64u

struct span {
    uint64_t from, to;
};
struct sim_inode {
    struct sim_disk *disk;
    struct sim_inode *next;
    char path[PATH_MAX_CHARS];
    bool exists;  /* can be opened by name */
    bool durable; /* will be there after a loss of power */
    struct ses_buf now, old;
    struct span *dirty;
    uint32_t dirty_cnt, dirty_cap;
    uint32_t open_cnt;
};
struct sim_disk {
    struct sim *sim;
    uint32_t node;
    struct ses_disk door;
    char root[16];
    struct dice dice;
    struct sim_inode *first, **end;
    struct sim_disk_limits limits;
    bool off;
};

/* ---- files by name ---- */
static struct sim_inode *find(const struct sim_disk *disk, const char *path)
{
    for (struct sim_inode *i = disk->first; i != NULL; i = i->next) {
        if (i->exists && strcmp(i->path, path) == 0) {
            return i;
        }
    }
    return NULL;
}

static void inode_free(struct sim_inode *i)
{
    ses_buf_free(&i->now);
    ses_buf_free(&i->old);
    ses_free(i->dirty);
    ses_free(i);
}

/* Forgets files that nobody can reach any more. */
static void sweep(struct sim_disk *disk)
{
    struct sim_inode **at = &disk->first;
    while (*at != NULL) {
        struct sim_inode *i = *at;
        if (!i->exists && !i->durable && i->open_cnt == 0) {
            *at = i->next;
            inode_free(i);
        } else {
            at = &i->next;
        }
    }
    disk->end = at;
}

static void resize(struct ses_buf *b, uint64_t len)
{
    if (len > b->len) {
        const size_t more = (size_t)len - b->len;
        SES_ASSERT(ses_buf_reserve(b, more) == SES_OK);
        memset(b->bytes + b->len, 0, more);
    }
    b->len = (size_t)len;
}

/* Counts a change; false if the machine is off, or goes off with it. */
static bool alive(struct sim_disk *disk)
{
    if (!disk->off && disk->limits.fuse > 0 && --disk->limits.fuse == 0) {
        struct sim_node *node = &disk->sim->nodes[disk->node];
        const bool power = !disk->limits.fuse_kills;
        disk->off = true;
        sim_net_down(&node->net, true, power);
        node->power = power;
        sim_node_die(node, power ? DEATH_POWER : DEATH_KILL, node->down_for_ms);
        return false;
    }
    return !disk->off;
}

/* ---- images ---- */
static void touch(struct sim_inode *i, uint64_t from, uint64_t to)
{
    if (i->dirty_cnt > 0 && i->dirty[i->dirty_cnt - 1].to == from) {
        i->dirty[i->dirty_cnt - 1].to = to;
        return;
    }
    if (i->dirty_cnt == i->dirty_cap) {
        i->dirty_cap = i->dirty_cap != 0 ? 2 * i->dirty_cap : 8;
        i->dirty = ses_realloc(i->dirty, i->dirty_cap, sizeof *i->dirty);
        SES_ASSERT(i->dirty != NULL);
    }
    i->dirty[i->dirty_cnt++] = (struct span){from, to};
}

static void put(struct sim_inode *i, uint64_t offset, const void *bytes, size_t len)
{
    if (offset + len > i->now.len) {
        resize(&i->now, offset + len);
    }
    memcpy(i->now.bytes + offset, bytes, len);
    touch(i, offset, offset + len);
}

static void copy_span(struct ses_buf *to, const struct ses_buf *from, uint64_t at, uint64_t end)
{
    end = end < from->len ? end : from->len;
    end = end < to->len ? end : to->len;
    if (at < end) {
        memcpy(to->bytes + at, from->bytes + at, (size_t)(end - at));
    }
}

static void make_durable(struct sim_inode *i)
{
    resize(&i->old, i->now.len);
    for (uint32_t n = 0; n < i->dirty_cnt; n++) {
        copy_span(&i->old, &i->now, i->dirty[n].from, i->dirty[n].to);
    }
    i->dirty_cnt = 0;
}

enum fate { FATE_ALL, FATE_NOTHING, FATE_SECTORS };

/* One sector of what was not synced: new, old, or half and half. */
static void sector_fate(struct sim_inode *i, uint64_t at, uint64_t end)
{
    struct dice *d = &i->disk->dice;
    const uint64_t luck = dice_below(d, 10);
    if (luck < 4) {
        sim_see(i->disk->sim, SEEN_SECTOR_LOST);
        return; /* the new one does not arrive */
    }
    if (luck == 9) {
        sim_see(i->disk->sim, SEEN_SECTOR_TORN);
    }
    copy_span(&i->old, &i->now, at, luck < 9 ? end : at + dice_below(d, end - at + 1));
}

/* What of the unsynced writes reached the platter, in any subset. */
static void settle(struct sim_inode *i, enum fate fate)
{
    if (fate == FATE_ALL) {
        make_durable(i);
        return;
    }
    struct dice *d = &i->disk->dice;
    uint64_t len = i->now.len;
    if (fate == FATE_NOTHING) {
        len = i->old.len;
    } else if (len > i->old.len && dice_chance(d, 600)) {
        len = dice_between(d, i->old.len, len);
    }
    resize(&i->old, len);
    for (uint32_t n = 0; fate == FATE_SECTORS && n < i->dirty_cnt; n++) {
        const struct span span = i->dirty[n];
        for (uint64_t at = span.from; at < span.to;) {
            const uint64_t sector_end = (at / SECTOR + 1) * SECTOR;
            const uint64_t end = sector_end < span.to ? sector_end : span.to;
            sector_fate(i, at, end);
            at = end;
        }
    }
    i->dirty_cnt = 0;
}

static void drop_cache(struct sim_inode *i)
{
    resize(&i->now, i->old.len);
    if (i->old.len > 0) {
        memcpy(i->now.bytes, i->old.bytes, i->old.len);
    }
    i->dirty_cnt = 0;
}

/* ---- operations, for logs and for SQLite ---- */
enum ses_err sim_disk_open(struct sim_disk *disk, const char *path, bool create,
                           struct sim_inode **out)
{
    SIM_AS(SIM_WORLD);
    *out = find(disk, path);
    if (*out == NULL) {
        SES_REQUIRE(create, SES_ERR_NOT_FOUND);
        SES_REQUIRE(alive(disk), SES_ERR_IO);
        SES_ASSERT(strlen(path) < PATH_MAX_CHARS);
        struct sim_inode *i = ses_alloc(1, sizeof *i);
        SES_ASSERT(i != NULL);
        memcpy(i->path, path, strlen(path) + 1);
        i->disk = disk;
        i->exists = true;
        *disk->end = i;
        disk->end = &i->next;
        *out = i;
    }
    (*out)->open_cnt++;
    return SES_OK;
}

void sim_disk_close(struct sim_inode *inode)
{
    SIM_AS(SIM_WORLD);
    SES_ASSERT(inode->open_cnt > 0);
    inode->open_cnt--;
    sweep(inode->disk);
}

enum ses_err sim_disk_read(struct sim_inode *inode, uint64_t offset, void *out, size_t len,
                           size_t *got)
{
    struct sim_disk *disk = inode->disk;
    *got = 0;
    SES_REQUIRE(!disk->off, SES_ERR_IO);
    if (disk->limits.fail_reads > 0) {
        disk->limits.fail_reads--;
        sim_see(disk->sim, SEEN_READ_FAILED);
        return SES_ERR_IO;
    }
    if (offset < inode->now.len) {
        const uint64_t there = inode->now.len - offset;
        *got = there < len ? (size_t)there : len;
        memcpy(out, inode->now.bytes + offset, *got);
    }
    return SES_OK;
}

/* To the same place in the file, but some sectors off: what was meant is not written. */
static void go_astray(struct sim_inode *inode, uint64_t offset, const void *bytes, size_t len)
{
    struct sim_disk *disk = inode->disk;
    const uint64_t sectors = inode->now.len / SECTOR;
    const uint64_t at = sectors > 0 ? dice_below(&disk->dice, sectors) * SECTOR : 0;
    if (offset + len > inode->now.len) {
        resize(&inode->now, offset + len);
        touch(inode, offset, offset + len);
    }
    if (at + len <= inode->now.len && at != offset) {
        put(inode, at, bytes, len);
    }
    sim_node_spoil(&disk->sim->nodes[disk->node]);
}

enum ses_err sim_disk_write(struct sim_inode *inode, uint64_t offset, const void *bytes, size_t len)
{
    SIM_AS(SIM_WORLD);
    struct sim_disk *disk = inode->disk;
    const bool on = alive(disk);
    const uint64_t grown = offset + len > inode->now.len ? offset + len - inode->now.len : 0;
    uint64_t room = len;
    sim_mark(disk->sim, 1, (uint64_t)disk->node << 32 | (uint32_t)len, offset);
    if (!on) {
        /* the last write before the end may have come to a part of itself */
        put(inode, offset, bytes, (size_t)dice_below(&disk->dice, len + 1));
        return SES_ERR_IO;
    }
    if (grown > disk->limits.space_bytes) {
        sim_see(disk->sim, SEEN_NO_SPACE);
        const uint64_t lacking = grown - disk->limits.space_bytes;
        room = lacking < len ? len - lacking : 0;
    }
    if (disk->limits.misdirect > 0 && len >= SECTOR) {
        disk->limits.misdirect--;
        sim_see(disk->sim, SEEN_ASTRAY);
        go_astray(inode, offset, bytes, (size_t)room);
    } else if (room > 0) {
        put(inode, offset, bytes, (size_t)room);
    }
    disk->limits.space_bytes -= grown < disk->limits.space_bytes ? grown : disk->limits.space_bytes;
    return room == len ? SES_OK : SES_ERR_NO_SPACE;
}

enum ses_err sim_disk_truncate(struct sim_inode *inode, uint64_t len)
{
    SIM_AS(SIM_WORLD);
    struct sim_disk *disk = inode->disk;
    SES_REQUIRE(alive(disk), SES_ERR_IO);
    if (len < inode->now.len) {
        disk->limits.space_bytes += inode->now.len - len;
        touch(inode, len, inode->now.len);
    }
    resize(&inode->now, len);
    return SES_OK;
}

/* After a sync that failed nobody knows what is where: the cache forgets what did not arrive. */
static enum ses_err fail_sync(struct sim_inode *inode)
{
    settle(inode, FATE_SECTORS);
    drop_cache(inode);
    return SES_ERR_IO;
}

enum ses_err sim_disk_sync(struct sim_inode *inode)
{
    SIM_AS(SIM_WORLD);
    struct sim_disk *disk = inode->disk;
    SES_REQUIRE(alive(disk), SES_ERR_IO);
    if (disk->limits.fail_syncs > 0) {
        disk->limits.fail_syncs--;
        sim_see(disk->sim, SEEN_SYNC_FAILED);
        return fail_sync(inode);
    }
    make_durable(inode);
    return SES_OK;
}

uint64_t sim_disk_size(const struct sim_inode *inode)
{
    return inode->now.len;
}

bool sim_disk_exists(const struct sim_disk *disk, const char *path)
{
    return find(disk, path) != NULL;
}

enum ses_err sim_disk_unlink(struct sim_disk *disk, const char *path)
{
    SIM_AS(SIM_WORLD);
    SES_REQUIRE(alive(disk), SES_ERR_IO);
    struct sim_inode *i = find(disk, path);
    if (i != NULL) {
        disk->limits.space_bytes += i->now.len;
        i->exists = false;
        sweep(disk);
    }
    return SES_OK;
}

/* ---- struct ses_disk ---- */
struct ses_file {
    struct sim_inode inode; /* a handle is its inode: this type is never made */
};

static struct sim_inode *inode_of(struct ses_file *file)
{
    return (struct sim_inode *)(void *)file;
}

static enum ses_err door_open(void *ctx, const char *path, bool create, struct ses_file **out)
{
    struct sim_inode *inode = NULL;
    const enum ses_err err = sim_disk_open(ctx, path, create, &inode);
    *out = (struct ses_file *)(void *)inode;
    return err;
}

static void door_close(void *ctx, struct ses_file *file)
{
    (void)ctx;
    sim_disk_close(inode_of(file));
}

static enum ses_err door_size(void *ctx, struct ses_file *file, uint64_t *out)
{
    (void)ctx;
    *out = sim_disk_size(inode_of(file));
    return SES_OK;
}

static enum ses_err door_write(void *ctx, struct ses_file *file, uint64_t offset,
                               const struct ses_iov *iov, size_t iov_cnt)
{
    (void)ctx;
    for (size_t i = 0; i < iov_cnt; i++) {
        SES_TRY(sim_disk_write(inode_of(file), offset, iov[i].bytes, iov[i].len));
        offset += iov[i].len;
    }
    return SES_OK;
}

static enum ses_err door_read(void *ctx, struct ses_file *file, uint64_t offset, void *out,
                              size_t len)
{
    size_t got = 0;
    (void)ctx;
    SES_TRY(sim_disk_read(inode_of(file), offset, out, len, &got));
    return got == len ? SES_OK : SES_ERR_TRUNCATED;
}

static enum ses_err door_truncate(void *ctx, struct ses_file *file, uint64_t len)
{
    (void)ctx;
    return sim_disk_truncate(inode_of(file), len);
}

static enum ses_err door_sync(void *ctx, struct ses_file *file)
{
    (void)ctx;
    return sim_disk_sync(inode_of(file));
}

static enum ses_err door_mkdir(void *ctx, const char *path)
{
    (void)path;
    return ((struct sim_disk *)ctx)->off ? SES_ERR_IO : SES_OK;
}

static bool is_in(const char *path, const char *dir)
{
    const size_t len = strlen(dir);
    const char *name = len == 0 ? path : path + len + 1;
    return (len == 0 || (strncmp(path, dir, len) == 0 && path[len] == '/')) &&
           strchr(name, '/') == NULL;
}

static enum ses_err door_sync_dir(void *ctx, const char *path)
{
    SIM_AS(SIM_WORLD);
    struct sim_disk *disk = ctx;
    SES_REQUIRE(alive(disk), SES_ERR_IO);
    for (struct sim_inode *i = disk->first; i != NULL; i = i->next) {
        if (is_in(i->path, path)) {
            i->durable = i->exists;
        }
    }
    sweep(disk);
    return SES_OK;
}

enum ses_err sim_disk_sync_dir(struct sim_inode *inode)
{
    char dir[PATH_MAX_CHARS];
    memcpy(dir, inode->path, sizeof dir);
    char *slash = strrchr(dir, '/');
    *(slash != NULL ? slash : dir) = 0;
    return door_sync_dir(inode->disk, dir);
}

static enum ses_err door_unlink(void *ctx, const char *path)
{
    return sim_disk_unlink(ctx, path);
}

static enum ses_err door_list(void *ctx, const char *path,
                              void (*each)(void *cookie, const char *name), void *cookie)
{
    struct sim_disk *disk = ctx;
    SES_REQUIRE(!disk->off, SES_ERR_IO);
    const size_t len = strlen(path);
    for (struct sim_inode *i = disk->first, *next; i != NULL; i = next) {
        next = i->next; /* `each` may unlink it, which does not take others away */
        if (i->exists && is_in(i->path, path)) {
            each(cookie, i->path + len + 1);
        }
    }
    return SES_OK;
}

static enum ses_err door_space(void *ctx, uint64_t *free_bytes)
{
    const struct sim_disk_limits *limits = &((struct sim_disk *)ctx)->limits;
    *free_bytes = limits->quota ? SIM_DISK_BYTES : limits->space_bytes;
    return SES_OK;
}

/* ---- life ---- */
struct sim_disk *sim_disk_new(struct sim *s, uint32_t node)
{
    struct sim_disk *disk = ses_alloc(1, sizeof *disk);
    SES_ASSERT(disk != NULL);
    disk->sim = s;
    disk->node = node;
    disk->end = &disk->first;
    disk->limits.space_bytes = SIM_DISK_BYTES;
    dice_init(&disk->dice, s->seed, "disk", node);
    const int len = snprintf(disk->root, sizeof disk->root, "/%u", node);
    SES_ASSERT(len > 0 && (size_t)len < sizeof disk->root);
    disk->door = (struct ses_disk){.ctx = disk,
                                   .vfs = "sim",
                                   .root = disk->root,
                                   .open = door_open,
                                   .close = door_close,
                                   .size = door_size,
                                   .write = door_write,
                                   .read = door_read,
                                   .truncate = door_truncate,
                                   .sync = door_sync,
                                   .mkdir = door_mkdir,
                                   .sync_dir = door_sync_dir,
                                   .unlink = door_unlink,
                                   .list = door_list,
                                   .space = door_space};
    return disk;
}

void sim_disk_wipe(struct sim_disk *disk)
{
    for (struct sim_inode *i = disk->first; i != NULL; i = i->next) {
        SES_ASSERT(i->open_cnt == 0); /* else the store forgot to close a file */
        i->exists = i->durable = false;
    }
    sweep(disk);
    disk->limits = (struct sim_disk_limits){.space_bytes = SIM_DISK_BYTES};
}

void sim_disk_free(struct sim_disk *disk)
{
    if (disk != NULL) {
        sim_disk_wipe(disk);
        ses_free(disk);
    }
}

const struct ses_disk *sim_disk_door(struct sim_disk *disk)
{
    return &disk->door;
}

struct sim_disk_limits *sim_disk_limits(struct sim_disk *disk)
{
    return &disk->limits;
}

void sim_disk_off(struct sim_disk *disk)
{
    disk->off = true;
}

static void lose_names(struct sim_inode *i)
{
    if (i->exists == i->durable) {
        return;
    }
    const bool there = dice_chance(&i->disk->dice, 500);
    /* a file that was deleted and made anew: the directory cannot name both */
    i->exists = there && (i->exists || find(i->disk, i->path) == NULL);
    i->durable = i->exists;
}

void sim_disk_after(struct sim_disk *disk, bool power)
{
    for (struct sim_inode *i = disk->first; power && i != NULL; i = i->next) {
        const uint64_t luck = dice_below(&disk->dice, 4);
        settle(i, luck == 0 ? FATE_ALL : luck == 1 ? FATE_NOTHING : FATE_SECTORS);
        drop_cache(i);
        lose_names(i);
    }
    sweep(disk);
    disk->off = false;
    disk->limits.fuse = 0;
    disk->limits.fail_syncs = 0;
    disk->limits.fail_reads = 0;
}

static void flip(struct sim_inode *i, uint64_t at)
{
    struct sim_disk *disk = i->disk;
    const uint8_t bit = (uint8_t)(1u << dice_below(&disk->dice, 8));
    if (strncmp(i->path, "seg/", 4) == 0) {
        oracle_rots(disk->sim, disk->node, i->path, i->old.bytes, i->old.len, at);
    }
    i->old.bytes[at] ^= bit;
    if (at < i->now.len) {
        i->now.bytes[at] ^= bit;
    }
    sim_tell(disk->sim, "node %u: a bit of %s at %" PRIu64 " flips", disk->node, i->path, at);
}

static uint64_t flippable(const struct sim_inode *i, bool logs)
{
    return i->exists && (!logs || strncmp(i->path, "seg/", 4) == 0) ? i->old.len : 0;
}

bool sim_disk_flip(struct sim_disk *disk, bool logs)
{
    uint64_t bytes = 0;
    for (struct sim_inode *i = disk->first; i != NULL; i = i->next) {
        bytes += flippable(i, logs);
    }
    uint64_t at = bytes > 0 ? dice_below(&disk->dice, bytes) : 0;
    for (struct sim_inode *i = disk->first; i != NULL && bytes > 0; i = i->next) {
        if (at < flippable(i, logs)) {
            flip(i, at);
            return true;
        }
        at -= flippable(i, logs);
    }
    return false;
}

bool sim_disk_durable(const struct sim_disk *disk, const char *path, const void *bytes, size_t len)
{
    for (const struct sim_inode *i = disk->first; i != NULL; i = i->next) {
        if (i->durable && strcmp(i->path, path) == 0 && i->old.len >= len &&
            memmem(i->old.bytes, i->old.len, bytes, len) != NULL) {
            return true;
        }
    }
    return false;
}

uint64_t sim_disk_used(const struct sim_disk *disk)
{
    uint64_t bytes = 0;
    for (const struct sim_inode *i = disk->first; i != NULL; i = i->next) {
        bytes += i->exists ? i->now.len : 0;
    }
    return bytes;
}
