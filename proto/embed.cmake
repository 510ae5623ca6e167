# cmake -DNAME=symbol -DFROM=file -DTO=file.c -P embed.cmake: a file's bytes as a C array.
file(READ ${FROM} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR length "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${TO} "#include <stddef.h>\n#include <stdint.h>\n\nextern const uint8_t ${NAME}[];\nextern const size_t ${NAME}_bytes;\n\nconst uint8_t ${NAME}[] = {\n${bytes}\n};\nconst size_t ${NAME}_bytes = ${length};\n")
