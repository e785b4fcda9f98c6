/* What a function does, by where it stands. */
#include "findings_work.h"

#include <stdlib.h>
#include <string.h>

#define NONE SL_FINDING_NONE

/* By the end of the file and the name; without a name, all that the file has;
 * without a file, C functions; with a slash before it, of the standard library
 * (a framework's middleware/gzip.py runs all of the request below it). */
static const sl_outline_known known[] = {
#define ONE    SL_OUTLINE_KNOWN
#define ALL_OF SL_OUTLINE_KNOWN_FILE
    ALL_OF("json/__init__.py", SL_FINDING_JSON),
    ALL_OF("json/encoder.py", SL_FINDING_JSON),
    ALL_OF("json/decoder.py", SL_FINDING_JSON),
    ALL_OF("simplejson/__init__.py", SL_FINDING_JSON),
    ONE("", "orjson.dumps", SL_FINDING_JSON),
    ONE("", "orjson.loads", SL_FINDING_JSON),
    ONE("", "ujson.dumps", SL_FINDING_JSON),
    ONE("", "ujson.loads", SL_FINDING_JSON),
    ONE("/copy.py", "deepcopy", SL_FINDING_COPY),
    ONE("re/_compiler.py", "compile", SL_FINDING_REGEX),
    ONE("django/template/base.py", "Template.compile_nodelist",
        SL_FINDING_TEMPLATE_COMPILE),
    ONE("jinja2/environment.py", "Environment.compile",
        SL_FINDING_TEMPLATE_COMPILE),
    ONE("mako/template.py", "_compile", SL_FINDING_TEMPLATE_COMPILE),
    ONE("importlib._bootstrap>", "_find_and_load", SL_FINDING_IMPORT),
    ONE("importlib/_bootstrap.py", "_find_and_load", SL_FINDING_IMPORT),
    ONE("logging/__init__.py", "Logger._log", SL_FINDING_LOGGING),
    ONE("loguru/_logger.py", "Logger._log", SL_FINDING_LOGGING),
    ONE("structlog/_base.py", "BoundLoggerBase._proxy_to_logger",
        SL_FINDING_LOGGING),
    ONE("", "_hashlib.pbkdf2_hmac", SL_FINDING_PASSWORD),
    ONE("", "_hashlib.scrypt", SL_FINDING_PASSWORD),
    ONE("", "hashlib.pbkdf2_hmac", SL_FINDING_PASSWORD),
    ONE("", "hashlib.scrypt", SL_FINDING_PASSWORD),
    ALL_OF("bcrypt/__init__.py", SL_FINDING_PASSWORD),
    ONE("", "bcrypt.hashpw", SL_FINDING_PASSWORD),
    ONE("", "bcrypt.checkpw", SL_FINDING_PASSWORD),
    ALL_OF("argon2/_password_hasher.py", SL_FINDING_PASSWORD),
    ALL_OF("django/contrib/auth/hashers.py", SL_FINDING_PASSWORD),
    ONE("werkzeug/security.py", "generate_password_hash", SL_FINDING_PASSWORD),
    ONE("werkzeug/security.py", "check_password_hash", SL_FINDING_PASSWORD),
    ALL_OF("passlib/context.py", SL_FINDING_PASSWORD),
    ONE("", "zlib.compress", SL_FINDING_COMPRESS),
    ONE("", "Compress.compress", SL_FINDING_COMPRESS),
    ONE("", "zlib.Compress.compress", SL_FINDING_COMPRESS),
    ALL_OF("/gzip.py", SL_FINDING_COMPRESS),
    ONE("", "_brotli.compress", SL_FINDING_COMPRESS),
    ONE("starlette/middleware/gzip.py", "GZipResponder.apply_compression",
        SL_FINDING_COMPRESS),
    ONE("fastapi/encoders.py", "jsonable_encoder", SL_FINDING_SERIALIZE),
    ONE("fastapi/routing.py", "serialize_response", SL_FINDING_SERIALIZE),
    ONE("rest_framework/serializers.py", "ListSerializer.to_representation",
        SL_FINDING_SERIALIZE),
    ONE("rest_framework/serializers.py", "Serializer.to_representation",
        SL_FINDING_SERIALIZE),
    ONE("marshmallow/schema.py", "Schema.dump", SL_FINDING_SERIALIZE),
    ONE("pydantic/main.py", "BaseModel.model_dump", SL_FINDING_SERIALIZE),
    ONE("pydantic/main.py", "BaseModel.model_dump_json", SL_FINDING_SERIALIZE),
    ONE("psycopg2/__init__.py", "connect", SL_FINDING_CONNECT),
    ONE("psycopg/connection.py", "Connection.connect", SL_FINDING_CONNECT),
    ONE("psycopg/connection_async.py", "AsyncConnection.connect",
        SL_FINDING_CONNECT),
    ONE("asyncpg/connection.py", "connect", SL_FINDING_CONNECT),
    ONE("pymysql/connections.py", "Connection.connect", SL_FINDING_CONNECT),
    ONE("redis/connection.py", "AbstractConnection.connect",
        SL_FINDING_CONNECT),
    ONE("urllib3/connection.py", "HTTPConnection.connect", SL_FINDING_CONNECT),
    ONE("urllib3/connection.py", "HTTPSConnection.connect", SL_FINDING_CONNECT),
    ONE("http/client.py", "HTTPConnection.connect", SL_FINDING_CONNECT),
    ONE("http/client.py", "HTTPSConnection.connect", SL_FINDING_CONNECT),
    ONE("asyncio/base_events.py", "BaseEventLoop.create_connection",
        SL_FINDING_CONNECT),
    ONE("/socket.py", "create_connection", SL_FINDING_CONNECT),
    ONE("/socket.py", "getaddrinfo", SL_FINDING_CONNECT),
    ONE("/ssl.py", "SSLSocket.do_handshake", SL_FINDING_CONNECT),
    ONE("", "sqlite3.connect", SL_FINDING_CONNECT),
    ALL_OF("/traceback.py", SL_FINDING_TRACEBACK),
    ONE("rich/console.py", "Console.print_exception", SL_FINDING_TRACEBACK),
    ALL_OF("rich/traceback.py", SL_FINDING_TRACEBACK),
    ALL_OF("django/views/debug.py", SL_FINDING_TRACEBACK),
    ALL_OF("werkzeug/debug/tbtools.py", SL_FINDING_TRACEBACK),
    ONE("starlette/middleware/errors.py", "ServerErrorMiddleware.generate_html",
        SL_FINDING_TRACEBACK),
    ONE("alembic/runtime/migration.py", "MigrationContext.run_migrations",
        SL_FINDING_MIGRATION),
    ONE("django/db/migrations/executor.py", "MigrationExecutor.migrate",
        SL_FINDING_MIGRATION),
    ONE("sqlalchemy/sql/schema.py", "MetaData.create_all",
        SL_FINDING_MIGRATION),
#undef ONE
#undef ALL_OF
};

