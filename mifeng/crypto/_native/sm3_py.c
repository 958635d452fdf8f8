/* The Python face of SM3: sm3, Sm3, sm3_many, hmac_sm3 and HKDF-SM3. */
#include "module.h"

#include "core.h"
#include "sm3_kdf.h"

struct hash {
    PyObject_HEAD
    struct sm3_state state;
};

static void absorb(struct sm3_state *state, const Py_buffer *data)
{
    if (data->len < MIFENG_GIL_BYTES) {
        sm3_update(state, data->buf, (size_t)data->len);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    sm3_update(state, data->buf, (size_t)data->len);
    Py_END_ALLOW_THREADS
}

static PyObject *digest_of(struct sm3_state *state)
{
    uint8_t digest[SM3_DIGEST_SIZE];
    sm3_final(state, digest);
    return PyBytes_FromStringAndSize((const char *)digest, sizeof digest);
}

static PyObject *sm3(PyObject *module, PyObject *object)
{
    struct sm3_state state;
    Py_buffer data;
    (void)module;
    if (PyObject_GetBuffer(object, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    sm3_init(&state);
    absorb(&state, &data);
    PyBuffer_Release(&data);
    return digest_of(&state);
}

static PyObject *hmac(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    struct hmac_sm3 mac;
    uint8_t tag[SM3_DIGEST_SIZE];
    Py_buffer key, data;
    (void)module;
    if (given != 2) {
        PyErr_SetString(PyExc_TypeError, "hmac_sm3 takes a key and data");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &key, PyBUF_SIMPLE) < 0)
        return NULL;
    if (PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0) {
        PyBuffer_Release(&key);
        return NULL;
    }
    hmac_sm3_init(&mac, key.buf, (size_t)key.len);
    absorb(&mac.inner, &data);
    hmac_sm3_final(&mac, tag);
    PyBuffer_Release(&data);
    PyBuffer_Release(&key);
    return PyBytes_FromStringAndSize((const char *)tag, sizeof tag);
}

static PyObject *extract(PyObject *module, PyObject *args)
{
    uint8_t prk[SM3_DIGEST_SIZE];
    Py_buffer salt, ikm;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*:hkdf_extract_sm3", &salt, &ikm))
        return NULL;
    hkdf_sm3_extract(salt.buf, (size_t)salt.len, ikm.buf, (size_t)ikm.len, prk);
    PyBuffer_Release(&salt);
    PyBuffer_Release(&ikm);
    PyObject *result = PyBytes_FromStringAndSize((const char *)prk, sizeof prk);
    wipe(prk, sizeof prk);
    return result;
}

static PyObject *expanded(const void *prk, size_t prk_size, const Py_buffer *info, Py_ssize_t length)
{
    if (length < 0 || length > HKDF_SM3_MAX) {
        PyErr_SetString(PyExc_ValueError, "HKDF-SM3 gives 0 to 8160 bytes");
        return NULL;
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, length);
    if (result)
        hkdf_sm3_expand(prk, prk_size, info->buf, (size_t)info->len,
                        (uint8_t *)PyBytes_AsString(result), (size_t)length);
    return result;
}

static PyObject *expand(PyObject *module, PyObject *args)
{
    Py_buffer prk, info;
    Py_ssize_t length;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*n:hkdf_expand_sm3", &prk, &info, &length))
        return NULL;
    PyObject *result = expanded(prk.buf, (size_t)prk.len, &info, length);
    PyBuffer_Release(&prk);
    PyBuffer_Release(&info);
    return result;
}

static PyObject *hkdf(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "salt", "info", "length", NULL};
    uint8_t prk[SM3_DIGEST_SIZE];
    Py_buffer ikm, salt, info;
    Py_ssize_t length;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*$y*y*n:hkdf_sm3", names, &ikm, &salt, &info,
                                     &length))
        return NULL;
    hkdf_sm3_extract(salt.buf, (size_t)salt.len, ikm.buf, (size_t)ikm.len, prk);
    PyObject *result = expanded(prk, sizeof prk, &info, length);
    wipe(prk, sizeof prk);
    PyBuffer_Release(&ikm);
    PyBuffer_Release(&salt);
    PyBuffer_Release(&info);
    return result;
}

/* What sm3_many works on; all arrays have `count` entries. */
struct leaves {
    Py_ssize_t count, held;
    Py_buffer *views;
    const uint8_t **messages;
    size_t *sizes;
    uint8_t (*digests)[SM3_DIGEST_SIZE];
};

static void free_leaves(struct leaves *l)
{
    while (l->held)
        PyBuffer_Release(&l->views[--l->held]);
    PyMem_Free(l->views);
    PyMem_Free(l->messages);
    PyMem_Free(l->sizes);
    PyMem_Free(l->digests);
}

/* Digests every view; the total size is returned in *total. */
static int take_leaves(struct leaves *l, PyObject *sequence, size_t *total)
{
    size_t n = (size_t)l->count + 1; /* no allocation of nothing */
    l->views = PyMem_Calloc(n, sizeof *l->views);
    l->messages = PyMem_Calloc(n, sizeof *l->messages);
    l->sizes = PyMem_Calloc(n, sizeof *l->sizes);
    l->digests = PyMem_Calloc(n, sizeof *l->digests);
    if (!l->views || !l->messages || !l->sizes || !l->digests) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < l->count; i++) {
        PyObject *leaf = PySequence_GetItem(sequence, i);
        if (!leaf)
            return -1;
        int failed = PyObject_GetBuffer(leaf, &l->views[i], PyBUF_SIMPLE);
        Py_DECREF(leaf); /* the view keeps it */
        if (failed)
            return -1;
        l->held++;
        l->messages[i] = l->views[i].buf;
        l->sizes[i] = (size_t)l->views[i].len;
        *total += l->sizes[i];
    }
    return 0;
}

