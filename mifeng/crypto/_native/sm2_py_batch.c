/* The batch functions of SM2's Python face: views and results are gathered with the interpreter
 * held, and the whole batch is computed without it. */
#include "sm2_py.h"

#include "sm2_batch.h"

/* The views of a batch: `per` of them for each of `count` entries. */
typedef struct {
    Py_ssize_t count, held;
    Py_buffer *views;
    const sm2_public **keys;
} batch;

static void free_batch(batch *b)
{
    while (b->held)
        PyBuffer_Release(&b->views[--b->held]);
    PyMem_Free(b->views);
    PyMem_Free(b->keys);
}

static int start_batch(batch *b, PyObject *entries, Py_ssize_t per)
{
    b->count = PySequence_Size(entries);
    if (b->count < 0)
        return -1;
    b->views = PyMem_Calloc((size_t)(b->count * per) + 1, sizeof *b->views);
    b->keys = PyMem_Calloc((size_t)b->count + 1, sizeof *b->keys);
    if (b->views && b->keys)
        return 0;
    PyErr_NoMemory();
    return -1;
}

static int hold(batch *b, PyObject *object)
{
    if (PyObject_GetBuffer(object, &b->views[b->held], PyBUF_SIMPLE) < 0)
        return -1;
    b->held++;
    return 0;
}

/* Takes the views of a sequence of buffers. */
static int hold_all(batch *b, PyObject *entries)
{
    for (Py_ssize_t i = 0; i < b->count; i++) {
        PyObject *entry = PySequence_GetItem(entries, i);
        if (!entry)
            return -1;
        const int failed = hold(b, entry);
        Py_DECREF(entry); /* the view keeps it */
        if (failed)
            return -1;
    }
    return 0;
}

/* Takes a sequence of tuples that start with a public key, which the caller's tuple keeps alive:
 * `entries` is a tuple of tuples. */
static int hold_with_keys(batch *b, PyObject *entries, Py_ssize_t buffers)
{
    for (Py_ssize_t i = 0; i < b->count; i++) {
        PyObject *entry = PyTuple_GetItem(entries, i);
        if (!entry)
            return -1;
        if (!PyTuple_Check(entry) || PyTuple_Size(entry) != buffers + 1 ||
            Py_TYPE(PyTuple_GetItem(entry, 0)) != sm2_public_type) {
            PyErr_SetString(PyExc_TypeError, "an entry is a tuple that starts with a public key");
            return -1;
        }
        b->keys[i] = &((sm2_public_object *)PyTuple_GetItem(entry, 0))->key;
        for (Py_ssize_t j = 1; j <= buffers; j++)
            if (hold(b, PyTuple_GetItem(entry, j)) < 0)
                return -1;
    }
    return 0;
}

static PyObject *sign_batch(PyObject *module, PyObject *args)
{
    PyObject *key, *digests, *result = NULL;
    uint8_t(*es)[32] = NULL, (*signatures)[64] = NULL;
    batch b = {0};
    int failed = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O:sm2_sign_batch", sm2_private_type, &key, &digests))
        return NULL;
    if (start_batch(&b, digests, 1) < 0 || hold_all(&b, digests) < 0)
        goto done;
    es = PyMem_Calloc((size_t)b.count + 1, sizeof *es);
    signatures = PyMem_Calloc((size_t)b.count + 1, sizeof *signatures);
    if (!es || !signatures) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < b.count; i++) {
        if (b.views[i].len != 32) {
            PyErr_SetString(PyExc_ValueError, "SM2 signs a digest of 32 bytes");
            goto done;
        }
        memcpy(es[i], b.views[i].buf, 32);
    }
    Py_BEGIN_ALLOW_THREADS
    failed = sm2_sign_batch(signatures, &((sm2_private_object *)key)->key, es, (size_t)b.count);
    Py_END_ALLOW_THREADS
    if (failed) {
        PyErr_SetFromErrno(PyExc_OSError);
        goto done;
    }
    result = PyList_New(b.count);
    for (Py_ssize_t i = 0; result && i < b.count; i++) {
        PyObject *one = PyBytes_FromStringAndSize((const char *)signatures[i], SM2_SIGNATURE_SIZE);
        if (!one || PyList_SetItem(result, i, one) < 0)
            Py_CLEAR(result);
    }
done:
    PyMem_Free(es);
    PyMem_Free(signatures);
    free_batch(&b);
    return result;
}

static PyObject *verify_batch(PyObject *module, PyObject *sequence)
{
    PyObject *result = NULL, *entries = PySequence_Tuple(sequence);
    sm2_verification *work = NULL;
    batch b = {0};
    (void)module;
    if (!entries)
        return NULL;
    if (start_batch(&b, entries, 2) < 0 || hold_with_keys(&b, entries, 2) < 0)
        goto done;
    work = PyMem_Calloc((size_t)b.count + 1, sizeof *work);
    if (!work) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < b.count; i++) {
        const Py_buffer *signature = &b.views[2 * i], *digest = &b.views[2 * i + 1];
        if (digest->len != 32) {
            PyErr_SetString(PyExc_ValueError, "SM2 signs a digest of 32 bytes");
            goto done;
        }
        work[i].key = b.keys[i];
        work[i].signature = signature->len == SM2_SIGNATURE_SIZE ? signature->buf : NULL;
        work[i].e = digest->buf;
    }
    Py_BEGIN_ALLOW_THREADS
    sm2_verify_batch(work, (size_t)b.count);
    Py_END_ALLOW_THREADS
    result = PyList_New(b.count);
    for (Py_ssize_t i = 0; result && i < b.count; i++)
        if (PyList_SetItem(result, i, PyBool_FromLong(work[i].valid)) < 0)
            Py_CLEAR(result);
