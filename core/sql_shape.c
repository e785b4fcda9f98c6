/* The shape of an SQL text: what is left without its values. */
#include "slowlens/sql.h"

#include "sql_lexer.h"

#include <string.h>

#define MORE       " ..."
#define MORE_BYTES 4u
#define DEPTH_MAX  32u
#define TABLES_MAX 16u

sl_sql_dialect
sl_sql_dialect_of(const char *name, size_t len)
{
    static const struct {
        const char *name;
        sl_sql_dialect dialect;
    } known[] = {
        { "postgres", SL_SQL_POSTGRESQL }, /* postgresql, postgres, postgis */
        { "postgis", SL_SQL_POSTGRESQL },  { "psycopg", SL_SQL_POSTGRESQL },
        { "asyncpg", SL_SQL_POSTGRESQL },  { "cockroach", SL_SQL_POSTGRESQL },
        { "mysql", SL_SQL_MYSQL },         { "mariadb", SL_SQL_MYSQL },
        { "pymysql", SL_SQL_MYSQL },       { "sqlite", SL_SQL_SQLITE },
        { "spatialite", SL_SQL_SQLITE },   { "aiosqlite", SL_SQL_SQLITE },
        { "oracle", SL_SQL_ORACLE },       { "mssql", SL_SQL_MSSQL },
        { "microsoft", SL_SQL_MSSQL },     { "pymssql", SL_SQL_MSSQL },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t size = strlen(known[i].name);
        if (len >= size && memcmp(name, known[i].name, size) == 0)
            return known[i].dialect;
    }
    return SL_SQL_ANY;
}

typedef struct {
    char *out;
    sl_sql_dialect dialect;
    size_t size, capacity; /* MORE fits behind the capacity */
    bool full;
    unsigned depth;
    /* by depth: where the `, ` of the item at work stands, 0: none */
    size_t comma[DEPTH_MAX];
} writer;

/* No token holds a control character but for strings, which none sees. */
static bool
is_ascii(const uint8_t *text, size_t len)
{
    uint8_t all = 0;

    for (size_t i = 0; i < len; i++)
        all |= text[i];
    return all < 0x80;
}

/* Appends `len` bytes as UTF-8 without control characters, or nothing and is
 * full. `room`: how much of the reserve it may use. */
static void
put(writer *w, const uint8_t *text, size_t len, size_t room)
{
    size_t at = w->size, limit = w->capacity + room;

    if (w->full)
        return;
    if (is_ascii(text, len) && at + len <= limit) { /* the rule */
        memcpy(w->out + at, text, len);
        w->size = at + len;
        return;
    }
    for (size_t i = 0; i < len;) {
        size_t size = sl_utf8_length(text + i, len - i);
        const void *from = size > 0 ? (const void *)(text + i) : "\xEF\xBF\xBD";
        size_t bytes = size > 0 ? size : 3;
        if (at + bytes > limit) {
            w->full = true;
            return;
        }
        memcpy(w->out + at, from, bytes);
        at += bytes;
        i += size > 0 ? size : 1;
    }
    w->size = at;
}

static char
last(const writer *w)
{
    return w->size > 0 ? w->out[w->size - 1] : 0;
}

/* The item behind the last comma is complete. If it is the one before it once
 * more, and holds a parameter, one of them will do. */
static void
fold(writer *w)
{
    size_t comma = w->depth < DEPTH_MAX ? w->comma[w->depth] : 0;
    size_t from = comma + 2;

    if (w->full || comma == 0 || from >= w->size)
        return;
    size_t len = w->size - from;
    if (comma < len || memchr(w->out + from, '?', len) == NULL ||
        memcmp(w->out + comma - len, w->out + from, len) != 0)
        return;
    char edge = comma > len ? w->out[comma - len - 1] : ' ';
    if (edge == ' ' || edge == '(' || edge == '[') {
        /* The one before is the item at work now, and may go on. */
        size_t before = comma - len;
        w->size = comma;
        w->comma[w->depth] =
            before > 2 && w->out[before - 2] == ',' ? before - 2 : 0;
    }
}

/* Words that no item of a list goes on behind. */
static bool
ends_list(sl_sql_word word)
{
    return word == SL_WORD_VALUE || word == SL_WORD_SELECT ||
           word == SL_WORD_FROM || word == SL_WORD_TABLES ||
           word == SL_WORD_SET || word == SL_WORD_INTO || word == SL_WORD_BY;
}

