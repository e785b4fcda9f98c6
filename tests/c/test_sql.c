#include "suites.h"

#include "slowlens/sql.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *
shape_in(sl_sql_dialect dialect, const char *sql)
{
    static char out[4096];
    size_t len = sl_sql_shape(sql, strlen(sql), dialect, out, sizeof(out) - 1);
    out[len] = 0;
    return out;
}

static const char *
names_in(sl_sql_dialect dialect, const char *sql)
{
    static char out[4096];
    size_t len = sl_sql_names(sql, strlen(sql), dialect, out, sizeof(out) - 1);
    out[len] = 0;
    return out;
}

static const char *
host(const char *url)
{
    static char out[256];
    out[sl_url_host(url, strlen(url), out, sizeof(out) - 1)] = 0;
    return out;
}

typedef struct {
    sl_sql_dialect dialect;
    const char *sql, *want;
} example;

#define ANY  SL_SQL_ANY
#define PG   SL_SQL_POSTGRESQL
#define MY   SL_SQL_MYSQL
#define LITE SL_SQL_SQLITE
#define ORA  SL_SQL_ORACLE
#define MS   SL_SQL_MSSQL

START_TEST(shapes)
{
    static const example examples[] = {
        /* literals of all kinds */
        { ANY, "SELECT 1, 'a', 2.5e-3, 0xFF, .5, 1_000 FROM t",
          "SELECT ? FROM t" },
        { ANY, "SELECT a1 FROM t2 WHERE b = 'it''s'",
          "SELECT a1 FROM t2 WHERE b = ?" },
        { PG, "SELECT E'a\\'b', B'01', X'FF', N'x', U&'d\\0061'",
          "SELECT ?, U&?" },
        { PG, "SELECT $$it's$$, $a$ $b$ $$ $a$", "SELECT ?" },
        { ANY, "WHERE a = -5 AND b > +.5 AND c - 5 > 1",
          "WHERE a = ? AND b > ? AND c - ? > ?" },
        { ANY, "LIMIT -1", "LIMIT ?" },
        { ANY, "WHERE a IS NULL AND b = TRUE", "WHERE a IS NULL AND b = TRUE" },
        /* placeholders */
        { ANY,
          "WHERE a = %s AND b = %(name)s AND c = $1 AND d = :x AND "
          "e = :1 AND f = @p AND g = ? AND h = ?1",
          "WHERE a = ? AND b = ? AND c = ? AND d = ? AND e = ? AND f = ? AND "
          "g = ? AND h = ?" },
        { PG, "SELECT a::int, b[1:2], c #> '{x}', d ->> 'k'",
          "SELECT a::int, b[??], c #> ?, d ->> ?" },
        { ANY, "WHERE a LIKE 'x%%' AND b % 5 = 1",
          "WHERE a LIKE ? AND b % ? = ?" },
        /* lists */
        { ANY, "WHERE a IN (1, 2,3 , 'x')", "WHERE a IN (?)" },
        { ANY, "VALUES (1, 'a', NOW()), (2, 'b', NOW()),(3,'c',NOW())",
          "VALUES (?, NOW())" },
        { ANY, "VALUES (1, 2), (3, 4)", "VALUES (?)" },
        { ANY, "WHERE a IN (%(a_1)s::INTEGER, %(a_2)s::INTEGER)",
          "WHERE a IN (?::INTEGER)" },
        { ANY, "SELECT a, a FROM t", "SELECT a, a FROM t" },
        /* comments and blanks */
        { ANY, "SELECT a -- secret\n,b /* secret */FROM\tt ; ",
          "SELECT a, b FROM t" },
        { PG, "SELECT /* a /* b */ secret */ x", "SELECT x" },
        { MY, "SELECT a # secret\n FROM t", "SELECT a FROM t" },
        { MY, "SELECT 5--1 FROM t", "SELECT ?--? FROM t" },
        { MY, "SELECT a --secret\nFROM t", "SELECT a FROM t" },
        { MY, "SELECT a --it's secret\nFROM t", "SELECT a ? ..." },
        { MY, "SELECT a -- it's\nFROM t", "SELECT a FROM t" },
        /* quoted names */
        { PG, "SELECT \"a\".\"b c\" FROM \"t\" WHERE \"d\" = 1",
          "SELECT \"a\".\"b c\" FROM \"t\" WHERE \"d\" = ?" },
        { MY, "SELECT `a`.`b` FROM `t` WHERE c = \"secret\" AND d = 'it\\'s'",
          "SELECT `a`.`b` FROM `t` WHERE c = ? AND d = ?" },
        { LITE, "INSERT INTO \"t\" (\"a\", \"b\") VALUES (\"secret\", 1)",
          "INSERT INTO \"t\" (\"a\", \"b\") VALUES (?)" },
        { LITE,
          "UPDATE \"t\" SET \"a\" = \"x\", \"b\" = 2 WHERE \"t\".\"id\" "
          "= 5 ORDER BY \"c\"",
          "UPDATE \"t\" SET \"a\" = ?, \"b\" = ? WHERE \"t\".\"id\" = ? ORDER "
          "BY \"c\"" },
        { MS, "SELECT [a], [it's]]x] FROM [dbo].[#t]",
          "SELECT [a], ? FROM [dbo].[#t]" },
        { ORA, "SELECT q'[it's]', v$x FROM v$session",
          "SELECT ?, v$x FROM v$session" },
        /* no quotes around the value */
        { PG, "SET jwt.claim = anna", "SET jwt.claim = ?" },
        { ANY, "PRAGMA key = secret", "PRAGMA key = ?" },
        { LITE, "PRAGMA main.index_info(ix_secret)",
          "PRAGMA main.index_info(?)" },
        { LITE, "CREATE TABLE IF NOT EXISTS \"t\" (\"a\" int)",
          "CREATE TABLE IF NOT EXISTS \"t\" (\"a\" int)" },
        { LITE, "DROP INDEX IF EXISTS \"i\"", "DROP INDEX IF EXISTS \"i\"" },
        { LITE, "SELECT 1 FROM t WHERE NOT EXISTS (SELECT \"secret\")",
          "SELECT ? FROM t WHERE NOT EXISTS (SELECT ?)" },
        { MS, "EXEC dbo.login anna, hunter", "EXEC dbo.login ?" },
        { ANY, "CREATE USER x IDENTIFIED BY \"secret\"",
          "CREATE USER x IDENTIFIED BY ?" },
        /* the dialects disagree: no more of it */
        { ANY, "SELECT 'a\\' OR secret = 'x'", "SELECT ? ..." },
        { PG, "SELECT 'a\\' OR c = 'x'", "SELECT ? OR c = ?" },
        { ANY, "SELECT a /* x /* y */ z */ secret", "SELECT a ? ..." },
        { ANY, "SELECT a # it's \n, 'secret'", "SELECT a ? ..." },
        /* the point of a number joins no names */
        { ANY, "SELECT 2.\"secret\"", "SELECT ??" },
        /* MySQL: a blank behind it would make a comment of it */
        { MY, "SELECT a ---- x\n 5", "SELECT a --?" },
        /* not closed */
        { ANY, "SELECT 'secret", "SELECT ?" },
        { PG, "SELECT \"secret", "SELECT ?" },
        { PG, "SELECT $x$ secret", "SELECT ?" },
        { ANY, "SELECT a /* secret", "SELECT a" },
        /* any bytes */
        { ANY, "SELECT caf\xc3\xa9 FROM \xff\xfe",
          "SELECT caf\xc3\xa9 FROM \xef\xbf\xbd\xef\xbf\xbd" },
        { ANY, "", "" },
        { ANY, " ; ", "" },
    };

    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const example *e = &examples[i];
        ck_assert_str_eq(shape_in(e->dialect, e->sql), e->want);
        char *first = strdup(e->want);
        ck_assert_str_eq(shape_in(e->dialect, first), e->want);
        free(first);
    }
}
END_TEST

