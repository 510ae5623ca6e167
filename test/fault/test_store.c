/* The store alone against a disk that fails and a process that dies. The calls that write are
 * defined here and so take the place of the C library's, in liblmdb too: the Nth of a kind on a
 * file of the log fails. Each case runs in a child, whose acknowledgements go through a pipe;
 * afterwards the parent reads the log without faults. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "broker/base/chance.h"
#include "broker/base/chrono.h"
#include "storage/record.h"
#include "storage/segment.h"
#include "storage/store.h"
#include "test/unit/storage/folder.h"

enum { NTH_MAX = 20, KILLS = 20, RING_BYTES = 1 << 18, QUIET_MS = 20 };

/* ---- the failing disk ---- */

enum kind {
    COMMIT_WRITE, /* of pages, as LMDB does */
    SYNC,
    ZEROS_WRITE, /* ahead of the log */
};

enum { ZEROS_LEAST_BYTES = 128 << 10 };

static struct {
    _Atomic bool armed;
    enum kind kind;
    int error;
    bool for_ever;
    _Atomic int countdown;
    _Atomic int failed; /* calls that were failed */
} fault;

static bool is_log(int fd)
{
    char link[64], path[256];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path - 1);
    if (len <= 0)
        return false;
    path[len] = '\0';
    /* No space for the next segment is no failure: it is made when there is. */
    return strstr(path, fault.error == ENOSPC && fault.kind == COMMIT_WRITE ? "/log/L-" : "/log/");
}

static bool must_fail(int fd, enum kind kind)
{
    int left;

    if (!atomic_load(&fault.armed) || kind != fault.kind || !is_log(fd))
        return false;
    left = atomic_fetch_sub(&fault.countdown, 1);
    if (left > 1 || (left < 1 && !fault.for_ever))
        return false;
    atomic_fetch_add(&fault.failed, 1);
    errno = fault.error;
    return true;
}

