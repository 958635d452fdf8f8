/* The Python type Sm4Gcm: an opaque key and four calls over the buffer protocol. */
#include "module.h"

#include "core.h"

enum { NONCE = 12, TAG = 16, KEY = 16 };

struct handle {
    PyObject_HEAD
    const struct sm4_path *path;
    void *context; /* path->context_size bytes, aligned for the widest vector */
};

/* The three buffers a call reads, and what it makes of them. */
struct request {
    Py_buffer nonce, data, aad;
    uint8_t iv[NONCE];
};

static void release(struct request *r)
{
    PyBuffer_Release(&r->aad);
    PyBuffer_Release(&r->data);
    PyBuffer_Release(&r->nonce);
}

/* Reads (nonce, data, aad); 0, or -1 with an exception set and nothing held. */
static int acquire(struct request *r, PyObject *const *args, Py_ssize_t given, Py_ssize_t expected)
{
    memset(r, 0, sizeof *r);
    if (given != expected) {
        PyErr_Format(PyExc_TypeError, "%zd arguments expected, %zd given", expected, given);
        return -1;
    }
    if (PyObject_GetBuffer(args[0], &r->nonce, PyBUF_SIMPLE) < 0 ||
        PyObject_GetBuffer(args[1], &r->data, PyBUF_SIMPLE) < 0 ||
        PyObject_GetBuffer(args[2], &r->aad, PyBUF_SIMPLE) < 0) {
        release(r);
        return -1;
    }
    if (r->nonce.len != NONCE) {
        PyErr_SetString(PyExc_ValueError, "the nonce has 12 bytes");
    } else if ((uint64_t)r->data.len > SM4_GCM_MAX_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a message has at most 2^36 - 32 bytes");
    } else {
        memcpy(r->iv, r->nonce.buf, NONCE);
        return 0;
    }
    release(r);
    return -1;
}

/* Takes the caller's output buffer: large enough, and equal to the input or apart from it. */
static int acquire_out(Py_buffer *out, PyObject *object, const Py_buffer *in, Py_ssize_t size)
{
    if (PyObject_GetBuffer(object, out, PyBUF_WRITABLE) < 0)
        return -1;
    uintptr_t from = (uintptr_t)in->buf, to = (uintptr_t)out->buf;
    if (out->len < size)
        PyErr_Format(PyExc_ValueError, "the output buffer needs %zd bytes", size);
    else if (from != to && from < to + (size_t)size && to < from + (size_t)in->len)
        PyErr_SetString(PyExc_ValueError, "input and output overlap without being the same");
    else
        return 0;
    PyBuffer_Release(out);
    return -1;
}

