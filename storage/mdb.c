/* One environment a file a process. The list is keyed by device and inode, since a segment is
 * renamed while it is open. It is short (open segments and core.mdb), so it is searched in line. */
#include "storage/mdb.h"

#include <sys/stat.h>

#include "broker/base/mem.h"
#include "broker/base/thread.h"

struct open_env {
    struct open_env *next;
    MDB_env *env;
    dev_t device;
    ino_t inode;
    unsigned users;
    bool read_only;
};

static struct mutex envs_lock = {PTHREAD_MUTEX_INITIALIZER};
static struct open_env *envs;

int err_from_mdb(int mdb_code)
{
    switch (mdb_code) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return ERR_NOTFOUND;
    case MDB_KEYEXIST:
        return ERR_EXISTS;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case MDB_READERS_FULL:
    case MDB_DBS_FULL:
        return ERR_FULL;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
        return ERR_CORRUPT;
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return ERR_UNSUPPORTED;
    case MDB_BAD_VALSIZE:
        return ERR_TOO_LARGE;
    default:
        return mdb_code > 0 ? err_from_errno(mdb_code) : ERR_IO;
    }
}

int mdb_fail(struct err_detail *detail, int mdb_code, const char *what, const char *path)
{
    return err_set(detail, err_from_mdb(mdb_code), "%s %s: %s", what, path, mdb_strerror(mdb_code));
}

/* Once an environment and before it is shared: LMDB sets its comparison there. */
static int open_unnamed(MDB_env *env)
{
    MDB_dbi table;
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (rc)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &table);
    ASSERT(rc || table == MDB_UNNAMED);
    mdb_txn_abort(txn);
    return rc;
}

static int open_env(MDB_env **out, const char *path, const struct mdb_mode *mode,
                    struct err_detail *detail)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS;
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);

    if (rc)
        return mdb_fail(detail, rc, "cannot open", path);
    if (mode->read_only)
        flags |= MDB_RDONLY;
    if (mode->no_lock)
        flags |= MDB_NOLOCK;
    rc = mdb_env_set_mapsize(env, mode->map_bytes);
    if (!rc && mode->max_tables > 0)
        rc = mdb_env_set_maxdbs(env, mode->max_tables);
    if (!rc)
        rc = mdb_env_open(env, path, flags, 0600);
    if (!rc)
        rc = open_unnamed(env);
    if (rc) {
        mdb_env_close(env);
        return mdb_fail(detail, rc, "cannot open", path);
    }
    *out = env;
    return 0;
}

static struct open_env *find_env(const struct stat *file)
{
    struct open_env *open = envs;

    while (open && (open->device != file->st_dev || open->inode != file->st_ino))
        open = open->next;
    return open;
}

int mdb_env_acquire(MDB_env **out, const char *path, const struct mdb_mode *mode,
                    struct err_detail *detail)
{
    struct open_env *open = NULL;
    struct stat file;
    int rc = 0;

    mutex_lock(&envs_lock);
    if (stat(path, &file) == 0)
        open = find_env(&file);
    if (open && open->read_only && !mode->read_only) {
        rc = err_set(detail, ERR_BUSY, "%s is open for reading in this process", path);
        goto out;
    }
    if (!open) {
        MDB_env *env = NULL;

        rc = open_env(&env, path, mode, detail);
        if (rc)
            goto out;
        if (stat(path, &file) != 0) { /* removed as it was opened */
            mdb_env_close(env);
            rc = err_set(detail, ERR_NOTFOUND, "%s is gone", path);
            goto out;
        }
        open = MEM_NEW(struct open_env);
        *open = (struct open_env){.next = envs,
                                  .env = env,
                                  .device = file.st_dev,
                                  .inode = file.st_ino,
                                  .read_only = mode->read_only};
        envs = open;
    }
    open->users++;
    *out = open->env;
out:
    mutex_unlock(&envs_lock);
    return rc;
}

void mdb_env_release(MDB_env *env)
{
    struct open_env **link = &envs;

    if (!env)
        return;
    mutex_lock(&envs_lock);
    while (*link && (*link)->env != env)
        link = &(*link)->next;
    ASSERT(*link != NULL);
    if (--(*link)->users == 0) {
        struct open_env *gone = *link;

        *link = gone->next;
        mdb_env_close(gone->env);
        mem_free(gone);
    }
    mutex_unlock(&envs_lock);
}

unsigned mdb_envs_forget_dead(void)
{
    unsigned sum = 0;

    mutex_lock(&envs_lock);
    for (struct open_env *open = envs; open; open = open->next) {
        int dead = 0;

        if (mdb_reader_check(open->env, &dead) == 0)
            sum += (unsigned)dead;
    }
    mutex_unlock(&envs_lock);
    return sum;
}
