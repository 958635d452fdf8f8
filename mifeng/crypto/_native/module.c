/* The extension module mifeng.crypto._native._core: errors, and the parts that register here. */
#include "module.h"

#include "core.h"

static PyObject *errors[3];
static const char *const error_names[3] = {"DecryptionError", "SignatureError", "KeyFormatError"};

PyObject *mifeng_error(enum mifeng_error which) { return errors[which]; }

static PyObject *install_errors(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"decryption", "signature", "key", NULL};
    PyObject *given[3];
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$OOO:install_errors", names, &given[0],
                                     &given[1], &given[2]))
        return NULL;
    for (int i = 0; i < 3; i++) {
        if (PyObject_IsSubclass(given[i], PyExc_Exception) != 1) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_TypeError, "%s is no exception class", names[i]);
            return NULL;
        }
    }
    for (int i = 0; i < 3; i++) {
        PyObject *old = errors[i];
        Py_INCREF(given[i]);
        errors[i] = given[i];
        Py_XDECREF(old);
    }
    Py_RETURN_NONE;
}

static PyObject *paths(PyObject *module, PyObject *unused)
{
    (void)unused;
    PyObject *found = Py_BuildValue("{s:s,s:s,s:s}", "sm4", mifeng_sm4_path()->name, "sm3",
                                    mifeng_sm3_path()->name, "sm3_many",
                                    mifeng_sm3_path()->lanes_name);
    PyObject *ask = PyObject_GetAttrString(module, "sm2_path"); /* absent without SM2 */
    if (!ask) {
        PyErr_Clear();
        return found;
    }
    PyObject *sm2 = PyObject_CallNoArgs(ask);
    if (!found || !sm2 || PyDict_SetItemString(found, "sm2", sm2) < 0)
        Py_CLEAR(found);
    Py_XDECREF(sm2);
    Py_DECREF(ask);
    return found;
}

static PyObject *available(PyObject *module, PyObject *unused)
{
    PyObject *list = PyList_New(0);
    (void)module;
    (void)unused;
    for (const struct sm4_path *const *path = mifeng_sm4_paths; list && *path; path++) {
        if (!(*path)->usable())
            continue;
        PyObject *name = PyUnicode_FromString((*path)->name);
        if (!name || PyList_Append(list, name) < 0)
            Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

PyDoc_STRVAR(install_errors_doc,
             "install_errors(*, decryption, signature, key)\n--\n\n"
             "Raise these classes from now on instead of the module's own.");
PyDoc_STRVAR(paths_doc, "paths()\n--\n\nThe code path in use for each primitive, by name.");
PyDoc_STRVAR(available_doc,
             "available()\n--\n\nThe names that MIFENG_NATIVE may take on this processor.");

static PyMethodDef methods[] = {
    {"install_errors", (PyCFunction)(void (*)(void))install_errors, METH_VARARGS | METH_KEYWORDS,
     install_errors_doc},
    {"paths", paths, METH_NOARGS, paths_doc},
    {"available", available, METH_NOARGS, available_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "mifeng.crypto._native._core", "SM2, SM3 and SM4-GCM in C.", -1, methods,
    NULL, NULL, NULL, NULL,
};

static int add_errors(PyObject *module)
{
    for (int i = 0; i < 3; i++) {
        char full[64];
        snprintf(full, sizeof full, "mifeng.crypto._native._core.%s", error_names[i]);
        PyObject *error = PyErr_NewException(full, NULL, NULL);
        if (!error || PyModule_AddObjectRef(module, error_names[i], error) < 0) {
            Py_XDECREF(error);
            return -1;
        }
        PyObject *old = errors[i];
        errors[i] = error;
        Py_XDECREF(old);
    }
    return 0;
}

PyMODINIT_FUNC PyInit__core(void)
{
    const char *wrong = mifeng_choose_paths(getenv("MIFENG_NATIVE"));
    if (wrong) {
        PyErr_Format(PyExc_ImportError, "MIFENG_NATIVE: %s", wrong);
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    if (add_errors(module) < 0 || mifeng_add_sm3(module) < 0 || mifeng_add_sm4(module) < 0
#ifdef MIFENG_HAVE_SM2
        || mifeng_add_sm2(module) < 0
#endif
    ) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
