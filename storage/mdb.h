/* storage/mdb.h -- LMDB as this folder uses it: its codes translated once, and one environment a
 * file a process, because closing a second one would drop the first one's POSIX locks.
 *
 * Always MDB_NOSUBDIR and MDB_NOTLS, in the default sync mode: what a commit returned for is on
 * disk. Never MDB_NOSYNC, MDB_NOMETASYNC, MDB_WRITEMAP or a live resize. */
#ifndef FREEHUB_STORAGE_MDB_H
#define FREEHUB_STORAGE_MDB_H

#include <lmdb.h>

#include "broker/base/base.h"
#include "broker/base/err.h"

/* The ERR_ code for what LMDB or the system returned through it. Any thread. */
int err_from_mdb(int mdb_code);

/* err_from_mdb() with a sentence in `detail`: "`what` `path`: reason". Any thread. */
int mdb_fail(struct err_detail *detail, int mdb_code, const char *what, const char *path);

/* The handle of every environment's unnamed table, open since mdb_env_acquire(). */
#define MDB_UNNAMED ((MDB_dbi)1)

struct mdb_mode {
    size_t map_bytes;    /* fixed for the life of the file */
    unsigned max_tables; /* named tables; 0 = the unnamed one only */
    bool read_only;      /* the file must exist */
    bool no_lock; /* read-only and nobody writes it any more: no lock file is needed or made */
};

/* Open `path`, or share what this process has open already (a writable environment also serves
 * readers). ERR_BUSY: wanted writable but open read-only here. Release with mdb_env_release().
 * Any thread. */
CHECKED int mdb_env_acquire(MDB_env **out, const char *path, const struct mdb_mode *mode,
                            struct err_detail *detail);

/* Closes it after the last user. No transaction of this user is open. NULL is allowed. Any thread.
 */
void mdb_env_release(MDB_env *env);

/* A reader that was killed keeps its place in the table of readers, and with it every page that was
 * freed since: the file grows, and after 126 of them nobody can read. Clear such places in all
 * environments that are open here; returns how many there were. Any thread. */
unsigned mdb_envs_forget_dead(void);

#endif
