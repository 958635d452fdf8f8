/* What the two files of SM2's Python face share. Include it first. */
#ifndef MIFENG_SM2_PY_H
#define MIFENG_SM2_PY_H

#include "module.h"

#include "sm2.h"

typedef struct {
    PyObject_HEAD
    sm2_private key;
} sm2_private_object;

typedef struct {
    PyObject_HEAD
    sm2_public key;
} sm2_public_object;

extern PyTypeObject *sm2_private_type, *sm2_public_type;

/* Whether SM2 encrypts as many bytes: 1, or 0 with ValueError set. */
int sm2_py_encrypts(Py_ssize_t size);
/* Whether a ciphertext may have as many bytes. */
int sm2_py_is_ciphertext(Py_ssize_t size);

/* sm2_py_batch.c: adds the batch functions; 0, or -1 with an exception set. */
int sm2_py_add_batches(PyObject *module);

#endif
