/* Which code objects are probed, and how they are found: see probes.h. */
#include "engine/probes.h"
#include "engine/calls.h"
#include "engine/engine.h"
#include "look/own_stack.h"

#include <string.h>

#define TABLES_MAX 8
/* Objects that are looked through in search of one function. */
#define SEEN_MAX 40

static struct {
    const sl_py_target *targets;
    size_t count;
} tables[TABLES_MAX];
static size_t table_count;
static const sl_py_target **added; /* one by one */
static size_t added_count, added_capacity;
static bool installed;

void
sl_py_probes_table(const sl_py_target *targets, size_t count)
{
    if (table_count < TABLES_MAX) {
        tables[table_count].targets = targets;
        tables[table_count++].count = count;
    }
}

/* ---- from a name to a code object ---- */

/* `object`'s own entry `name`, BORROWED, without running any code of its. */
static PyObject *
own_entry(PyObject *object, PyObject *name)
{
    if (PyModule_Check(object))
        return PyDict_GetItemWithError(PyModule_GetDict(object), name);
    if (!PyType_Check(object))
        return NULL;
    PyObject *dict = PyObject_GetAttrString(object, "__dict__");
    PyObject *found = dict == NULL ? NULL : PyObject_GetItem(dict, name);
    Py_XDECREF(dict);
    Py_XDECREF(found); /* the type holds it */
    return found;
}

/* The name that a class keeps its private member `name` by, NEW. */
static PyObject *
mangled(const char *of, size_t of_length, const char *name, size_t length)
{
    while (of_length > 0 && *of == '_')
        of++, of_length--;
    return PyUnicode_FromFormat("_%.*s%.*s", (int)of_length, of, (int)length,
                                name);
}

/* What stands at `qualname` in the module, BORROWED; NULL: nothing. */
static PyObject *
resolve(PyObject *module, const char *qualname)
{
    PyObject *at = module;
    const char *outer = NULL;
    size_t outer_length = 0;

    while (at != NULL && *qualname != '\0') {
        size_t length = strcspn(qualname, ".");
        bool private = outer != NULL && length > 2 &&
                       strncmp(qualname, "__", 2) == 0 &&
                       strncmp(qualname + length - 2, "__", 2) != 0;
        PyObject *name =
            private ? mangled(outer, outer_length, qualname, length)
                    : PyUnicode_FromStringAndSize(qualname, (Py_ssize_t)length);
        outer = qualname;
        outer_length = length;
        at = name == NULL ? NULL : own_entry(at, name);
        Py_XDECREF(name);
        qualname += length + (qualname[length] == '.');
    }
    PyErr_Clear();
    return at;
}

/* A queue of objects; each once. */
typedef struct {
    PyObject *objects[SEEN_MAX]; /* strong */
    int count;
} seen;

static void
seen_add(seen *s, PyObject *object)
{
    for (int i = 0; i < s->count; i++) {
        if (s->objects[i] == object)
            return;
    }
    if (object != NULL && s->count < SEEN_MAX)
        s->objects[s->count++] = Py_NewRef(object);
}

/* What a wrapper of whatever kind may hide. */
static void
seen_add_inside(seen *s, PyObject *object)
{
    static const char *const names[] = { "__wrapped__", "__func__", "fget" };

    if (PyFunction_Check(object)) {
        PyObject *cells = PyFunction_GET_CLOSURE(object);
        for (Py_ssize_t i = 0; cells != NULL && i < PyTuple_GET_SIZE(cells);
             i++) {
            PyObject *inside = PyCell_GET(PyTuple_GET_ITEM(cells, i));
            if (inside != NULL && PyCallable_Check(inside))
                seen_add(s, inside);
        }
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        PyObject *inside = PyObject_GetAttrString(object, names[i]);
        PyErr_Clear();
        seen_add(s, inside);
        Py_XDECREF(inside);
    }
}

/* The code object of that qualified name in or below `object`, NEW; NULL: it
 * is not there. By the code's own name: another library may have put a wrapper
 * of the same `__name__` in front. */
