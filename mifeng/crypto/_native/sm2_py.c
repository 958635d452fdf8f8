/* The Python face of SM2: Sm2PrivateKey and Sm2PublicKey.
 *
 * A private key is inside its object and nowhere else: it is not copied into `bytes` (except by
 * to_scalar, for key files), not printed, not pickled, and erased when the object goes. */
#include "sm2_py.h"

#include "sm2_batch.h"

PyTypeObject *sm2_private_type, *sm2_public_type;

static void *allocate(PyTypeObject *type)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return alloc(type, 0);
}

static void deallocate(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* A view of exactly `size` bytes; -1 with `error` set otherwise. */
static int exactly(Py_buffer *view, PyObject *object, Py_ssize_t size, PyObject *error,
                   const char *what)
{
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
        return -1;
    if (view->len == size)
        return 0;
    PyBuffer_Release(view);
    PyErr_SetString(error, what);
    return -1;
}

static int digest_of(uint8_t e[32], PyObject *object)
{
    Py_buffer view;
    if (exactly(&view, object, 32, PyExc_ValueError, "SM2 signs a digest of 32 bytes") < 0)
        return -1;
    memcpy(e, view.buf, 32);
    PyBuffer_Release(&view);
    return 0;
}

/* e = SM3(ZA || data), the default identity's ZA taken from the key. Data may be long. */
static int message_digest(uint8_t e[32], const sm2_public *key, const Py_buffer *data,
                          const Py_buffer *uid)
{
    uint8_t za[32];
    memcpy(za, key->za, sizeof za);
    if (uid->obj && uid->len > SM2_MAX_UID) {
        PyErr_SetString(PyExc_ValueError, "an SM2 user identifier has at most 8191 bytes");
        return -1;
    }
    if (uid->obj)
        sm2_za(za, key, uid->buf, (size_t)uid->len);
    Py_BEGIN_ALLOW_THREADS
    sm2_digest(e, za, data->buf, (size_t)data->len);
    Py_END_ALLOW_THREADS
    return 0;
}

static void release_both(Py_buffer *data, Py_buffer *uid)
{
    PyBuffer_Release(data);
    if (uid->obj)
        PyBuffer_Release(uid);
}

static PyObject *refuse_copy(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyErr_SetString(PyExc_TypeError, "Sm2PrivateKey holds a secret and is not serialised");
    return NULL;
}

/* ---- Sm2PublicKey ---- */

static PyObject *new_public(const sm2_public *key)
{
    sm2_public_object *self = allocate(sm2_public_type);
    if (self)
        self->key = *key;
    return (PyObject *)self;
}

static PyObject *public_from_bytes(PyObject *type, PyObject *object)
{
    sm2_public key;
    Py_buffer raw;
    (void)type;
    if (exactly(&raw, object, SM2_PUBLIC_SIZE, mifeng_error(MIFENG_KEY_ERROR),
                "an SM2 public key is 65 bytes, 04 and two coordinates") < 0)
        return NULL;
    const int failed = sm2_public_from_bytes(&key, raw.buf);
    PyBuffer_Release(&raw);
    if (failed) {
        PyErr_SetString(mifeng_error(MIFENG_KEY_ERROR), "not a point of the SM2 curve");
        return NULL;
    }
    return new_public(&key);
}

static PyObject *public_to_bytes(sm2_public_object *self, PyObject *unused)
{
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)self->key.bytes, SM2_PUBLIC_SIZE);
}

static PyObject *public_za(sm2_public_object *self, PyObject *object)
{
    uint8_t za[32];
    Py_buffer uid;
    if (PyObject_GetBuffer(object, &uid, PyBUF_SIMPLE) < 0)
        return NULL;
    const Py_ssize_t size = uid.len;
    if (size <= SM2_MAX_UID)
        sm2_za(za, &self->key, uid.buf, (size_t)size);
    PyBuffer_Release(&uid);
    if (size > SM2_MAX_UID)
        return PyErr_Format(PyExc_ValueError, "an SM2 user identifier has at most 8191 bytes");
    return PyBytes_FromStringAndSize((const char *)za, sizeof za);
}

/* The signature is copied, so that no other thread changes it between two reads. */
static PyObject *verified(const sm2_public_object *self, const uint8_t e[32],
                          const Py_buffer *signature)
{
    uint8_t rs[SM2_SIGNATURE_SIZE];
    int failed = -1;
    if (signature->len == SM2_SIGNATURE_SIZE) {
        memcpy(rs, signature->buf, sizeof rs);
        Py_BEGIN_ALLOW_THREADS
        failed = sm2_verify(&self->key, e, rs);
        Py_END_ALLOW_THREADS
    }
    if (failed) {
        PyErr_SetNone(mifeng_error(MIFENG_SIGNATURE_ERROR));
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *public_verify(sm2_public_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"signature", "data", "uid", NULL};
    Py_buffer signature, data, uid = {0};
    PyObject *result = NULL;
    uint8_t e[32];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*y*|$y*:verify", names, &signature, &data,
                                     &uid))
        return NULL;
    if (message_digest(e, &self->key, &data, &uid) == 0)
        result = verified(self, e, &signature);
    PyBuffer_Release(&signature);
    release_both(&data, &uid);
    return result;
}