/* LMDB's pages begin with their number, and page 0 is never written in a long run. */
static enum kind kind_of(const void *bytes, size_t len)
{
    return len >= ZEROS_LEAST_BYTES && load_u64(bytes) == 0 ? ZEROS_WRITE : COMMIT_WRITE;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return must_fail(fd, kind_of(bytes, len)) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at)
{
    return pwrite(fd, bytes, len, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    return must_fail(fd, COMMIT_WRITE)
               ? -1
               : syscall(SYS_pwritev, fd, parts, count, (unsigned long)at, 0ul);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return must_fail(fd, COMMIT_WRITE) ? -1 : syscall(SYS_writev, fd, parts, count);
}

int fdatasync(int fd)
{
    return must_fail(fd, SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return must_fail(fd, SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

/* ---- the child ---- */

static char folder[64];
static struct ring *ring;
static _Atomic int failures;

static void on_failed(void *ctx, const struct err_detail *detail)
{
    (void)ctx;
    (void)detail;
    atomic_fetch_add(&failures, 1);
}

static struct store *open_store(uint32_t interval_ms)
{
    struct err_detail detail = {""};
    struct store_options options;
    struct store *store;

    store_options_default(&options);
    options.folder = folder;
    options.commit_interval_ms = interval_ms;
    options.segment_max_bytes = SEGMENT_BYTES_MIN; /* rotations too meet the fault */
    options.on_failed = on_failed;
    if (store_open(&store, &options, &detail) != 0 ||
        store_ring_new(store, RING_BYTES, NULL, NULL, &ring) != 0 ||
        store_start(store, &detail) != 0) {
        fprintf(stderr, "child: %s\n", detail.text);
        _exit(99);
    }
    return store;
}

/* Records are numbered from 1: a record's number is its sequence while nothing is lost. */
static uint64_t append(uint64_t number, size_t filler)
{
    uint8_t payload[4096] = {0};
    const struct record record = {.type = RECORD_MESSAGE,
                                  .payload = str_of_bytes(payload, 8 + filler)};
    void *room = ring_reserve(ring, record_bytes(&record));

    if (!room)
        return 0;
    store_u64(payload, number);
    record_write(room, &record);
    return ring_append(ring, record_bytes(&record));
}

static void nap(void)
{
    const struct timespec ms = {.tv_nsec = 1000000};

    nanosleep(&ms, NULL);
}

static void tell(int to, uint64_t acked)
{
    if (write(to, &acked, sizeof acked) != (ssize_t)sizeof acked)
        _exit(98);
}

/* Append and acknowledge one by one until the fault has been reported; then see that no counter
 * moves any more. Exit code: 0 well, else what was wrong. */
static void run_until_failed(int to)
{
    struct store *store = open_store(0);
    uint64_t acked = 0, end, before;

    atomic_store(&fault.armed, true);
    for (uint64_t number = 1; atomic_load(&failures) == 0; number++) {
        end = append(number, number % 4000);
        ring_publish(ring);
        while (ring_committed(ring) < end && atomic_load(&failures) == 0)
            sched_yield();
        if (ring_committed(ring) < end)
            break;
        tell(to, acked = number);
        ring_release(ring, end);
        if (number > 3000)
            _exit(1); /* the fault was never met */
    }
    if (atomic_load(&fault.failed) == 0)
        _exit(2);
    before = ring_committed(ring);
    for (int i = 0; i < QUIET_MS; i++) {
        append(acked + 2 + (uint64_t)i, 0);
        ring_publish(ring);
        nap();
    }
    if (ring_committed(ring) != before)
        _exit(3);
    if (store_admission(store) != ERR_IO)
        _exit(4);
    if (store_stop(store, NULL) == 0)
        _exit(5);
    if (ring_committed(ring) != before || atomic_load(&failures) != 1)
        _exit(6);
    store_close(store);
    _exit(0);
}

/* ---- the parent ---- */

static void set_up(void)
{
    folder_make(folder, false);
}

static void tear_down(void)
{
    folder_remove(folder);
}

static pid_t spawn(int *from, void (*run)(int to))
{
    int ends[2];
    pid_t pid;

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        close(ends[0]);
        run(ends[1]);
        _exit(97);
    }
    close(ends[1]);
    *from = ends[0];
    return pid;
}

/* The last number of the pipe, which is read to its end. */
static uint64_t last_acked(int from)
{
    uint64_t number, acked = 0;

    while (read(from, &number, sizeof number) == (ssize_t)sizeof number)
        acked = number;
    close(from);
    return acked;
}

/* The largest N for which the log holds 1 to N, each once and in order, and nothing but them. */
static uint64_t records_in_log(void)
{
    struct segment_list list;
    uint64_t seen = 0;

    cr_assert_eq(segment_list_read(&list, folder, NULL), 0);
    for (size_t i = 0; i < list.count; i++) {
        struct segment_reader *reader;
        struct err_detail detail = {""};
        struct block block;

        cr_assert_eq(segment_reader_open(&reader, folder, list.entries[i].first, i + 1 < list.count,
                                         &detail),
                     0, "%s", detail.text);
        while (segment_reader_next(reader, &block) == 0) {
            struct block_walk walk = block_walk(&block);
            struct record record;
            uint64_t sequence;

            while (block_next(&walk, &record, &sequence)) {
                seen++;
                cr_expect_eq(sequence, seen);
                cr_expect_eq(load_u64(record.payload.at), seen);
            }
        }
        segment_reader_close(reader);
    }
    segment_list_free(&list);
    return seen;
}

static void check_fault(enum kind kind, int error, bool for_ever, int nth)
{
    uint64_t acked, stored;
    int from, status;
    pid_t pid;

    fault.kind = kind;
    fault.error = error;
    fault.for_ever = for_ever;
    fault.countdown = nth;
    pid = spawn(&from, run_until_failed);
    acked = last_acked(from);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "kind %d, error %d, call %d: exit status %d", (int)kind, error, nth, status);
    stored = records_in_log();
    cr_expect_geq(stored, acked, "kind %d, error %d, call %d: %d of %d", (int)kind, error, nth,
                  (int)stored, (int)acked);
    folder_remove(folder);
}

/* After the first failure no counter moves, whatever comes after it, and what was acknowledged
 * before is there. */
Test(store, nothing_is_acknowledged_after_a_failed_write, .init = set_up, .fini = tear_down,
     .timeout = 110)
{
    for (int nth = 1; nth <= NTH_MAX; nth++)
        check_fault(COMMIT_WRITE, nth % 2 ? EIO : ENOSPC, nth % 3 == 0, nth);
}

Test(store, nothing_is_acknowledged_after_a_failed_sync, .init = set_up, .fini = tear_down,
     .timeout = 110)
{
    for (int nth = 1; nth <= NTH_MAX; nth++)
        check_fault(SYNC, EIO, nth % 3 == 0, nth);
}

/* Zeros are no commit, but a disk that fails them cannot be trusted with one. */
Test(store, nothing_is_acknowledged_after_failed_zeros, .init = set_up, .fini = tear_down,
     .timeout = 110)
{
    for (int nth = 1; nth <= 5; nth++)
        check_fault(ZEROS_WRITE, EIO, nth % 2 == 0, nth);
}

/* A full disk is met by the zeros: admission closes, the writer waits, nothing fails, and when
 * there is room again all goes on. */
static void run_full_disk(int to)
{
    struct store *store = open_store(0);
    uint64_t number = 0, end = 0, acked_when_full;

    atomic_store(&fault.armed, true);
    while (store_admission(store) == 0) {
        end = append(++number, 4000);
        ring_publish(ring);
        while (ring_committed(ring) < end && store_admission(store) == 0)
            sched_yield();
        ring_release(ring, ring_committed(ring));
    }
    if (store_admission(store) != ERR_NOSPACE || atomic_load(&failures) > 0)
        _exit(1);
    for (int i = 0; i < 60; i++) /* what is pre-written is used up; then the ring fills */
        if (append(number + 1, 4000) > 0) {
            number++;
            ring_publish(ring);
        }
    for (int i = 0; i < QUIET_MS; i++)
        nap();
    acked_when_full = ring_committed(ring);
    tell(to, acked_when_full / 4028);
    if (atomic_load(&failures) > 0)
        _exit(2);

    atomic_store(&fault.armed, false); /* somebody has made room */
    while (store_admission(store) != 0)
        nap();
    while ((end = append(number + 1, 4000)) == 0) {
        ring_release(ring, ring_committed(ring));
        nap();
    }
    number++;
    ring_publish(ring);
    while (ring_committed(ring) < end)
        nap();
    tell(to, number);
    if (store_stop(store, NULL) != 0 || atomic_load(&failures) > 0)
        _exit(3);
    store_close(store);
    _exit(0);
}

Test(store, a_full_disk_closes_admission_and_opens_it_again, .init = set_up, .fini = tear_down,
     .timeout = 60)
{
    for (int nth = 1; nth <= 9; nth += 4) {
        uint64_t acked;
        int from, status;
        pid_t pid;

        fault.kind = ZEROS_WRITE;
        fault.error = ENOSPC;
        fault.for_ever = true;
        fault.countdown = nth;
        pid = spawn(&from, run_full_disk);
        acked = last_acked(from);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "write %d: exit status %d", nth,
                  status);
        cr_expect_gt(acked, 0);
        cr_expect_eq(records_in_log(), acked);
        folder_remove(folder);
    }
}

/* A stop while the disk is full ends: what had no room was never acknowledged. */
static void run_stop_when_full(int to)
{
    struct store *store = open_store(0);
    uint64_t number = 0, committed;
    int rc;

    atomic_store(&fault.armed, true);
    for (int idle = 0; idle < 3 * QUIET_MS;) { /* until the ring is full and stays so */
        if (append(number + 1, 4000) > 0) {
            number++;
            idle = 0;
            ring_publish(ring);
        } else {
            ring_release(ring, ring_committed(ring));
            idle++;
            nap();
        }
    }
    rc = store_stop(store, NULL);
    committed = ring_committed(ring);
    tell(to, committed / 4028);
    if (rc != ERR_NOSPACE)
        _exit(1);
    if (committed / 4028 >= number || atomic_load(&failures) > 0)
        _exit(2);
    store_close(store);
    _exit(0);
}

Test(store, a_stop_on_a_full_disk_ends, .init = set_up, .fini = tear_down, .timeout = 60)
{
    uint64_t acked;
    int from, status;
    pid_t pid;

    fault.kind = ZEROS_WRITE;
    fault.error = ENOSPC;
    fault.for_ever = true;
    fault.countdown = 6;
    pid = spawn(&from, run_stop_when_full);
    acked = last_acked(from);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "exit status %d", status);
    cr_expect_eq(records_in_log(), acked);
}