/* From which part of the request on it is told, where something else is more.
 */
static uint32_t
least_part(sl_finding_rule rule)
{
    switch (rule) {
    case SL_FINDING_REGEX:
    case SL_FINDING_TEMPLATE_COMPILE:
    case SL_FINDING_IMPORT:
    case SL_FINDING_LOGGING:
    case SL_FINDING_CONNECT:
    case SL_FINDING_TRACEBACK:
    case SL_FINDING_MIGRATION: return 10;
    default: return 5;
    }
}

uint8_t *
sl_findings_kinds(sl_findings_work *w)
{
    const sl_outline *o = w->o;
    uint8_t *kinds = malloc((size_t)o->count + o->function_count);
    bool any = false;

    w->works = false;
    if (kinds == NULL)
        return NULL;
    uint8_t *of_function = kinds + o->count;
    for (uint32_t f = 0; f < o->function_count; f++) {
        of_function[f] = (uint8_t)sl_outline_known_as(
            &o->functions[f], known, sizeof(known) / sizeof(*known),
            SL_FINDING_HOT);
        any |= of_function[f] != SL_FINDING_HOT;
    }
    w->works = any;
    if (!any)
        memset(kinds, SL_FINDING_HOT, o->count);
    for (uint32_t i = 0; any && i < o->count; i++) {
        uint8_t above = i == 0 ? SL_FINDING_HOT : kinds[o->nodes[i].parent];
        uint8_t mine = of_function[o->nodes[i].function];
        bool stays =
            above != SL_FINDING_HOT &&
            (above == SL_FINDING_IMPORT || above == SL_FINDING_MIGRATION ||
             sl_outline_function(o, i)->origin != SL_ORIGIN_PROJECT);
        /* What a template is compiled with is what it is compiled for; the
         * collector runs wherever it happens to. */
        kinds[i] = sl_outline_pseudo(o, i) == SL_PSEUDO_GC ? SL_FINDING_HOT
                   : stays                                 ? above
                                                           : mine;
    }
    return kinds;
}

