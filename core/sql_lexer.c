/* One lexer for six dialects. It errs towards hiding: see slowlens/sql.h. */
#include "sql_lexer.h"

#include "utf8.h"

#include <string.h>

#define NAME_MAX 128u /* bytes of a quoted name; what is longer is data */

enum { WORD = 1, DIGIT = 2, BLANK = 4 };

static const uint8_t classes[256] = {
    [0x00 ... 0x20] = BLANK, ['0' ... '9'] = DIGIT,
    ['A' ... 'Z'] = WORD,    ['_'] = WORD,
    ['a' ... 'z'] = WORD,    [0x7F] = BLANK,
    [0x80 ... 0xFF] = WORD,
};

static unsigned
class_of(uint8_t c)
{
    return classes[c];
}

size_t
sl_utf8_length(const uint8_t *text, size_t len)
{
    uint32_t code;
    size_t size =
        len > 0 ? sl_utf8_sequence((const char *)text, len, &code) : 0;

    /* U+0080 to U+009F are control characters. */
    return size == 2 && code < 0xA0 ? 0 : size;
}

void
sl_sql_lexer_init(sl_sql_lexer *l, const char *sql, size_t len,
                  sl_sql_dialect dialect)
{
    *l = (sl_sql_lexer){ .text = (const uint8_t *)sql,
                         .len = len,
                         .dialect = dialect };
}

static uint8_t
peek(const sl_sql_lexer *l, size_t ahead)
{
    return l->at + ahead < l->len ? l->text[l->at + ahead] : 0;
}

static bool
in_word(const sl_sql_lexer *l, uint8_t c)
{
    return (class_of(c) & (WORD | DIGIT)) != 0 || c == '$' ||
           (c == '#' &&
            (l->dialect == SL_SQL_ORACLE || l->dialect == SL_SQL_MSSQL));
}

bool
sl_sql_is(const sl_sql_lexer *l, const char *word)
{
    size_t len = l->to - l->from;

    if (strlen(word) != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = l->text[l->from + i];
        if (c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 'a' + 'A');
        if (c != (uint8_t)word[i])
            return false;
    }
    return true;
}

/* ---- blanks and comments ---- */

static size_t
line_end(const sl_sql_lexer *l, size_t from)
{
    const uint8_t *end = memchr(l->text + from, '\n', l->len - from);
    return end != NULL ? (size_t)(end - l->text) : l->len;
}

static bool
has_quote(const sl_sql_lexer *l, size_t from, size_t to)
{
    for (; from < to; from++) {
        uint8_t c = l->text[from];
        if (c == '\'' || c == '"' || c == '`')
            return true;
    }
    return false;
}

/* A comment to the end of the line, if it is one in this dialect; where it is
 * one in some only, its line may hold nothing that would be read otherwise. */
static bool
skip_line(sl_sql_lexer *l, bool surely, bool *unsure)
{
    size_t end = line_end(l, l->at);

    if (!surely && has_quote(l, l->at, end)) {
        *unsure = true;
        return false;
    }
    l->at = end;
    return true;
}

static bool
skip_block(sl_sql_lexer *l, bool *unsure)
{
    bool nests = l->dialect == SL_SQL_POSTGRESQL || l->dialect == SL_SQL_MSSQL;
    unsigned depth = 1;
    size_t at = l->at + 2;

    while (at < l->len && depth > 0) {
        uint8_t c = l->text[at], d = at + 1 < l->len ? l->text[at + 1] : 0;
        if (c == '*' && d == '/') {
            depth--;
            at += 2;
        } else if (c == '/' && d == '*' && l->dialect == SL_SQL_ANY) {
            *unsure = true;
            return false;
        } else if (c == '/' && d == '*' && nests) {
            depth++;
            at += 2;
        } else {
            at++;
        }
    }
    l->at = at;
    return true;
}

