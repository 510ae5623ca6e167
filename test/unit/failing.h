/* test/unit/failing.h -- memory that runs out when a test wants it to. Linked into every unit test;
 * nothing fails until it is asked for.
 *
 *     for (int n = 0; failing_mem_at(n), made = thing_new(&thing), failing_mem_hit(); n++)
 *         cr_expect_eq(made, ERR_NOMEM); // each allocation failed once, and nothing leaked
 */
#ifndef FREEHUB_TEST_UNIT_FAILING_H
#define FREEHUB_TEST_UNIT_FAILING_H

#include <stdbool.h>

/* After `calls` more calls of mem_try() and mem_try_resize(), the next one answers NULL; those
 * after it succeed again. Any thread. */
void failing_mem_at(int calls);

/* Whether that call has come; nothing fails any more from here on. Any thread. */
bool failing_mem_hit(void);

#endif