START_TEST(what_does_not_fit_ends_at_a_word)
{
    static const char sql[] = "SELECT alpha, beta FROM gamma WHERE delta = 1";
    char out[64];

    for (size_t room = 8; room < sizeof(sql); room++) {
        size_t len = sl_sql_shape(sql, strlen(sql), ANY, out, room);
        ck_assert_uint_le(len, room);
        if (len < strlen(sql))
            ck_assert_mem_eq(out + len - 4, " ...", 4);
        ck_assert_mem_eq(out, sql, len - 4); /* a part of it */
        ck_assert(len == 4 || strchr(" ,", sql[len - 4]) != NULL ||
                  len == strlen(sql));
    }
    ck_assert_uint_eq(sl_sql_shape(sql, strlen(sql), ANY, out, 7), 0);
}
END_TEST

START_TEST(verb_and_tables)
{
    static const example examples[] = {
        { PG, "SELECT \"a\".\"x\" FROM \"author\" a JOIN book b ON b.y = a.x",
          "SELECT author, book" },
        { ANY, "SELECT * FROM a, b AS c, shop.d WHERE e IN (SELECT 1 FROM f)",
          "SELECT a, b, shop.d, f" },
        { ANY, "INSERT INTO t(a, b) SELECT 1, 2 FROM u", "INSERT t, u" },
        { ANY, "UPDATE t SET a = 'from secret' WHERE b = 1", "UPDATE t" },
        { ANY, "DELETE FROM ONLY t WHERE a = 1", "DELETE t" },
        { ANY, "SELECT EXTRACT(YEAR FROM born) FROM t FOR UPDATE", "SELECT t" },
        { ANY, "SELECT a FROM t WHERE b IS DISTINCT FROM secret", "SELECT t" },
        { ANY, "WITH x AS (SELECT 1 FROM t) SELECT * FROM x JOIN t ON 1 = 1",
          "SELECT x, t" },
        { ANY, "SELECT * FROM generate_series(1, 5)", "SELECT" },
        { ANY, "CREATE TABLE IF NOT EXISTS t (a int)", "CREATE t" },
        { ANY, "BEGIN", "BEGIN" },
        { ANY, "nonsense FROM secret", "" },
    };

    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const example *e = &examples[i];
        ck_assert_str_eq(names_in(e->dialect, e->sql), e->want);
    }
}
END_TEST

