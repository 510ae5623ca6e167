/* Preloaded into a hub by eio.py: fails one chosen write or sync of the store with EIO, once. The
 * file named by FREEHUB_FAIL_IO is shared with the test, which arms it and reads what happened.
 * Only files of the store count: names that end in ".mdb". */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { KIND_SYNC = 1, KIND_WRITE = 2 };

/* As eio.py packs it. */
struct control {
    _Atomic uint32_t kind; /* 0: not armed */
    _Atomic int32_t countdown;
    _Atomic uint32_t failed;        /* 0: none yet, else by_whom() */
    _Atomic uint32_t commits_after; /* syncs of the writer thread that came after the failure */
};

static struct control *control;

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("FREEHUB_FAIL_IO");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        control = at;
}

static int is_store(int fd)
{
    char link[64], path[4096];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path);
    return len > 4 && memcmp(path + len - 4, ".mdb", 4) == 0;
}

/* 1: the thread that commits; 2: another. */
static uint32_t by_whom(void)
{
    char name[16] = "";

    pthread_getname_np(pthread_self(), name, sizeof name);
    return strcmp(name, "writer") == 0 ? 1 : 2;
}

static int must_fail(int fd, enum kind kind)
{
    if (!control || atomic_load(&control->kind) == 0 || !is_store(fd))
        return 0;
    if (atomic_load(&control->failed) > 0) {
        if (kind == KIND_SYNC && by_whom() == 1)
            atomic_fetch_add(&control->commits_after, 1);
        return 0;
    }
    if (atomic_load(&control->kind) != kind || atomic_fetch_sub(&control->countdown, 1) != 1)
        return 0;
    atomic_store(&control->failed, by_whom());
    errno = EIO;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fdatasync(int fd)
{
    return must_fail(fd, KIND_SYNC) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    return must_fail(fd, KIND_SYNC) ? -1 : REAL(fsync)(fd);
}

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
    return must_fail(fd, KIND_WRITE) ? -1 : REAL(pwrite)(fd, from, len, at);
}

ssize_t pwrite64(int fd, const void *from, size_t len, off64_t at)
{
    return must_fail(fd, KIND_WRITE) ? -1 : REAL(pwrite64)(fd, from, len, at);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
    return must_fail(fd, KIND_WRITE) ? -1 : REAL(pwritev)(fd, pieces, count, at);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    return must_fail(fd, KIND_WRITE) ? -1 : REAL(writev)(fd, pieces, count);
}

ssize_t write(int fd, const void *from, size_t len)
{
    return must_fail(fd, KIND_WRITE) ? -1 : REAL(write)(fd, from, len);
}
