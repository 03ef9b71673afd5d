#include "pkcs11/object.h"

#include <stdlib.h>
#include <string.h>

static const CK_BBOOL yes = CK_TRUE;

/* Whether what was found is what was looked for: tpm2-pkcs11 1.9 gives a new object the handle of
 * another one after an older one was destroyed, and it would be that other one that is used, or
 * destroyed. */
static bool is(struct kv_pkcs11_token *token, CK_OBJECT_HANDLE object, CK_OBJECT_CLASS class,
               const char *label)
{
    CK_OBJECT_CLASS have = CK_UNAVAILABLE_INFORMATION;
    uint8_t text[KV_TOKEN_LABEL_LEN];
    size_t len = 0;
    return kv_object_get(token, object, CKA_CLASS, &have, sizeof have, &len) && have == class &&
           (label == NULL || (kv_object_get(token, object, CKA_LABEL, text, sizeof text, &len) &&
                              kv_bytes_equal(kv_bytes(text, len), kv_bytes_str(label))));
}

enum kv_code kv_object_search(struct kv_pkcs11_token *token, CK_OBJECT_CLASS class,
                              const char *label, CK_OBJECT_HANDLE *out, size_t max, size_t *count,
                              struct kv_err *err)
{
    CK_FUNCTION_LIST *f = token->module.f;
    CK_ATTRIBUTE want[] = {kv_object_attr(CKA_CLASS, &class, sizeof class),
                           kv_object_attr(CKA_TOKEN, &yes, sizeof yes),
                           kv_object_attr(CKA_LABEL, label, label == NULL ? 0 : strlen(label))};
    CK_RV rv = f->C_FindObjectsInit(token->session, want, label == NULL ? 2 : 3);
    if (rv != CKR_OK) {
        return KV_CK_FAIL(err, rv, "C_FindObjectsInit");
    }
    size_t found = 0;
    while (found < max) {
        CK_ULONG n = 0;
        rv = f->C_FindObjects(token->session, out + found, max - found, &n);
        if (rv != CKR_OK || n == 0 || n > max - found) {
            break;
        }
        found += n;
    }
    CK_RV end = f->C_FindObjectsFinal(token->session);
    if (rv != CKR_OK || end != CKR_OK) {
        return KV_CK_FAIL(err, rv != CKR_OK ? rv : end, "C_FindObjects");
    }
    for (size_t i = 0; i < found; i++) {
        if (!is(token, out[i], class, label)) {
            return KV_REFUSE(err, KV_E_TOKEN,
                             "the module gives one handle to two objects: it must be opened anew");
        }
    }
    *count = found;
    return KV_OK;
}

bool kv_object_get(struct kv_pkcs11_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                   void *buf, size_t max, size_t *len)
{
    CK_ATTRIBUTE a = {type, buf, max};
    CK_RV rv = token->module.f->C_GetAttributeValue(token->session, object, &a, 1);
    if (rv != CKR_OK || a.ulValueLen > max) {
        return false;
    }
    *len = a.ulValueLen;
    return true;
}

bool kv_object_flag(struct kv_pkcs11_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                    bool untold)
{
    CK_BBOOL flag = CK_FALSE;
    size_t len = 0;
    if (!kv_object_get(token, object, type, &flag, sizeof flag, &len) || len != sizeof flag) {
        return untold;
    }
    return flag != CK_FALSE;
}

enum kv_code kv_object_destroy_all(struct kv_pkcs11_token *token, CK_OBJECT_CLASS class,
                                   const char *label, bool prefix, size_t *count,
                                   struct kv_err *err)
{
    KV_CLEANUP(kv_freep) CK_OBJECT_HANDLE *found = calloc(KV_CK_KEYS_MAX, sizeof *found);
    size_t n = 0;
    if (found == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for a list of objects");
    }
    enum kv_code code =
        kv_object_search(token, class, prefix ? NULL : label, found, KV_CK_KEYS_MAX, &n, err);
    for (size_t i = 0; code == KV_OK && i < n; i++) {
        char have[256];
        size_t len = 0;
        if (prefix && (!kv_object_get(token, found[i], CKA_LABEL, have, sizeof have, &len) ||
                       len < strlen(label) || memcmp(have, label, strlen(label)) != 0)) {
            continue;
        }
        CK_RV rv = token->module.f->C_DestroyObject(token->session, found[i]);
        if (rv != CKR_OK) {
            return KV_CK_FAIL(err, rv, "C_DestroyObject");
        }
        (*count)++;
    }
    return code;
}