/* ---- kill -9 ---- */

static uint64_t first_number;
static bool ack_early; /* the lie that the test must catch */

static void run_until_killed(int to)
{
    struct chance chance;
    uint64_t acked = first_number - 1, number = first_number;
    struct {
        uint64_t end, number;
    } waiting[4096];
    size_t oldest = 0, newest = 0;

    open_store(ack_early ? 10 : 0);
    chance_seed(&chance, first_number);
    for (;;) {
        uint64_t end =
            newest - oldest < ARRAY_LEN(waiting) ? append(number, chance_below(&chance, 4000)) : 0;

        if (end > 0) {
            waiting[newest % ARRAY_LEN(waiting)].end = end;
            waiting[newest++ % ARRAY_LEN(waiting)].number = number++;
        }
        if (end == 0 || chance_below(&chance, 5) == 0) {
            ring_publish(ring);
            sched_yield();
        }
        end = ring_committed(ring);
        while (oldest < newest && waiting[oldest % ARRAY_LEN(waiting)].end <= end)
            acked = waiting[oldest++ % ARRAY_LEN(waiting)].number;
        tell(to, ack_early ? number - 1 : acked);
        ring_release(ring, end);
    }
}

/* Kill the child at KILLS moments, each run going on where the last one ended. Returns the number
 * of rounds in which an acknowledged record was not there. */
