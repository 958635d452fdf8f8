/* What the Python-facing C files share. Include this before any other header. */
#ifndef MIFENG_MODULE_H
#define MIFENG_MODULE_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

/* Below this many bytes a call is shorter than handing the interpreter to another thread. */
#define MIFENG_GIL_BYTES 4096

/* The exception classes the module raises. Until `install_errors` has replaced them by those of
 * mifeng.crypto they are the module's own. The reference is borrowed. */
enum mifeng_error { MIFENG_DECRYPTION_ERROR, MIFENG_SIGNATURE_ERROR, MIFENG_KEY_ERROR };
PyObject *mifeng_error(enum mifeng_error which);

/* Each adds its types and functions to the module: 0, or -1 with an exception set. */
int mifeng_add_sm3(PyObject *module);
int mifeng_add_sm4(PyObject *module);
int mifeng_add_sm2(PyObject *module); /* sm2_py.c; called where MIFENG_HAVE_SM2 is defined */

#endif