START_TEST(hosts)
{
    static const char *const examples[][2] = {
        { "https://api.example.com/v1/x?key=secret#y", "api.example.com" },
        { "http://user:pass@api.example.com:8080/x", "api.example.com:8080" },
        { "http://user:p@ss@host/x", "host" },
        { "http://[::1]:8000/", "[::1]:8000" },
        { "//cdn.example.com/x", "cdn.example.com" },
        { "redis://:secret@cache:6379/0", "cache:6379" },
        { "api.example.com:443/x", "api.example.com:443" },
        { "/only/a/path", "" },
        { "http://user:pa/ss@host/", "" }, /* no port: a password, perhaps */
        { "http://host:12345678/", "" },
        { "http://ho st/", "" },
        { "http:///x", "" },
        { "", "" },
        { "http://b\xc3\xbc"
          "cher.example/",
          "b\xc3\xbc"
          "cher.example" },
        { "http://a\xff/", "" },
    };

    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        ck_assert_str_eq(host(examples[i][0]), examples[i][1]);
}
END_TEST

START_TEST(dialects_by_name)
{
    static const struct {
        const char *name;
        sl_sql_dialect dialect;
    } names[] = { { "postgresql", PG },  { "mysql", MY },   { "mariadb", MY },
                  { "sqlite", LITE },    { "oracle", ORA }, { "microsoft", MS },
                  { "clickhouse", ANY }, { "", ANY } };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_int_eq(
            sl_sql_dialect_of(names[i].name, strlen(names[i].name)),
            names[i].dialect);
}
END_TEST

/* ---- a large corpus with planted secrets ---- */

static uint64_t state = 88172645463325252u;

static unsigned
pick(unsigned count)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % count;
}

/* Text that the dialect takes for one literal; all of it is of the alphabet
 * q, z, 7 and what must be quoted, so that a run of zqz tells a leak. */
