/* test/fuzz/fuzz_codec_v5.c -- the stream decoder of MQTT 5. */
#include "test/fuzz/fuzz_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static const char *const packets[] = {
    "10 [<'MQTT'> 05 C6 003C [15 <'m'>] <'c'> [18 00000001] <'w'> <'p'> <'u'> <'q'>]",
    "10 [<'MQTT'> 05 02 0000 00 <>]",
    "20 [00 00 [12 <'id'> 21 0001 24 01]]",
    "32 [<'a/b'> 0001 [02 00000001 08 <'r'> 23 0001 26 <'k'> <'v'> 0B 8001] 'p']",
    "40 [0001 97 [1F <'full'>]]",
    "82 [0001 [0B 8001] <'$share/g/+/#'> 01 <'#'> 2E]",
    "90 [0001 [1F <'r'>] 00 87]",
    "A2 [0001 00 <'a/+'>]",
    "B0 [0001 00 11]",
    "E0 [9C [11 00000000 1C <'s'>]]",
    "F0 [18 [15 <'m'> 16 <'d'>]]",
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return fuzz_mutate(packets, ARRAY_LEN(packets), data, size, max, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_segments(MQTT_V5, data, size);
    return 0;
}
