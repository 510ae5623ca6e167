/* broker/codec/utf8.c -- a finite automaton: the class of a byte and the state give the next state.
 * Only the byte after E0, ED, F0 and F4 is special: it must not make an over-long form, a surrogate
 * or a character above U+10FFFF. */
#include "broker/codec/utf8.h"

enum byte_class {
    PLAIN,    /* 01..7F */
    LOW,      /* 80..8F */
    MIDDLE,   /* 90..9F */
    HIGH,     /* A0..BF */
    LEAD2,    /* C2..DF */
    LEAD3_E0, /* E0 */
    LEAD3,    /* E1..EC, EE, EF */
    LEAD3_ED, /* ED */
    LEAD4_F0, /* F0 */
    LEAD4,    /* F1..F3 */
    LEAD4_F4, /* F4 */
    NEVER,    /* 00, C0, C1, F5..FF */
    CLASS_COUNT
};

enum state {
    BAD,   /* the empty cell of the table */
    START, /* between characters; the only state to end in */
    ONE,   /* continuation bytes to come: one, two, three */
    TWO,
    THREE,
    AFTER_E0,
    AFTER_ED,
    AFTER_F0,
    AFTER_F4,
    STATE_COUNT
};

static const uint8_t next_state[STATE_COUNT][CLASS_COUNT] = {
    [START] = {[PLAIN] = START,
               [LEAD2] = ONE,
               [LEAD3_E0] = AFTER_E0,
               [LEAD3] = TWO,
               [LEAD3_ED] = AFTER_ED,
               [LEAD4_F0] = AFTER_F0,
               [LEAD4] = THREE,
               [LEAD4_F4] = AFTER_F4},
    [ONE] = {[LOW] = START, [MIDDLE] = START, [HIGH] = START},
    [TWO] = {[LOW] = ONE, [MIDDLE] = ONE, [HIGH] = ONE},
    [THREE] = {[LOW] = TWO, [MIDDLE] = TWO, [HIGH] = TWO},
    [AFTER_E0] = {[HIGH] = ONE},
    [AFTER_ED] = {[LOW] = ONE, [MIDDLE] = ONE},
    [AFTER_F0] = {[MIDDLE] = TWO, [HIGH] = TWO},
    [AFTER_F4] = {[LOW] = TWO},
};

static enum byte_class class_of(uint8_t byte)
{
    static const uint8_t of_e0_to_f4[] = {LEAD3_E0, LEAD3, LEAD3,    LEAD3, LEAD3, LEAD3, LEAD3,
                                          LEAD3,    LEAD3, LEAD3,    LEAD3, LEAD3, LEAD3, LEAD3_ED,
                                          LEAD3,    LEAD3, LEAD4_F0, LEAD4, LEAD4, LEAD4, LEAD4_F4};

    if (byte < 0x80)
        return byte ? PLAIN : NEVER;
    if (byte < 0xC0)
        return byte < 0x90 ? LOW : byte < 0xA0 ? MIDDLE : HIGH;
    if (byte < 0xE0)
        return byte < 0xC2 ? NEVER : LEAD2;
    return byte <= 0xF4 ? (enum byte_class)of_e0_to_f4[byte - 0xE0] : NEVER;
}

bool utf8_valid_dfa(const uint8_t *at, size_t len)
{
    unsigned state = START;

    for (size_t i = 0; i < len && state != BAD; i++)
        state = next_state[state][class_of(at[i])];
    return state == START;
}