static bool
skip_comment(sl_sql_lexer *l, bool *unsure)
{
    uint8_t c = peek(l, 0), d = peek(l, 1);
    bool any = l->dialect == SL_SQL_ANY;

    if (c == '/' && d == '*')
        return skip_block(l, unsure);
    if (c == '-' && d == '-') {
        /* MySQL wants a blank behind it: `5--1` is 6. Before a word it is
         * hardly meant otherwise than as a comment. */
        bool blank = l->at + 2 == l->len || class_of(peek(l, 2)) == BLANK;
        bool mysql = l->dialect == SL_SQL_MYSQL && !blank;
        if (mysql && class_of(peek(l, 2)) != WORD)
            return false;
        return skip_line(l, blank || (!any && !mysql), unsure);
    }
    if (c == '#' && (l->dialect == SL_SQL_MYSQL ||
                     (any && d != '>' && d != '-' && d != '#' && d != '=')))
        return skip_line(l, !any, unsure);
    return false;
}

static void
skip_blanks(sl_sql_lexer *l, bool *unsure)
{
    l->gap = false;
    while (l->at < l->len) {
        if (class_of(l->text[l->at]) == BLANK)
            l->at++;
        else if (!skip_comment(l, unsure))
            return;
        l->gap = true;
    }
}

/* ---- strings ---- */

typedef enum { PLAIN, ESCAPES, MAYBE } backslash;

/* The end of the text quoted by `quote`, which begins behind it at `from`: the
 * place behind the closing quote. *closed: there is one. SIZE_MAX: depends on
 * what a backslash means. */
static size_t
quoted_end(const sl_sql_lexer *l, size_t from, uint8_t quote, backslash mode,
           bool *closed)
{
    *closed = false;
    for (size_t at = from; at < l->len; at++) {
        uint8_t c = l->text[at];
        if (c == '\\' && mode == ESCAPES) {
            at++;
        } else if (c == '\\' && mode == MAYBE) {
            size_t run = at;
            while (run < l->len && l->text[run] == '\\')
                run++;
            if (run < l->len && l->text[run] == quote && (run - at) % 2 == 1)
                return SIZE_MAX;
            at = run - 1;
        } else if (c == quote) {
            if (at + 1 >= l->len || l->text[at + 1] != quote) {
                *closed = true;
                return at + 1;
            }
            at++;
        }
    }
    return l->len;
}

/* Whether text[from] to text[to - 1] looks like a quoted name: not long, UTF-8,
 * no control characters, no quote that begins strings. */
static bool
looks_like_name(const sl_sql_lexer *l, size_t from, size_t to)
{
    if (to - from > NAME_MAX)
        return false;
    while (from < to) {
        uint8_t c = l->text[from];
        size_t size = sl_utf8_length(l->text + from, to - from);
        if (size == 0 || c == '\'' || (c != ' ' && class_of(c) == BLANK))
            return false;
        from += size;
    }
    return true;
}

static sl_sql_token
finish(sl_sql_lexer *l, size_t to, sl_sql_token token)
{
    l->to = l->at = to;
    return token;
}

static sl_sql_token
unsure(sl_sql_lexer *l)
{
    l->to = l->at;
    return SL_SQL_UNSURE;
}

static sl_sql_token
string_from(sl_sql_lexer *l, size_t quote_at, backslash mode)
{
    bool closed;
    size_t end = quoted_end(l, quote_at + 1, l->text[quote_at], mode, &closed);

    return end == SIZE_MAX ? unsure(l) : finish(l, end, SL_SQL_LITERAL);
}

static backslash
backslash_of(const sl_sql_lexer *l)
{
    return l->dialect == SL_SQL_MYSQL ? ESCAPES
           : l->dialect == SL_SQL_ANY ? MAYBE
                                      : PLAIN;
}