static PyObject *
find_code(PyObject *object, const char *qualname)
{
    seen s = { .count = 0 };
    PyObject *found = NULL;

    seen_add(&s, object);
    for (int i = 0; i < s.count && found == NULL; i++) {
        PyObject *at = s.objects[i];
        if (PyFunction_Check(at)) {
            PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(at);
            if (PyUnicode_CompareWithASCIIString(code->co_qualname, qualname) ==
                0)
                found = Py_NewRef((PyObject *)code);
        }
        if (found == NULL)
            seen_add_inside(&s, at);
    }
    while (s.count > 0)
        Py_DECREF(s.objects[--s.count]);
    return found;
}

/* The code of a function that `outer` makes each time it runs ("f.<locals>.g"),
 * NEW; takes `outer` over. NULL: there is none. */
static PyObject *
find_inside(PyObject *outer, const char *qualname)
{
    PyObject *found = NULL;

    while (outer != NULL && found == NULL) {
        PyObject *consts = ((PyCodeObject *)outer)->co_consts, *next = NULL;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(consts); i++) {
            PyObject *one = PyTuple_GET_ITEM(consts, i);
            const char *name =
                PyCode_Check(one)
                    ? PyUnicode_AsUTF8(((PyCodeObject *)one)->co_qualname)
                    : NULL;
            size_t length = name != NULL ? strlen(name) : 0;
            if (name != NULL && strcmp(name, qualname) == 0)
                found = Py_NewRef(one);
            else if (name != NULL && strncmp(name, qualname, length) == 0 &&
                     strncmp(qualname + length, ".<locals>", 9) == 0)
                next = one;
        }
        Py_XINCREF(next);
        Py_DECREF(outer);
        outer = next;
    }
    Py_XDECREF(outer);
    return found;
}

/* The code object at one of the names "a.b|c.<locals>.d" in the module, the
 * first that is there, NEW; and the object at that name, BORROWED. */
static PyObject *
find_first(PyObject *module, const char *names, PyObject **object)
{
    PyObject *code = NULL;

    *object = NULL;
    while (*names != '\0' && code == NULL && *object == NULL) {
        char name[256], outer[256];
        size_t length = strcspn(names, "|");
        PyOS_snprintf(name, sizeof(name), "%.*s", (int)length, names);
        PyOS_snprintf(outer, sizeof(outer), "%s", name);
        char *locals = strstr(outer, ".<locals>.");
        if (locals != NULL)
            *locals = '\0';
        PyObject *at = resolve(module, outer);
        code = at == NULL ? NULL : find_code(at, outer);
        if (locals != NULL)
            code = find_inside(code, name);
        else
            *object = at;
        names += length + (names[length] == '|');
    }
    return code;
}

/* ---- from a code object to a probe ---- */

/* Index of the parameter among the frame's variables; -1: it has none of that
 * name. */
static int
parameter_index(const PyCodeObject *code, const char *name)
{
    int count = code->co_argcount + code->co_kwonlyargcount +
                ((code->co_flags & CO_VARARGS) != 0) +
                ((code->co_flags & CO_VARKEYWORDS) != 0);

    for (int i = 0; name != NULL && i < count; i++) {
        if (PyUnicode_CompareWithASCIIString(
                PyTuple_GET_ITEM(code->co_localsplusnames, i), name) == 0)
            return i;
    }
    return -1;
}

static bool
probe_add(PyObject *code, const sl_py_target *target)
{
    const PyCodeObject *of = (const PyCodeObject *)code;

    if (sl_py_probe_of(code) != NULL)
        return false;
    sl_py_probe *probe = PyMem_Calloc(1, sizeof(*probe));
    if (probe == NULL)
        return false;
    *probe = (sl_py_probe){ .code = Py_NewRef(code),
                            .target = target,
                            .events = sl_py_engine_probe_events(target->action),
                            .local = parameter_index(of, target->argument) };
    probe->cell = probe->local >= 0 && sl_py_code_is_cell(of, probe->local);
    if (!sl_py_probe_put(probe)) {
        Py_DECREF(code);
        PyMem_Free(probe);
        return false;
    }
    sl_py_engine_local(code);
    return true;
}