void
sl_findings_as_work(const sl_findings_work *w, const uint8_t *kinds,
                    sl_finding *f)
{
    const sl_outline *o = w->o;
    uint64_t sums[SL_FINDING_COUNT] = { 0 }, all = 0;

    if (f->rule != SL_FINDING_HOT || f->node == NONE || !w->works)
        return;
    uint32_t function = o->nodes[f->node].function;
    for (uint32_t i = 1; i < o->count; i++) {
        if (o->nodes[i].function != function)
            continue;
        uint32_t end = i + o->nodes[i].size;
        for (; i < end; i++) {
            sums[kinds[i]] += o->nodes[i].self_ns;
            all += o->nodes[i].self_ns;
        }
        i--;
    }
    for (int k = 0; k < SL_FINDING_COUNT; k++) {
        if (k != SL_FINDING_HOT && sums[k] > all / 3 * 2)
            f->rule = (sl_finding_rule)k;
    }
}

/* One kind: its time, its calls, and where most of it was asked for. */
static sl_finding
sum_up(const sl_findings_work *w, const uint8_t *kinds, sl_finding_rule rule)
{
    const sl_outline *o = w->o;
    sl_finding f = { .rule = rule, .node = NONE, .own = NONE, .extra = true };
    uint64_t most = 0;

    for (uint32_t i = 1; i < o->count; i++) {
        if (kinds[i] != rule)
            continue;
        uint32_t top = i, end = i + o->nodes[i].size;
        uint64_t ns = 0;
        for (; i < end; i++)
            ns += kinds[i] == rule ? o->nodes[i].self_ns : 0;
        i = end - 1;
        f.ns += ns;
        f.count += w->exact ? o->nodes[top].calls : 0;
        if (f.node == NONE || ns > most) {
            most = ns;
            f.node = top;
        }
    }
    return f;
}

void
sl_findings_work_add(sl_findings_work *w, const uint8_t *kinds)
{
    bool there[SL_FINDING_COUNT] = { false };

    if (!w->works)
        return;
    for (uint32_t i = 1; i < w->o->count; i++)
        there[kinds[i]] = true;
    for (uint32_t i = 0; i < w->out->count; i++)
        there[w->out->items[i].rule] = false;
    there[SL_FINDING_HOT] = false;
    for (int k = 0; k < SL_FINDING_COUNT; k++) {
        if (!there[k])
            continue;
        sl_finding f = sum_up(w, kinds, (sl_finding_rule)k);
        if (f.ns == 0 || f.ns < w->wall / least_part(f.rule))
            continue;
        f.score = 2;
        sl_findings_locate(w, f.node, &f);
        sl_findings_add(w, f);
    }
}