static PyObject *public_verify_digest(sm2_public_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"signature", "digest", NULL};
    Py_buffer signature;
    PyObject *given[2], *result;
    uint8_t e[32];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:verify_digest", names, &given[0], &given[1]))
        return NULL;
    if (digest_of(e, given[1]) < 0 || PyObject_GetBuffer(given[0], &signature, PyBUF_SIMPLE) < 0)
        return NULL;
    result = verified(self, e, &signature);
    PyBuffer_Release(&signature);
    return result;
}

int sm2_py_encrypts(Py_ssize_t size)
{
    if (size < 1)
        PyErr_SetString(PyExc_ValueError, "SM2 encrypts at least one byte");
    else if ((uint64_t)size > SM2_MAX_MESSAGE)
        PyErr_SetString(PyExc_ValueError, "SM2 encrypts less than 2^37 bytes");
    else
        return 1;
    return 0;
}

static PyObject *public_encrypt(sm2_public_object *self, PyObject *object)
{
    Py_buffer message;
    PyObject *result = NULL;
    if (PyObject_GetBuffer(object, &message, PyBUF_SIMPLE) < 0)
        return NULL;
    if (sm2_py_encrypts(message.len))
        result = PyBytes_FromStringAndSize(NULL, SM2_OVERHEAD + message.len);
    if (result) {
        uint8_t *out = (uint8_t *)PyBytes_AsString(result);
        int failed;
        Py_BEGIN_ALLOW_THREADS
        failed = sm2_encrypt(out, &self->key, message.buf, (size_t)message.len);
        Py_END_ALLOW_THREADS
        if (failed) {
            Py_CLEAR(result);
            PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    PyBuffer_Release(&message);
    return result;
}

static PyObject *public_compare(PyObject *self, PyObject *other, int operation)
{
    if (Py_TYPE(other) != sm2_public_type || (operation != Py_EQ && operation != Py_NE))
        Py_RETURN_NOTIMPLEMENTED;
    const sm2_public *a = &((sm2_public_object *)self)->key;
    const sm2_public *b = &((sm2_public_object *)other)->key;
    const int same = memcmp(a->bytes, b->bytes, SM2_PUBLIC_SIZE) == 0;
    return PyBool_FromLong(same == (operation == Py_EQ));
}

static Py_hash_t public_hash(sm2_public_object *self)
{
    PyObject *bytes = public_to_bytes(self, NULL);
    if (!bytes)
        return -1;
    const Py_hash_t hash = PyObject_Hash(bytes);
    Py_DECREF(bytes);
    return hash;
}

static PyObject *public_repr(sm2_public_object *self)
{
    char hex[2 * SM2_PUBLIC_SIZE + 1];
    for (int i = 0; i < SM2_PUBLIC_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", self->key.bytes[i]);
    return PyUnicode_FromFormat("Sm2PublicKey(%s)", hex);
}

#define METHOD(function) ((PyCFunction)(void (*)(void))function)

static PyMethodDef public_methods[] = {
    {"from_bytes", METHOD(public_from_bytes), METH_O | METH_CLASS,
     "from_bytes($type, raw, /)\n--\n\nThe key of 04 || X || Y, 65 bytes, untrusted.\n\n"
     "KeyFormatError: another form, a coordinate not below p, or not on the curve."},
    {"to_bytes", METHOD(public_to_bytes), METH_NOARGS,
     "to_bytes($self)\n--\n\n04 || X || Y, 65 bytes."},
    {"za", METHOD(public_za), METH_O,
     "za($self, uid, /)\n--\n\nZA of GB/T 32918.2, 5.5: this key under the identifier, 32 bytes."},
    {"verify", METHOD(public_verify), METH_VARARGS | METH_KEYWORDS,
     "verify($self, signature, data, *, uid=b'1234567812345678')\n--\n\n"
     "Return if signature = r || s is this key's over data. Else SignatureError."},
    {"verify_digest", METHOD(public_verify_digest), METH_VARARGS | METH_KEYWORDS,
     "verify_digest($self, signature, digest)\n--\n\n"
     "Return if signature = r || s is this key's over e = digest, 32 bytes. Else SignatureError."},
    {"encrypt", METHOD(public_encrypt), METH_O,
     "encrypt($self, plaintext, /)\n--\n\n"
     "C1 || C3 || C2 (GB/T 32918.4), 97 bytes more than the plaintext, which is not empty."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot public_slots[] = {
    {Py_tp_doc, "A point of the SM2 curve that verifies signatures and encrypts; equal by value."},
    {Py_tp_dealloc, deallocate},
    {Py_tp_repr, public_repr},
    {Py_tp_richcompare, public_compare},
    {Py_tp_hash, public_hash},
    {Py_tp_methods, public_methods},
    {0, NULL},
};

static PyType_Spec public_spec = {
    .name = "mifeng.crypto._native._core.Sm2PublicKey",
    .basicsize = sizeof(sm2_public_object),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = public_slots,
};

/* ---- Sm2PrivateKey ---- */

static void private_deallocate(sm2_private_object *self)
{
    wipe(&self->key, sizeof self->key);
    deallocate((PyObject *)self);
}

static PyObject *private_generate(PyObject *type, PyObject *unused)
{
    sm2_private_object *self = allocate(sm2_private_type);
    (void)type;
    (void)unused;
    if (self && sm2_private_generate(&self->key)) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static PyObject *private_from_scalar(PyObject *type, PyObject *object)
{
    static const char what[] = "an SM2 private key is 32 bytes, from 1 to n-2";
    Py_buffer scalar;
    (void)type;
    if (exactly(&scalar, object, 32, mifeng_error(MIFENG_KEY_ERROR), what) < 0)
        return NULL;
    sm2_private_object *self = allocate(sm2_private_type);
    if (self && sm2_private_from_bytes(&self->key, scalar.buf)) {
        PyErr_SetString(mifeng_error(MIFENG_KEY_ERROR), what);
        Py_CLEAR(self);
    }
    PyBuffer_Release(&scalar);
    return (PyObject *)self;
}

static PyObject *private_to_scalar(sm2_private_object *self, PyObject *unused)
{
    PyObject *result = PyBytes_FromStringAndSize(NULL, 32);
    (void)unused;
    if (result)
        sm2_scalar_to_bytes((uint8_t *)PyBytes_AsString(result), &self->key.d);
    return result;
}

static PyObject *private_public_key(sm2_private_object *self, PyObject *unused)
{
    (void)unused;
    return new_public(&self->key.pub);
}

static PyObject *signature_over(const sm2_private_object *self, const uint8_t e[32])
{
    uint8_t signature[SM2_SIGNATURE_SIZE], fresh[32];
    if (sm2_random(fresh, sizeof fresh))
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_BEGIN_ALLOW_THREADS
    sm2_sign(signature, &self->key, e, fresh);
    Py_END_ALLOW_THREADS
    wipe(fresh, sizeof fresh);
    return PyBytes_FromStringAndSize((const char *)signature, sizeof signature);
}

static PyObject *private_sign(sm2_private_object *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "uid", NULL};
    Py_buffer data, uid = {0};
    uint8_t e[32];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*|$y*:sign", names, &data, &uid))
        return NULL;
    const int failed = message_digest(e, &self->key.pub, &data, &uid);
    release_both(&data, &uid);
    return failed ? NULL : signature_over(self, e);
}

static PyObject *private_sign_digest(sm2_private_object *self, PyObject *object)
{
    uint8_t e[32];
    return digest_of(e, object) < 0 ? NULL : signature_over(self, e);
}

int sm2_py_is_ciphertext(Py_ssize_t size)
{
    return size > SM2_OVERHEAD && (uint64_t)(size - SM2_OVERHEAD) <= SM2_MAX_MESSAGE;
}

static PyObject *private_decrypt(sm2_private_object *self, PyObject *object)
{
    Py_buffer raw;
    PyObject *result = NULL;
    if (PyObject_GetBuffer(object, &raw, PyBUF_SIMPLE) < 0)
        return NULL;
    if (!sm2_py_is_ciphertext(raw.len))
        PyErr_SetNone(mifeng_error(MIFENG_DECRYPTION_ERROR));
    else
        result = PyBytes_FromStringAndSize(NULL, raw.len - SM2_OVERHEAD);
    if (result) {
        uint8_t *out = (uint8_t *)PyBytes_AsString(result);
        int failed;
        Py_BEGIN_ALLOW_THREADS
        failed = sm2_decrypt(out, &self->key, raw.buf, (size_t)raw.len - SM2_OVERHEAD);
        Py_END_ALLOW_THREADS
        if (failed) {
            Py_CLEAR(result);
            PyErr_SetNone(mifeng_error(MIFENG_DECRYPTION_ERROR));
        }
    }
    PyBuffer_Release(&raw);
    return result;
}

static PyObject *private_ecdh(sm2_private_object *self, PyObject *peer)
{
    if (Py_TYPE(peer) != sm2_public_type)
        return PyErr_Format(PyExc_TypeError, "ecdh takes an Sm2PublicKey");
    PyObject *result = PyBytes_FromStringAndSize(NULL, 32);
    if (!result)
        return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AsString(result);
    Py_BEGIN_ALLOW_THREADS
    sm2_ecdh(out, &self->key, &((sm2_public_object *)peer)->key);
    Py_END_ALLOW_THREADS
    return result;
}

static PyObject *private_repr(PyObject *self)
{
    (void)self;
    return PyUnicode_FromString("<Sm2PrivateKey: secret>");
}

static PyMethodDef private_methods[] = {
    {"generate", METHOD(private_generate), METH_NOARGS | METH_CLASS,
     "generate($type)\n--\n\nA new key from the system's random source."},
    {"from_scalar", METHOD(private_from_scalar), METH_O | METH_CLASS,
     "from_scalar($type, scalar, /)\n--\n\nThe key with this 32-byte big-endian d.\n\n"
     "KeyFormatError: not 32 bytes, or d outside [1, n-2]."},
    {"to_scalar", METHOD(private_to_scalar), METH_NOARGS,
     "to_scalar($self)\n--\n\nd as 32 bytes, to be written to an encrypted key file at once."},
    {"public_key", METHOD(private_public_key), METH_NOARGS,
     "public_key($self)\n--\n\nThe point d*G."},
    {"sign", METHOD(private_sign), METH_VARARGS | METH_KEYWORDS,
     "sign($self, data, *, uid=b'1234567812345678')\n--\n\nr || s, 64 bytes, over data."},
    {"sign_digest", METHOD(private_sign_digest), METH_O,
     "sign_digest($self, digest, /)\n--\n\nr || s, 64 bytes, over e = digest, 32 bytes."},
    {"decrypt", METHOD(private_decrypt), METH_O,
     "decrypt($self, ciphertext, /)\n--\n\nThe plaintext of C1 || C3 || C2. DecryptionError for "
     "any other bytes, without detail."},
    {"ecdh", METHOD(private_ecdh), METH_O,
     "ecdh($self, peer, /)\n--\n\nx of d times the peer's point, 32 bytes (RFC 8998's curveSM2)."},
    {"__reduce_ex__", refuse_copy, METH_O, NULL},
    {"__reduce__", refuse_copy, METH_NOARGS, NULL},
    {"__copy__", refuse_copy, METH_NOARGS, NULL},
    {"__deepcopy__", refuse_copy, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot private_slots[] = {
    {Py_tp_doc, "A scalar d in [1, n-2] that signs and decrypts; erased when the object goes."},
    {Py_tp_dealloc, private_deallocate},
    {Py_tp_repr, private_repr},
    {Py_tp_methods, private_methods},
    {0, NULL},
};

static PyType_Spec private_spec = {
    .name = "mifeng.crypto._native._core.Sm2PrivateKey",
    .basicsize = sizeof(sm2_private_object),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = private_slots,
};

/* ---- the module's part ---- */

static PyObject *path(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromFormat("%s%s", sm2_curve->name, sm2_lanes_active() ? "+ifma" : "");
}

static PyMethodDef functions[] = {
    {"sm2_path", path, METH_NOARGS,
     "sm2_path()\n--\n\nThe code path in use: portable or adx, with +ifma where batches use it."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, const char *name)
{
    PyObject *type = PyType_FromSpec(spec);
    if (type && PyModule_AddObjectRef(module, name, type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type; /* and a reference of ours, for the life of the process */
}

/* MIFENG_NATIVE_SM2 names the path; else MIFENG_NATIVE, which names one of SM4, holds in spirit. */
static const char *wanted_path(void)
{
    const char *wanted = getenv("MIFENG_NATIVE_SM2"), *common = getenv("MIFENG_NATIVE");
    if (wanted && *wanted)
        return wanted;
    if (!common || !*common || strncmp(common, "avx512", 6) == 0)
        return "auto";
    return strcmp(common, "portable") == 0 ? "portable" : "single";
}

int mifeng_add_sm2(PyObject *module)
{
    const char *wanted = wanted_path();
    if (sm2_batch_choose(wanted)) {
        PyErr_Format(PyExc_ImportError, "MIFENG_NATIVE_SM2: no path %s on this processor", wanted);
        return -1;
    }
    sm2_public_type = add_type(module, &public_spec, "Sm2PublicKey");
    sm2_private_type = add_type(module, &private_spec, "Sm2PrivateKey");
    if (!sm2_public_type || !sm2_private_type)
        return -1;
    return PyModule_AddFunctions(module, functions) < 0 ? -1 : sm2_py_add_batches(module);
}