/* Oracle's q'[it's]': whatever stands behind the quote ends it. */
static sl_sql_token
alternative_quote(sl_sql_lexer *l, size_t quote_at)
{
    static const char open[] = "[{(<", close[] = "]})>";
    size_t at = quote_at + 2, plain;
    bool closed;

    if (at > l->len)
        return finish(l, l->len, SL_SQL_LITERAL);
    uint8_t end = l->text[quote_at + 1];
    const char *pair = end != 0 ? strchr(open, end) : NULL;
    if (pair != NULL)
        end = (uint8_t)close[pair - open];
    while (at + 1 < l->len && !(l->text[at] == end && l->text[at + 1] == '\''))
        at++;
    at = at + 1 < l->len ? at + 2 : l->len;
    plain = quoted_end(l, quote_at + 1, '\'', backslash_of(l), &closed);
    if (l->dialect == SL_SQL_ANY && plain != at)
        return unsure(l);
    return finish(l, at, SL_SQL_LITERAL);
}

/* "x", `x`: a name, or what the dialect makes of it. */
static sl_sql_token
quoted_name(sl_sql_lexer *l, uint8_t quote)
{
    bool guess = l->dialect == SL_SQL_ANY || l->dialect == SL_SQL_SQLITE;
    bool closed;

    if (quote == '"' && l->dialect == SL_SQL_MYSQL)
        return string_from(l, l->at, ESCAPES);
    size_t end = quoted_end(
        l, l->at + 1, quote,
        l->dialect == SL_SQL_ANY && quote == '"' ? MAYBE : PLAIN, &closed);
    if (end == SIZE_MAX)
        return unsure(l);
    bool name = closed && looks_like_name(l, l->at, end);
    if (quote != '"' || !guess)
        return finish(l, end, name ? SL_SQL_NAME : SL_SQL_LITERAL);

    bool sets = l->clause == SL_WORD_SET && l->depth == l->clause_depth;
    size_t next = end;
    while (sets && next < l->len && class_of(l->text[next]) == BLANK)
        next++; /* SET "a" = "b", "c" = 1 */
    if (sl_sql_is_dotted(l, end))
        l->needs = 1;
    else if (l->names && sets && next < l->len && l->text[next] == '=')
        l->needs = 2;
    else if (!(l->names && !sets) && !l->dotted)
        name = false;
    return finish(l, end, name ? SL_SQL_NAME : SL_SQL_LITERAL);
}

/* [x]: a name for some, an index for others. */
static sl_sql_token
bracket(sl_sql_lexer *l)
{
    const uint8_t *close = memchr(l->text + l->at, ']', l->len - l->at);
    bool index = l->at > 0 && !l->gap &&
                 (in_word(l, l->text[l->at - 1]) ||
                  strchr(")]?\"'", l->text[l->at - 1]) != NULL);

    if (l->dialect != SL_SQL_MSSQL && l->dialect != SL_SQL_SQLITE) {
        size_t end = close != NULL ? (size_t)(close - l->text) : l->len;
        if (l->dialect == SL_SQL_ANY && !index && has_quote(l, l->at, end))
            return unsure(l);
        return finish(l, l->at + 1, SL_SQL_PUNCT);
    }
    if (close == NULL)
        return finish(l, l->len, SL_SQL_LITERAL);
    size_t end = (size_t)(close - l->text) + 1;
    while (l->dialect == SL_SQL_MSSQL && end < l->len && l->text[end] == ']') {
        close = memchr(l->text + end + 1, ']', l->len - end - 1);
        end = close != NULL ? (size_t)(close - l->text) + 1 : l->len;
    }
    return finish(
        l, end, looks_like_name(l, l->at, end) ? SL_SQL_NAME : SL_SQL_LITERAL);
}