done:
    PyMem_Free(work);
    free_batch(&b);
    Py_DECREF(entries);
    return result;
}

static PyObject *encrypt_batch(PyObject *module, PyObject *sequence)
{
    PyObject *result = NULL, *entries = PySequence_Tuple(sequence);
    sm2_encryption *work = NULL;
    batch b = {0};
    int failed = 0;
    (void)module;
    if (!entries)
        return NULL;
    if (start_batch(&b, entries, 1) < 0 || hold_with_keys(&b, entries, 1) < 0)
        goto done;
    work = PyMem_Calloc((size_t)b.count + 1, sizeof *work);
    if (!work)
        PyErr_NoMemory();
    else
        result = PyList_New(b.count);
    for (Py_ssize_t i = 0; result && i < b.count; i++) {
        PyObject *out = sm2_py_encrypts(b.views[i].len)
                            ? PyBytes_FromStringAndSize(NULL, SM2_OVERHEAD + b.views[i].len)
                            : NULL;
        if (!out || PyList_SetItem(result, i, out) < 0) {
            Py_CLEAR(result);
            break;
        }
        work[i] = (sm2_encryption){b.keys[i], b.views[i].buf, (size_t)b.views[i].len,
                                   (uint8_t *)PyBytes_AsString(out)};
    }
    if (result) {
        Py_BEGIN_ALLOW_THREADS
        failed = sm2_encrypt_batch(work, (size_t)b.count);
        Py_END_ALLOW_THREADS
    }
    if (failed) {
        Py_CLEAR(result);
        PyErr_SetFromErrno(PyExc_OSError);
    }
done:
    PyMem_Free(work);
    free_batch(&b);
    Py_DECREF(entries);
    return result;
}

static PyObject *decrypt_batch(PyObject *module, PyObject *args)
{
    PyObject *key, *ciphertexts, *result = NULL;
    sm2_decryption *work = NULL;
    batch b = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O:sm2_decrypt_batch", sm2_private_type, &key, &ciphertexts))
        return NULL;
    if (start_batch(&b, ciphertexts, 1) < 0 || hold_all(&b, ciphertexts) < 0)
        goto done;
    work = PyMem_Calloc((size_t)b.count + 1, sizeof *work);
    if (!work)
        PyErr_NoMemory();
    else
        result = PyList_New(b.count);
    for (Py_ssize_t i = 0; result && i < b.count; i++) {
        const Py_ssize_t whole = b.views[i].len;
        const Py_ssize_t size = sm2_py_is_ciphertext(whole) ? whole - SM2_OVERHEAD : 0;
        PyObject *out = PyBytes_FromStringAndSize(NULL, size);
        if (!out || PyList_SetItem(result, i, out) < 0) {
            Py_CLEAR(result);
            break;
        }
        work[i].ciphertext = b.views[i].buf;
        work[i].size = (size_t)size; /* 0: too short to be one */
        work[i].out = (uint8_t *)PyBytes_AsString(out);
    }
    if (result) {
        Py_BEGIN_ALLOW_THREADS
        sm2_decrypt_batch(work, &((sm2_private_object *)key)->key, (size_t)b.count);
        Py_END_ALLOW_THREADS
    }
    for (Py_ssize_t i = 0; result && i < b.count; i++) {
        if (work[i].valid)
            continue;
        Py_INCREF(Py_None);
        if (PyList_SetItem(result, i, Py_None) < 0)
            Py_CLEAR(result);
    }
done:
    PyMem_Free(work);
    free_batch(&b);
    return result;
}

static PyMethodDef functions[] = {
    {"sm2_sign_batch", sign_batch, METH_VARARGS,
     "sm2_sign_batch(key, digests, /)\n--\n\nsign_digest for each 32-byte digest, in order."},
    {"sm2_verify_batch", verify_batch, METH_O,
     "sm2_verify_batch(entries, /)\n--\n\nFor each (public key, signature, 32-byte digest) whether "
     "it verifies: a list of bool in order."},
    {"sm2_encrypt_batch", encrypt_batch, METH_O,
     "sm2_encrypt_batch(entries, /)\n--\n\nFor each (public key, plaintext) the ciphertext."},
    {"sm2_decrypt_batch", decrypt_batch, METH_VARARGS,
     "sm2_decrypt_batch(key, ciphertexts, /)\n--\n\nFor each ciphertext the plaintext, or None "
     "where decrypt would raise."},
    {NULL, NULL, 0, NULL},
};

int sm2_py_add_batches(PyObject *module) { return PyModule_AddFunctions(module, functions); }
