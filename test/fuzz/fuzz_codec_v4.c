/* test/fuzz/fuzz_codec_v4.c -- the stream decoder of MQTT 3.1.1. */
#include "test/fuzz/fuzz_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static const char *const packets[] = {
    "10 [<'MQTT'> 04 F6 003C <'c'> <'w'> <'p'> <'u'> <'q'>]",
    "10 [<'MQTT'> 04 02 0000 <>]",
    "20 [01 00]",
    "32 [<'a/b'> 0001 'p']",
    "82 [0001 <'$share/g/+/#'> 00 <'#'> 02]",
    "90 [0001 00 80]",
    "A2 [0001 <'a/+'>]",
    "62 [0001]",
};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return fuzz_mutate(packets, ARRAY_LEN(packets), data, size, max, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_segments(MQTT_V311, data, size);
    return 0;
}