/* $1, $name; PostgreSQL's $tag$ ... $tag$. */
static sl_sql_token
dollar(sl_sql_lexer *l)
{
    size_t at = l->at + 1;

    while (at < l->len && (class_of(l->text[at]) & (WORD | DIGIT)) != 0)
        at++;
    bool quotes = l->dialect == SL_SQL_POSTGRESQL || l->dialect == SL_SQL_ANY;
    if (!quotes || at >= l->len || l->text[at] != '$' ||
        (at > l->at + 1 && class_of(l->text[l->at + 1]) == DIGIT))
        return at > l->at + 1 ? finish(l, at, SL_SQL_LITERAL)
                              : finish(l, at, SL_SQL_PUNCT);

    size_t tag = at + 1 - l->at, body = at + 1, end = body;
    while (end + tag <= l->len &&
           memcmp(l->text + end, l->text + l->at, tag) != 0)
        end++;
    bool closed = end + tag <= l->len;
    end = closed ? end : l->len;
    if (l->dialect == SL_SQL_ANY && has_quote(l, body, end))
        return unsure(l);
    return finish(l, closed ? end + tag : end, SL_SQL_LITERAL);
}

/* ---- the rest ---- */

static sl_sql_token
number(sl_sql_lexer *l)
{
    size_t at = l->at;
    bool hex = l->text[at] == '0' && (peek(l, 1) | 0x20) == 'x';

    for (at++; at < l->len; at++) {
        uint8_t c = l->text[at];
        bool sign = (c == '+' || c == '-') && !hex &&
                    (l->text[at - 1] | 0x20) == 'e' && at + 1 < l->len &&
                    class_of(l->text[at + 1]) == DIGIT;
        if ((class_of(c) & (WORD | DIGIT)) == 0 && c != '.' && !sign)
            break;
    }
    return finish(l, at, SL_SQL_LITERAL);
}

static size_t
word_end(const sl_sql_lexer *l, size_t at)
{
    while (at < l->len && in_word(l, l->text[at]))
        at++;
    return at;
}

/* %s, %(name)s and their like of Python's drivers. */
static sl_sql_token
percent(sl_sql_lexer *l)
{
    size_t at = l->at + 1;

    if (peek(l, 1) == '%')
        return finish(l, l->at + 2, SL_SQL_PUNCT);
    if (peek(l, 1) == '(') {
        at++;
        while (at < l->len && (in_word(l, l->text[at]) || l->text[at] == '.'))
            at++;
        at += at < l->len && l->text[at] == ')' ? 1 : l->len;
    }
    if (at < l->len && strchr("sbt", l->text[at]) != NULL && l->text[at] != 0 &&
        (at + 1 == l->len || !in_word(l, l->text[at + 1])))
        return finish(l, at + 1, SL_SQL_LITERAL);
    return finish(l, l->at + 1, SL_SQL_PUNCT);
}

static sl_sql_token
word(sl_sql_lexer *l)
{
    size_t end = word_end(l, l->at), len = end - l->at;
    uint8_t first = (uint8_t)(l->text[l->at] | 0x20);

    if (end < l->len && l->text[end] == '\'') {
        if (len == 1 && first == 'e' && l->dialect != SL_SQL_SQLITE &&
            l->dialect != SL_SQL_ORACLE && l->dialect != SL_SQL_MSSQL)
            return string_from(l, end, ESCAPES);
        if (len == 1 &&
            (first == 'e' || first == 'b' || first == 'x' || first == 'n'))
            return string_from(l, end, backslash_of(l));
        bool q =
            (len == 1 && first == 'q') ||
            (len == 2 && first == 'n' && (l->text[l->at + 1] | 0x20) == 'q');
        if (q && (l->dialect == SL_SQL_ORACLE || l->dialect == SL_SQL_ANY))
            return alternative_quote(l, end);
    }
    l->needs = sl_sql_is_dotted(l, end);
    return finish(l, end, SL_SQL_WORD);
}