static size_t
put_literal(sl_sql_dialect dialect, char *out)
{
    static const char *const inside[] = {
        "zqz",      "zqz7",           "zqz zqz",    "zqz-zqz",   "zqz, zqz",
        "zqz) zqz", "zqz--zqz",       "zqz/*zqz",   "zqz*/zqz",  "zqz#zqz",
        "zqz\"zqz", "zqz`zqz",        "zqz;zqz",    "zqz$$zqz",  "zqz%zqz",
        "zqz\nzqz", "zqz\xc3\xa9zqz", "zqz\xffzqz", "zqz = zqz", "zqz[zqz"
    };
    const char *a = inside[pick(20)], *b = inside[pick(20)];
    char quote = '\'';

    switch (pick(8)) {
    case 0: return (size_t)sprintf(out, "7%u", pick(10000));
    case 1: return (size_t)sprintf(out, "'%s''%s'", a, b);
    case 2:
        if (dialect == MY)
            return (size_t)sprintf(out, "'%s\\'%s'", a, b);
        break;
    case 3:
        if (dialect == PG && strstr(a, "$$") == NULL && strstr(b, "$$") == NULL)
            return (size_t)sprintf(out, "$$%s'%s$$", a, b);
        break;
    case 4:
        if (dialect == PG || dialect == MY)
            return (size_t)sprintf(out, "%s'%s\\'%s\\\\'",
                                   dialect == PG ? "E" : "", a, b);
        break;
    case 5:
        if (dialect == MY)
            quote = '"';
        if (dialect == ORA)
            return (size_t)sprintf(out, "q'{%s'%s}'", a, b);
        break;
    case 6:
        if (dialect == PG || dialect == LITE || dialect == ORA || dialect == MS)
            return (size_t)sprintf(out, "'%s\\'", a);
        break;
    default: break;
    }
    if (strchr(a, quote) != NULL)
        a = "zqz";
    return (size_t)sprintf(out, "%c%s%c", quote, a, quote);
}

static size_t
put_statement(sl_sql_dialect dialect, char *out)
{
    static const char *const parts[] = {
        "SELECT a FROM t WHERE b = ",
        " AND c IN (",
        ", ",
        ") OR d LIKE ",
        " UNION SELECT ",
        " LIMIT ",
        " - ",
        "/* zqz */",
        "-- zqz\n",
        "(",
        ")",
        " INSERT INTO t (a) VALUES (",
        " CASE WHEN x THEN ",
        "::int ",
        " x[1] ",
        " ON CONFLICT DO UPDATE SET a = ",
        " BETWEEN ",
        "=",
        " || ",
        " AS y ",
    };
    size_t len = 0;
    unsigned count = 1 + pick(8);

    for (unsigned i = 0; i < count; i++) {
        len += (size_t)sprintf(out + len, "%s", parts[pick(20)]);
        if (pick(3) > 0 || i == 0)
            len += put_literal(dialect, out + len);
        if (pick(2) == 0)
            len += (size_t)sprintf(out + len, " ");
    }
    return len;
}

START_TEST(no_planted_secret_survives)
{
    static char sql[8192], out[4096], again[4096];
    static const size_t rooms[] = { 16, 60, 4096 };

    for (int i = 0; i < 300000; i++) {
        sl_sql_dialect dialect = 1 + pick(5);
        size_t len = put_statement(dialect, sql);
        size_t room = rooms[pick(3)];
        for (int any = 0; any < 2; any++) { /* not told the dialect: no more */
            sl_sql_dialect told = any ? ANY : dialect;
            size_t size = sl_sql_shape(sql, len, told, out, room);
            for (size_t at = 0; at + 3 <= size; at++) {
                if (memcmp(out + at, "zqz", 3) == 0)
                    ck_abort_msg("dialect %d told %d: %.*s -> %.*s", dialect,
                                 told, (int)len, sql, (int)size, out);
            }
            ck_assert_ptr_null(memchr(out, '7', size));
            size_t second = sl_sql_shape(out, size, told, again, room);
            if (second != size || memcmp(out, again, size) != 0)
                ck_abort_msg("told %d, not its own shape: %.*s -> %.*s -> %.*s",
                             told, (int)len, sql, (int)size, out, (int)second,
                             again);
            size = sl_sql_names(sql, len, told, out, room);
            for (size_t at = 0; at + 3 <= size; at++)
                ck_assert(memcmp(out + at, "zqz", 3) != 0);
        }
    }
}
END_TEST

Suite *
sql_suite(void)
{
    const TTest *const tests[] = { shapes,
                                   what_does_not_fit_ends_at_a_word,
                                   verb_and_tables,
                                   hosts,
                                   dialects_by_name,
                                   no_planted_secret_survives,
                                   NULL };
    return suite_of("sql", tests);
}
