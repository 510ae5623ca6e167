#include "broker/cli/output.h"

#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>

#include "broker/base/json_out.h"
#include "broker/base/mem.h"

struct output {
    FILE *to;
    enum output_format format;
    const struct output_column *columns;
    size_t column_count;
    size_t rows;
    struct libscols_table *table; /* OUTPUT_TABLE only */
};

int output_format_parse(const char *text, enum output_format *out)
{
    static const char *const names[] = {
        [OUTPUT_TABLE] = "table", [OUTPUT_JSON] = "json", [OUTPUT_CSV] = "csv"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum output_format)i;
            return 0;
        }
    }
    return ERR_INVALID;
}

/* ---- CSV ---- */

/* Quoted where needed; what a spreadsheet would take for a formula begins with an apostrophe. */
static void csv_cell(FILE *to, const char *text, enum output_kind kind)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;

    if (quoted)
        putc('"', to);
    if (kind == OUTPUT_TEXT && text[0] && strchr("=+-@\t\r", text[0]))
        putc('\'', to);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', to);
        putc(*text, to);
    }
    if (quoted)
        putc('"', to);
}

static void csv_row(struct output *o, const char *const *cells)
{
    for (size_t i = 0; i < o->column_count; i++) {
        if (i > 0)
            putc(',', o->to);
        if (cells[i])
            csv_cell(o->to, cells[i], o->columns[i].kind);
    }
    fputs("\r\n", o->to);
}

/* ---- JSON ---- */

static int json_row(struct output *o, const char *const *cells)
{
    struct json_out row;
    struct str text;
    int rc;

    json_out_init(&row, OUTPUT_ROW_MAX_BYTES);
    json_out_object_begin(&row);
    for (size_t i = 0; i < o->column_count; i++) {
        json_out_key(&row, o->columns[i].name);
        if (!cells[i])
            json_out_null(&row);
        else if (o->columns[i].kind == OUTPUT_NUMBER)
            json_out_number(&row, str_from(cells[i]));
        else
            json_out_str(&row, str_from(cells[i]));
    }
    json_out_object_end(&row);
    rc = json_out_text(&row, &text);
    if (rc == 0)
        fprintf(o->to, "%s%.*s", o->rows ? ",\n" : "[\n", (int)text.len, text.at);
    json_out_fini(&row);
    return rc;
}

/* ---- tables ---- */

static int table_begin(struct output *o)
{
    o->table = scols_new_table();
    if (!o->table)
        return ERR_NOMEM;
    scols_table_set_stream(o->table, o->to);
    for (size_t i = 0; i < o->column_count; i++) {
        int flags = o->columns[i].kind == OUTPUT_NUMBER ? SCOLS_FL_RIGHT : 0;
        char title[64];

        snprintf(title, sizeof title, "%s", o->columns[i].name);
        for (char *at = title; *at; at++) {
            if (*at == '_')
                *at = ' ';
            else if (*at >= 'a' && *at <= 'z')
                *at = (char)(*at - ('a' - 'A'));
        }
        if (!scols_table_new_column(o->table, title, 0.1, flags))
            return ERR_NOMEM;
    }
    return 0;
}

static int table_row(struct output *o, const char *const *cells)
{
    struct libscols_line *line = scols_table_new_line(o->table, NULL);

    if (!line)
        return ERR_NOMEM;
    for (size_t i = 0; i < o->column_count; i++)
        if (scols_line_set_data(line, i, cells[i] ? cells[i] : "-"))
            return ERR_NOMEM;
    return 0;
}

/* ---- all ---- */

static int written(const struct output *o)
{
    return ferror(o->to) ? ERR_IO : 0;
}

int output_begin(struct output **out, FILE *to, enum output_format format,
                 const struct output_column *columns, size_t column_count)
{
    struct output *o = MEM_NEW(struct output);
    const char *names[OUTPUT_COLUMNS_MAX];
    int rc = 0;

    ASSERT(column_count <= OUTPUT_COLUMNS_MAX);
    *o = (struct output){
        .to = to, .format = format, .columns = columns, .column_count = column_count};
    if (format == OUTPUT_TABLE)
        rc = table_begin(o);
    for (size_t i = 0; i < column_count; i++)
        names[i] = columns[i].name;
    if (format == OUTPUT_CSV)
        csv_row(o, names);
    if (rc) {
        scols_unref_table(o->table);
        mem_free(o);
        return rc;
    }
    *out = o;
    return 0;
}

int output_row(struct output *o, const char *const *cells)
{
    int rc = 0;

    switch (o->format) {
    case OUTPUT_TABLE:
        rc = table_row(o, cells);
        break;
    case OUTPUT_JSON:
        rc = json_row(o, cells);
        break;
    case OUTPUT_CSV:
        csv_row(o, cells);
        break;
    }
    o->rows++;
    return rc ? rc : written(o);
}

int output_end(struct output *o)
{
    int rc = 0;

    if (o->format == OUTPUT_JSON)
        fputs(o->rows ? "\n]\n" : "[]\n", o->to);
    if (o->format == OUTPUT_TABLE && o->rows > 0 && scols_print_table(o->table))
        rc = ERR_IO;
    scols_unref_table(o->table);
    if (fflush(o->to))
        rc = ERR_IO;
    rc = rc ? rc : written(o);
    mem_free(o);
    return rc;
}

size_t output_decimal(char out[OUTPUT_DECIMAL_MAX], int64_t value, unsigned decimals)
{
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    uint64_t scale = 1;

    ASSERT(decimals <= 18);
    for (unsigned i = 0; i < decimals; i++)
        scale *= 10;
    if (decimals == 0)
        return (size_t)snprintf(out, OUTPUT_DECIMAL_MAX, "%lld", (long long)value);
    return (size_t)snprintf(out, OUTPUT_DECIMAL_MAX, "%s%llu.%0*llu", value < 0 ? "-" : "",
                            (unsigned long long)(size / scale), (int)decimals,
                            (unsigned long long)(size % scale));
}