static PyObject *list_of_digests(const struct leaves *l)
{
    PyObject *list = PyList_New(l->count);
    for (Py_ssize_t i = 0; list && i < l->count; i++) {
        PyObject *digest = PyBytes_FromStringAndSize((const char *)l->digests[i], SM3_DIGEST_SIZE);
        if (!digest || PyList_SetItem(list, i, digest) < 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *many(PyObject *module, PyObject *sequence)
{
    struct leaves l = {0};
    PyObject *result = NULL;
    size_t total = 0;
    int failed = 0;
    (void)module;
    l.count = PySequence_Size(sequence);
    if (l.count < 0)
        return NULL;
    if (take_leaves(&l, sequence, &total) == 0) {
        if (total < MIFENG_GIL_BYTES) {
            failed = sm3_many(l.messages, l.sizes, (size_t)l.count, l.digests);
        } else {
            Py_BEGIN_ALLOW_THREADS
            failed = sm3_many(l.messages, l.sizes, (size_t)l.count, l.digests);
            Py_END_ALLOW_THREADS
        }
        result = failed ? PyErr_NoMemory() : list_of_digests(&l);
    }
    free_leaves(&l);
    return result;
}

/* ---- Sm3 ---- */

static struct hash *allocate(PyTypeObject *type)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return (struct hash *)alloc(type, 0);
}

static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Sm3", names))
        return NULL;
    struct hash *self = allocate(type);
    if (self)
        sm3_init(&self->state);
    return (PyObject *)self;
}

/* The state is copied out and back, so that another thread meanwhile sees a whole one. */
static PyObject *update(struct hash *self, PyObject *object)
{
    struct sm3_state state = self->state;
    Py_buffer data;
    if (PyObject_GetBuffer(object, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    absorb(&state, &data);
    PyBuffer_Release(&data);
    self->state = state;
    wipe(&state, sizeof state);
    Py_RETURN_NONE;
}

static PyObject *digest(struct hash *self, PyObject *unused)
{
    struct sm3_state state = self->state;
    (void)unused;
    return digest_of(&state);
}

static PyObject *copy(struct hash *self, PyObject *unused)
{
    (void)unused;
    struct hash *other = allocate(Py_TYPE((PyObject *)self));
    if (other)
        other->state = self->state;
    return (PyObject *)other;
}

static PyObject *refuse_pickle(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyErr_SetString(PyExc_TypeError, "a hash state is not pickled");
    return NULL;
}

static void destroy(struct hash *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    wipe(&self->state, sizeof self->state);
    freefunc deallocate = (freefunc)PyType_GetSlot(type, Py_tp_free);
    deallocate(self);
    Py_DECREF(type);
}

static PyMethodDef hash_methods[] = {
    {"update", (PyCFunction)(void (*)(void))update, METH_O,
     "update($self, data, /)\n--\n\nAppends data to the message."},
    {"digest", (PyCFunction)(void (*)(void))digest, METH_NOARGS,
     "digest($self)\n--\n\nThe 32-byte digest of the message so far; more may follow."},
    {"copy", (PyCFunction)(void (*)(void))copy, METH_NOARGS,
     "copy($self)\n--\n\nA second hash that has seen the same message."},
    {"__reduce_ex__", refuse_pickle, METH_O, NULL},
    {"__reduce__", refuse_pickle, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot hash_slots[] = {
    {Py_tp_doc, "Sm3()\n--\n\nSM3 (GB/T 32905-2016) over a message that arrives in pieces."},
    {Py_tp_new, create},
    {Py_tp_dealloc, destroy},
    {Py_tp_methods, hash_methods},
    {0, NULL},
};

static PyType_Spec hash_spec = {
    .name = "mifeng.crypto._native._core.Sm3",
    .basicsize = sizeof(struct hash),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = hash_slots,
};

static PyMethodDef functions[] = {
    {"sm3", sm3, METH_O, "sm3(data, /)\n--\n\nThe 32-byte SM3 digest."},
    {"sm3_many", many, METH_O,
     "sm3_many(leaves, /)\n--\n\nThe digest of each message; those of one size share vectors."},
    {"hmac_sm3", (PyCFunction)(void (*)(void))hmac, METH_FASTCALL,
     "hmac_sm3(key, data, /)\n--\n\nHMAC-SM3 (RFC 2104), 32 bytes."},
    {"hkdf_extract_sm3", extract, METH_VARARGS,
     "hkdf_extract_sm3(salt, ikm, /)\n--\n\nHKDF-Extract (RFC 5869, 2.2): 32 bytes."},
    {"hkdf_expand_sm3", expand, METH_VARARGS,
     "hkdf_expand_sm3(prk, info, length, /)\n--\n\nHKDF-Expand (RFC 5869, 2.3): 0..8160 bytes."},
    {"hkdf_sm3", (PyCFunction)(void (*)(void))hkdf, METH_VARARGS | METH_KEYWORDS,
     "hkdf_sm3(ikm, /, *, salt, info, length)\n--\n\nHKDF-SM3 (RFC 5869): 0..8160 bytes."},
    {NULL, NULL, 0, NULL},
};

int mifeng_add_sm3(PyObject *module)
{
    if (PyModule_AddFunctions(module, functions) < 0)
        return -1;
    PyObject *hash_type = PyType_FromSpec(&hash_spec);
    if (!hash_type)
        return -1;
    int failed = PyModule_AddObjectRef(module, "Sm3", hash_type);
    Py_DECREF(hash_type);
    return failed;
}
