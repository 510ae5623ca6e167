/* A hub that lies: linked with --wrap for three functions of the ring, it takes what was appended
 * for committed and so acknowledges before the disk has it. kill9.py must catch it; no product code
 * knows of it. */
#include "storage/ring.h"

#include <stdatomic.h>

uint64_t __real_ring_committed(const struct ring *r);
uint64_t __wrap_ring_committed(const struct ring *r);
uint64_t __real_ring_append(struct ring *r, size_t len);
uint64_t __wrap_ring_append(struct ring *r, size_t len);

void __real_ring_release(struct ring *r, uint64_t offset);
void __wrap_ring_release(struct ring *r, uint64_t offset);

static _Atomic uint64_t appended;

uint64_t __wrap_ring_append(struct ring *r, size_t len)
{
    uint64_t end = __real_ring_append(r, len);

    atomic_store(&appended, end);
    return end;
}

uint64_t __wrap_ring_committed(const struct ring *r)
{
    (void)r;
    return atomic_load(&appended);
}

/* Room may only be used again once the writer has really read it. */
void __wrap_ring_release(struct ring *r, uint64_t offset)
{
    uint64_t committed = __real_ring_committed(r);

    __real_ring_release(r, offset < committed ? offset : committed);
}