static int kill_rounds(uint64_t *records)
{
    struct chance chance;
    int losses = 0;

    chance_seed(&chance, 5);
    first_number = 1;
    for (int round = 0; round < KILLS; round++) {
        const struct timespec delay = {.tv_nsec = (long)chance_below(&chance, 60000000)};
        struct err_detail detail = {""};
        struct store_options options;
        struct store *store;
        uint64_t acked, stored, number;
        int from, status;
        pid_t pid = spawn(&from, run_until_killed);

        /* Read while it runs, so that the pipe is no brake: until the moment has come. */
        cr_assert_eq(read(from, &number, sizeof number), (ssize_t)sizeof number);
        acked = number;
        fcntl(from, F_SETPIPE_SZ, 1 << 20);
        for (uint64_t until = chrono_mono_ns() + (uint64_t)delay.tv_nsec; chrono_mono_ns() < until;)
            if (read(from, &number, sizeof number) == (ssize_t)sizeof number)
                acked = number;
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_expect(WIFSIGNALED(status), "round %d: exit status %d", round, status);
        number = last_acked(from);
        acked = number > acked ? number : acked;

        stored = records_in_log();
        losses += stored < acked;
        store_options_default(&options);
        options.folder = folder;
        cr_assert_eq(store_open(&store, &options, &detail), 0, "%s", detail.text);
        store_close(store);
        first_number = stored + 1;
    }
    *records = first_number - 1;
    return losses;
}

Test(store, kill_9_loses_nothing_that_was_acknowledged, .init = set_up, .fini = tear_down,
     .timeout = 110)
{
    uint64_t records;

    cr_expect_eq(kill_rounds(&records), 0);
    cr_expect_gt(records, KILLS);
}

/* The proof that the test above can fail: a child that acknowledges before the commit is caught. */
Test(store, acknowledging_before_the_commit_is_caught, .init = set_up, .fini = tear_down,
     .timeout = 110)
{
    uint64_t records;

    ack_early = true;
    cr_expect_gt(kill_rounds(&records), 0);
}