/* One token with the blank before it. `end`: nothing stands behind it. */
static void
emit(writer *w, const uint8_t *text, size_t len, bool gap, bool end)
{
    size_t before = w->size;
    char c = (char)text[0], previous = last(w);
    bool space = previous == ',' ||
                 (gap && previous != 0 && previous != '(' && previous != '[');

    if (c == ')' || c == ',' || c == ']' || (c == ';' && len == 1))
        space = false;
    if (c == '(' && previous == '%') /* no placeholder, and none in here */
        space = true;
    if (w->dialect == SL_SQL_MYSQL && w->size > 1 &&
        memcmp(w->out + w->size - 2, "--", 2) == 0)
        space = false; /* `-- ` would begin a comment, `--5` does not */
    if (space)
        put(w, (const uint8_t *)" ", 1, end ? MORE_BYTES : 0);
    put(w, text, len, end ? MORE_BYTES : 0);
    if (w->full)
        w->size = before;
}

static void
emit_punct(writer *w, const sl_sql_lexer *l, bool end)
{
    uint8_t c = l->text[l->from];
    bool opens = c == '(' || c == '[', closes = c == ')' || c == ']';
    size_t before;

    if (c == ',' || closes)
        fold(w);
    before = w->size;
    /* SQL Server's [x]] is not [x] ] */
    if (l->dialect == SL_SQL_MSSQL && l->gap && c == ']' && last(w) == ']')
        put(w, (const uint8_t *)" ", 1, end ? MORE_BYTES : 0);
    emit(w, l->text + l->from, l->to - l->from, l->gap, end);
    if (w->full) {
        w->size = before;
        return;
    }
    if (opens && ++w->depth < DEPTH_MAX)
        w->comma[w->depth] = 0;
    if (closes && w->depth == 0)
        w->comma[0] = 0; /* nothing was open: no item goes across */
    w->depth -= closes && w->depth > 0;
    if (c == ',' && w->depth < DEPTH_MAX)
        w->comma[w->depth] = w->size - 1;
}

/* Whether a sign here is part of the number behind it. */
static bool
is_sign(const writer *w, const sl_sql_lexer *l, sl_sql_word before)
{
    uint8_t c = l->text[l->from];
    uint8_t d = l->to < l->len ? l->text[l->to] : 0;
    uint8_t e = l->to + 1 < l->len ? l->text[l->to + 1] : 0;
    char previous = last(w);

    if ((c != '-' && c != '+') ||
        !((d >= '0' && d <= '9') || (d == '.' && e >= '0' && e <= '9')))
        return false;
    if (before != SL_WORD_OTHER)
        return true;
    return previous == 0 || strchr("(,=<>+*/%|&^~[", previous) != NULL;
}

/* Statements whose values need no quotes: what the value is begins behind... */
typedef enum { QUERY, SETTING, CALL } statement;

static statement
statement_of(const sl_sql_lexer *l)
{
    if (sl_sql_is(l, "SET") || sl_sql_is(l, "PRAGMA"))
        return SETTING;
    return sl_sql_is(l, "EXEC") || sl_sql_is(l, "EXECUTE") ? CALL : QUERY;
}

/* ...this token: the rest is one parameter. */
static bool
value_follows(statement kind, const sl_sql_lexer *l, sl_sql_token token,
              size_t words)
{
    uint8_t c = l->text[l->from];

    if (kind == SETTING)
        return (token == SL_SQL_PUNCT &&
                (c == '=' || c == '(' || (c == ':' && l->to - l->from == 2))) ||
               (token == SL_SQL_WORD && sl_sql_is(l, "TO"));
    return kind == CALL && words >= 2 && token != SL_SQL_PUNCT &&
           !sl_sql_is_dotted(l, l->to);
}

/* What no shape ends with, and before " ..." all but the first of it: `-- `
 * begins a comment, and `# ` of the operator `#-` in an unknown dialect. */
static const char *
loose_ends(const sl_sql_lexer *l)
{
    return l->dialect == SL_SQL_ANY ? "; -#" : "; -";
}

static void
strip(writer *w, const char *ends)
{
    while (w->size > 0 && strchr(ends, last(w)) != NULL)
        w->size--;
}

