#include "storage/mdb.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>

#include "test/unit/storage/folder.h"

static char folder[64], path[80];

static void set_up(void)
{
    folder_make(folder, false);
    snprintf(path, sizeof path, "%s/x.mdb", folder);
}

static void tear_down(void)
{
    folder_remove(folder);
}

/* In a process of its own: take a snapshot, tell, and wait for the end. */
static void read_for_ever(int tell)
{
    MDB_env *env;
    MDB_txn *txn;

    if (mdb_env_create(&env) || mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY, 0600) ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) || write(tell, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

Test(mdb, a_killed_reader_leaves_nothing, .init = set_up, .fini = tear_down, .timeout = 30)
{
    const struct mdb_mode mode = {.map_bytes = 1 << 20};
    MDB_env *env = NULL;
    int ends[2];
    char byte;
    pid_t reader;

    cr_assert_eq(mdb_env_acquire(&env, path, &mode, NULL), 0);
    cr_assert_eq(pipe(ends), 0);
    reader = fork();
    if (reader == 0)
        read_for_ever(ends[1]);
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 1);
    cr_expect_eq(mdb_envs_forget_dead(), 0, "it lives");
    cr_assert_eq(kill(reader, SIGKILL), 0);
    cr_assert_eq(waitpid(reader, NULL, 0), reader);
    cr_expect_eq(mdb_envs_forget_dead(), 1);
    cr_expect_eq(mdb_envs_forget_dead(), 0);
    close(ends[0]);
    mdb_env_release(env);
}
