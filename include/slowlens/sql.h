/* slowlens/sql.h - what may be kept of a query and of a URL.
 *
 *   SELECT "id" FROM "author" WHERE "name" = 'Kim' AND "age" IN (3, 5, 7)  -- x
 *   SELECT "id" FROM "author" WHERE "name" = ? AND "age" IN (?)     the shape
 *   SELECT author                                                   the names
 *
 * A shape has no literal in it, whatever was written: strings, numbers, dollar
 * quotes and placeholders are `?`, lists of equal things are one of them,
 * comments are gone. Queries that differ in their parameters only have one
 * shape, and a shape is its own shape.
 *
 * Dialects differ in what ends a string (a backslash), whether "x" is a name,
 * and what begins a comment. Where the dialect is not known and the readings
 * disagree, the rest of the text is left out: `? ...`. Nothing here guesses
 * towards showing more. Assumed: PostgreSQL's standard_conforming_strings is
 * on, MySQL's NO_BACKSLASH_ESCAPES is off (both are the servers' defaults).
 *
 * All functions are pure, need no memory but `out`, and take any bytes; what
 * they write is UTF-8 (what was not becomes U+FFFD) without control characters
 * and without a NUL at the end.
 */
#ifndef SL_SQL_H
#define SL_SQL_H

#include <stddef.h>

typedef enum {
    SL_SQL_ANY = 0, /* not known: the strictest reading */
    SL_SQL_POSTGRESQL,
    SL_SQL_MYSQL, /* and MariaDB */
    SL_SQL_SQLITE,
    SL_SQL_ORACLE,
    SL_SQL_MSSQL,
} sl_sql_dialect;

/* The dialect that Django (`connection.vendor`), SQLAlchemy (`dialect.name`)
 * or a driver calls so: "postgresql", "mysql", "mariadb", "sqlite",
 * "oracle", "mssql", "microsoft", "cockroachdb"...; else SL_SQL_ANY. */
sl_sql_dialect sl_sql_dialect_of(const char *name, size_t len);

/* Writes the shape of `sql` to `out` and returns its length, at most
 * `capacity` (below 8: nothing is written). What does not fit is left out from
 * a whole word on, and " ..." says so. */
size_t sl_sql_shape(const char *sql, size_t len, sl_sql_dialect dialect,
                    char *out, size_t capacity);

/* Writes the verb and the tables, each once: "UPDATE book, author". As
 * sl_sql_shape else. */
size_t sl_sql_names(const char *sql, size_t len, sl_sql_dialect dialect,
                    char *out, size_t capacity);

/* Writes the host of a URL, with its port where it names one: no scheme, user,
 * password, path, query or fragment. 0: there is none, or it does not look
 * like one, or does not fit. */
size_t sl_url_host(const char *url, size_t len, char *out, size_t capacity);

#endif /* SL_SQL_H */