static sl_sql_token
token_at(sl_sql_lexer *l)
{
    uint8_t c = l->text[l->at], d = peek(l, 1);

    if (class_of(c) == WORD)
        return word(l);
    if (l->at + 3 <= l->len && memcmp(l->text + l->at, "...", 3) == 0)
        return finish(l, l->at + 3, SL_SQL_PUNCT); /* of a shape that was cut */
    if (class_of(c) == DIGIT || (c == '.' && class_of(d) == DIGIT))
        return number(l);
    switch (c) {
    case '\'': return string_from(l, l->at, backslash_of(l));
    case '"':
    case '`': return quoted_name(l, c);
    case '[': return bracket(l);
    case '$': return dollar(l);
    case '%': return percent(l);
    case '?':
        do
            l->at++;
        while (class_of(peek(l, 0)) == DIGIT);
        return finish(l, l->at, SL_SQL_LITERAL);
    case ':':
        if (d == ':' || d == '=')
            return finish(l, l->at + 2, SL_SQL_PUNCT);
        if ((class_of(d) & (WORD | DIGIT)) != 0)
            return finish(l, word_end(l, l->at + 1), SL_SQL_LITERAL);
        break;
    case '@':
        if (d == '@')
            return finish(l, l->at + 2, SL_SQL_PUNCT);
        if (in_word(l, d))
            return finish(l, word_end(l, l->at + 1), SL_SQL_LITERAL);
        break;
    case '#':
        if (in_word(l, '#'))
            return finish(l, word_end(l, l->at + 1), SL_SQL_WORD);
        if (l->dialect == SL_SQL_ANY && d != 0)
            return finish(l, l->at + 2, SL_SQL_PUNCT); /* #>, ##, #- */
        break;
    default: break;
    }
    return finish(l, l->at + 1, SL_SQL_PUNCT);
}

static sl_sql_word
word_kind(const sl_sql_lexer *l)
{
    /* By length; the first eight letters tell those apart. */
    static const struct {
        char start[9];
        sl_sql_word kind;
    } words[11][11] = {
        [2] = { { "AS", SL_WORD_AS },
                { "BY", SL_WORD_BY },
                { "IF", SL_WORD_ONLY }, /* TABLE IF NOT EXISTS "t" */
                { "IN", SL_WORD_AND },
                { "ON", SL_WORD_VALUE },
                { "OR", SL_WORD_AND } },
        [3] = { { "AND", SL_WORD_AND },
                { "NOT", SL_WORD_AND },
                { "SET", SL_WORD_SET } },
        [4] = { { "CASE", SL_WORD_AND },
                { "ELSE", SL_WORD_AND },
                { "FROM", SL_WORD_FROM },
                { "INTO", SL_WORD_INTO },
                { "JOIN", SL_WORD_TABLES },
                { "LIKE", SL_WORD_AND },
                { "ONLY", SL_WORD_ONLY },
                { "THEN", SL_WORD_AND },
                { "WHEN", SL_WORD_AND } },
        [5] = { { "CHECK", SL_WORD_VALUE },
                { "GROUP", SL_WORD_LIST },
                { "INDEX", SL_WORD_TABLES },
                { "LIMIT", SL_WORD_VALUE },
                { "ORDER", SL_WORD_LIST },
                { "TABLE", SL_WORD_INTO },
                { "USING", SL_WORD_VALUE },
                { "WHERE", SL_WORD_VALUE } },
        [6] = { { "COLUMN", SL_WORD_TABLES },
                { "DELETE", SL_WORD_DELETE },
                { "EXISTS", SL_WORD_ONLY },
                { "HAVING", SL_WORD_VALUE },
                { "OFFSET", SL_WORD_VALUE },
                { "RETURN", SL_WORD_VALUE },
                { "SELECT", SL_WORD_SELECT },
                { "UPDATE", SL_WORD_TABLES },
                { "VALUES", SL_WORD_VALUE } },
        [7] = { { "BETWEEN", SL_WORD_AND },
                { "DEFAULT", SL_WORD_VALUE },
                { "LATERAL", SL_WORD_ONLY } },
        [8] = { { "DISTINCT", SL_WORD_DISTINCT }, { "INTERVAL", SL_WORD_AND } },
        [9] = { { "PARTITIO", SL_WORD_LIST }, { "RETURNIN", SL_WORD_VALUE } },
        [10] = { { "REFERENC", SL_WORD_TABLES } },
    };
    size_t len = l->to - l->from;
    char start[8] = { 0 };
    uint64_t mine, theirs;

    if (len > 10)
        return SL_WORD_OTHER;
    for (size_t i = 0; i < len && i < sizeof(start); i++)
        start[i] = (char)(l->text[l->from + i] & 0xDF); /* a to A */
    memcpy(&mine, start, sizeof(mine));
    for (size_t i = 0; words[len][i].kind != SL_WORD_OTHER; i++) {
        memcpy(&theirs, words[len][i].start, sizeof(theirs));
        if (mine == theirs)
            return words[len][i].kind;
    }
    return SL_WORD_OTHER;
}

