# cmake -D OUT=... -D PROFILES=... -P embed.cmake: the profiles as C strings, so that the programs
# need no files of their own to issue certificates.
file(GLOB files ${PROFILES}/*.cnf)
set(text "/* Made from certs/profiles by certs/embed.cmake. */\n")
foreach(file ${files})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} content)
  string(REPLACE "\\" "\\\\" content "${content}")
  string(REPLACE "\"" "\\\"" content "${content}")
  string(REPLACE "\n" "\\n\"\n    \"" content "${content}")
  string(APPEND text "static const char profile_${name}[] =\n    \"${content}\";\n")
endforeach()
file(WRITE ${OUT} "${text}")