bool
sl_py_probes_put(PyCodeObject *code, const sl_py_target *target)
{
    return probe_add((PyObject *)code, target);
}

/* Probes the target, if it stands in this module. */
static void
target_scan(PyObject *module, const char *name, const sl_py_target *target)
{
    if (strcmp(target->module, name) != 0)
        return;
    PyObject *object;
    PyObject *code = find_first(module, target->qualname, &object);
    if (object != NULL && target->action->call != NULL)
        sl_py_calls_add(object, target);
    else if (code != NULL && target->action->hands)
        sl_py_calls_handed(code);
    else if (code != NULL)
        probe_add(code, target);
    Py_XDECREF(code);
}

/* Probes the targets that stand in this module. */
static void
module_scan(PyObject *module, const char *name)
{
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].count; i++)
            target_scan(module, name, &tables[t].targets[i]);
    }
    for (size_t i = 0; i < added_count; i++)
        target_scan(module, name, added[i]);
    PyErr_Clear();
}

/* Probes the target, if its module is among those that are imported. */
static void
target_look(PyObject *modules, const sl_py_target *target)
{
    PyObject *module = PyDict_GetItemString(modules, target->module);
    if (module != NULL && PyModule_Check(module))
        target_scan(module, target->module, target);
}

bool
sl_py_probes_add(const sl_py_target *target)
{
    if (added_count == added_capacity) {
        size_t capacity = added_capacity == 0 ? 256 : added_capacity * 2;
        const sl_py_target **grown =
            PyMem_Realloc((void *)added, capacity * sizeof(*grown));
        if (grown == NULL)
            return false;
        added = grown;
        added_capacity = capacity;
    }
    added[added_count++] = target;
    PyObject *modules = installed ? sl_py_borrow_modules() : NULL;
    if (modules != NULL)
        target_look(modules, target);
    PyErr_Clear();
    return true;
}

/* ---- imports ---- */

static void (*import_told)(const char *name);

void
sl_py_probes_on_import(void (*told)(const char *name))
{
    import_told = told;
}

/* A module was imported: it is what the function returned. */
static void
imported(const sl_py_target *target, uintptr_t frame, PyObject *result)
{
    (void)target, (void)frame;
    PyObject *type, *value, *traceback;

    if (result == NULL || !PyModule_Check(result))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    const char *name = PyModule_GetName(result);
    if (name != NULL) {
        module_scan(result, name);
        if (import_told != NULL)
            import_told(name);
    }
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

static const sl_py_action import_action = { .leave = imported };

/* importlib tells of each module, whatever found it; the second is of reload.
 */
static const sl_py_target import_targets[] = {
    { "_frozen_importlib", "_load_unlocked", NULL, &import_action, 0 },
    { "_frozen_importlib", "_exec", NULL, &import_action, 0 },
};

void
sl_py_probes_refresh(void)
{
    static Py_ssize_t scanned;
    PyObject *modules = sl_py_borrow_modules();

    if (!installed || modules == NULL || PyDict_GET_SIZE(modules) == scanned)
        return;
    scanned = PyDict_GET_SIZE(modules);
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].count; i++)
            target_look(modules, &tables[t].targets[i]);
    }
    for (size_t i = 0; i < added_count; i++)
        target_look(modules, added[i]);
    PyErr_Clear();
}

const char *
sl_py_probes_install(void)
{
    if (installed)
        return NULL;
    if (!sl_py_own_is_trusted())
        return "frames cannot be read on this interpreter";
    const char *why_not = sl_py_engine_probes();
    if (why_not != NULL)
        return why_not;
    installed = true;
    sl_py_probes_table(import_targets,
                       sizeof(import_targets) / sizeof(import_targets[0]));
    sl_py_probes_refresh();
    return NULL;
}