static void
after_word(sl_sql_lexer *l)
{
    uint64_t bit = UINT64_C(1) << (l->depth & 63);
    bool before_names = l->names;

    l->word = word_kind(l);
    if (l->before == SL_WORD_ONLY && sl_sql_is(l, "NOT"))
        l->word = SL_WORD_ONLY;
    l->names = false;
    switch (l->word) {
    case SL_WORD_SELECT: l->selects |= bit; /* fallthrough */
    case SL_WORD_VALUE: l->clause = SL_WORD_OTHER; break;
    case SL_WORD_DELETE: l->selects |= bit; break;
    case SL_WORD_FROM:
        /* Not that of TRIM(x FROM y), EXTRACT, IS DISTINCT FROM. */
        l->names = (l->selects & bit) != 0 && l->before != SL_WORD_DISTINCT;
        break;
    case SL_WORD_BY: /* not that of IDENTIFIED BY */
        l->names = l->before == SL_WORD_LIST;
        break;
    case SL_WORD_TABLES:
    case SL_WORD_SET:
    case SL_WORD_INTO:
    case SL_WORD_AS: l->names = true; break;
    case SL_WORD_ONLY:
        l->names = before_names && l->before != SL_WORD_AS;
        break;
    default: break;
    }
    if (l->names && l->word != SL_WORD_AS && l->word != SL_WORD_ONLY) {
        l->clause = l->word;
        l->clause_depth = l->depth;
    }
}

static void
after_punct(sl_sql_lexer *l)
{
    bool list = l->clause == SL_WORD_INTO;

    l->names = false;
    switch (l->text[l->from]) {
    case '(':
        l->depth++;
        l->selects &= ~(UINT64_C(1) << (l->depth & 63));
        l->names = list && l->depth == l->clause_depth + 1;
        break;
    case ')': l->depth -= l->depth > 0; break;
    case ',':
        l->names = l->clause != SL_WORD_OTHER &&
                   (l->clause != SL_WORD_SET || l->dialect == SL_SQL_SQLITE) &&
                   (l->depth == l->clause_depth ||
                    (list && l->depth == l->clause_depth + 1));
        break;
    case '.': l->names = true; break;
    default: break;
    }
}

sl_sql_token
sl_sql_next(sl_sql_lexer *l)
{
    bool not_sure = false;

    skip_blanks(l, &not_sure);
    l->from = l->to = l->at;
    l->before = l->word;
    l->word = SL_WORD_OTHER;
    l->needs = 0;
    if (not_sure)
        return SL_SQL_UNSURE;
    if (l->at >= l->len)
        return SL_SQL_END;
    sl_sql_token token = token_at(l);
    l->dotted = token == SL_SQL_PUNCT && l->text[l->from] == '.';
    if (token == SL_SQL_WORD)
        after_word(l);
    else if (token == SL_SQL_PUNCT)
        after_punct(l);
    else
        l->names = false;
    return token;
}