static void
shape(writer *w, sl_sql_lexer *l)
{
    static const uint8_t parameter[] = "?";
    sl_sql_word before = SL_WORD_OTHER;
    statement kind = QUERY;
    size_t words = 0;
    bool cut = false, sign_gap = false;

    for (;;) {
        sl_sql_token token = sl_sql_next(l);
        bool end = l->to >= l->len && kind == QUERY;
        if (token == SL_SQL_END) {
            strip(w, loose_ends(l));
            fold(w);
            break;
        }
        if (token == SL_SQL_UNSURE) {
            emit(w, parameter, 1, true, false);
            cut = w->full || kind != CALL || words < 2;
            break;
        }
        if (token == SL_SQL_PUNCT && l->to - l->from == 3) {
            cut = true; /* a shape that was cut before */
            break;
        }
        if (token == SL_SQL_LITERAL) {
            emit(w, parameter, 1,
                 l->gap || sign_gap || (kind == CALL && words >= 2), end);
            if (kind == CALL && words >= 2 && !w->full)
                break;
        } else if (token == SL_SQL_PUNCT) {
            if (is_sign(w, l, before)) { /* its blank is the number's */
                sign_gap = l->gap;
                before = SL_WORD_AND;
                continue;
            }
            emit_punct(w, l, end);
        } else {
            size_t size;
            if (ends_list(l->word))
                fold(w);
            size = w->size;
            emit(w, l->text + l->from, l->to - l->from, l->gap, end);
            if (w->size + l->needs > w->capacity && l->needs > 0) {
                w->size = size;
                w->full = true;
            }
            if (words++ == 0)
                kind = statement_of(l);
        }
        before = l->word;
        sign_gap = false;
        if (w->full) {
            cut = true;
            break;
        }
        if (value_follows(kind, l, token, words)) {
            bool bracket = l->text[l->from] == '(';
            emit(w, parameter, 1, true, bracket);
            if (bracket && !w->full)
                put(w, (const uint8_t *)")", 1, MORE_BYTES);
            cut = w->full;
            break;
        }
    }
    if (cut) {
        strip(w, loose_ends(l) + 1);
        memcpy(w->out + w->size, MORE, MORE_BYTES);
        w->size += MORE_BYTES;
    }
}

size_t
sl_sql_shape(const char *sql, size_t len, sl_sql_dialect dialect, char *out,
             size_t capacity)
{
    sl_sql_lexer l;
    writer w = { .out = out,
                 .dialect = dialect,
                 .capacity = capacity - MORE_BYTES };

    if (capacity < 2 * MORE_BYTES)
        return 0;
    sl_sql_lexer_init(&l, sql, len, dialect);
    shape(&w, &l);
    return w.size;
}

/* ---- names ---- */

/* A name without its quotes; a dotted one in whole. */
typedef struct {
    size_t from, to; /* in the output */
} place;

static bool
is_verb(const sl_sql_lexer *l)
{
    static const char *const verbs[] = {
        "SELECT",  "INSERT",   "UPDATE",  "DELETE",    "REPLACE", "MERGE",
        "CREATE",  "ALTER",    "DROP",    "TRUNCATE",  "BEGIN",   "START",
        "COMMIT",  "ROLLBACK", "COPY",    "CALL",      "EXEC",    "EXECUTE",
        "EXPLAIN", "ANALYZE",  "VACUUM",  "PRAGMA",    "SET",     "SHOW",
        "LOCK",    "GRANT",    "REVOKE",  "DECLARE",   "FETCH",   "CLOSE",
        "LISTEN",  "NOTIFY",   "REFRESH", "SAVEPOINT", "RELEASE", "USE",
    };

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (sl_sql_is(l, verbs[i]))
            return true;
    }
    return false;
}

static void
put_name(writer *w, const sl_sql_lexer *l, sl_sql_token token)
{
    size_t quote = token == SL_SQL_NAME;

    put(w, l->text + l->from + quote, l->to - l->from - 2 * quote, 0);
}

/* Appends the table that the lexer stands at, with what is dotted to it; a
 * table that is there already once only. The lexer then stands behind it, at
 * *token. */
static void
put_table(writer *w, sl_sql_lexer *l, sl_sql_token *token, place *tables,
          size_t *count, bool with_call)
{
    size_t before = w->size;

    put(w, (const uint8_t *)(*count > 0 ? ", " : " "), *count > 0 ? 2 : 1, 0);
    size_t from = w->size;
    put_name(w, l, *token);
    *token = sl_sql_next(l);
    while (*token == SL_SQL_PUNCT && l->text[l->from] == '.' && !w->full) {
        *token = sl_sql_next(l);
        if (*token != SL_SQL_WORD && *token != SL_SQL_NAME)
            break;
        put(w, (const uint8_t *)".", 1, 0);
        put_name(w, l, *token);
        *token = sl_sql_next(l);
    }
    bool call = *token == SL_SQL_PUNCT && l->text[l->from] == '(' && !l->gap;
    bool known = (call && !with_call) || *count == TABLES_MAX || w->full;
    for (size_t i = 0; i < *count && !known; i++)
        known =
            tables[i].to - tables[i].from == w->size - from &&
            memcmp(w->out + tables[i].from, w->out + from, w->size - from) == 0;
    if (known)
        w->size = before;
    else
        tables[(*count)++] = (place){ from, w->size };
}

