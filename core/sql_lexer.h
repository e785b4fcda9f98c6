/* sql_lexer.h - SQL as tokens, as far as literals and names need it. */
#ifndef SL_CORE_SQL_LEXER_H
#define SL_CORE_SQL_LEXER_H

#include "slowlens/sql.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    SL_SQL_END,
    SL_SQL_WORD,    /* keyword or bare name */
    SL_SQL_NAME,    /* "quoted", `quoted`, [quoted] */
    SL_SQL_LITERAL, /* string, number, placeholder */
    SL_SQL_PUNCT,
    SL_SQL_UNSURE, /* dialects disagree on how it goes on: stop */
} sl_sql_token;

/* Words that change how the next ones are read. */
typedef enum {
    SL_WORD_OTHER,
    SL_WORD_VALUE, /* values follow: SELECT, WHERE, LIMIT... */
    SL_WORD_AND,   /* likewise, inside an expression: AND, THEN, LIKE... */
    SL_WORD_FROM,
    SL_WORD_TABLES, /* UPDATE, JOIN... */
    SL_WORD_SET,    /* names with values */
    SL_WORD_INTO,   /* INTO, TABLE: a list of columns may follow */
    SL_WORD_BY,
    SL_WORD_AS,
    SL_WORD_ONLY,   /* stands between the word and the name: ONLY, LATERAL */
    SL_WORD_SELECT, /* as VALUE; a FROM of its own follows */
    SL_WORD_DELETE, /* likewise */
    SL_WORD_LIST,   /* a list is what follows it and BY: ORDER, GROUP */
    SL_WORD_DISTINCT,
} sl_sql_word;

typedef struct {
    const uint8_t *text;
    size_t len, at;
    sl_sql_dialect dialect;
    /* the token */
    size_t from, to;
    size_t needs; /* bytes behind it that it is a name because of */
    bool gap;     /* blanks or a comment stood before it */
    sl_sql_word word;
    /* whether "x" is a name here, for dialects where it may be a string */
    bool names;
    sl_sql_word clause;
    unsigned depth, clause_depth;
    uint64_t selects;   /* by depth: a SELECT began there */
    bool dotted;        /* a dot stood before this token */
    sl_sql_word before; /* the word before this token, if it was one */
} sl_sql_lexer;

void sl_sql_lexer_init(sl_sql_lexer *lexer, const char *sql, size_t len,
                       sl_sql_dialect dialect);

/* The next token: its bytes are text[from] to text[to - 1]. After END and
 * UNSURE the lexer stays there. */
sl_sql_token sl_sql_next(sl_sql_lexer *lexer);

/* Whether the token is `word`, given in capitals. */
bool sl_sql_is(const sl_sql_lexer *lexer, const char *word);

/* Whether a dot stands at `at` that joins names: not the point of a number, nor
 * the dots of a shape that was cut. */
static inline bool
sl_sql_is_dotted(const sl_sql_lexer *l, size_t at)
{
    uint8_t next = at + 1 < l->len ? l->text[at + 1] : 0;

    return at < l->len && l->text[at] == '.' && next != '.' &&
           !(next >= '0' && next <= '9');
}

/* Length of the UTF-8 sequence that begins at `text`; 0: there is none, or a
 * control character. */
size_t sl_utf8_length(const uint8_t *text, size_t len);

#endif /* SL_CORE_SQL_LEXER_H */