static void run_seal(const struct handle *self, const struct request *r, uint8_t *out)
{
    const struct sm4_message message = {
        .nonce = r->iv,       .aad = r->aad.buf, .aad_size = (size_t)r->aad.len,
        .in = r->data.buf,    .out = out,        .size = (size_t)r->data.len,
        .tag = out + r->data.len,
    };
    if (r->data.len + r->aad.len < MIFENG_GIL_BYTES) {
        self->path->seal(self->context, &message);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    self->path->seal(self->context, &message);
    Py_END_ALLOW_THREADS
}

/* 0, or -1 with nothing of the plaintext left in out and no exception set. */
static int run_open(const struct handle *self, const struct request *r, uint8_t *out)
{
    uint8_t expected[TAG], received[TAG];
    int forged;
    if (r->data.len < TAG)
        return -1;
    const struct sm4_message message = {
        .nonce = r->iv,       .aad = r->aad.buf, .aad_size = (size_t)r->aad.len,
        .in = r->data.buf,    .out = out,        .size = (size_t)r->data.len - TAG,
        .tag = expected,
    };
    memcpy(received, message.in + message.size, TAG);
    if (r->data.len + r->aad.len < MIFENG_GIL_BYTES) {
        self->path->open(self->context, &message);
    } else {
        Py_BEGIN_ALLOW_THREADS
        self->path->open(self->context, &message);
        Py_END_ALLOW_THREADS
    }
    forged = differ16(expected, received);
    wipe(expected, sizeof expected);
    if (forged)
        wipe(out, message.size);
    return -forged;
}

static PyObject *seal(struct handle *self, PyObject *const *args, Py_ssize_t given)
{
    struct request r;
    if (acquire(&r, args, given, 3) < 0)
        return NULL;
    PyObject *result = PyBytes_FromStringAndSize(NULL, r.data.len + TAG);
    if (result)
        run_seal(self, &r, (uint8_t *)PyBytes_AsString(result));
    release(&r);
    return result;
}

static PyObject *open(struct handle *self, PyObject *const *args, Py_ssize_t given)
{
    struct request r;
    if (acquire(&r, args, given, 3) < 0)
        return NULL;
    PyObject *result = PyBytes_FromStringAndSize(NULL, r.data.len < TAG ? 0 : r.data.len - TAG);
    if (result && run_open(self, &r, (uint8_t *)PyBytes_AsString(result)) < 0) {
        PyErr_SetNone(mifeng_error(MIFENG_DECRYPTION_ERROR));
        Py_CLEAR(result);
    }
    release(&r);
    return result;
}

static PyObject *seal_into(struct handle *self, PyObject *const *args, Py_ssize_t given)
{
    struct request r;
    Py_buffer out;
    Py_ssize_t size = -1;
    if (acquire(&r, args, given, 4) < 0)
        return NULL;
    if (acquire_out(&out, args[3], &r.data, r.data.len + TAG) == 0) {
        run_seal(self, &r, out.buf);
        size = r.data.len + TAG;
        PyBuffer_Release(&out);
    }
    release(&r);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *open_into(struct handle *self, PyObject *const *args, Py_ssize_t given)
{
    struct request r;
    Py_buffer out;
    Py_ssize_t size = -1;
    if (acquire(&r, args, given, 4) < 0)
        return NULL;
    if (acquire_out(&out, args[3], &r.data, r.data.len < TAG ? 0 : r.data.len - TAG) == 0) {
        if (run_open(self, &r, out.buf) < 0)
            PyErr_SetNone(mifeng_error(MIFENG_DECRYPTION_ERROR));
        else
            size = r.data.len - TAG;
        PyBuffer_Release(&out);
    }
    release(&r);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *refuse_copy(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyErr_SetString(PyExc_TypeError, "a key handle is neither pickled nor copied");
    return NULL;
}

static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"key", NULL};
    Py_buffer key;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*:Sm4Gcm", names, &key))
        return NULL;
    struct handle *self = NULL;
    if (key.len != KEY) {
        PyErr_SetString(mifeng_error(MIFENG_KEY_ERROR), "an SM4 key has 16 bytes");
    } else {
        allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
        self = (struct handle *)allocate(type, 0);
    }
    if (self) {
        self->path = mifeng_sm4_path();
        if (posix_memalign(&self->context, SM4_CONTEXT_ALIGNMENT, self->path->context_size)) {
            self->context = NULL;
            Py_DECREF((PyObject *)self);
            self = NULL;
            PyErr_NoMemory();
        } else {
            self->path->init(self->context, key.buf);
        }
    }
    PyBuffer_Release(&key);
    return (PyObject *)self;
}

static void destroy(struct handle *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->context) {
        wipe(self->context, self->path->context_size);
        free(self->context);
    }
    freefunc deallocate = (freefunc)PyType_GetSlot(type, Py_tp_free);
    deallocate(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(type_doc,
             "Sm4Gcm(key)\n--\n\n"
             "SM4-GCM under one 16-byte key, which is expanded once, never shown, and erased with\n"
             "the object. Nonces have 12 bytes and must never repeat under a key; tags have 16.");
PyDoc_STRVAR(seal_doc, "seal($self, nonce, data, aad, /)\n--\n\nThe ciphertext and its tag.");
PyDoc_STRVAR(open_doc,
             "open($self, nonce, data, aad, /)\n--\n\n"
             "The plaintext of ciphertext and tag, or DecryptionError.");
PyDoc_STRVAR(seal_into_doc,
             "seal_into($self, nonce, data, aad, out, /)\n--\n\n"
             "Writes ciphertext and tag to the start of out, which may be the input itself (begin\n"
             "at the same address); the bytes written.");
PyDoc_STRVAR(open_into_doc,
             "open_into($self, nonce, data, aad, out, /)\n--\n\n"
             "Writes the plaintext to the start of out, which may be the input itself; the bytes\n"
             "written. After DecryptionError that part of out is zero.");

#define METHOD(name, flags) {#name, (PyCFunction)(void (*)(void))name, flags, name##_doc}

static PyMethodDef methods[] = {
    METHOD(seal, METH_FASTCALL),
    METHOD(open, METH_FASTCALL),
    METHOD(seal_into, METH_FASTCALL),
    METHOD(open_into, METH_FASTCALL),
    {"__reduce_ex__", refuse_copy, METH_O, NULL},
    {"__reduce__", refuse_copy, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)type_doc},
    {Py_tp_new, create},
    {Py_tp_dealloc, destroy},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "mifeng.crypto._native._core.Sm4Gcm",
    .basicsize = sizeof(struct handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int mifeng_add_sm4(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int failed = type ? PyModule_AddObjectRef(module, "Sm4Gcm", type) : -1;
    Py_XDECREF(type);
    return failed;
}