static void
names(writer *w, sl_sql_lexer *l)
{
    place tables[TABLES_MAX];
    size_t count = 0;
    bool verb = false, updates = false;
    sl_sql_token token = sl_sql_next(l);

    while (token != SL_SQL_END && token != SL_SQL_UNSURE && !w->full) {
        bool names_follow = false, with_call = false;
        if (token == SL_SQL_WORD) {
            if (!verb && l->depth == 0 && is_verb(l)) {
                put_name(w, l, token);
                verb = true;
                updates = sl_sql_is(l, "UPDATE");
            }
            with_call = l->word == SL_WORD_INTO;
            names_follow = (l->word == SL_WORD_FROM && l->names) || with_call ||
                           sl_sql_is(l, "JOIN") ||
                           (updates && sl_sql_is(l, "UPDATE"));
            updates = updates && !sl_sql_is(l, "SET");
        } else if (token == SL_SQL_PUNCT && l->text[l->from] == ',') {
            /* FROM a, b */
            names_follow =
                l->clause == SL_WORD_FROM && l->depth == l->clause_depth;
        }
        token = sl_sql_next(l);
        while (names_follow && verb && token == SL_SQL_WORD &&
               (l->word == SL_WORD_ONLY || sl_sql_is(l, "IF") ||
                sl_sql_is(l, "NOT") || sl_sql_is(l, "EXISTS") ||
                sl_sql_is(l, "TABLE")))
            token = sl_sql_next(l);
        if (names_follow && verb &&
            ((token == SL_SQL_WORD && l->word == SL_WORD_OTHER) ||
             token == SL_SQL_NAME))
            put_table(w, l, &token, tables, &count, with_call);
    }
    if (w->full) {
        memcpy(w->out + w->size, MORE, MORE_BYTES);
        w->size += MORE_BYTES;
    }
}

size_t
sl_sql_names(const char *sql, size_t len, sl_sql_dialect dialect, char *out,
             size_t capacity)
{
    sl_sql_lexer l;
    writer w = { .out = out,
                 .dialect = dialect,
                 .capacity = capacity - MORE_BYTES };

    if (capacity < 2 * MORE_BYTES)
        return 0;
    sl_sql_lexer_init(&l, sql, len, dialect);
    names(&w, &l);
    return w.size;
}

/* ---- URLs ---- */

static bool
is_host_byte(const uint8_t *at, size_t len)
{
    uint8_t c = *at;

    if (c >= 0x80)
        return sl_utf8_length(at, len) > 0;
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* Where the host ends that begins at `from`: a name, or [v6]. `from`: none. */
static size_t
host_end(const uint8_t *url, size_t from, size_t end)
{
    size_t at = from;

    if (at < end && url[at] == '[') {
        for (at++; at < end && url[at] != ']'; at++) {
            uint8_t c = url[at] | 0x20;
            if (!((c >= 'a' && c <= 'f') ||
                  (url[at] >= '0' && url[at] <= '9') || url[at] == ':' ||
                  url[at] == '.'))
                return from;
        }
        return at < end ? at + 1 : from;
    }
    while (at < end && is_host_byte(url + at, end - at)) {
        size_t size = sl_utf8_length(url + at, end - at);
        at += size;
    }
    return at;
}

size_t
sl_url_host(const char *text, size_t len, char *out, size_t capacity)
{
    const uint8_t *url = (const uint8_t *)text;
    size_t from = 0, end, at;

    for (size_t i = 0; i + 2 < len; i++) {
        if (memcmp(url + i, "://", 3) == 0) {
            from = i + 3;
            break;
        }
        if (strchr("/?#@\\", url[i]) != NULL) /* NUL too */
            break;
    }
    if (from == 0 && len >= 2 && memcmp(url, "//", 2) == 0)
        from = 2;
    for (end = from; end < len; end++) {
        if (url[end] == 0 || strchr("/?#\\", url[end]) != NULL)
            break;
    }
    for (size_t i = from; i < end; i++) {
        if (url[i] == '@')
            from = i + 1;
    }
    at = host_end(url, from, end);
    if (at == from)
        return 0;
    if (at < end && url[at] == ':') {
        size_t port = at + 1;
        while (port < end && url[port] >= '0' && url[port] <= '9')
            port++;
        if (port < end || port - at > 6) /* a password, perhaps */
            return 0;
        at = port - at > 1 ? port : at;
    } else if (at < end) {
        return 0;
    }
    if (at - from > capacity)
        return 0;
    memcpy(out, url + from, at - from);
    return at - from;
}
